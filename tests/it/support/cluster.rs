//! A cluster of processes on loopback addresses.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::machine::{Machine, Switch, must, require_root};
use super::node::Node;
use super::subnet::Subnet;
use super::wait::eventually;

/// A cluster; its processes and files go when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// Managers first, then workers.
    pub nodes: Vec<Node>,
    /// The machines with Docker engines that nodes run on, where they do, in the
    /// order of the nodes.
    pub machines: Vec<Machine>,
    /// Held so that no other test takes the addresses.
    subnet: Option<Subnet>,
    _switch: Option<Switch>,
    _shared: Option<SharedMounts>,
    folder: TempDir,
}

/// A folder whose mounts are seen on machines too.
#[derive(Debug)]
struct SharedMounts(PathBuf);

// === impl SharedMounts ===

impl SharedMounts {
    fn below(folder: &Path) -> Self {
        must(Command::new("mount").arg("--bind").args([folder, folder]));
        must(Command::new("mount").arg("--make-shared").arg(folder));
        Self(folder.to_owned())
    }
}

impl Drop for SharedMounts {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

// === impl Cluster ===

impl Cluster {
    /// Daemons that are in no swarm yet.
    pub fn of_daemons(count: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("swarmw-it-").tempdir().expect("a folder");
        let subnet = Subnet::take();
        let nodes = (1..=count)
            .map(|n| Node::new(folder.path(), &format!("n{n}"), subnet.address(n), "none"))
            .collect();
        let mut cluster = Self {
            nodes,
            machines: Vec::new(),
            subnet: Some(subnet),
            _switch: None,
            _shared: None,
            folder,
        };
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster
    }

    /// A swarm whose nodes run Wasm tasks and are all ready.
    pub fn of(managers: usize, workers: usize) -> Self {
        let cluster = Self::of_daemons(managers + workers);
        cluster.init(0);
        for index in 1..managers + workers {
            cluster.join(index, if index < managers { "manager" } else { "worker" });
        }
        cluster.wait_ready(managers + workers);
        cluster
    }

    /// Daemons on machines with Docker engines, then `without` ones on machines
    /// whose engine does not run and which are told that there is none.
    pub fn of_machines(engines: usize, without: usize) -> Self {
        let mut cluster = Self::of_bare_machines(engines, without, &[]);
        let node = |(index, machine): (usize, &Machine)| {
            let engine = machine.engine_address();
            let engine = if index < engines { engine.as_str() } else { "none" };
            Node::new(cluster.folder(), &format!("n{}", index + 1), machine.ip, engine)
                .within(machine.beside_engine())
        };
        let nodes = cluster.machines.iter().enumerate().map(node).collect();
        cluster.nodes = nodes;
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster
    }

    /// Machines with Docker engines, which have these flags, then `without` ones whose engine
    /// does not run. There is no daemon.
    pub fn of_bare_machines(engines: usize, without: usize, flags: &[&str]) -> Self {
        require_root();
        let folder = tempfile::Builder::new().prefix("swarmw-it-").tempdir().expect("a folder");
        let shared = SharedMounts::below(folder.path());
        let switch = Switch::new();
        let mut machines: Vec<_> = (1..=engines + without)
            .map(|n| Machine::new(folder.path(), u8::try_from(n).expect("few machines"), &switch))
            .collect();
        machines[..engines].iter_mut().for_each(|machine| machine.start_engine_with(flags));
        machines[..engines].iter().for_each(Machine::wait_engine);
        Self {
            nodes: Vec::new(),
            machines,
            subnet: None,
            _switch: Some(switch),
            _shared: Some(shared),
            folder,
        }
    }

    /// A swarm of one manager and workers, on machines.
    pub fn of_engines(engines: usize, without: usize) -> Self {
        let cluster = Self::of_machines(engines, without);
        cluster.init(0);
        (1..engines + without).for_each(|index| cluster.join(index, "worker"));
        cluster.wait_ready(engines + without);
        cluster
    }

    /// The files' folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `swarm init` on a node.
    pub fn init(&self, index: usize) {
        self.init_with(index, &[]);
    }

    /// `swarm init` on a node, with further flags.
    pub fn init_with(&self, index: usize, flags: &[&str]) {
        let ip = self.nodes[index].ip.to_string();
        let at = ["swarm", "init", "--listen-addr", &ip, "--advertise-addr", &ip];
        self.nodes[index].swarmw(&[&at, flags].concat());
    }

    /// `swarm join` of a node, by the first one's token.
    pub fn join(&self, index: usize, role: &str) {
        self.join_with(index, role, &[]);
    }

    /// `swarm join` of a node, with further flags.
    pub fn join_with(&self, index: usize, role: &str, flags: &[&str]) {
        let token = self.nodes[0].swarmw(&["swarm", "join-token", "-q", role]);
        let ip = self.nodes[index].ip.to_string();
        let first = format!("{}:2377", self.nodes[0].ip);
        let by = ["swarm", "join", "--token", token.trim()];
        let at = ["--listen-addr", &ip, "--advertise-addr", &ip];
        self.nodes[index].swarmw(&[&by[..], &at[..], flags, &[&*first]].concat());
    }

    /// Waits until this many nodes are ready.
    pub fn wait_ready(&self, count: usize) {
        eventually(&format!("{count} nodes are ready"), || {
            let nodes = self.nodes[0].json("/nodes")?;
            let ready = nodes
                .as_array()
                .map_or(0, |all| all.iter().filter(|n| n["Status"]["State"] == "ready").count());
            if ready == count { Ok(()) } else { Err(format!("{ready} ready: {nodes}")) }
        });
    }

    /// An address that no node has.
    pub fn spare_address(&self) -> Ipv4Addr {
        self.subnet.as_ref().expect("a cluster on loopback").address(self.nodes.len() + 1)
    }

    /// A file with this text for a command to read.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }
}
