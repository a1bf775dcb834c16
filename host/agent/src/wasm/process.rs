//! Processes of tasks: started, recognised, waited for, ended.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::process::Command;

use super::folder::{Folder, ProcessId};

/// A child that does not say by then that it runs has failed.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Starts the child of a folder and returns once it runs, or has ended at once.
pub(super) async fn start(exe: &std::path::Path, folder: &Folder) -> io::Result<()> {
    let mut child = Command::new(exe)
        .arg("wasm-task")
        .arg(folder.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
    if let Some(started) = started(pid) {
        folder.put_process(ProcessId { pid, started })?;
    }
    let told = child.stdout.take();
    // Reaps the child when it ends, whenever that is.
    tokio::spawn(async move {
        let _ = child.wait().await;
    });
    let until_running = async {
        if let Some(mut told) = told {
            let mut nothing = Vec::new();
            told.read_to_end(&mut nothing).await?;
        }
        io::Result::Ok(())
    };
    match tokio::time::timeout(START_PATIENCE, until_running).await {
        Ok(result) => result,
        Err(_) => {
            signal(ProcessId { pid, started: started(pid).unwrap_or_default() }, Signal::KILL);
            Err(io::Error::other("the task's process did not start in time"))
        }
    }
}

/// Whether the process still is.
pub(super) fn is_alive(process: ProcessId) -> bool {
    started(process.pid) == Some(process.started)
}

/// Returns when the process has ended.
pub(super) async fn wait(process: ProcessId) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::NONBLOCK) else { return Ok(()) };
    // The handle may be of a later process of the same id.
    if !is_alive(process) {
        return Ok(());
    }
    watched(handle)?.readable().await?.retain_ready();
    Ok(())
}

#[allow(unsafe_code)]
fn watched(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the value that is registered, which gives
    // it to nobody and closes it only after it was deregistered.
    unsafe { AsyncFd::register(handle) }.map_err(io::Error::from)
}

/// Sends a signal, if the process still is.
pub(super) fn signal(process: ProcessId, signal: Signal) {
    if is_alive(process)
        && let Some(pid) = Pid::from_raw(process.pid)
    {
        // It may end at this moment: then there is nothing to signal.
        let _ = kill_process(pid, signal);
    }
}

/// When a process started, in ticks since boot; `None` where there is none, or
/// only its remains.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        // Field 22 of the line; the state is field 3.
        _ => fields.nth(18)?.parse().ok(),
    }
}
