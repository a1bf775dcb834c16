//! A real Docker engine for one test: in a network, mount and process namespace of its own,
//! with a folder of the test's where the engine looks for plugins.
//!
//! Needs root and the Debian packages docker.io, iproute2, iptables, util-linux and
//! busybox-static. The namespaces live as long as the processes in them, and those die with
//! the test, however it ends.
//!
//! [`Veths`] is the other half of a network driver in such tests.
#![forbid(unsafe_code)]

mod veths;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use veths::{Veths, subnets};

/// Runs a program that gets SIGKILL when the thread that started it is gone.
const DIES_WITH_US: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];
/// The longest that an engine may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between looks.
const LOOK: Duration = Duration::from_millis(100);

/// First process of the namespaces: prepares what an engine wants and reaps orphans.
const INIT: &str = r#"
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker/plugins
mount --bind "$PLUGINS" /run/docker/plugins
mount --bind "$EMPTY" "$(readlink -f /etc/resolv.conf)"
ip link set lo up
echo ready
while sleep 3600; do :; done
"#;

/// What busybox is in the image.
const APPLETS: [&str; 12] =
    ["sh", "cat", "echo", "httpd", "ip", "ls", "nc", "nslookup", "ping", "sleep", "true", "wget"];

/// The image that every engine has: busybox and nothing else.
pub const IMAGE: &str = "busybox";

/// An engine, and the namespaces it is in.
#[derive(Debug)]
pub struct TestEngine {
    folder: PathBuf,
    holder: Child,
    engine: Option<Child>,
}

// === impl TestEngine ===

impl TestEngine {
    /// Namespaces with an engine that does not run yet.
    ///
    /// # Panics
    /// This process is not root, or a program is missing: the message says which.
    pub fn new(folder: &Path) -> Self {
        require();
        let plugins = folder.join("plugins");
        fs::create_dir_all(&plugins).expect("a folder for plugins");
        let empty = folder.join("empty");
        File::create(&empty).expect("an empty file");
        let mut command = Command::new(DIES_WITH_US[0]);
        command
            .args(&DIES_WITH_US[1..])
            .args(["unshare", "--net", "--mount", "--propagation", "slave", "--uts", "--pid"])
            .args(["--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", INIT])
            .env("EMPTY", &empty)
            .env("PLUGINS", &plugins);
        Self { folder: folder.to_owned(), holder: until_ready(&mut command), engine: None }
    }

    /// An engine that runs and has the image.
    pub fn started(folder: &Path) -> Self {
        let mut engine = Self::new(folder);
        engine.start(&[]);
        engine.import();
        engine
    }

    /// The folder where the engine looks for plugins.
    pub fn plugins(&self) -> PathBuf {
        self.folder.join("plugins")
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// Where files of the engine's namespaces are for this process, `/run/docker/netns`
    /// for example. Links in them lead elsewhere.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first_process()))
    }

    /// Starts the engine, with further flags, and waits until it answers.
    pub fn start(&mut self, flags: &[&str]) {
        assert!(self.engine.is_none(), "the engine runs already");
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let folder = self.folder.display();
        let engine = Command::new(DIES_WITH_US[0])
            .args(&DIES_WITH_US[1..])
            .args(["nsenter", "--target", &self.first_process()])
            .args(["--net", "--mount", "--pid", "--uts", "/usr/sbin/dockerd"])
            .arg(format!("--data-root={folder}/docker"))
            .arg(format!("--host=unix://{}", self.socket().display()))
            .args(["--exec-root=/run/docker", "--pidfile=/run/dockerd.pid"])
            .arg(format!("--cgroup-parent=/{}", self.cgroup()))
            .arg("--storage-driver=vfs")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("nsenter is installed");
        self.engine = Some(engine);
        let until = Instant::now() + PATIENCE;
        while let Err(why) = self.docker(&["version"]) {
            assert!(Instant::now() < until, "the engine does not start: {why}\n{}", self.said());
            std::thread::sleep(LOOK);
        }
    }

    /// Ends the engine in order.
    pub fn end(&mut self) {
        self.signal("TERM");
    }

