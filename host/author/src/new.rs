//! `swarmw plugin new`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::embedded::{SDK, TEMPLATES, WIT};
use crate::languages::{Language, c_bindings};

/// The longest name of a plugin, publisher included; the host's own bound.
const NAME_MAX: usize = 64;

/// `plugin new`
#[derive(clap::Args, Clone, Debug)]
pub struct NewArgs {
    /// What the plugin decides
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Kind,
    /// The language it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Language::Rust)]
    pub lang: Language,
    /// Who publishes it: the first half of the plugin's name
    #[arg(long, value_name = "NAME", default_value = "me")]
    pub publisher: String,
    /// The folder to make; its last part is the plugin's name
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
}

/// What a plugin decides.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Which nodes may run a task: --constraint
    Constraint,
    /// How tasks are shared out over nodes: --placement-pref
    Preference,
    /// How a rolling update goes: --update-failure-action
    UpdatePolicy,
    /// How a volume is made and mounted: --mount volume-driver=
    VolumeDriver,
}

impl Kind {
    /// As on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Preference => "preference",
            Self::UpdatePolicy => "update-policy",
            Self::VolumeDriver => "volume-driver",
        }
    }

    /// Its interface in wit/.
    const fn interface(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Preference => "preference",
            Self::UpdatePolicy => "update",
            Self::VolumeDriver => "volume",
        }
    }

    /// How the new plugin's one line begins.
    const fn summary(self) -> &'static str {
        match self {
            Self::Constraint => "Nodes whose label is at least so much",
            Self::Preference => "As even as room allows, up to a bound",
            Self::UpdatePolicy => "A few targets first, then the rest",
            Self::VolumeDriver => "A file system of its own size on the node",
        }
    }
}

/// Makes the folder.
pub(crate) fn run(args: &NewArgs, out: &mut dyn Write) -> Result<()> {
    let name = checked_name(&args.folder, &args.publisher)?;
    if args.folder.exists() {
        bail!("{} exists already: name another folder, or remove it", args.folder.display());
    }
    let kind = args.kind.as_str();
    let language = args.lang.folder();
    let words = Words::new(&name, &args.publisher, args.kind);
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for part in ["common", kind] {
        let prefix = format!("{language}/{part}/");
        for (path, text) in TEMPLATES {
            let Some(path) = path.strip_prefix(&prefix) else { continue };
            let path = if path == "gitignore" { ".gitignore".to_owned() } else { words.fill(path) };
            files.push((path.into(), words.fill(text)));
        }
    }
    let below = |folder: &str, all: &[(&str, &str)]| -> Vec<(PathBuf, String)> {
        all.iter().map(|(path, text)| (Path::new(folder).join(path), (*text).to_owned())).collect()
    };
    match args.lang {
        Language::Rust => files.extend(below("sdk", SDK)),
        Language::C => files.extend(below("bindings", &c_bindings(args.kind.interface()))),
        Language::Javascript | Language::Python => {}
    }
    files.extend(below("wit", WIT));
    for (path, text) in files {
        write(&args.folder.join(path), &text)?;
    }
    let folder = args.folder.display();
    let article = if args.kind == Kind::UpdatePolicy { "an" } else { "a" };
    let with = match args.lang {
        Language::Rust => "its cases, the SDK and the interface",
        Language::C => "its cases, the bindings and the interface",
        Language::Javascript | Language::Python => "its cases and the interface",
    };
    writeln!(out, "{folder}: {article} {kind} in {}, with {with}\n", args.lang.shown())?;
    writeln!(out, "  cd {folder}")?;
    if let Some(install) = args.lang.install() {
        writeln!(out, "  {install}")?;
    }
    writeln!(out, "  swarmw plugin test")?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, text).with_context(failed)
}

fn checked_name(folder: &Path, publisher: &str) -> Result<String> {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    for (what, part) in [("name", name.as_str()), ("publisher", publisher)] {
        if !good(part) {
            bail!(
                "the {what} '{part}' is not a word of small letters, digits and dashes that \
                 begins with a letter: try {}",
                if what == "name" { "spread-az" } else { "--publisher acme" }
            );
        }
    }
    if name.len() + publisher.len() + 1 > NAME_MAX {
        bail!("{publisher}/{name} is longer than {NAME_MAX} bytes: name it shorter");
    }
    Ok(name)
}

/// What the templates leave open.
struct Words([(&'static str, String); 7]);

impl Words {
    fn new(name: &str, publisher: &str, kind: Kind) -> Self {
        let word = name.replace('-', "_");
        let parts = name.split('-').filter_map(|part| {
            let mut letters = part.chars();
            let first = letters.next()?.to_uppercase();
            Some(first.chain(letters).collect::<String>())
        });
        Self([
            ("{{name}}", name.to_owned()),
            ("{{word}}", word.clone()),
            ("{{file}}", word),
            ("{{Type}}", parts.collect()),
            ("{{publisher}}", publisher.to_owned()),
            ("{{summary}}", kind.summary().to_owned()),
            ("{{kind}}", kind.as_str().to_owned()),
        ])
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (mark, word)| text.replace(mark, word))
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn names_are_words_with_dashes() {
        for (name, publisher, good) in [
            ("spread-az", "me", true),
            ("a/b/spread-az", "acme", true),
            ("Spread", "me", false),
            ("9lives", "me", false),
            ("a.b", "me", false),
            ("spread", "Me Inc", false),
        ] {
            assert_eq!(checked_name(Path::new(name), publisher).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn there_is_a_template_of_each_kind_in_each_language() {
        for language in Language::value_variants() {
            for kind in Kind::value_variants() {
                let source =
                    format!("{}/{}/{}", language.folder(), kind.as_str(), language.source());
                assert!(TEMPLATES.iter().any(|(path, _)| *path == source), "{source}");
            }
        }
    }

    #[test]
    fn templates_leave_nothing_open() {
        let words = Words::new("spread-az", "me", Kind::Preference);
        for (path, text) in TEMPLATES {
            let (path, text) = (words.fill(path), words.fill(text));
            // GitHub's own expressions stand apart with a dollar.
            assert!(!path.contains("{{"), "{path}");
            assert!(!text.replace("${{", "").contains("{{"), "{path}: {text}");
        }
        assert_eq!(words.fill("{{Type}} {{word}}"), "SpreadAz spread_az");
    }
}
