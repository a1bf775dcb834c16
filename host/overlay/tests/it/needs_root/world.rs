//! Machines, networks and containers to test with. What a test makes is named after its
//! process and goes with it, also when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipnet::IpNet;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use swarmw_model::{NetworkId, Pool};
use swarmw_overlay::{Applied, Desired, DesiredNetwork, Overlay, Settings, Veth, routes_of};

pub const PORT: u16 = 4789;

/// Everything of a test.
pub struct World {
    prefix: String,
    /// Namespaces to remove.
    spaces: Vec<String>,
    pub machines: Vec<Machine>,
    pub networks: Vec<Network>,
    pub containers: Vec<Container>,
    /// Containers there ever were.
    made: usize,
}

pub struct Machine {
    pub number: u16,
    pub space: String,
    pub address: IpAddr,
    pub settings: Settings,
    pub overlay: Overlay,
}

pub struct Network {
    pub vni: u32,
    pub pools: Vec<Pool>,
    pub balanced: BTreeMap<IpAddr, Vec<IpAddr>>,
    pub caught: BTreeSet<IpAddr>,
}

#[derive(Clone)]
pub struct Container {
    pub name: String,
    pub space: String,
    pub machine: usize,
    pub network: usize,
    pub addresses: Vec<IpAddr>,
    pub veth: Veth,
}

// === impl World ===

impl World {
    /// Machines in one underlay.
    pub async fn new(machines: usize) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network namespaces, which needs root"
        );
        static WORLDS: AtomicUsize = AtomicUsize::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let mut world = Self {
            prefix: format!("swo{}x{number}", std::process::id()),
            spaces: Vec::new(),
            machines: Vec::new(),
            networks: Vec::new(),
            containers: Vec::new(),
            made: 0,
        };
        let underlay = world.space("u");
        ip(&format!("-n {underlay} link add br0 type bridge"));
        ip(&format!("-n {underlay} link set br0 up"));
        for number in 1..=machines {
            world.add_machine(&underlay, u16::try_from(number).expect("few")).await;
        }
        world
    }

    async fn add_machine(&mut self, underlay: &str, number: u16) {
        let space = self.space(&format!("m{number}"));
        ip(&format!("-n {space} link add eth0 type veth peer name m{number} netns {underlay}"));
        ip(&format!("-n {underlay} link set m{number} master br0 up"));
        ip(&format!("-n {space} address add 192.168.7.{number}/24 dev eth0"));
        ip(&format!("-n {space} address add fd77::{number:x}/64 dev eth0 nodad"));
        ip(&format!("-n {space} link set eth0 up"));
        ip(&format!("-n {space} link set lo up"));
        let router = format!("{}r{number}", self.prefix);
        self.spaces.push(router.clone());
        let settings = Settings { machine: path(&space), ..Settings::new(router) };
        let overlay = Overlay::open(settings.clone()).await.expect("opened");
        let address = format!("192.168.7.{number}").parse().expect("an address");
        self.machines.push(Machine { number, space, address, settings, overlay });
    }

    fn space(&mut self, name: &str) -> String {
        let name = format!("{}{name}", self.prefix);
        ip(&format!("netns add {name}"));
        self.spaces.push(name.clone());
        name
    }

    /// A network with subnets, whose first address is the gateway's.
    pub fn network(&mut self, vni: u32, subnets: &[&str]) -> usize {
        let pools = subnets.iter().map(|subnet| pool(subnet)).collect();
        self.networks.push(Network {
            vni,
            pools,
            balanced: BTreeMap::new(),
            caught: BTreeSet::new(),
        });
        self.networks.len() - 1
    }

    /// A container whose link is made, and taken into it as an engine does.
    pub async fn container(&mut self, machine: usize, network: usize, addresses: &[&str]) -> usize {
        let number = self.made;
        self.made += 1;
        let name = format!("c{number}");
        let space = self.space(&name);
        let veth = Veth(format!("sw{number}"));
        let addresses = addresses.iter().map(|address| address.parse().expect("one")).collect();
        let container = Container { name, space, machine, network, addresses, veth };
        self.containers.push(container.clone());
        let place = self.containers.len() - 1;
        let desired = self.desired(machine);
        let overlay = &self.machines[machine].overlay;
        let of = &desired.networks[&id(network)];
        let other = overlay.link(&container.veth, of, desired.address).await.expect("linked");

        let Container { space, addresses, .. } = &container;
        let host = &self.machines[machine].space;
        ip(&format!("-n {host} link set {other} netns {space} name eth0"));
        ip(&format!("-n {space} link set lo up"));
        ip(&format!("-n {space} link set eth0 up"));
        for address in addresses {
            let pools = &self.networks[network].pools;
            let pool = pools.iter().find(|pool| pool.subnet.contains(address)).expect("a pool");
            let length = pool.subnet.prefix_len();
            let nodad = if address.is_ipv6() { "nodad" } else { "" };
            ip(&format!("-n {space} address add {address}/{length} dev eth0 {nodad}"));
        }
        for route in routes_of(&self.networks[network].pools, addresses) {
            let via = route.via.map_or("dev eth0".to_owned(), |via| format!("via {via}"));
            ip(&format!("-n {space} route add {} {via}", route.to));
        }
        place
    }

    /// A service's virtual address, served by containers.
    pub fn balance(&mut self, network: usize, address: &str, by: &[usize]) {
        let address: IpAddr = address.parse().expect("an address");
        let alike = |container: &&usize| {
            let addresses = &self.containers[**container].addresses;
            addresses.iter().find(|a| a.is_ipv4() == address.is_ipv4()).copied()
        };
        let backends = by.iter().filter_map(|container| alike(&container)).collect();
        self.networks[network].balanced.insert(address, backends);
    }

    /// What a machine should have, of all that the world has.
    pub fn desired(&self, machine: usize) -> Desired {
        let own = &self.machines[machine];
        let mut networks = BTreeMap::new();
        for (place, network) in self.networks.iter().enumerate() {
            let on_it = || self.containers.iter().filter(|container| container.network == place);
            if !on_it().any(|container| container.machine == machine) {
                continue;
            }
            let mut desired = DesiredNetwork {
                vni: network.vni,
                underlay_mtu: None,
                pools: network.pools.clone(),
                here: BTreeMap::new(),
                elsewhere: BTreeMap::new(),
                caught: network.caught.clone(),
                balanced: network.balanced.clone(),
            };
            for container in on_it() {
                for address in &container.addresses {
                    if container.machine == machine {
                        desired.here.insert(*address, container.veth.clone());
                    } else {
                        let number = self.machines[container.machine].number;
                        desired.elsewhere.insert(*address, number);
                    }
                }
            }
            networks.insert(id(place), Arc::new(desired));
        }
        let peers = self.machines.iter().map(|machine| (machine.number, machine.address));
        Desired {
            number: own.number,
            address: own.address,
            port: PORT,
            peers: peers.collect(),
            networks,
        }
    }

    /// Applies what each machine should have.
    pub async fn apply(&self) -> Vec<Applied> {
        let mut applied = Vec::new();
        for machine in 0..self.machines.len() {
            applied.push(self.apply_on(machine).await);
        }
        applied
    }

    pub async fn apply_on(&self, machine: usize) -> Applied {
        let desired = self.desired(machine);
        self.machines[machine].overlay.apply(desired).await.expect("applied")
    }

    /// The router of a machine.
    pub fn router(&self, machine: usize) -> &str {
        &self.machines[machine].settings.name
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for space in &self.spaces {
            // Some went with what was tested.
            let _ = Command::new("ip").args(["netns", "delete", space]).output();
        }
    }
}

