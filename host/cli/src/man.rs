//! `swarmw man`: a page of the manual for each command.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::io::Io;

/// `man`
#[derive(clap::Args, Clone, Debug)]
pub struct ManArgs {
    /// The folder that gets the pages
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs, root: &clap::Command, io: &mut Io) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("{}: {error}", args.folder.display()));
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    let count = pages(root, root.get_name(), &args.folder).map_err(failed)?;
    io.line(format_args!("{count} pages in {}", args.folder.display()))?;
    Ok(())
}

/// Writes the page of a command, named after its words, and those of all below it.
fn pages(command: &clap::Command, words: &str, folder: &Path) -> std::io::Result<usize> {
    let page = words.replace(' ', "-");
    let shown = command.clone().bin_name(words).display_name(&page);
    let mut text = Vec::new();
    clap_mangen::Man::new(shown)
        .title(page.to_uppercase())
        .source(concat!("swarmw ", env!("CARGO_PKG_VERSION")))
        .manual("swarmw")
        .render(&mut text)?;
    std::fs::write(folder.join(format!("{page}.1")), text)?;
    let mut count = 1;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        if sub.get_name() != "help" {
            count += pages(sub, &format!("{words} {}", sub.get_name()), folder)?;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = crate::command();
        let count = pages(&root, "swarmw", folder.path()).expect("pages");
        let read = |page: &str| std::fs::read_to_string(folder.path().join(page)).expect(page);
        assert!(read("swarmw.1").contains(".TH SWARMW 1"), "{}", read("swarmw.1"));
        let create = read("swarmw-service-create.1");
        assert!(create.contains("replicas"), "{create}");
        assert!(create.contains("[OPTIONS] IMAGE [COMMAND] [ARG...]"), "{create}");
        assert!(!folder.path().join("swarmw-__complete.1").exists());
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), count);
        assert!(count > 50, "{count}");
    }
}
