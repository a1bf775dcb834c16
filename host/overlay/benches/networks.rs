//! What networks cost a node: 500 services on 50 networks with 5,000 backends elsewhere. It
//! prints figures and judges none. It needs root.
//!
//! `cargo xtask bars networks`

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use swarmw_model::{NetworkId, Pool};
use swarmw_overlay::{Desired, DesiredNetwork, Overlay, Settings};

const NETWORKS: u8 = 50;
const SERVICES_PER_NETWORK: u8 = 10;
const BACKENDS: u8 = 10;
const PEERS: u16 = 100;
const ROUNDS: usize = 51;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let machine = Machine::new();
    runtime.block_on(measure(&machine));
}

async fn measure(machine: &Machine) {
    let settings = || Settings {
        machine: format!("/run/netns/{}", machine.0).into(),
        ..Settings::new(format!("{}r", machine.0))
    };
    let overlay = Overlay::open(settings()).await.expect("opened");
    let mut desired = desired();
    let started = Instant::now();
    let applied = overlay.apply(desired.clone()).await.expect("applied");
    let (routes, elements) = (applied.routes, applied.elements);
    print("all of it, from nothing", started.elapsed());
    println!("  {routes} routes, {elements} elements of nftables");

    let mut took = Vec::new();
    for round in 0..ROUNDS {
        change(&mut desired, round);
        let wanted = desired.clone();
        let started = Instant::now();
        overlay.apply(wanted).await.expect("applied");
        took.push(started.elapsed());
    }
    print_spread("one backend goes or comes", took);

    let started = Instant::now();
    overlay.check().await.expect("checked");
    print("a check after a change", started.elapsed());
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        assert_eq!(overlay.check().await.expect("checked"), []);
        took.push(started.elapsed());
    }
    print_spread("a check where nothing changed", took);

    drop(overlay);
    let overlay = Overlay::open(settings()).await.expect("opened");
    let started = Instant::now();
    assert!(overlay.apply(desired).await.expect("applied").is_nothing());
    print("all of it, adopted after a restart", started.elapsed());
    overlay.close().await.expect("closed");
}

/// One backend of one service less, or again.
fn change(desired: &mut Desired, round: usize) {
    let network = desired.networks.values_mut().nth(7).expect("it");
    let backends = network.balanced.values_mut().nth(3).expect("it");
    if round.is_multiple_of(2) {
        backends.remove(4);
    } else {
        let mut missing = backends[3].to_string();
        missing.truncate(missing.len() - 1);
        backends.insert(4, format!("{missing}5").parse().expect("an address"));
    }
}

fn desired() -> Desired {
    let networks =
        (0..NETWORKS).map(|number| (NetworkId::from_bits(u128::from(number) + 1), network(number)));
    let peer = |number: u16| (number, IpAddr::from([10, 200, 0, number as u8]));
    Desired {
        number: 1,
        address: Ipv4Addr::LOCALHOST.into(),
        port: 4789,
        peers: (2..PEERS + 2).map(peer).collect(),
        networks: networks.collect(),
    }
}

fn network(number: u8) -> DesiredNetwork {
    let subnet: IpNet = format!("10.{number}.0.0/16").parse().expect("a subnet");
    let gateway = [10, number, 0, 1].into();
    let pool = Pool { subnet, range: subnet, gateway, auxiliary: BTreeMap::new() };
    let mut network = DesiredNetwork {
        underlay_mtu: None,
        vni: 4097 + u32::from(number),
        pools: vec![pool],
        here: BTreeMap::new(),
        elsewhere: BTreeMap::new(),
        balanced: BTreeMap::new(),
    };
    for service in 1..=SERVICES_PER_NETWORK {
        let backend = |task| IpAddr::from([10, number, service, task]);
        let backends: Vec<_> = (1..=BACKENDS).map(backend).collect();
        for (task, address) in backends.iter().enumerate() {
            let node = (usize::from(number) + usize::from(service) + task) % usize::from(PEERS);
            network.elsewhere.insert(*address, u16::try_from(node).expect("few") + 2);
        }
        network.balanced.insert([10, number, 0, service + 1].into(), backends);
    }
    network
}

/// A namespace that goes with this value.
struct Machine(String);

impl Machine {
    fn new() -> Self {
        let machine = Self(format!("swob{}", std::process::id()));
        machine.ip(&["netns", "add", &machine.0]);
        machine.ip(&["-n", &machine.0, "link", "set", "lo", "up"]);
        machine
    }

    fn ip(&self, words: &[&str]) {
        let status = Command::new("ip").args(words).status().expect("iproute2");
        assert!(status.success(), "ip {words:?} (this needs root)");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The router's has gone already, unless something failed.
        for name in [format!("{}r", self.0), self.0.clone()] {
            let _ = Command::new("ip").args(["netns", "delete", &name]).output();
        }
    }
}

fn print(what: &str, took: Duration) {
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1e3);
}

fn print_spread(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{what}: median {:.1} ms, p90 {:.1} ms, most {:.1} ms", at(50), at(90), at(100));
}
