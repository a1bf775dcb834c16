//! What one changed task costs a node's published ports: 500 of them with 5,000 tasks
//! elsewhere, and a tenth of it beside. It prints figures and judges none. It needs root.
//!
//! `cargo xtask bars networks`

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use imbl::OrdMap;
use swarmw_model::NodeId;
use swarmw_model::PortProtocol::Tcp;
use swarmw_overlay::{DesiredPorts, Local, Ports, PortsSettings, PublishedEnds, Remote};

#[path = "common/machine.rs"]
mod machine;
#[path = "common/times.rs"]
mod times;

use machine::Machine;
use times::{print, print_spread};

/// Ports of both shapes; the first is the small one.
const PORTS: [u16; 2] = [50, 500];
const FIRST_PORT: u16 = 20_000;
const TARGET: u16 = 80;
const BACKENDS: u16 = 10;
const PEERS: u16 = 100;
/// Of which every other takes a task away, and the next one brings one.
const CHANGES: usize = 200;
const CHECKS: usize = 21;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let medians = PORTS.map(|ports| {
        let machine = machine();
        runtime.block_on(measure(&machine, ports))
    });
    let [small, large] = medians.map(|median| median.as_secs_f64());
    println!("a change in the large one over one in the small one: {:.2}", large / small);
}

/// A machine with an engine's bridge.
fn machine() -> Machine {
    let machine = Machine::new("swpb");
    for words in [
        "link add docker_gwbridge type bridge",
        "address add 172.18.0.1/16 dev docker_gwbridge",
        "link set docker_gwbridge up",
        "link add eth0 type bridge",
        "address add 192.168.7.1/24 dev eth0",
        "link set eth0 up",
    ] {
        machine.ip(words);
    }
    machine
}

/// The median of a change.
async fn measure(machine: &Machine, published: u16) -> Duration {
    println!("{published} published ports, {} tasks elsewhere", published * BACKENDS);
    let settings = PortsSettings { machine: machine.path(), ..PortsSettings::default() };
    let ports = Ports::open(settings.clone()).await.expect("opened");
    let mut desired = desired(published);
    let started = Instant::now();
    let applied = ports.apply(desired.clone()).await.expect("applied");
    print("  all of it, from nothing", started.elapsed());
    println!("  {} routes, {} elements, {} bytes", applied.routes, applied.elements, applied.bytes);

    let mut took = Vec::new();
    for number in 0..CHANGES {
        change(&mut desired, published, number);
        let wanted = desired.clone();
        let started = Instant::now();
        let applied = ports.apply(wanted).await.expect("applied");
        took.push(started.elapsed());
        assert!(applied.failed.is_empty() && applied.elements > 0, "{applied:?}");
    }
    let median = print_spread("  one task goes or comes", took);

    let started = Instant::now();
    ports.check().await.expect("checked");
    print("  a check after a change", started.elapsed());
    let mut took = Vec::new();
    for _ in 0..CHECKS {
        let started = Instant::now();
        assert_eq!(ports.check().await.expect("checked"), []);
        took.push(started.elapsed());
    }
    print_spread("  a check where nothing changed", took);

    drop(ports);
    let ports = Ports::open(settings).await.expect("opened");
    let started = Instant::now();
    assert!(ports.apply(desired).await.expect("applied").is_nothing());
    print("  all of it, adopted after a restart", started.elapsed());
    ports.close().await.expect("closed");
    median
}

/// A task behind one port goes, or comes again: its end and the way to it. Each time another
/// port's. The rest is that of before, as an agent keeps it.
fn change(desired: &mut DesiredPorts, published: u16, number: usize) {
    let turn = u16::try_from(number / 2).expect("few");
    let (port, which) = (turn * 7 % published, turn % BACKENDS);
    let address = task(port, which);
    let ends = desired.ports.get_mut(&(Tcp, FIRST_PORT + port)).expect("it");
    if number.is_multiple_of(2) {
        ends.backends.remove(&(address, TARGET));
        desired.elsewhere.remove(&address);
    } else {
        ends.backends.insert((address, TARGET));
        desired.elsewhere.insert(address, remote(port, which));
    }
}

fn desired(published: u16) -> DesiredPorts {
    let peer = |number: u16| {
        let [_, low] = number.to_be_bytes();
        (number, IpAddr::from([192, 168, 7, low]))
    };
    let local = Local { v4: Some(Ipv4Addr::new(172, 18, 0, 5)), v6: None };
    let here = Ipv4Addr::new(10, 0, 0, 9);
    let mut desired = DesiredPorts {
        node: NodeId::from_bits(1),
        number: 1,
        address: [192, 168, 7, 1].into(),
        port: 4789,
        vni: 4096,
        bridge: "docker_gwbridge".to_owned(),
        peers: (2..=PEERS).map(peer).collect(),
        nodes: BTreeMap::new(),
        here: [(here, local)].into(),
        elsewhere: OrdMap::new(),
        ports: OrdMap::new(),
    };
    for port in 0..published {
        let mut ends = PublishedEnds::default();
        for which in 0..BACKENDS {
            desired.elsewhere.insert(task(port, which), remote(port, which));
            ends.backends.insert((task(port, which), TARGET));
        }
        desired.ports.insert((Tcp, FIRST_PORT + port), ends);
    }
    desired
}

/// The ingress address of a task behind a port.
fn task(port: u16, which: u16) -> Ipv4Addr {
    let ([high, low], [_, which]) = (port.to_be_bytes(), which.to_be_bytes());
    Ipv4Addr::new(10, 1 + high, low, 1 + which)
}

/// Where it is: nodes 2 and up.
fn remote(port: u16, which: u16) -> Remote {
    Remote { node: 2 + (port + which) % (PEERS - 1), v4: true, v6: false }
}
