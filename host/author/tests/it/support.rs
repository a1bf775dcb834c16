//! Plugins in folders of their own.

use std::path::PathBuf;

use clap::Parser;
use swarmw_author::{Command, Workbench};
use tempfile::TempDir;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// A folder for plugins; it goes when it is dropped.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("swarmw-author-").tempdir().expect("a folder"))
    }

    /// A folder of the desk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `swarmw plugin WORDS`, `@NAME` in them a folder of the desk: what it
    /// prints, and the error that it ends with.
    pub fn plugin(&self, words: &str) -> (String, Result<(), String>) {
        let words = words.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).to_string_lossy().into_owned(),
            None => word.to_owned(),
        });
        let line: Vec<String> = ["plugin".to_owned()].into_iter().chain(words).collect();
        self.words(&line)
    }

    /// Runs a command line whose words may have blanks.
    pub fn words(&self, line: &[impl AsRef<str>]) -> (String, Result<(), String>) {
        let line = Line::parse_from(line.iter().map(AsRef::as_ref));
        let mut out = Vec::new();
        let ended = swarmw_author::run(line.command, &bench(), &mut out);
        let out = String::from_utf8(out).expect("text");
        (out, ended.map_err(|error| format!("{error:#}")))
    }

    /// As [`Desk::plugin`], where it must go well.
    pub fn well(&self, words: &str) -> String {
        let (out, ended) = self.plugin(words);
        assert_eq!(ended, Ok(()), "{words}\n{out}");
        out
    }

    /// Replaces a text in a file of the desk.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path).expect(file);
        assert!(text.contains(old), "{file} has no {old}");
        std::fs::write(&path, text.replace(old, new)).expect(file);
    }
}

/// Compiles in a child that is this test's own binary.
pub fn bench() -> Workbench {
    let exe = std::env::current_exe().expect("the test's own binary");
    Workbench::new(exe, ["--exact", "child::compiling_child"].map(Into::into).to_vec())
}
