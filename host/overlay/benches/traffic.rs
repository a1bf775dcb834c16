//! What connections cost by a virtual address and by a published port: their throughput
//! beside a direct connection over VXLAN, and how many of them can be made in a second beside
//! a bare rule of nftables. It prints figures and judges none. It needs root and iperf3.
//!
//! Machines, containers and the client are network namespaces; all ways of one comparison
//! cross the same number of them. Servers and clients share the processors.
//!
//! `cargo xtask bars networks`

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use socket2::SockRef;
use swarmw_model::PortProtocol::Tcp;
use swarmw_overlay::PublishedEnds;

#[path = "common/beside.rs"]
mod beside;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/needs_root/peers.rs"]
mod peers;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/needs_root/ports"]
mod ports {
    pub mod world;
}
#[path = "../tests/it/needs_root/world.rs"]
mod world;

use beside::Way;
use world::{inside, ip, within};

/// Where servers count what arrives.
const IPERF: u16 = 5201;
/// Where servers hang up at once, and where bare rules lead to: two ways to one address and
/// port would have the kernel find other ports for clients that both have.
const SHUT: u16 = 5202;
const BARE: u16 = 5203;

const THROUGHPUT_ROUNDS: usize = 9;
/// Of one measurement, without the second before it that does not count.
const SECONDS: usize = 3;

const RATE_ROUNDS: usize = 15;
/// So many connect at the same time,
const THREADS: usize = 4;
/// each so often in one measurement: few enough that no client runs out of ports.
const CONNECTIONS: usize = 1_000;
/// Threads of a server that hangs up.
const SERVERS: usize = 2;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(virtual_addresses());
    runtime.block_on(published_ports());
}

/// A client and a server on two nodes; and as many more whose routers have no rule of ours.
async fn virtual_addresses() {
    let mut world = world::World::new(4).await;
    let web = world.network(4097, &["10.0.1.0/24"]);
    for (machine, address) in
        ["10.0.1.5", "10.0.1.6", "10.0.1.7", "10.0.1.8"].into_iter().enumerate()
    {
        world.container(machine, web, &[address]).await;
    }
    world.balance(web, "10.0.1.2", &[1]);
    world.apply().await;
    for machine in [2, 3] {
        within(world.router(machine), "nft delete table inet swarmw");
    }
    bare_rule(world.router(0), "ip daddr 10.0.1.4", "10.0.1.6");
    bare_rule(world.router(2), "ip daddr 10.0.1.3", "10.0.1.8");
    let space = |container: usize| &*world.containers[container].space;
    let _servers = [1, 3].map(|server| {
        hang_up(space(server));
        Server::start(space(server), IPERF)
    });

    let by = |client, to| move || throughput(space(client), to, IPERF);
    Way::new("throughput by a virtual address", by(0, "10.0.1.2")).beside(
        Way::new("direct, through the same routers", by(0, "10.0.1.6")),
        "Gbit/s",
        THROUGHPUT_ROUNDS,
    );
    Way::new("throughput by a virtual address", by(0, "10.0.1.2")).beside(
        Way::new("direct, through routers without rules", by(2, "10.0.1.8")),
        "Gbit/s",
        THROUGHPUT_ROUNDS,
    );
    let by = |client, to| move || rate(space(client), to, SHUT);
    Way::new("connections by a virtual address", by(0, "10.0.1.2")).beside(
        Way::new("by a bare rule, in the same router", by(0, "10.0.1.4")),
        "per second",
        RATE_ROUNDS,
    );
    Way::new("connections by a virtual address", by(0, "10.0.1.2")).beside(
        Way::new("by a bare rule, in routers without others", by(2, "10.0.1.3")),
        "per second",
        RATE_ROUNDS,
    );
}

/// A client outside, an entry node and a serving one; and two more of each without any rule
/// but the engine's. Both pairs are joined by a VXLAN device of their own as well, so that one
/// can connect past published ports.
async fn published_ports() {
    let mut world = ports::world::World::new(4).await;
    let served = world.task(1);
    for machine in [0, 1] {
        let mut desired = world.desired(machine);
        for port in [IPERF, SHUT] {
            let backends = [(world.tasks[served].ingress, port)].into();
            let ends = PublishedEnds { backends, ..PublishedEnds::default() };
            desired.ports.insert((Tcp, port), ends);
        }
        world.machines[machine].ports.apply(desired).await.expect("applied");
    }
    let beside = world.task(1);
    let bare = world.task(3);
    let client = &*world.client.space;
    for (entry, task) in [(0, beside), (2, bare)] {
        join_bare(&world, entry, &world.tasks[task]);
    }
    let _servers = [served, beside, bare].map(|task| {
        let space = &*world.tasks[task].container.space;
        hang_up(space);
        Server::start(space, IPERF)
    });

    let by = |to| move || throughput(client, to, IPERF);
    Way::new("throughput by a published port", by("192.168.7.1")).beside(
        Way::new("direct, through the same machines", by("172.18.0.6")),
        "Gbit/s",
        THROUGHPUT_ROUNDS,
    );
    Way::new("throughput by a published port", by("192.168.7.1")).beside(
        Way::new("direct, through machines without rules", by("172.18.0.5")),
        "Gbit/s",
        THROUGHPUT_ROUNDS,
    );
    let by = |to| move || rate(client, to, SHUT);
    Way::new("connections by a published port", by("192.168.7.1")).beside(
        Way::new("by a bare rule, on the same machines", by("192.168.9.1")),
        "per second",
        RATE_ROUNDS,
    );
    Way::new("connections by a published port", by("192.168.7.1")).beside(
        Way::new("by a bare rule, on machines without others", by("192.168.9.3")),
        "per second",
        RATE_ROUNDS,
    );
}

