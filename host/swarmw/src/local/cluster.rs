//! Five daemons: started, killed, and never left behind.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::shell::Shell;

/// The port that a service may publish.
pub const PORT: u16 = 8080;
/// The port between nodes.
const NODE_PORT: u16 = 2377;
/// Nodes, of which the first few are managers.
pub const NODES: usize = 5;
const MANAGERS: usize = 3;
/// Disk that five small nodes and their compiled components take at the most.
const ROOM_MIN: u64 = 300 << 20;
/// Lines of each log that are shown when something goes wrong.
const LAST_LINES: usize = 5;
const LOOK: Duration = Duration::from_millis(100);

/// The cluster; dropping it ends every process and removes every file.
pub struct Cluster {
    exe: PathBuf,
    folder: Option<TempDir>,
    daemons: BTreeMap<usize, Child>,
}

// === impl Cluster ===

impl Cluster {
    /// Starts five daemons that are in no swarm yet.
    ///
    /// # Errors
    /// A port is taken, or there is no room.
    pub async fn start() -> Result<Self> {
        for number in 1..=NODES {
            for port in [PORT, NODE_PORT] {
                let ip = Self::ip(number);
                TcpListener::bind((ip, port)).with_context(|| {
                    format!("{ip}:{port} cannot be used; end what listens there and try again")
                })?;
            }
        }
        let folder = tempfile::Builder::new()
            .prefix("swarmw-local-")
            .tempdir()
            .context("cannot make a folder for the cluster")?;
        let disk = rustix::fs::statvfs(folder.path()).context("cannot look at the disk")?;
        let room = disk.f_bavail * disk.f_frsize;
        ensure!(
            room >= ROOM_MIN,
            "{} has {} MiB of room, the cluster wants {}",
            folder.path().display(),
            room >> 20,
            ROOM_MIN >> 20
        );
        let exe = std::env::current_exe().context("cannot find this binary")?;
        let mut cluster = Self { exe, folder: Some(folder), daemons: BTreeMap::new() };
        for number in 1..=NODES {
            let daemon = cluster.spawn(number)?;
            cluster.daemons.insert(number, daemon);
        }
        for number in 1..=NODES {
            let socket = cluster.socket(number)?;
            cluster
                .until(
                    &format!("the daemon of n{number} answers"),
                    Duration::from_secs(30),
                    || async {
                        tokio::net::UnixStream::connect(&socket).await.map(drop).map_err(Into::into)
                    },
                )
                .await?;
        }
        Ok(cluster)
    }

    fn spawn(&self, number: usize) -> Result<Child> {
        use std::os::unix::process::CommandExt;
        let folder = self.folder()?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join(format!("n{number}.log")))
            .context("cannot write a log file")?;
        Command::new(&self.exe)
            .args(["daemon", "--engine", "none", "--node-name", &format!("n{number}")])
            .arg("--state-dir")
            .arg(folder.join(format!("n{number}")))
            .arg("--host")
            .arg(format!("unix://{}", self.socket(number)?.display()))
            .args(["--publish-addr", &Self::ip(number).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is the demo's to handle: it ends the daemons and their tasks.
            .process_group(0)
            .spawn()
            .context("cannot start a daemon")
    }

    /// Makes a swarm of the daemons: nodes 1 to 3 are managers, 4 and 5 workers. `run`
    /// is how each command is run.
    ///
    /// # Errors
    /// A command fails.
    pub async fn form(
        &self,
        settings: &str,
        run: impl AsyncFn(&Shell, &str) -> Result<()>,
    ) -> Result<()> {
        let first = self.shell(1);
        let ip = Self::ip(1);
        let init = format!("swarmw swarm init --listen-addr {ip} --advertise-addr {ip} {settings}");
        run(&first, init.trim_end()).await?;
        for (role, nodes) in [("manager", 2..=MANAGERS), ("worker", MANAGERS + 1..=NODES)] {
            let token = first.capture(&format!("swarmw swarm join-token -q {role}")).await?;
            for number in nodes {
                let own = Self::ip(number);
                let join = format!(
                    "swarmw swarm join --token {} --listen-addr {own} --advertise-addr {own} \
                     {ip}:{NODE_PORT}",
                    token.trim()
                );
                run(&self.shell(number), &join).await?;
            }
        }
        Ok(())
    }

    /// The address of a node.
    pub fn ip(number: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(number).unwrap_or(u8::MAX - 1))
    }

