//! The process that tasks are forked from.
//!
//! A task could be an `exec` of our binary; then each would hold alone the 1.5 MB
//! that the loader relocates. Forked from one process that has done nothing yet,
//! tasks share them, and start sooner. The daemon sends a message per task, its
//! folder and a pipe, whose end tells that the task runs. The process ends with the
//! daemon; its tasks do not.

use std::ffi::{CString, OsStr};
use std::io::{self, IoSlice, IoSliceMut, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::folder::Folder;
use super::run::run_wasm_task;
use super::title;
use crate::process;

/// A task that does not say by then that it runs has failed.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Starts under way: what the socket holds without waiting, many times over. More
/// wait for their turn.
const STARTS_MAX: usize = 32;
/// The longest path of a folder, as Linux has it.
const PATH_MAX: usize = 4096;

/// The daemon's side.
pub(super) struct Zygote {
    exe: PathBuf,
    turns: Semaphore,
    line: Mutex<Option<OwnedFd>>,
}

// === impl Zygote ===

impl Zygote {
    /// Forks from `exe wasm-tasks`, which must run [`run_wasm_tasks`]; it is started
    /// with the first task, and again when it was killed.
    pub(super) fn new(exe: PathBuf) -> Self {
        Self { exe, turns: Semaphore::new(STARTS_MAX), line: Mutex::default() }
    }

    /// Starts the task of a folder and returns once it runs, or has ended at once.
    pub(super) async fn start(&self, folder: &Folder) -> io::Result<()> {
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let (told, tell) = io::pipe()?;
        self.ask(folder.path(), &tell)?;
        drop(tell);
        let mut told = pipe::Receiver::from_owned_fd(told.into())?;
        let mut nothing = Vec::new();
        match tokio::time::timeout(START_PATIENCE, told.read_to_end(&mut nothing)).await {
            Ok(ended) => ended.map(drop),
            Err(_) => {
                if let Some(late) = folder.process()? {
                    process::signal(late, Signal::KILL);
                }
                Err(io::Error::other("the task's process did not start in time"))
            }
        }
    }

    fn ask(&self, folder: &Path, tell: &PipeWriter) -> io::Result<()> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*line {
            match send(known, folder, tell) {
                Err(Errno::PIPE | Errno::CONNRESET) => {}
                sent => return sent.map_err(io::Error::from),
            }
        }
        let new = line.insert(self.begin()?);
        send(new, folder, tell).map_err(io::Error::from)
    }

    fn begin(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut zygote = Command::new(&self.exe)
            .args(["wasm-tasks", &title::room()])
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Reaps it when it ends, whenever that is.
        tokio::spawn(async move {
            let _ = zygote.wait().await;
        });
        Ok(ours)
    }
}

fn send(line: &OwnedFd, folder: &Path, tell: &PipeWriter) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let handed = [tell.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&handed));
    let path = [IoSlice::new(folder.as_os_str().as_bytes())];
    sendmsg(line, &path, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}

/// What the hidden subcommand `wasm-tasks` does: forks a task for every message on
/// standard input. Must be called before there is a second thread.
pub fn run_wasm_tasks() -> ExitCode {
    // Ended tasks are the kernel's to forget: how they ended is in their folders.
    on_child_end(libc::SIG_IGN);
    loop {
        match receive() {
            Ok(Some((folder, tell))) => match fork() {
                Ok(true) => return run(&folder, tell),
                Ok(false) => {}
                // The pipe closes, and the task was not started.
                Err(error) => eprintln!("cannot fork: {error}"),
            },
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot be told of tasks: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// The next task; `None` when the daemon has ended.
fn receive() -> rustix::io::Result<Option<(PathBuf, OwnedFd)>> {
    let mut path = [0; PATH_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut path)];
        let line = rustix::stdio::stdin();
        let read = match recvmsg(line, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            read => read?.bytes,
        };
        if read == 0 {
            return Ok(None);
        }
        let handed = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut handed) => handed.next(),
            _ => None,
        });
        if let (Some(tell), Some(path)) = (handed, path.get(..read)) {
            return Ok(Some((PathBuf::from(OsStr::from_bytes(path)), tell)));
        }
    }
}

/// A task's life.
fn run(folder: &Path, tell: OwnedFd) -> ExitCode {
    on_child_end(libc::SIG_DFL);
    // `ps` tells tasks apart.
    title::show(folder);
    if let Some(name) = folder.file_name().and_then(|name| CString::new(name.as_bytes()).ok()) {
        let _ = rustix::thread::set_name(&name);
    }
    // The line is the daemon's and the zygote's alone: each sees when the other ends.
    let null = std::fs::File::open("/dev/null").map(OwnedFd::from);
    let detached = null.and_then(|null| Ok(rustix::stdio::dup2_stdin(&null)?));
    if detached.and_then(|()| Ok(rustix::stdio::dup2_stdout(&tell)?)).is_err() {
        return ExitCode::FAILURE;
    }
    // Standard output alone shall tell.
    drop(tell);
    run_wasm_task(&Folder::new(folder))
}

/// Whether this is the child.
#[allow(unsafe_code)]
fn fork() -> io::Result<bool> {
    // SAFETY: this process has one thread and holds no lock, so the child finds
    // everything as it was.
    match unsafe { libc::fork() } {
        0 => Ok(true),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(false),
    }
}

#[allow(unsafe_code)]
fn on_child_end(action: libc::sighandler_t) {
    // SAFETY: neither of the two actions that are passed runs code of ours.
    unsafe { libc::signal(libc::SIGCHLD, action) };
}
