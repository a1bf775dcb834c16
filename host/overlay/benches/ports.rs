//! What published ports cost a node: 500 of them with 5,000 backends elsewhere, and a
//! connection to one beside a bare rule. It prints figures and judges none. It needs root.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use swarmw_model::PortProtocol::Tcp;
use swarmw_overlay::{DesiredPorts, Local, Ports, PortsSettings, PublishedEnds, Remote};

const PORTS: u16 = 500;
const BACKENDS: u16 = 10;
const PEERS: u16 = 100;
const ROUNDS: usize = 51;
const CONNECTIONS: usize = 2_000;

/// The port that the container serves.
const HERE: u16 = 80;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = World::new();
    runtime.block_on(measure(&world));
}

async fn measure(world: &World) {
    let machine = format!("/run/netns/{}m", world.0).into();
    let settings = PortsSettings { machine, ..PortsSettings::default() };
    let ports = Ports::open(settings.clone()).await.expect("opened");
    let mut desired = desired();
    let started = Instant::now();
    let applied = ports.apply(desired.clone()).await.expect("applied");
    print("all of it, from nothing", started.elapsed());
    println!("  {} routes, {} elements, {} bytes", applied.routes, applied.elements, applied.bytes);

    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let ends = desired.ports.get_mut(&(Tcp, 20_250)).expect("it");
        let backend = (task(250, 4), 80);
        if round.is_multiple_of(2) {
            ends.backends.remove(&backend);
        } else {
            ends.backends.insert(backend);
        }
        let wanted = desired.clone();
        let started = Instant::now();
        let applied = ports.apply(wanted).await.expect("applied");
        took.push(started.elapsed());
        if round == 1 {
            println!("  {} elements, {} bytes", applied.elements, applied.bytes);
        }
    }
    print_spread("one backend goes or comes", took);
    let started = Instant::now();
    ports.check().await.expect("checked");
    print("a check after a change", started.elapsed());
    let started = Instant::now();
    assert_eq!(ports.check().await.expect("checked"), []);
    print("a check where nothing changed", started.elapsed());

    world.run("m", "nft add table ip bare");
    world.run("m", "nft add chain ip bare p { type nat hook prerouting priority -100 ; }");
    world.run("m", "nft add rule ip bare p tcp dport 81 dnat to 172.18.0.5:80");
    let listener = world.inside("c", || TcpListener::bind(("0.0.0.0", HERE)).expect("a listener"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    for round in 1..=3 {
        for (what, port) in [("a bare rule", 81), ("a published port", HERE)] {
            let started = Instant::now();
            world.inside("o", || {
                let to = SocketAddr::from(([192, 168, 7, 1], port));
                for _ in 0..CONNECTIONS {
                    TcpStream::connect(to).expect("connected");
                }
            });
            let rate = CONNECTIONS as f64 / started.elapsed().as_secs_f64();
            println!("connections by {what}, round {round}: {rate:.0} per second");
        }
    }
    drop(ports);
    let ports = Ports::open(settings).await.expect("opened");
    let started = Instant::now();
    assert!(ports.apply(desired).await.expect("applied").is_nothing());
    print("all of it, adopted after a restart", started.elapsed());
    ports.close().await.expect("closed");
}

fn task(port: u16, number: u16) -> Ipv4Addr {
    let [high, low] = port.to_be_bytes();
    let [_, number] = number.to_be_bytes();
    Ipv4Addr::new(10, 1 + high, low, 1 + number)
}

fn desired() -> DesiredPorts {
    let peer = |number: u16| {
        let [_, low] = number.to_be_bytes();
        (number, IpAddr::from([192, 168, 7, low]))
    };
    let local = Local { v4: Some(Ipv4Addr::new(172, 18, 0, 5)), v6: None };
    let here = Ipv4Addr::new(10, 0, 0, 9);
    let mut desired = DesiredPorts {
        number: 1,
        address: [192, 168, 7, 1].into(),
        port: 4789,
        vni: 4096,
        bridge: "docker_gwbridge".to_owned(),
        peers: (1..=PEERS).map(peer).collect(),
        nodes: Default::default(),
        here: [(here, local)].into(),
        elsewhere: BTreeMap::new(),
        ports: BTreeMap::new(),
    };
    for port in 0..PORTS {
        let mut ends = PublishedEnds::default();
        for number in 0..BACKENDS {
            let node = 2 + (port + number) % (PEERS - 1);
            desired.elsewhere.insert(task(port, number), Remote { node, v4: true, v6: false });
            ends.backends.insert((task(port, number), 80));
        }
        desired.ports.insert((Tcp, 20_000 + port), ends);
    }
    let backends = [(here, HERE)].into();
    desired.ports.insert((Tcp, HERE), PublishedEnds { backends, ..PublishedEnds::default() });
    desired
}

/// A machine, a container on it and a client outside; they go with this value.
struct World(String);

impl World {
    fn new() -> Self {
        let world = Self(format!("swpb{}", std::process::id()));
        for space in ["m", "c", "o"] {
            world.ip(&format!("netns add {}{space}", world.0));
            world.ip(&format!("-n {}{space} link set lo up", world.0));
        }
        let name = &world.0;
        for words in [
            "-n @m link add docker_gwbridge type bridge",
            "-n @m address add 172.18.0.1/16 dev docker_gwbridge",
            "-n @m link set docker_gwbridge up",
            "-n @c link add eth0 type veth peer name vc netns @m",
            "-n @m link set vc master docker_gwbridge up",
            "-n @c address add 172.18.0.5/16 dev eth0",
            "-n @c link set eth0 up",
            "-n @c route add default via 172.18.0.1",
            "-n @m link add eth0 type veth peer name eth0 netns @o",
            "-n @m address add 192.168.7.1/24 dev eth0",
            "-n @o address add 192.168.7.200/24 dev eth0",
            "-n @m link set eth0 up",
            "-n @o link set eth0 up",
        ] {
            world.ip(&words.replace('@', name));
        }
        world
    }

    fn ip(&self, words: &str) {
        let status = Command::new("ip").args(words.split(' ')).status().expect("iproute2");
        assert!(status.success(), "ip {words} (this needs root)");
    }

    fn run(&self, space: &str, words: &str) {
        self.ip(&format!("netns exec {}{space} {words}", self.0));
    }

    fn inside<T: Send>(&self, space: &str, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}{space}", self.0)).expect("a namespace");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), network).expect("entered");
                act()
            });
            thread.join().expect("done")
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for space in ["m", "c", "o"] {
            let name = format!("{}{space}", self.0);
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
