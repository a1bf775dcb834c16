//! One node: a daemon of its own and the command line that talks to it.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::http::{self, Answer};
use super::wait::eventually;

const SWARMW: &str = env!("CARGO_BIN_EXE_swarmw");

/// Where the API's socket as containers have it is mounted, in a state folder.
const SOCKET_IN_CONTAINERS: &str = "/containers/api.sock";

/// A node of a test's cluster.
#[derive(Debug)]
pub struct Node {
    /// Its host name in the cluster.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    folder: PathBuf,
    state_dir: PathBuf,
    engine: String,
    /// Words before every command of its own: where the daemon runs.
    within: Vec<String>,
    /// Further flags of the daemon.
    flags: Vec<String>,
    daemon: Option<Child>,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

// === impl Node ===

impl Node {
    /// A node that is not started yet.
    pub fn new(folder: &Path, name: &str, ip: Ipv4Addr, engine: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("a folder for the node");
        Self {
            name: name.to_owned(),
            ip,
            state_dir: folder.join("state"),
            folder,
            engine: engine.to_owned(),
            within: Vec::new(),
            flags: Vec::new(),
            daemon: None,
        }
    }

    /// The daemon runs behind these words.
    pub fn within(mut self, within: Vec<String>) -> Self {
        self.within = within;
        self
    }

    /// The daemon gets these flags too.
    pub fn serving(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("api.sock")
    }

    /// The daemon's state folder.
    pub fn state_dir(&self) -> PathBuf {
        self.state_dir.clone()
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a running daemon").id()
    }

    /// Keeps the daemon's state in another folder from its next start on.
    pub fn keep_state_in(&mut self, folder: PathBuf) {
        self.state_dir = folder;
    }

