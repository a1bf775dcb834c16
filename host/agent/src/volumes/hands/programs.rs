//! Programs of the system that a step runs to its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::volumes::record::Place;

/// Where programs of the system are; a volume's programs have no other PATH.
pub(super) const FOLDERS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Says whose a process is, so that it is found after the daemon was killed.
pub(super) const OWNER: &str = "SWARMW_VOLUME";
/// What is shown of a program's complaint.
const COMPLAINT_MAX: usize = 500;

/// How a program ended.
pub(super) struct Ended {
    /// Its exit code; -1 for a signal.
    pub(super) code: i32,
    pub(super) stdout: String,
    /// The end of what it complained of.
    pub(super) complaint: String,
}

/// Runs a program of the system; one that is dropped is killed.
pub(super) async fn run<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
    place: &Place,
) -> Result<Ended, String> {
    let path = find(program)?;
    let output = Command::new(&path)
        .args(args)
        .env_clear()
        .env("PATH", FOLDERS)
        .env("LC_ALL", "C")
        .env(OWNER, place.folder())
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaint: last(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// Runs a program that must succeed; what it printed.
pub(super) async fn must<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
    place: &Place,
) -> Result<String, String> {
    let ended = run(program, args, place).await?;
    match ended.code {
        0 => Ok(ended.stdout),
        code => Err(format!("{program} ended with {code}: {}", ended.complaint)),
    }
}

/// The end of what a program said, on one line.
pub(super) fn last(said: &str) -> String {
    let line = said.trim().replace(char::is_control, " ");
    let from = line.len().saturating_sub(COMPLAINT_MAX);
    let from = (from..=line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or_default();
    line[from..].to_owned()
}

fn find(program: &str) -> Result<PathBuf, String> {
    let there = |folder: &str| Some(Path::new(folder).join(program)).filter(|path| path.is_file());
    FOLDERS
        .split(':')
        .find_map(there)
        .ok_or_else(|| format!("this node has no program {program} in {FOLDERS}"))
}
