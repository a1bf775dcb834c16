//! Machines on this machine: a network, mount, process and host-name namespace each,
//! with a Docker engine of its own, joined by a bridge in a namespace of its own.
//!
//! Namespaces have no names and live as long as the processes in them, and those die
//! with the test, however it ends: nothing is left to clean up but files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::http;
use super::node::Output;
use super::wait::eventually;

/// The machines' network: no route leads out of it.
const NETWORK: [u8; 3] = [10, 98, 7];
/// And how its addresses of IPv6 begin.
const NETWORK6: u16 = 0xfd98;
/// Runs a program that gets SIGKILL when this process is gone.
const DIES_WITH_US: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// May raise limits of resources.
const CAP_SYS_RESOURCE: u32 = 24;

/// First process of a machine: prepares what an engine wants and reaps orphans.
const INIT: &str = r#"
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mount --make-rshared /
mount --bind "$EMPTY" "$(readlink -f /etc/resolv.conf)"
hostname "$NAME"
ip link set lo up
echo ready
while sleep 3600; do :; done
"#;

/// Runs a program with the `/proc` of its own process ids.
const WITH_PROC: &str = r#"mount --make-rprivate /proc && mount -t proc proc /proc && exec "$@""#;

/// Process of the bridge's namespace.
const SWITCH: &str = "set -eu
ip link add br0 type bridge
ip link set br0 up
echo ready
exec sleep infinity";

/// The bridge that joins machines.
#[derive(Debug)]
pub struct Switch {
    holder: Child,
}

/// One machine with a Docker engine.
#[derive(Debug)]
pub struct Machine {
    /// Its address on the bridge.
    pub ip: Ipv4Addr,
    /// And that of IPv6.
    pub ip6: Ipv6Addr,
    name: String,
    folder: PathBuf,
    holder: Child,
    engine: Option<Child>,
}

