//! What one changed task costs a node's overlay networks: 500 services on 50 networks with
//! 5,000 tasks elsewhere, and a tenth of it beside. It prints figures and judges none. It
//! needs root.
//!
//! `cargo xtask bars networks`

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use swarmw_model::{NetworkId, Pool};
use swarmw_overlay::{Desired, DesiredNetwork, Overlay, Settings};

#[path = "common/machine.rs"]
mod machine;
#[path = "common/times.rs"]
mod times;

use machine::Machine;
use times::{print, print_spread};

/// Networks of both shapes; the first is the small one.
const NETWORKS: [u8; 2] = [5, 50];
const SERVICES_PER_NETWORK: u8 = 10;
const BACKENDS: u8 = 10;
const PEERS: u16 = 100;
/// Of which every other takes a task away, and the next one brings one.
const CHANGES: usize = 200;
const CHECKS: usize = 21;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let medians = NETWORKS.map(|networks| {
        let machine = Machine::new("swob");
        runtime.block_on(measure(&machine, networks))
    });
    let [small, large] = medians.map(|median| median.as_secs_f64());
    println!("a change in the large one over one in the small one: {:.2}", large / small);
}

/// The median of a change.
async fn measure(machine: &Machine, networks: u8) -> Duration {
    let services = u32::from(networks) * u32::from(SERVICES_PER_NETWORK);
    let tasks = services * u32::from(BACKENDS);
    println!("{services} services on {networks} networks, {tasks} tasks elsewhere");
    let settings =
        || Settings { machine: machine.path(), ..Settings::new(format!("{}r", machine.name())) };
    let overlay = Overlay::open(settings()).await.expect("opened");
    let mut desired = desired(networks);
    let started = Instant::now();
    let applied = overlay.apply(desired.clone()).await.expect("applied");
    let (routes, elements) = (applied.routes, applied.elements);
    print("  all of it, from nothing", started.elapsed());
    println!("  {routes} routes, {elements} elements of nftables");

    let mut took = Vec::new();
    for number in 0..CHANGES {
        change(&mut desired, number);
        let wanted = desired.clone();
        let started = Instant::now();
        let applied = overlay.apply(wanted).await.expect("applied");
        took.push(started.elapsed());
        assert!(applied.failed.is_empty() && applied.routes == 1, "{applied:?}");
    }
    let median = print_spread("  one task goes or comes", took);

    let started = Instant::now();
    overlay.check().await.expect("checked");
    print("  a check after a change", started.elapsed());
    let mut took = Vec::new();
    for _ in 0..CHECKS {
        let started = Instant::now();
        assert_eq!(overlay.check().await.expect("checked"), []);
        took.push(started.elapsed());
    }
    print_spread("  a check where nothing changed", took);

    drop(overlay);
    let overlay = Overlay::open(settings()).await.expect("opened");
    let started = Instant::now();
    assert!(overlay.apply(desired).await.expect("applied").is_nothing());
    print("  all of it, adopted after a restart", started.elapsed());
    overlay.close().await.expect("closed");
    median
}

/// A task of one service goes, or comes again: one address, behind its virtual address and on
/// its node. Each time another service's.
fn change(desired: &mut Desired, number: usize) {
    let turn = number / 2;
    let networks = desired.networks.len();
    let place = u8::try_from(turn % networks).expect("few");
    let service = 1 + u8::try_from(turn % usize::from(SERVICES_PER_NETWORK)).expect("few");
    let task = 1 + u8::try_from(turn % usize::from(BACKENDS)).expect("few");
    // The others are those of before, as an agent keeps them.
    let network =
        desired.networks.values_mut().nth(turn % networks).map(Arc::make_mut).expect("it");
    let address = IpAddr::from([10, place, service, task]);
    let backends = network.balanced.get_mut(&virtual_address(place, service)).expect("it");
    if number.is_multiple_of(2) {
        backends.retain(|backend| *backend != address);
        network.elsewhere.remove(&address);
    } else {
        backends.insert(usize::from(task) - 1, address);
        network.elsewhere.insert(address, node_of(place, service, task));
    }
}

fn desired(networks: u8) -> Desired {
    let id = |place: u8| NetworkId::from_bits(u128::from(place) + 1);
    let peer = |number: u16| {
        let [_, low] = number.to_be_bytes();
        (number, IpAddr::from([10, 200, 0, low]))
    };
    Desired {
        number: 1,
        address: Ipv4Addr::LOCALHOST.into(),
        port: 4789,
        peers: (2..PEERS + 2).map(peer).collect(),
        networks: (0..networks).map(|place| (id(place), Arc::new(network(place)))).collect(),
    }
}

fn network(place: u8) -> DesiredNetwork {
    let subnet: IpNet = format!("10.{place}.0.0/16").parse().expect("a subnet");
    let gateway = [10, place, 0, 1].into();
    let pool = Pool { subnet, range: subnet, gateway, auxiliary: BTreeMap::new() };
    let mut network = DesiredNetwork {
        underlay_mtu: None,
        vni: 4097 + u32::from(place),
        pools: vec![pool],
        here: BTreeMap::new(),
        elsewhere: BTreeMap::new(),
        caught: BTreeSet::new(),
        balanced: BTreeMap::new(),
    };
    for service in 1..=SERVICES_PER_NETWORK {
        let mut backends = Vec::new();
        for task in 1..=BACKENDS {
            let address = IpAddr::from([10, place, service, task]);
            network.elsewhere.insert(address, node_of(place, service, task));
            backends.push(address);
        }
        network.balanced.insert(virtual_address(place, service), backends);
    }
    network
}

fn virtual_address(place: u8, service: u8) -> IpAddr {
    [10, place, 0, service + 1].into()
}

/// The node that a task is on: 2 and up.
fn node_of(place: u8, service: u8, task: u8) -> u16 {
    (u16::from(place) + u16::from(service) + u16::from(task)) % PEERS + 2
}
