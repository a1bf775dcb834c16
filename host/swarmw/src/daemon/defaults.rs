//! Where a daemon keeps things when it is not told.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The state folder: `/var/lib/swarmw` as root, else the XDG state folder.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn state_dir() -> Result<PathBuf> {
    if is_root() {
        return Ok("/var/lib/swarmw".into());
    }
    if let Some(folder) = std::env::var_os("XDG_STATE_HOME").filter(|f| !f.is_empty()) {
        return Ok(PathBuf::from(folder).join("swarmw"));
    }
    let home = std::env::var_os("HOME")
        .context("neither XDG_STATE_HOME nor HOME is set: name a folder with --state-dir")?;
    Ok(PathBuf::from(home).join(".local/state/swarmw"))
}

/// Docker's default socket.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Whether this process is root's.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