/// Has an entry node be the way from the client to the container of another node, over VXLAN
/// and back, as published ports do it; and to that container's port by a bare rule, as
/// 192.168.9.ENTRY.
fn join_bare(world: &ports::world::World, entry: usize, task: &ports::world::Task) {
    let (client, serving) = (&*world.client.space, task.machine);
    let container = task.local.v4.expect("an address");
    for (machine, other) in [(entry, serving), (serving, entry)] {
        let (space, own, other) = (world.machine(machine), machine + 1, other + 1);
        ip(&format!(
            "-n {space} link add bare mtu 1450 type vxlan id 99 local 192.168.7.{own} \
             remote 192.168.7.{other} dstport 4790 nolearning"
        ));
        ip(&format!("-n {space} address add 10.99.0.{own}/24 dev bare"));
        ip(&format!("-n {space} link set bare up"));
        within(space, "sysctl -qw net.ipv4.ip_forward=1");
        within(space, "iptables -I DOCKER-USER -j ACCEPT");
    }
    let route = |machine: usize, to: &str, via: usize| {
        let space = world.machine(machine);
        ip(&format!("-n {space} route add {to} via 10.99.0.{} dev bare", via + 1));
    };
    route(entry, &container.to_string(), serving);
    route(serving, "192.168.7.100", entry);
    let by = entry + 1;
    let translated = format!("192.168.9.{by}");
    for to in [&container.to_string(), &translated] {
        ip(&format!("-n {client} route add {to} via 192.168.7.{by}"));
    }
    let to = format!("ip daddr {translated}");
    bare_rule(world.machine(entry), &to, &container.to_string());
}

/// Leads connections to both servers' ports elsewhere, by one rule of nftables.
fn bare_rule(space: &str, to: &str, server: &str) {
    within(space, "nft add table ip bare");
    let chain = "{ type nat hook prerouting priority -101 ; }";
    within(space, &format!("nft add chain ip bare pre {chain}"));
    let rule = format!("{to} tcp dport {SHUT} dnat to {server}:{BARE}");
    within(space, &format!("nft add rule ip bare pre {rule}"));
}

/// What iperf3 brings from a client to a server: Gbit/s that arrived.
fn throughput(client: &str, to: &str, port: u16) -> f64 {
    let words = format!("iperf3 -c {to} -p {port} -t {SECONDS} -O 1 -J");
    let said: serde_json::Value = serde_json::from_str(&within(client, &words)).expect("JSON");
    let bits = said["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.unwrap_or_else(|| panic!("iperf3 says no rate: {said}")) / 1e9
}

/// Connections that are made, and closed by the server, per second. The client resets what is
/// closed: a server that remembers a closed connection would keep a client waiting that has
/// its port again.
fn rate(client: &str, to: &str, port: u16) -> f64 {
    let to = SocketAddr::new(to.parse::<IpAddr>().expect("an address"), port);
    let connect = || {
        let mut stream = TcpStream::connect(to).expect("connected");
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a reset");
    };
    inside(client, || {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                // In the namespace of the thread that makes it.
                scope.spawn(|| (0..CONNECTIONS).for_each(|_| connect()));
            }
        });
        (THREADS * CONNECTIONS) as f64 / started.elapsed().as_secs_f64()
    })
}

/// Ends each connection to both ports as soon as it is made.
fn hang_up(space: &str) {
    for port in [SHUT, BARE] {
        let listener = inside(space, || TcpListener::bind(("0.0.0.0", port)).expect("a listener"));
        for _ in 0..SERVERS {
            let listener = listener.try_clone().expect("another");
            std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
        }
    }
}

/// An iperf3 that serves, and ends with this value.
struct Server(Child);

impl Server {
    /// Returns when it listens.
    fn start(space: &str, port: u16) -> Self {
        let words = format!("netns exec {space} iperf3 -s -p {port}");
        let mut command = Command::new("ip");
        command.args(words.split(' ')).stdout(Stdio::null());
        let server = Self(command.spawn().expect("iproute2"));
        let started = Instant::now();
        while within(space, &format!("ss -Hltn sport = :{port}")).is_empty() {
            assert!(started.elapsed() < PATIENCE, "iperf3 (of Debian) does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