pub fn id(network: usize) -> NetworkId {
    NetworkId::from_bits(network as u128 + 1)
}

pub fn pool(subnet: &str) -> Pool {
    let subnet: IpNet = subnet.parse().expect("a subnet");
    let gateway = subnet.hosts().next().expect("an address");
    let gateway = if gateway == subnet.network() {
        // Of IPv6, all are hosts' addresses.
        subnet.hosts().nth(1).expect("an address")
    } else {
        gateway
    };
    Pool { subnet, range: subnet, gateway, auxiliary: BTreeMap::new() }
}

pub fn path(space: &str) -> PathBuf {
    Path::new("/run/netns").join(space)
}

/// Runs `ip`, which must succeed.
pub fn ip(words: &str) -> String {
    run(&format!("ip {words}"))
}

/// Runs a program in a namespace, which must succeed.
pub fn within(space: &str, words: &str) -> String {
    run(&format!("ip netns exec {space} {words}"))
}

/// Runs a program, which must succeed.
pub fn run(words: &str) -> String {
    let mut parts = words.split_whitespace();
    let mut command = Command::new(parts.next().expect("a program"));
    let output = command.args(parts).output().expect("iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Does something on a thread in a namespace.
pub fn inside<T: Send>(space: &str, act: impl FnOnce() -> T + Send) -> T {
    let file = File::open(path(space)).expect("a namespace");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), network).expect("entered");
            act()
        });
        thread.join().expect("done")
    })
}
