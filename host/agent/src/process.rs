//! Processes of tasks: recognised, waited for, ended.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

/// A process, told from a later one of the same id by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    pub(crate) started: u64,
}

/// This process.
pub(crate) fn own() -> io::Result<ProcessId> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    of_pid(pid).ok_or_else(|| io::Error::other("/proc is not there"))
}

/// The process that has this id now, if one has.
pub(crate) fn of_pid(pid: i32) -> Option<ProcessId> {
    started(pid).map(|started| ProcessId { pid, started })
}

/// Whether the process still is.
pub(crate) fn is_alive(process: ProcessId) -> bool {
    started(process.pid) == Some(process.started)
}

/// Returns when the process has ended.
pub(crate) async fn wait(process: ProcessId) -> io::Result<()> {
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
pub(crate) fn signal(process: ProcessId, signal: Signal) {
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