    /// Ends the engine as `kill -9` would; what it ran may go on.
    pub fn kill(&mut self) {
        self.signal("KILL");
        // Its containerd dies with it, and the next engine takes a stale pid file for a
        // running process, even one that is about to end.
        let stale = ["/run/dockerd.pid", "/run/docker/containerd/containerd.pid"];
        let _ = self.run(&["rm", "-f", stale[0], stale[1]]);
    }

    fn signal(&mut self, name: &str) {
        let mut engine = self.engine.take().expect("a running engine");
        self.run(&["sh", "-c", &format!("kill -{name} $(cat /run/dockerd.pid)")])
            .expect("the engine runs");
        let until = Instant::now() + PATIENCE;
        while engine.try_wait().expect("its state").is_none() {
            assert!(Instant::now() < until, "the engine does not end\n{}", self.said());
            std::thread::sleep(LOOK);
        }
    }

    /// Makes the image.
    pub fn import(&self) {
        let root = self.folder.join("rootfs");
        fs::create_dir_all(root.join("bin")).expect("a folder of the image");
        fs::create_dir_all(root.join("tmp")).expect("a folder of the image");
        fs::copy("/usr/bin/busybox", root.join("bin/busybox")).expect("busybox-static");
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).expect("an applet");
        }
        let packed = self.folder.join("rootfs.tar");
        said(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&packed).arg("."))
            .expect("tar packs");
        fs::remove_dir_all(root).expect("the unpacked files go");
        self.docker(&["import", &packed.to_string_lossy(), IMAGE]).expect("an image");
    }

    /// Runs the docker client; what it says, or what it says on failure.
    ///
    /// # Errors
    /// It fails.
    pub fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let host = format!("unix://{}", self.socket().display());
        said(Command::new("docker").args(["-H", &host]).args(arguments))
    }

    /// Runs a program in the engine's namespaces, with the machine's files.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, program: &[&str]) -> Result<String, String> {
        said(
            Command::new("nsenter")
                .args(["--target", &self.first_process(), "--net", "--mount", "--pid"])
                .args(program),
        )
    }

    /// The words before a program that make it run in the engine's namespaces, for those
    /// who cannot keep a reference.
    pub fn inside(&self) -> Vec<String> {
        let first = self.first_process();
        ["nsenter", "--target", &first, "--net", "--mount", "--pid"].map(str::to_owned).to_vec()
    }

    /// The end of the engine's log.
    pub fn said(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("dockerd.log")
    }

    /// The first process of the namespaces, by its number on the outside.
    fn first_process(&self) -> String {
        let pid = self.holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("the namespaces live");
        children.split(' ').next().unwrap_or_default().to_owned()
    }

    /// The control group of its containers, in every hierarchy.
    fn cgroup(&self) -> String {
        format!("swarmw-test-{}-{}", std::process::id(), self.holder.id())
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the engine ---\n{}", self.said());
        }
        // Its first process goes with the holder, and everything with that.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.wait();
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&hierarchy.path().join(self.cgroup()));
        }
        remove_groups(&Path::new("/sys/fs/cgroup").join(self.cgroup()));
    }
}

fn require() {
    let own = fs::metadata("/proc/self").expect("/proc");
    assert!(own.uid() == 0, "tests with Docker engines need root: run them as root");
    for (program, package) in [
        ("/usr/sbin/dockerd", "docker.io"),
        ("/usr/sbin/iptables", "iptables"),
        ("/usr/bin/nsenter", "util-linux"),
        ("/usr/bin/busybox", "busybox-static"),
    ] {
        assert!(Path::new(program).exists(), "missing {program}: apt-get install {package}");
    }
}

/// Removes a control group that has no processes any more, and those in it.
fn remove_groups(group: &Path) {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    inner.map(|e| e.path()).filter(|path| path.is_dir()).for_each(|path| remove_groups(&path));
    let _ = fs::remove_dir(group);
}

/// Starts a process that says `ready`.
fn until_ready(command: &mut Command) -> Child {
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

/// What a program says, or what it says on failure.
fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{} {}", text(&output.stdout), text(&output.stderr))),
    }
}
