//! The docker clients of this machine: Debian's, another one on the PATH, and one that the
//! user names. (`cargo xtask test` reads this file as well, to say which there were.)

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names a docker client beside those that are found.
pub const NAMED: &str = "SWARMW_DOCKER_CLI";
/// Where Debian's package has its client, whatever else the PATH has.
const DEBIANS: &str = "/usr/bin/docker";

/// A docker client.
#[derive(Clone, Debug)]
pub struct DockerCli {
    /// Its file.
    pub program: PathBuf,
    /// What it says of itself: `20.10.24+dfsg1`.
    pub version: String,
}

// === impl DockerCli ===

impl DockerCli {
    /// The client of this file, if it is one.
    fn at(program: &Path) -> Option<Self> {
        let output = Command::new(program).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // `Docker version 28.2.2, build e6534b4`
        let version = said.strip_prefix("Docker version ")?.split(',').next()?.trim();
        Some(Self { program: program.to_owned(), version: version.to_owned() })
    }

    /// All that there are, each version once: Debian's first.
    ///
    /// # Errors
    ///
    /// Where [`NAMED`] names no docker client.
    pub fn all() -> Result<Vec<Self>, String> {
        let path = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&path).map(|folder| folder.join("docker"));
        let mut all = Vec::new();
        if let Some(debians) = Self::at(Path::new(DEBIANS)) {
            all.push(debians);
        }
        let others = found.filter(|file| !all.iter().any(|client| client.is(file)));
        let other = others.filter_map(|file| Self::at(&file)).find(|other| !has(&all, other));
        all.extend(other);
        if let Some(name) = env::var_os(NAMED).filter(|name| !name.is_empty()) {
            let named = Self::named(&name)?;
            if !has(&all, &named) {
                all.push(named);
            }
        }
        Ok(all)
    }

    fn named(name: &OsStr) -> Result<Self, String> {
        Self::at(Path::new(name))
            .ok_or_else(|| format!("{NAMED} names no docker client: {}", name.display()))
    }

    /// Whether this is its file, by whatever name.
    fn is(&self, file: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        real(file).is_some() && real(file) == real(&self.program)
    }
}

fn has(all: &[DockerCli], client: &DockerCli) -> bool {
    all.iter().any(|known| known.version == client.version)
}