    /// The daemon has these flags as well from its next start on.
    pub fn give_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "{} runs already", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("daemon.log"))
            .expect("a log file");
        // On a machine of its own, published ports are on all addresses, as usual.
        let publish = ["--publish-addr".to_owned(), self.ip.to_string()];
        let publish = publish.iter().filter(|_| self.within.is_empty());
        let mut words = self.within.iter().map(String::as_str).chain([SWARMW]);
        let daemon = Command::new(words.next().unwrap_or(SWARMW))
            .args(words)
            .arg("daemon")
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .args(["--node-name", &self.name, "--engine", &self.engine])
            .args(publish)
            .args(&self.flags)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        self.daemon = Some(daemon);
        eventually(&format!("{} answers", self.name), || self.api("GET", "/_ping"));
    }

    /// Ends the daemon as a power cut would, but leaves its tasks.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("a running daemon");
        daemon.kill().expect("kill -9");
        daemon.wait().expect("the daemon's end");
    }

    /// Kills the daemon and its Wasm tasks: the machine is gone.
    pub fn power_off(&mut self) {
        self.kill();
        kill_all(&self.folder);
    }

    /// Ends the daemon in order.
    pub fn stop(&mut self) -> i32 {
        let mut daemon = self.daemon.take().expect("a running daemon");
        let pid = i32::try_from(daemon.id()).expect("a pid");
        // SAFETY is the kernel's: a signal to our own child, which is not waited for yet.
        assert!(Command::new("kill").arg(pid.to_string()).status().is_ok_and(|s| s.success()));
        daemon.wait().expect("the daemon's end").code().unwrap_or(-1)
    }

    /// Runs a command that must succeed; its standard output.
    #[track_caller]
    pub fn swarmw(&self, arguments: &[&str]) -> String {
        let output = self.try_swarmw(arguments);
        assert_eq!(output.code, 0, "swarmw {}: {output}\n{}", arguments.join(" "), self.log_end());
        output.stdout
    }

    /// Runs a command.
    pub fn try_swarmw(&self, arguments: &[&str]) -> Output {
        Self::run_against(&self.socket(), arguments)
    }

    /// Runs a command that must succeed, given as it is typed; blanks part its words.
    #[track_caller]
    pub fn run(&self, line: impl AsRef<str>) -> String {
        self.swarmw(&line.as_ref().split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command, given as it is typed; blanks part its words.
    pub fn try_run(&self, line: impl AsRef<str>) -> Output {
        self.try_swarmw(&line.as_ref().split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command against the daemon of a socket.
    pub fn run_against(socket: &Path, arguments: &[&str]) -> Output {
        let output = Command::new(SWARMW)
            .args(arguments)
            .env("SWARMW_HOST", format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .output()
            .expect("the command starts");
        Output::of(&output)
    }

    /// Runs a command with a configuration of Docker's client, by its folder.
    pub fn configured(&self, folder: &Path, arguments: &[&str]) -> Output {
        let output = Command::new(SWARMW)
            .args(arguments)
            .env("SWARMW_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", folder)
            .stdin(Stdio::null())
            .output()
            .expect("the command starts");
        Output::of(&output)
    }

    /// Runs a command with this on its standard input.
    pub fn typing(&self, arguments: &[&str], typed: &str) -> Output {
        let mut command = Command::new(SWARMW)
            .args(arguments)
            .env("SWARMW_HOST", format!("unix://{}", self.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut stdin = command.stdin.take().expect("a pipe");
        // One that does not ask ends before it has read this.
        let _ = stdin.write_all(typed.as_bytes());
        drop(stdin);
        Output::of(&command.wait_with_output().expect("the command's end"))
    }

    /// Runs a command that needs no daemon.
    pub fn run_alone(arguments: &[&str]) -> Output {
        Self::run_against(Path::new("/nonexistent"), arguments)
    }

    /// Runs the real docker client against this node.
    pub fn docker(&self, arguments: &[&str]) -> Output {
        let output = Command::new("docker")
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the docker client is installed");
        Output::of(&output)
    }

    /// A request to the API.
    pub fn api(&self, method: &str, path: &str) -> Result<Answer, String> {
        http::unix(&self.socket(), method, path, "")
    }

    /// A list or an object of the API.
    pub fn json(&self, path: &str) -> Result<Value, String> {
        let (status, body) = self.api("GET", path)?;
        if status != 200 {
            return Err(format!("{path}: {status} {body}"));
        }
        serde_json::from_str(&body).map_err(|e| format!("{path}: {e}: {body}"))
    }

    /// GET of a port published on this node.
    pub fn get(&self, port: u16, path: &str) -> Result<String, String> {
        match http::get(self.ip, port, path)? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("{status} {body}")),
        }
    }

    /// The end of the daemon's log, for a failing test's message.
    pub fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.join("daemon.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let from = lines.len().saturating_sub(40);
        format!("--- {}'s log ---\n{}", self.name, lines[from..].join("\n"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_end());
        }
        kill_all(&self.folder);
        let_go(&self.folder);
    }
}

/// What is mounted below a folder, the innermost last, and the loop devices of files
/// in it.
pub fn mounts_below(folder: &Path) -> (Vec<String>, Vec<String>) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounted_below(folder, &table);
    let folder = folder.to_string_lossy().into_owned();
    let listed = Command::new("losetup").args(["-n", "-O", "NAME,BACK-FILE"]).output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    let loops = String::from_utf8_lossy(&listed)
        .lines()
        .filter(|line| line.contains(&folder))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    (mounts, loops)
}

/// What is mounted below a folder, by a `mountinfo` of /proc, but for the API's socket as
/// containers have it, which stays.
pub fn mounted_below(folder: &Path, table: &str) -> Vec<String> {
    let is_counted = |path: &String| !path.ends_with(SOCKET_IN_CONTAINERS);
    targets_below(folder, table).filter(is_counted).collect()
}

fn targets_below<'a>(folder: &Path, table: &'a str) -> impl Iterator<Item = String> + 'a {
    let folder = folder.to_string_lossy().into_owned();
    let target = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
    table.lines().map(target).filter(move |path| path.starts_with(&*folder))
}

/// Unmounts what a node left mounted: its folder is deleted with all that is below.
fn let_go(folder: &Path) {
    let (_, loops) = mounts_below(folder);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<_> = targets_below(folder, &table).collect();
    for target in mounts.iter().rev() {
        let _ = Command::new("umount").args(["-l", target]).status();
    }
    for device in &loops {
        let _ = Command::new("losetup").args(["-d", device]).status();
    }
}

/// Kills every process that names the folder: Wasm tasks outlive their daemon.
fn kill_all(folder: &Path) {
    let name = folder.to_string_lossy().into_owned();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let names_it =
            String::from_utf8_lossy(&command).split('\0').any(|word| word.contains(&name));
        if names_it && pid.parse::<u32>().is_ok_and(|pid| pid != std::process::id()) {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
    }
}

// === impl Output ===

impl Output {
    /// Of a program that has ended.
    pub fn of(output: &std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n{}{}", self.code, self.stdout, self.stderr)
    }
}
