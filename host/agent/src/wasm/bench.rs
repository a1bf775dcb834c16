//! What a Wasm task costs its node: the way the executor starts one, measured.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::folder::{Folder, Orders};
use super::zygote::Zygote;
use crate::process::{self, ProcessId};

/// Between the last start and the look at the memory.
const SETTLE: Duration = Duration::from_secs(2);

/// What tasks of one HTTP component took.
#[derive(Clone, Debug, Default)]
pub struct TaskFigures {
    /// Per task: from before its process was made to the end of its first response.
    pub first_response: Vec<Duration>,
    /// Per task: its proportional share of memory, in bytes, all of them idle.
    pub pss_bytes: Vec<u64>,
}

/// Starts tasks of a compiled HTTP component, asks each once, looks at all of them
/// at rest, and ends them. Files go to `folder`.
///
/// # Errors
/// A task does not start, or does not answer.
pub async fn measure_wasm_tasks(
    exe: &Path,
    folder: &Path,
    compiled: PathBuf,
    key: [u8; 32],
    tasks: usize,
) -> io::Result<TaskFigures> {
    let mut figures = TaskFigures::default();
    let zygote = Zygote::new(exe.to_owned());
    let mut running = Vec::new();
    let orders = Orders {
        compiled,
        key,
        args: vec!["bench".to_owned()],
        env: Vec::new(),
        mounts: Vec::new(),
        memory: 0,
        grace_millis: 0,
        networks: false,
    };
    let mut done = Ok(());
    for n in 0..tasks {
        let folder = Folder::new(folder.join(n.to_string()));
        std::fs::create_dir_all(folder.path())?;
        folder.put_orders(&orders)?;
        let began = Instant::now();
        done = first_response(&zygote, &folder).await;
        figures.first_response.push(began.elapsed());
        running.extend(folder.process()?);
        if done.is_err() {
            break;
        }
    }
    if done.is_ok() {
        tokio::time::sleep(SETTLE).await;
        let shares = running.iter().map(|process| proportional_share(*process));
        done = shares.collect::<io::Result<_>>().map(|shares| figures.pss_bytes = shares);
    }
    for process in running {
        process::signal(process, Signal::KILL);
        process::wait(process).await?;
    }
    done.map(|()| figures)
}

async fn first_response(zygote: &Zygote, folder: &Folder) -> io::Result<()> {
    zygote.start(folder).await?;
    let address = folder.running()?.and_then(|running| running.address);
    let address = address.ok_or_else(|| io::Error::other("the component serves no HTTP"))?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
    }
}

/// Private pages, and of shared ones the share of this process.
fn proportional_share(process: ProcessId) -> io::Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).and_then(|n| n.trim().parse().ok());
    kib.map(|kib: u64| kib * 1024).ok_or_else(|| io::Error::other("no Pss in smaps_rollup"))
}
