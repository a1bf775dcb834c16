//! A plugin's folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::languages::Language;

/// Folders whose files are not the author's.
const SKIPPED: [&str; 8] =
    ["target", "sdk", "wit", "bindings", ".git", "node_modules", ".venv", "__pycache__"];

/// The folder of a plugin.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder, as a path that exists.
    pub folder: PathBuf,
}

impl Project {
    /// The plugin in this folder.
    ///
    /// # Errors
    /// There is none.
    pub fn find(folder: &Path) -> Result<Self> {
        let project = Self::of(folder)?;
        let real = &project.folder;
        if project.language() != Language::Rust {
            return Ok(project);
        }
        let manifest = real.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            bail!(
                "{} holds no plugin: it has no Cargo.toml, plugin.js, plugin.py or plugin.c; go to \
                 the plugin's folder, name it, or make one with `swarmw plugin new --kind constraint NAME`",
                real.display()
            );
        };
        if !text.contains("cdylib") {
            bail!(
                "{}: the crate is no component: add\n\n  [lib]\n  crate-type = [\"cdylib\", \"rlib\"]",
                manifest.display()
            );
        }
        Ok(project)
    }

    /// A folder with whatever in it: cases, for a component built by other means.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn of(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        let folder =
            fs::canonicalize(folder).with_context(|| format!("there is no folder {shown}"))?;
        if folder.is_file() {
            bail!(
                "{shown} is a file: name the plugin's folder, and test a component of your own \
                 making with `swarmw plugin test --component {shown} FOLDER`"
            );
        }
        Ok(Self { folder })
    }

    /// What it is written in.
    pub fn language(&self) -> Language {
        Language::of(&self.folder)
    }

    /// Where compiled components and the like are kept.
    pub fn scratch(&self) -> PathBuf {
        self.folder.join("target/swarmw")
    }

    /// Its cases.
    pub fn cases(&self) -> PathBuf {
        self.folder.join("cases")
    }
}

/// The author's files with one of these endings, in a fixed order.
pub fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // A folder that goes away meanwhile holds nothing.
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|end| name.ends_with(&format!(".{end}"))) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
