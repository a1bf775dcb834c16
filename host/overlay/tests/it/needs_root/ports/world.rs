//! Machines with an engine's bridge and firewall, tasks on them, and a client outside.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use imbl::OrdMap;
use swarmw_model::NodeId;
use swarmw_model::PortProtocol::{self, Sctp, Tcp, Udp};
use swarmw_overlay::{
    Applied, DesiredPorts, Local, Ports, PortsSettings, PublishedEnds, Remote, Veth,
};

use super::super::peers::serve_on;
use super::super::world::{Container, ip, path, within};

pub const BRIDGE: &str = "docker_gwbridge";
/// What is published, and where containers serve it.
pub const PUBLISHED: u16 = 80;
pub const TARGET: u16 = 8080;

pub struct World {
    prefix: String,
    spaces: Vec<String>,
    pub machines: Vec<Machine>,
    pub tasks: Vec<Task>,
    pub published: BTreeMap<(PortProtocol, u16), Service>,
    pub client: Container,
}

pub struct Machine {
    pub number: u16,
    /// The node itself, as a client.
    pub own: Container,
    pub settings: PortsSettings,
    pub ports: Ports,
}

pub struct Task {
    pub container: Container,
    pub machine: usize,
    pub ingress: Ipv4Addr,
    pub local: Local,
}

/// Who serves a port.
#[derive(Clone, Default)]
pub struct Service {
    pub tasks: Vec<usize>,
    pub snat: bool,
    pub user_space: bool,
}

// === impl Machine ===

impl Machine {
    pub fn id(&self) -> NodeId {
        NodeId::from_bits(self.number.into())
    }
}

// === impl World ===

impl World {
    /// Machines in one underlay, and one client in it.
    pub async fn new(machines: usize) -> Self {
        static WORLDS: AtomicUsize = AtomicUsize::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("swp{}x{number}", std::process::id());
        let underlay = format!("{prefix}u");
        ip(&format!("netns add {underlay}"));
        ip(&format!("-n {underlay} link add br0 type bridge"));
        ip(&format!("-n {underlay} link set br0 up"));
        let mut world = Self {
            client: place("client", &format!("{prefix}cl")),
            spaces: vec![underlay],
            prefix,
            machines: Vec::new(),
            tasks: Vec::new(),
            published: BTreeMap::new(),
        };
        world.join("cl", 100);
        for number in 1..=machines {
            world.add_machine(u16::try_from(number).expect("few")).await;
        }
        world
    }

    /// A namespace in the underlay.
    fn join(&mut self, name: &str, number: u16) -> String {
        let space = format!("{}{name}", self.prefix);
        let underlay = self.spaces[0].clone();
        ip(&format!("netns add {space}"));
        self.spaces.push(space.clone());
        ip(&format!("-n {space} link set lo up"));
        ip(&format!("-n {space} link add eth0 type veth peer name {name} netns {underlay}"));
        ip(&format!("-n {underlay} link set {name} master br0 up"));
        ip(&format!("-n {space} address add 192.168.7.{number}/24 dev eth0"));
        ip(&format!("-n {space} address add fd77::{number}/64 dev eth0 nodad"));
        ip(&format!("-n {space} link set eth0 up"));
        space
    }

    async fn add_machine(&mut self, number: u16) {
        let space = self.join(&format!("m{number}"), number);
        ip(&format!("-n {space} link add {BRIDGE} type bridge"));
        // It is no duplicate, and is at once ready to ask for containers.
        within(&space, &format!("sysctl -qw net.ipv6.conf.{BRIDGE}.accept_dad=0"));
        ip(&format!("-n {space} address add 172.18.0.1/16 dev {BRIDGE}"));
        ip(&format!("-n {space} address add fd18::1/64 dev {BRIDGE} nodad"));
        ip(&format!("-n {space} link set {BRIDGE} up"));
        for setting in ["rp_filter=1", "src_valid_mark=1"] {
            within(&space, &format!("sysctl -qw net.ipv4.conf.all.{setting}"));
        }
        within(&space, "sysctl -qw net.bridge.bridge-nf-call-iptables=1");
        within(&space, "sysctl -qw net.bridge.bridge-nf-call-ip6tables=1");
        for (program, subnet) in [("iptables", "172.18.0.0/16"), ("ip6tables", "fd18::/64")] {
            for rule in ENGINE {
                within(&space, &format!("{program} {}", rule.replace("SUBNET", subnet)));
            }
        }
        let settings = PortsSettings { machine: path(&space), ..PortsSettings::default() };
        let ports = Ports::open(settings.clone()).await.expect("opened");
        let own = place(&format!("m{number}"), &space);
        self.machines.push(Machine { number, own, settings, ports });
    }

