//! Network namespaces, as an engine makes them for its containers.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace, gone with this.
pub struct Namespace {
    name: String,
}

/// Says what is missing for namespaces, where something is.
pub fn require_root() {
    let own = fs::metadata("/proc/self").expect("/proc");
    let root = std::os::unix::fs::MetadataExt::uid(&own) == 0;
    assert!(root, "tests with network namespaces need root: run them as `sudo cargo xtask test`");
    for (program, package) in [
        ("/usr/sbin/nft", "nftables"),
        ("/usr/sbin/iptables", "iptables"),
        ("/usr/bin/dig", "bind9-dnsutils"),
        ("/usr/sbin/ip", "iproute2"),
        ("/usr/bin/busybox", "busybox-static"),
        ("/usr/sbin/dockerd", "docker.io"),
    ] {
        let there = std::path::Path::new(program).exists();
        assert!(there, "missing {program}: apt-get install {package}");
    }
}

// === impl Namespace ===

impl Namespace {
    /// As a container finds it: the C library looks for no addresses of a family that no
    /// device has.
    pub fn new() -> Self {
        let namespace = Self::without_loopback();
        for line in [
            "link set lo up",
            "link add eth0 type veth peer name other",
            "addr add 10.1.0.77/24 dev eth0",
            "addr add fd01::77/64 dev eth0 nodad",
            "link set eth0 up",
            "link set other up",
        ] {
            let words: Vec<_> = ["ip"].into_iter().chain(line.split(' ')).collect();
            namespace.must(&words);
        }
        namespace
    }

    pub fn without_loopback() -> Self {
        require_root();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("swarmw-names-{}-{number}", std::process::id());
        must(Command::new("ip").args(["netns", "add", &name]));
        // `ip netns exec` puts it in the place of /etc/resolv.conf.
        let etc = PathBuf::from("/etc/netns").join(&name);
        fs::create_dir_all(&etc).expect("/etc/netns");
        fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.11\noptions ndots:0 attempts:1\n")
            .expect("resolv.conf");
        Self { name }
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs a program in it.
    pub fn run(&self, program: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(program).stdin(Stdio::null());
        command.output().expect("iproute2 is installed")
    }

    /// What a program that must succeed says.
    #[track_caller]
    pub fn must(&self, program: &[&str]) -> String {
        let output = self.run(program);
        assert!(output.status.success(), "{program:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// All that `dig` says. It tries once.
    pub fn dig(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["dig", "+tries=1", "+time=8"], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The records that `dig` finds, in order.
    pub fn records(&self, arguments: &[&str]) -> String {
        let said = self.dig(&[&["+short"], arguments].concat());
        let mut lines: Vec<_> = said.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    }

    /// The status that `dig` finds: `NOERROR`.
    pub fn status(&self, arguments: &[&str]) -> String {
        let said = self.dig(arguments);
        let status = said.split_once("status: ").and_then(|(_, rest)| rest.split_once(','));
        status.map_or_else(|| format!("none: {}", said.trim()), |(status, _)| status.to_owned())
    }

    /// Does something on a thread of its own in the namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.path()).expect("a namespace");
        let enter = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("setns");
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join().expect("the work"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        let _ = fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.name));
    }
}

/// Runs a command that must succeed.
#[track_caller]
pub fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}