/// What an engine starts containers by; see `runc.sh`.
fn runtime() -> Vec<String> {
    let own = fs::read_to_string("/proc/self/status").expect("/proc");
    let bounds = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("a mask");
    let bounds = u64::from_str_radix(bounds.trim(), 16).expect("a mask");
    if bounds & (1 << CAP_SYS_RESOURCE) != 0 {
        return Vec::new();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/it/support/runc.sh");
    vec![format!("--add-runtime=within-bounds={script}"), "--default-runtime=within-bounds".into()]
}

/// Says what is missing for machines, where something is.
pub fn require_root() {
    let own = fs::metadata("/proc/self").expect("/proc");
    let root = std::os::unix::fs::MetadataExt::uid(&own) == 0;
    assert!(root, "tests with Docker engines need root: run them as `sudo cargo xtask test`");
    for (program, package) in [
        ("/usr/sbin/dockerd", "docker.io"),
        ("/usr/bin/docker-registry", "docker-registry"),
        ("/usr/bin/redis-server", "redis-server"),
        ("/usr/bin/busybox", "busybox-static"),
        ("/usr/bin/perl", "perl-base"),
        ("/usr/sbin/haproxy", "haproxy"),
    ] {
        assert!(Path::new(program).exists(), "missing {program}: apt-get install {package}");
    }
}

// === impl Switch ===

impl Switch {
    /// Makes the bridge.
    pub fn new() -> Self {
        let mut command = Command::new(DIES_WITH_US[0]);
        command.args(&DIES_WITH_US[1..]).args(["unshare", "--net", "sh", "-c", SWITCH]);
        Self { holder: until_ready(&mut command) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        end(&mut self.holder);
    }
}

// === impl Machine ===

impl Machine {
    /// Machine `number`, from 1, without its engine running yet.
    pub fn new(folder: &Path, number: u8, switch: &Switch) -> Self {
        let name = format!("machine{number}");
        let folder = folder.join(&name);
        fs::create_dir_all(&folder).expect("a folder for the machine");
        let empty = folder.join("empty");
        File::create(&empty).expect("an empty file");
        let mut command = Command::new(DIES_WITH_US[0]);
        command
            .args(&DIES_WITH_US[1..])
            .args(["unshare", "--net", "--mount", "--propagation", "slave", "--uts", "--pid"])
            .args(["--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", INIT])
            .env("EMPTY", &empty)
            .env("NAME", &name);
        let holder = until_ready(&mut command);
        let ip = Ipv4Addr::new(NETWORK[0], NETWORK[1], NETWORK[2], number);
        let ip6 = Ipv6Addr::new(NETWORK6, 0, 0, 0, 0, 0, 0, number.into());
        let machine = Self { ip, ip6, name, folder, holder, engine: None };
        machine.plug_in(number, switch);
        machine
    }

    fn plug_in(&self, number: u8, switch: &Switch) {
        let (port, own) = (format!("port{number}"), self.holder.id().to_string());
        let bridge = switch.holder.id();
        let ip = |pid: u32, line: &str| {
            let net = format!("--net=/proc/{pid}/ns/net");
            let words = line.split(' ');
            must(Command::new("nsenter").arg(net).arg("ip").args(words));
        };
        ip(bridge, &format!("link add {port} type veth peer name eth0 netns {own}"));
        ip(bridge, &format!("link set {port} master br0 up"));
        let pid = self.holder.id();
        ip(pid, &format!("addr add {}/24 dev eth0", self.ip));
        ip(pid, &format!("addr add {}/64 dev eth0 nodad", self.ip6));
        ip(pid, "link set eth0 up");
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// What `swarmw daemon --engine` takes.
    pub fn engine_address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The words before a command that make it run in the machine's network.
    pub fn in_network(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.holder.id())]
    }

    /// The words before a command that make it run where the engine does: in the machine's
    /// network, with its `/run`.
    pub fn inside(&self) -> Vec<String> {
        let mut words = self.in_network();
        words.push(format!("--mount=/proc/{}/ns/mnt", self.first_process()));
        words
    }

    /// The words before a daemon that make it run where the engine does, under the process
    /// ids of the test: what either mounts the other sees, and keeps.
    pub fn beside_engine(&self) -> Vec<String> {
        let mut words = self.inside();
        let again =
            ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", WITH_PROC, "sh"];
        words.extend(again.map(str::to_owned));
        words
    }

    /// Starts the engine; see [`Machine::wait_engine`].
    pub fn start_engine(&mut self) {
        self.start_engine_with(&[]);
    }

    /// Starts the engine with further flags.
    pub fn start_engine_with(&mut self, flags: &[&str]) {
        assert!(self.engine.is_none(), "{}'s engine runs already", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("dockerd.log"))
            .expect("a log file");
        let folder = self.folder.display();
        let engine = Command::new(DIES_WITH_US[0])
            .args(&DIES_WITH_US[1..])
            .args(["nsenter", "--target", &self.first_process()])
            .args(["--net", "--mount", "--pid", "--uts", "/usr/sbin/dockerd"])
            .arg(format!("--data-root={folder}/docker"))
            .arg(format!("--host={}", self.engine_address()))
            .args(["--exec-root=/run/docker", "--pidfile=/run/dockerd.pid"])
            .arg(format!("--cgroup-parent=/{}", self.cgroup()))
            .args(["--storage-driver=vfs", "--insecure-registry=10.98.7.0/24"])
            .args(runtime())
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("nsenter is installed");
        self.engine = Some(engine);
    }

    /// Waits until the engine answers.
    pub fn wait_engine(&self) {
        eventually(&format!("{}'s engine answers", self.name), || {
            match http::unix(&self.socket(), "GET", "/_ping", "") {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}\n{}", self.log_end())),
            }
        });
    }

    /// Ends the engine as `kill -9` would; what it ran may go on.
    pub fn kill_engine(&mut self) {
        let mut engine = self.engine.take().expect("a running engine");
        must(Command::new("nsenter").args(["--target", &self.first_process()]).args([
            "--mount",
            "--pid",
            "sh",
            "-c",
            "kill -9 $(cat /run/dockerd.pid)",
        ]));
        let _ = engine.wait();
        // Its containerd dies with it, and the next engine takes a stale pid file for a
        // running process, even one that is about to end.
        must(Command::new("nsenter").args(["--target", &self.first_process()]).args([
            "--mount",
            "rm",
            "-f",
            "/run/dockerd.pid",
            "/run/docker/containerd/containerd.pid",
        ]));
    }

    /// The control group of its containers, in every hierarchy.
    fn cgroup(&self) -> String {
        format!("swarmw-it-{}-{}", std::process::id(), self.name)
    }

    /// The machine's first process, by its number on the outside.
    fn first_process(&self) -> String {
        let pid = self.holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("the machine runs");
        children.split(' ').next().unwrap_or_default().to_owned()
    }

    /// Runs the docker client against the engine itself; it must succeed.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments);
        assert_eq!(output.code, 0, "docker {}: {output}", arguments.join(" "));
        output.stdout
    }

    /// Runs the docker client against the engine itself.
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        let output = Command::new("docker")
            .args(["-H", &self.engine_address()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the docker client is installed");
        Output::of(&output)
    }

    /// Runs a program on the machine.
    pub fn run(&self, program: &[&str]) -> Output {
        let before = self.inside();
        let output = Command::new(&before[0])
            .args(&before[1..])
            .args(program)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter is installed");
        Output::of(&output)
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.join("dockerd.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}'s engine ---\n{}", self.name, self.log_end());
        }
        // Its first process goes with the holder, and everything with that.
        end(&mut self.holder);
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.wait();
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&hierarchy.path().join(self.cgroup()));
        }
    }
}

/// Removes a control group that has no processes any more, and those in it.
fn remove_groups(group: &Path) {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    inner.map(|e| e.path()).filter(|path| path.is_dir()).for_each(|path| remove_groups(&path));
    let _ = fs::remove_dir(group);
}

/// Starts a process that says `ready`.
pub(super) fn until_ready(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux is installed");
    let mut line = String::new();
    let told = child.stdout.take().expect("its output");
    BufReader::new(told).read_line(&mut line).expect("its first line");
    assert_eq!(line, "ready\n", "{command:?} did not get ready");
    child
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Runs a command that must succeed.
#[track_caller]
pub fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", Output::of(&output));
}