    /// The nodes that are up.
    pub fn up(&self) -> impl Iterator<Item = usize> {
        self.daemons.keys().copied()
    }

    /// A terminal on a node.
    pub fn shell(&self, node: usize) -> Shell {
        let host = self.socket(node).map(|s| format!("unix://{}", s.display()));
        Shell { exe: self.exe.clone(), host: host.unwrap_or_default(), node }
    }

    /// Writes a file for a command to read; its path.
    ///
    /// # Errors
    /// The disk.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.folder()?.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// SIGKILL to a node's daemon and its tasks.
    ///
    /// # Errors
    /// It is down already.
    pub fn power_off(&mut self, number: usize) -> Result<()> {
        let mut daemon = self.daemons.remove(&number).context("the node is down already")?;
        daemon.kill().context("cannot kill the daemon")?;
        daemon.wait().context("cannot wait for the daemon")?;
        kill_all(&self.folder()?.join(format!("n{number}")));
        Ok(())
    }

    /// Starts a node's daemon again.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn power_on(&mut self, number: usize) -> Result<()> {
        let daemon = self.spawn(number)?;
        self.daemons.insert(number, daemon);
        Ok(())
    }

    /// The process of a node's daemon.
    ///
    /// # Errors
    /// It is down.
    pub fn pid(&self, number: usize) -> Result<u32> {
        self.daemons.get(&number).map(Child::id).context("the node is down")
    }

    /// Waits until `look` succeeds.
    ///
    /// # Errors
    /// It never did: with what it last said.
    pub async fn until<T, F>(
        &self,
        what: &str,
        patience: Duration,
        look: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let end = Instant::now() + patience;
        loop {
            match look().await {
                Ok(found) => return Ok(found),
                Err(why) if Instant::now() >= end => {
                    return Err(why.context(format!(
                        "waited {} s in vain until {what}; the daemons' last words:\n{}",
                        patience.as_secs(),
                        self.last_words()
                    )));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// The last lines of each daemon's log.
    fn last_words(&self) -> String {
        let mut words = String::new();
        for number in 1..=NODES {
            let log = self.folder().map(|f| f.join(format!("n{number}.log")));
            let text = log.ok().and_then(|log| std::fs::read_to_string(log).ok());
            let lines: Vec<_> = text.iter().flat_map(|text| text.lines()).collect();
            for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
                words.push_str(&format!("n{number}: {line}\n"));
            }
        }
        words
    }

    /// Leaves the cluster up and says how to talk to it and how to end it.
    ///
    /// # Errors
    /// The folder is gone.
    pub fn keep(mut self) -> Result<()> {
        let any = self.up().next().context("no node is up")?;
        let socket = self.socket(any)?;
        let folder = self.folder.take().context("the folder is gone")?.keep();
        self.daemons.clear();
        println!(
            "\nThe cluster stays up. Talk to it with\n\n    \
             export SWARMW_HOST=unix://{}\n    swarmw service ls\n\n\
             Logs and state are in {folder}. End it with\n\n    pkill -f {folder}; rm -r {folder}",
            socket.display(),
            folder = folder.display()
        );
        Ok(())
    }

    fn folder(&self) -> Result<&Path> {
        match &self.folder {
            Some(folder) => Ok(folder.path()),
            None => bail!("the cluster's folder is gone"),
        }
    }

    /// Where a node serves the API.
    ///
    /// # Errors
    /// The folder is gone.
    pub fn socket(&self, number: usize) -> Result<PathBuf> {
        Ok(self.folder()?.join(format!("n{number}.sock")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.values_mut() {
            // One that is gone already is what is wanted.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if let Some(folder) = &self.folder {
            kill_all(folder.path());
        }
    }
}

/// Kills every process that names the folder: Wasm tasks outlive their daemon.
fn kill_all(folder: &Path) {
    let name = folder.to_string_lossy();
    let own = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid == own || !String::from_utf8_lossy(&command).contains(&*name) {
            continue;
        }
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// GET of the published port on a node; the body.
///
/// # Errors
/// No answer, or one that is not 200.
pub async fn get(node: usize) -> Result<String> {
    let mut stream = TcpStream::connect((Cluster::ip(node), PORT)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.contains(" 200 "), "{head}");
    // The body is small enough to come as one chunk: its line stands between the
    // chunk's length and the end.
    let line = body.lines().find(|l| l.contains("version"));
    Ok(line.unwrap_or(body).to_owned())
}
