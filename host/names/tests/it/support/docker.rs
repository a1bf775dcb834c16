//! A Docker engine of the test's own, in namespaces of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::namespace::{must, require_root};

/// Generous: it exists only so that a test ends.
const DEADLINE: Duration = Duration::from_secs(120);

/// First process: prepares what an engine wants, and its end is the end of all.
const INIT: &str = r#"
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$EMPTY" "$(readlink -f /etc/resolv.conf)"
ip link set lo up
echo ready
while sleep 3600; do :; done
"#;

/// An engine, gone with this and all that it ran.
pub struct Docker {
    folder: tempfile::TempDir,
    holder: Child,
    engine: Option<Child>,
}

// === impl Docker ===

impl Docker {
    /// A running engine with an image `box`.
    pub fn start() -> Self {
        require_root();
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty");
        File::create(&empty).expect("a file");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount"])
            .args(["--propagation", "slave", "--pid", "--fork", "--kill-child=KILL"])
            .args(["--mount-proc", "sh", "-c", INIT])
            .env("EMPTY", &empty)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut holder = command.spawn().expect("util-linux is installed");
        let mut line = String::new();
        let told = holder.stdout.take().expect("its output");
        BufReader::new(told).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let mut docker = Self { folder, holder, engine: None };
        docker.start_engine();
        docker.import();
        docker
    }

    /// Starts the engine; containers that an earlier one left go on.
    pub fn start_engine(&mut self) {
        let folder = self.folder.path();
        let log = File::options().create(true).append(true).open(folder.join("dockerd.log"));
        let log = log.expect("a log file");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "nsenter", "--target", &self.first_process()])
            .args(["--net", "--mount", "--pid", "/usr/sbin/dockerd", "--live-restore"])
            .arg(format!("--data-root={}/docker", folder.display()))
            .arg(format!("--host=unix://{}", self.socket().display()))
            .args(["--exec-root=/run/docker", "--pidfile=/run/dockerd.pid"])
            .arg(format!("--cgroup-parent=/{}", self.cgroup()))
            .arg("--storage-driver=vfs")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        self.engine = Some(command.spawn().expect("nsenter is installed"));
        let start = Instant::now();
        while !self.client(&["info"]).status.success() {
            assert!(start.elapsed() < DEADLINE, "no engine:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the engine as `kill -9` would; its containers go on.
    pub fn kill_engine(&mut self) {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first_process(), "--mount", "--pid", "sh", "-c"]);
        must(command.arg("kill -9 $(cat /run/dockerd.pid); rm /run/dockerd.pid"));
        let _ = self.engine.take().expect("an engine").wait();
    }

    fn import(&self) {
        let root = self.folder.path().join("root");
        fs::create_dir_all(root.join("bin")).expect("a folder");
        fs::copy("/usr/bin/busybox", root.join("bin/busybox")).expect("busybox-static");
        for applet in ["sh", "sleep", "nslookup", "cat", "ping"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("a link");
        }
        let packed = self.folder.path().join("root.tar");
        must(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&packed).arg("."));
        self.run(&["import", &packed.to_string_lossy(), "box"]);
    }

    /// What the client says; it must succeed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What a program in a container says, however it ends.
    pub fn exec(&self, container: &str, program: &[&str]) -> String {
        let output = self.client(&[&["exec", container], program].concat());
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The network namespace of a container, as seen from here.
    pub fn sandbox(&self, container: &str) -> PathBuf {
        let key = self.run(&["inspect", "-f", "{{.NetworkSettings.SandboxKey}}", container]);
        let name = Path::new(&key).file_name().expect("a name").to_owned();
        let root = PathBuf::from(format!("/proc/{}/root", self.first_process()));
        root.join("run/docker/netns").join(name)
    }

    fn client(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command.stdin(Stdio::null()).output().expect("the docker client is installed")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    fn cgroup(&self) -> String {
        format!("swarmw-names-{}", std::process::id())
    }

    /// By its number on the outside.
    fn first_process(&self) -> String {
        let pid = self.holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("the namespaces are held");
        children.split(' ').next().unwrap_or_default().to_owned()
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("dockerd.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.wait();
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&hierarchy.path().join(self.cgroup()));
        }
    }
}

/// Removes a control group without processes, and those in it.
fn remove_groups(group: &Path) {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    inner.map(|e| e.path()).filter(|path| path.is_dir()).for_each(|path| remove_groups(&path));
    let _ = fs::remove_dir(group);
}
