//! FUSE programs: they serve a mount for as long as it is there, and outlive the
//! daemon. They are known by a variable in their environment, which their children
//! inherit, so none is lost when the daemon dies before it has written a process id.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::mounts::{self, Busy};
use super::programs::{FOLDERS, OWNER, last};
use crate::volumes::record::Place;

/// A helper that has not mounted by then is ended.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// Between looks at it.
const LOOK: Duration = Duration::from_millis(50);
/// From SIGTERM until SIGKILL.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// A helper as it is to be run.
pub(super) struct Call {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) stdin: Option<Vec<u8>>,
}

/// Starts a helper and returns once it has mounted.
pub(super) async fn start(call: Call, place: &Place) -> Result<(), String> {
    if mounts::is_mounted(&place.target()) && lives(place) {
        return Ok(());
    }
    let program = call.program.display().to_string();
    let log = log(place).map_err(|e| format!("{}: {e}", place.helper_log().display()))?;
    let mut command = std::process::Command::new(&call.program);
    command
        .args(&call.args)
        .env_clear()
        .envs(call.env)
        .env("PATH", FOLDERS)
        .env(OWNER, place.folder())
        .current_dir("/")
        .stdin(if call.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(log.try_clone().map_err(|e| e.to_string())?)
        .stderr(log)
        // What ends the daemon's process group does not end it.
        .process_group(0);
    let mut child = Command::from(command)
        .kill_on_drop(false)
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), call.stdin) {
        use tokio::io::AsyncWriteExt;
        // One that does not read it will say what it misses.
        let _ = pipe.write_all(&text).await;
    }
    let started = Instant::now();
    while started.elapsed() < READY_PATIENCE {
        if mounts::is_mounted(&place.target()) {
            // Reaps it when it ends, whenever that is.
            tokio::spawn(async move { drop(child.wait().await) });
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("{program} ended ({status}): {}", said(place)));
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("{program} has not mounted in {} s: {}", READY_PATIENCE.as_secs(), said(place)))
}

/// Unmounts the target and ends its helper.
pub(super) async fn end(place: &Place) -> Result<(), String> {
    let unmounted = mounts::unmount(place.target(), Busy::Goes).await;
    end_processes(place).await;
    // One that was about to mount has had its last chance before.
    unmounted.and(mounts::unmount(place.target(), Busy::Goes).await)
}

/// Whether a helper of the volume runs.
pub(super) fn lives(place: &Place) -> bool {
    !processes(place).is_empty()
}

/// Ends every process of the volume.
pub(super) async fn end_processes(place: &Place) {
    let started = Instant::now();
    loop {
        let left = processes(place);
        if left.is_empty() || started.elapsed() > END_PATIENCE * 2 {
            return;
        }
        let signal = if started.elapsed() < END_PATIENCE { Signal::TERM } else { Signal::KILL };
        for pid in left {
            // It may end at this moment.
            let _ = kill_process(pid, signal);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn processes(place: &Place) -> Vec<Pid> {
    let mut mark = format!("{OWNER}=").into_bytes();
    mark.extend(std::os::unix::ffi::OsStrExt::as_bytes(place.folder().as_os_str()));
    let is_ours = |folder: &Path| {
        let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark)
    };
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, folder)| is_ours(folder))
        .filter_map(|(pid, _)| Pid::from_raw(pid))
        .collect()
}

/// What it says goes to a file that begins anew with each start.
fn log(place: &Place) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file =
        options.create(true).write(true).truncate(true).mode(0o600).open(place.helper_log())?;
    file.flush()?;
    OpenOptions::new().append(true).open(place.helper_log())
}

fn said(place: &Place) -> String {
    last(&std::fs::read_to_string(place.helper_log()).unwrap_or_default())
}
