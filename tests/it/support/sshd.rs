//! A real SSH server in a network of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::machine::{must, until_ready};
use super::wait::eventually;

/// Its network: this machine's end and its own.
const HERE: &str = "10.98.9.1/30";
const THERE: &str = "10.98.9.2";
/// Its end of the cable in this machine's network.
const PORT: &str = "swarmw-ssh0";

/// First process of its network.
const HOLDER: &str = "set -eu
ip link set lo up
echo ready
exec sleep infinity";

/// The server; it goes when this is dropped.
#[derive(Debug)]
pub struct Sshd {
    /// What its clients hold.
    pub folder: PathBuf,
    /// What it serves.
    pub data: PathBuf,
    holder: Child,
    server: Option<Child>,
    /// There is one such network at a time.
    _turn: fs::File,
}

// === impl Sshd ===

impl Sshd {
    /// Makes keys and the network, and starts it.
    pub fn start(folder: &Path) -> Self {
        assert!(Path::new("/usr/sbin/sshd").exists(), "missing: apt-get install openssh-server");
        let turn = std::env::temp_dir().join("swarmw-it-sshd.lock");
        let turn = fs::File::create(turn).expect("a lock file");
        turn.lock().expect("a lock");
        let folder = folder.join("sshd");
        let data = folder.join("data");
        fs::create_dir_all(&data).expect("a folder");
        fs::create_dir_all("/run/sshd").expect("sshd's own folder");
        for key in ["key", "host_key"] {
            let path = folder.join(key);
            must(
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path),
            );
        }
        let holder = until_ready(Command::new("setpriv").args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "sh",
            "-c",
            HOLDER,
        ]));
        let own = holder.id().to_string();
        let ip = |within: &[&str], line: &str| {
            let words = within.iter().copied().chain(["ip"]).chain(line.split(' '));
            let words: Vec<_> = words.collect();
            must(Command::new(words[0]).args(&words[1..]));
        };
        // The kernel takes its time to clear a network away that nobody is in any more.
        let _ = Command::new("ip").args(["link", "del", PORT]).stderr(Stdio::null()).status();
        ip(&[], &format!("link add {PORT} type veth peer name eth0 netns {own}"));
        ip(&[], &format!("addr add {HERE} dev {PORT}"));
        ip(&[], &format!("link set {PORT} up"));
        let net = format!("--net=/proc/{own}/ns/net");
        ip(&["nsenter", &net], &format!("addr add {THERE}/30 dev eth0"));
        ip(&["nsenter", &net], "link set eth0 up");
        let host_key = fs::read_to_string(folder.join("host_key.pub")).expect("a key");
        fs::write(folder.join("known_hosts"), format!("{THERE} {host_key}")).expect("a file");
        let config = format!(
            "ListenAddress {THERE}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/key.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n\
             PasswordAuthentication no\nSubsystem sftp internal-sftp\n",
            folder = folder.display()
        );
        fs::write(folder.join("config"), config).expect("a file");
        let mut sshd = Self { folder, data, holder, server: None, _turn: turn };
        sshd.serve();
        sshd
    }

    fn serve(&mut self) {
        let log = fs::File::create(self.folder.join("log")).expect("a log file");
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter"])
            .arg(format!("--net=/proc/{}/ns/net", self.holder.id()))
            .args(["/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(self.folder.join("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("util-linux is installed");
        self.server = Some(server);
        eventually("sshd listens", || {
            std::net::TcpStream::connect((THERE, 22)).map(drop).map_err(|e| {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                format!("{e}: {log}")
            })
        });
    }

    /// A volume's options.
    pub fn options(&self) -> [String; 4] {
        let folder = self.folder.display();
        [
            format!("host=root@{THERE}"),
            format!("path={folder}/data"),
            format!("identity={folder}/key"),
            format!("hosts={folder}/known_hosts"),
        ]
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        for child in self.server.iter_mut().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