    /// A task whose container serves.
    pub fn task(&mut self, machine: usize) -> usize {
        let number = self.tasks.len();
        let name = format!("c{number}");
        let space = format!("{}{name}", self.prefix);
        let host = &self.machines[machine].own.space;
        ip(&format!("netns add {space}"));
        self.spaces.push(space.clone());
        ip(&format!("-n {space} link set lo up"));
        ip(&format!("-n {space} link add eth0 type veth peer name v{name} netns {host}"));
        ip(&format!("-n {host} link set v{name} master {BRIDGE} up"));
        // The same on each machine.
        let place_on_it = self.tasks.iter().filter(|task| task.machine == machine).count() + 5;
        let local = Local {
            v4: Some(format!("172.18.0.{place_on_it}").parse().expect("an address")),
            v6: Some(format!("fd18::{place_on_it}").parse().expect("an address")),
        };
        ip(&format!("-n {space} address add 172.18.0.{place_on_it}/16 dev eth0"));
        ip(&format!("-n {space} address add fd18::{place_on_it}/64 dev eth0 nodad"));
        ip(&format!("-n {space} link set eth0 up"));
        ip(&format!("-n {space} route add default via 172.18.0.1"));
        ip(&format!("-n {space} route add default via fd18::1"));
        let container = place(&name, &space);
        serve_on(&container, TARGET);
        let ingress = Ipv4Addr::new(10, 0, 0, 10 + u8::try_from(number).expect("few"));
        self.tasks.push(Task { container, machine, ingress, local });
        number
    }

    /// A task's container loses its IPv6.
    pub fn lose_v6(&mut self, task: usize) {
        let Task { container, local, .. } = &mut self.tasks[task];
        if let Some(v6) = local.v6.take() {
            ip(&format!("-n {} address del {v6}/64 dev eth0", container.space));
        }
    }

    /// Publishes a port of all protocols, served by tasks.
    pub fn publish(&mut self, tasks: &[usize]) {
        self.publish_as(Service { tasks: tasks.to_vec(), ..Service::default() });
    }

    pub fn publish_as(&mut self, service: Service) {
        for protocol in [Tcp, Udp, Sctp] {
            self.published.insert((protocol, PUBLISHED), service.clone());
        }
    }

    /// What a machine should have, of all that the world has.
    pub fn desired(&self, machine: usize) -> DesiredPorts {
        let own = &self.machines[machine];
        let address = |machine: &Machine| IpAddr::from([192, 168, 7, machine.number as u8]);
        let (mut here, mut elsewhere) = (BTreeMap::new(), OrdMap::new());
        for task in &self.tasks {
            if task.machine == machine {
                here.insert(task.ingress, task.local);
            } else {
                let node = self.machines[task.machine].number;
                let (v4, v6) = (task.local.v4.is_some(), task.local.v6.is_some());
                elsewhere.insert(task.ingress, Remote { node, v4, v6 });
            }
        }
        let ports = self.published.iter().map(|(port, service)| {
            let backend = |task: &usize| (self.tasks[*task].ingress, TARGET);
            let backends = service.tasks.iter().map(backend).collect();
            let Service { snat, user_space, .. } = *service;
            (*port, PublishedEnds { backends, snat, user_space })
        });
        let number = |machine: &Machine| (machine.number, address(machine));
        let six =
            |number: &u16| -> IpAddr { format!("fd77::{number}").parse().expect("an address") };
        let peers: BTreeMap<_, _> = self.machines.iter().map(number).collect();
        DesiredPorts {
            node: own.id(),
            number: own.number,
            address: address(own),
            port: 4789,
            vni: 4096,
            bridge: BRIDGE.to_owned(),
            nodes: peers.keys().map(|number| (six(number), *number)).collect(),
            peers,
            here,
            elsewhere,
            ports: ports.collect(),
        }
    }

    pub async fn apply(&self) -> Vec<Applied> {
        let mut applied = Vec::new();
        for machine in 0..self.machines.len() {
            applied.push(self.apply_on(machine).await);
        }
        applied
    }

    pub async fn apply_on(&self, machine: usize) -> Applied {
        let desired = self.desired(machine);
        self.machines[machine].ports.apply(desired).await.expect("applied")
    }

    /// The namespace of a machine.
    pub fn machine(&self, machine: usize) -> &str {
        &self.machines[machine].own.space
    }
}

/// What an engine does for its bridge.
const ENGINE: [&str; 7] = [
    "-N DOCKER-USER",
    "-P FORWARD DROP",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -o docker_gwbridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT",
    "-A FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP",
    "-t nat -A POSTROUTING -s SUBNET ! -o docker_gwbridge -j MASQUERADE",
];

impl Drop for World {
    fn drop(&mut self) {
        for space in &self.spaces {
            // Some went with what was tested.
            let _ = Command::new("ip").args(["netns", "delete", space]).output();
        }
    }
}

/// A namespace as a container, to ask from and to serve in.
fn place(name: &str, space: &str) -> Container {
    Container {
        name: name.to_owned(),
        space: space.to_owned(),
        machine: 0,
        network: 0,
        addresses: Vec::new(),
        veth: Veth(String::new()),
    }
}
