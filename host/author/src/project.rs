//! A plugin's folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder of a plugin.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder, as a path that exists.
    pub folder: PathBuf,
}

/// What builds a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// Cargo, and the encoder in this binary.
    Cargo,
    /// jco, out of the folder's own node_modules.
    Jco,
}

impl Project {
    /// The plugin in this folder.
    ///
    /// # Errors
    /// There is none.
    pub fn find(folder: &Path) -> Result<Self> {
        let project = Self::of(folder)?;
        let real = &project.folder;
        if project.builder() == Builder::Jco {
            return Ok(project);
        }
        let manifest = real.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            bail!(
                "{} holds no plugin: it has no Cargo.toml; go to the plugin's folder, name it, or \
                 make one with `swarmw plugin new --kind constraint NAME`",
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
        Ok(Self { folder })
    }

    /// What builds it: a folder with `plugin.js` is one in JavaScript.
    pub fn builder(&self) -> Builder {
        match self.folder.join("plugin.js").exists() {
            true => Builder::Jco,
            false => Builder::Cargo,
        }
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
