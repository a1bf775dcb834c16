//! Clients outside.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt;
use swarmw_model::PortProtocol;

use super::super::peers::{Answer, Connection, Flow, ask, ask_often, by, read, serve_on};
use super::super::sctp;
use super::super::world::{Container, inside, ip, within};
use super::world::{PUBLISHED, Service, TARGET, World};

/// Three machines with a task on each.
async fn served() -> World {
    let mut world = World::new(3).await;
    for machine in 0..3 {
        world.task(machine);
    }
    world.publish(&[0, 1, 2]);
    world.apply().await;
    world
}

fn each(from: &str, times: usize) -> BTreeMap<Answer, usize> {
    ["c0", "c1", "c2"].map(|name| (by(name, from), times)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_spreads_over_all_backends_and_they_see_the_client() {
    let world = served().await;
    for number in 1..=3 {
        for (to, from) in [("192.168.7.", "192.168.7.100"), ("fd77::", "fd77::100")] {
            let to = format!("{to}{number}");
            assert_eq!(ask_often(&world.client, &to, 30), each(from, 10), "TCP to {to}");
            let mut counted = BTreeMap::new();
            for _ in 0..9 {
                let flow = Flow::open(&world.client, &to);
                let answer = flow.ask().expect("an answer");
                assert_eq!(flow.ask().expect("an answer"), answer, "a flow stays");
                *counted.entry(answer).or_default() += 1;
            }
            assert_eq!(counted, each(from, 3), "UDP to {to}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_leads_to_tasks_that_have_it_and_without_one_to_who_listens_or_is_refused() {
    let mut world = served().await;
    serve_on(&world.machines[0].own, PUBLISHED);
    world.lose_v6(1);
    world.apply().await;
    let of = |names: &[&str]| -> BTreeMap<Answer, usize> {
        names.iter().map(|name| (by(name, "fd77::100"), 4)).collect()
    };
    for number in 1..=3 {
        let six = format!("fd77::{number}");
        assert_eq!(ask_often(&world.client, &six, 8), of(&["c0", "c2"]), "by node {number}");
        let four = format!("192.168.7.{number}");
        assert_eq!(ask_often(&world.client, &four, 6), each("192.168.7.100", 2));
        for _ in 0..4 {
            assert_ne!(Flow::open(&world.client, &six).ask().expect("an answer").by, "c1");
        }
    }
    // Nobody has it: who listens goes from one family to the other.
    world.lose_v6(0);
    world.lose_v6(2);
    world.apply().await;
    assert_eq!(ask_often(&world.client, "fd77::1", 4), of(&["m1"]));
    assert_eq!(ask_often(&world.client, "192.168.7.1", 6), each("192.168.7.100", 2));
    for entry in ["fd77::2", "fd77::3"] {
        let refused = ask(&world.client, entry).expect_err("nobody listens").kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused, "TCP to {entry}");
        let refused = Flow::open(&world.client, entry).ask().expect_err("nobody listens").kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused, "UDP to {entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sctp_is_passed_on_as_well() {
    let mut world = served().await;
    for task in &world.tasks {
        sctp::serve_on(&task.container, TARGET);
    }
    for number in 1..=3 {
        for (to, from) in [("192.168.7.", "192.168.7.100"), ("fd77::", "fd77::100")] {
            let to = format!("{to}{number}");
            assert_eq!(sctp::ask_often(&world.client, &to, 6), each(from, 2), "to {to}");
        }
    }
    // The machines themselves are clients.
    for to in ["127.0.0.1", "192.168.7.1", "fd77::1"] {
        let answers = sctp::ask_often(&world.machines[0].own, to, 3).into_keys();
        assert_eq!(answers.map(|a| a.by).collect::<Vec<_>>(), ["c0", "c1", "c2"], "to {to}");
    }
    // For a service that wants it, the entry node is the client.
    world.publish_as(Service { tasks: vec![0, 1], snat: true, user_space: false });
    world.apply().await;
    let seen = [(by("c0", "172.18.0.1"), 1), (by("c1", "192.168.7.1"), 1)];
    assert_eq!(sctp::ask_often(&world.client, "192.168.7.1", 2), BTreeMap::from(seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_of_a_client_serves_for_connections_by_several_nodes() {
    let mut world = served().await;
    world.publish(&[2]);
    world.apply().await;
    let mut connections = Vec::new();
    for number in [1, 2, 3] {
        let to = SocketAddr::from(([192, 168, 7, number], PUBLISHED));
        let mut stream = inside(&world.client.space, || {
            let socket = rustix::net::socket(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                None,
            );
            let socket = socket.expect("a socket");
            sockopt::set_socket_reuseaddr(&socket, true).expect("set");
            sockopt::set_socket_timeout(
                &socket,
                sockopt::Timeout::Recv,
                Some(Duration::from_secs(2)),
            )
            .expect("set");
            let from = SocketAddr::from(([0, 0, 0, 0], 45_678));
            rustix::net::bind(&socket, &from).expect("bound");
            sockopt::set_socket_timeout(
                &socket,
                sockopt::Timeout::Send,
                Some(Duration::from_secs(2)),
            )
            .expect("set");
            rustix::net::connect(&socket, &to).expect("connected");
            TcpStream::from(socket)
        });
        stream.write_all(b"?\n").expect("written");
        let mut said = String::new();
        BufReader::new(&stream).read_line(&mut said).expect("an answer");
        assert_eq!(said.trim(), "c2 192.168.7.100", "by node {number}");
        connections.push(stream);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_end_keeps_its_connections_and_gets_no_more() {
    let mut world = served().await;
    let mut connections = Vec::new();
    for to in ["192.168.7.1", "fd77::1"] {
        for _ in 0..3 {
            let mut connection = Connection::open(&world.client, to).expect("a connection");
            let answer = connection.ask().expect("an answer");
            connections.push((connection, answer));
        }
    }
    world.publish(&[1]);
    world.apply().await;
    for (connection, before) in &mut connections {
        assert_eq!(connection.ask().expect("an answer"), *before);
    }
    for to in ["192.168.7.1", "fd77::1"] {
        for _ in 0..6 {
            assert_eq!(ask(&world.client, to).expect("an answer").by, "c1");
        }
    }
    // All of them.
    world.publish(&[]);
    world.apply().await;
    for (connection, before) in &mut connections {
        assert_eq!(connection.ask().expect("an answer"), *before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_serves_is_refused_at_once_or_left_to_who_listens() {
    let mut world = served().await;
    let listener = world.machines[0].own.clone();
    serve_on(&listener, PUBLISHED);
    world.publish(&[]);
    world.apply().await;
    for to in ["192.168.7.1", "fd77::1"] {
        for client in [&world.client, &listener] {
            let refused = ask(client, to).expect_err("nobody").kind();
            assert_eq!(refused, ErrorKind::ConnectionRefused, "TCP to {to}");
        }
        let refused = Flow::open(&world.client, to).ask().expect_err("nobody").kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused, "UDP to {to}");
    }
    world.publish_as(Service { user_space: true, ..Service::default() });
    world.apply().await;
    for (to, from) in [("192.168.7.1", "192.168.7.100"), ("fd77::1", "fd77::100")] {
        assert_eq!(ask(&world.client, to).expect("an answer"), by("m1", from));
        assert_eq!(Flow::open(&world.client, to).ask().expect("an answer"), by("m1", from));
    }
    // The listener stays, and the tasks are back.
    world.publish(&[0, 1, 2]);
    world.apply().await;
    assert_eq!(ask_often(&world.client, "192.168.7.1", 6), each("192.168.7.100", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_wants_it_sees_the_entry_node() {
    let mut world = served().await;
    world.publish_as(Service { tasks: vec![0, 1], snat: true, user_space: false });
    world.apply().await;
    let seen = [(by("c0", "172.18.0.1"), 2), (by("c1", "192.168.7.1"), 2)];
    assert_eq!(ask_often(&world.client, "192.168.7.1", 4), BTreeMap::from(seen));
    let seen = [(by("c0", "fd18::1"), 2), (by("c1", "fd53:5700:0:1::1"), 2)];
    assert_eq!(ask_often(&world.client, "fd77::1", 4), BTreeMap::from(seen));
}

/// `--ingress-source node`: for tasks whose answers would not find the client.
#[tokio::test(flavor = "multi_thread")]
async fn of_such_a_service_answers_go_back_by_the_entry_node_and_others_see_the_client() {
    const BESIDE: u16 = 81;
    let mut world = served().await;
    world.publish_as(Service { tasks: vec![1], snat: true, user_space: false });
    let beside = Service { tasks: vec![1], ..Service::default() };
    world.published.insert((PortProtocol::Tcp, BESIDE), beside);
    world.apply().await;

    // What the task's machine says to the client itself, and to the first machine as the client.
    let (first, second) = (world.machine(0), world.machine(1));
    for (space, hook) in [(first, "prerouting priority -290"), (second, "postrouting priority 300")]
    {
        within(space, "nft add table inet seen");
        within(space, &format!("nft add chain inet seen packets {{ type filter hook {hook} ; }}"));
    }
    for (space, words) in [
        (first, "iifname swingress ip daddr 192.168.7.1"),
        (first, "iifname swingress ip6 daddr fd53:5700:0:1::1"),
        (second, "oifname eth0 ip daddr 192.168.7.100"),
        (second, "oifname eth0 ip6 daddr fd77::100"),
    ] {
        within(space, &format!("nft add rule inet seen packets {words} meta l4proto tcp counter"));
    }
    for number in [1, 3] {
        for (to, node) in [("192.168.7.", "192.168.7."), ("fd77::", "fd53:5700:0:1::")] {
            let (to, seen) = (format!("{to}{number}"), format!("{node}{number}"));
            let mut connection = Connection::open(&world.client, &to).expect("a connection");
            for _ in 0..3 {
                assert_eq!(connection.ask().expect("an answer"), by("c1", &seen), "by {to}");
            }
        }
    }
    let silent =
        |space: &str| within(space, "nft list table inet seen").matches("packets 0 ").count();
    assert_eq!((silent(first), silent(second)), (0, 2));

    for (to, from) in [("192.168.7.1", "192.168.7.100"), ("fd77::1", "fd77::100")] {
        assert_eq!(ask_at(&world.client, to, BESIDE), by("c1", from), "the service beside it");
    }
    // Connections stay as they began when the service is changed.
    let mut before = ["192.168.7.1", "fd77::1"]
        .map(|to| Connection::open(&world.client, to).expect("a connection"));
    let seen = before.each_mut().map(|connection| connection.ask().expect("an answer"));
    world.publish(&[1]);
    world.apply().await;
    let again = before.each_mut().map(|connection| connection.ask().expect("an answer"));
    assert_eq!(seen, again);
    assert_eq!(ask(&world.client, "192.168.7.1").expect("an answer"), by("c1", "192.168.7.100"));
    assert_eq!(ask(&world.client, "fd77::1").expect("an answer"), by("c1", "fd77::100"));
}

/// Connects to a port, and asks once.
fn ask_at(client: &Container, to: &str, port: u16) -> Answer {
    let to = SocketAddr::new(to.parse().expect("an address"), port);
    let patience = Duration::from_secs(2);
    let mut stream =
        inside(&client.space, || TcpStream::connect_timeout(&to, patience)).expect("a connection");
    stream.set_read_timeout(Some(patience)).expect("set");
    stream.write_all(b"?\n").expect("written");
    let mut said = String::new();
    BufReader::new(stream).read_line(&mut said).expect("an answer");
    read(&said).expect("who it is")
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_carried_both_ways_though_packets_between_nodes_are_smaller() {
    let mut world = served().await;
    let device = within(world.machine(0), "ip link show swingress");
    assert!(device.contains("mtu 1450"), "{device}");
    world.publish(&[1]);
    world.apply().await;
    // Nobody is told that packets were too large.
    for space in [world.machine(0), world.machine(1)] {
        within(space, "nft add table inet deaf");
        within(space, "nft add chain inet deaf out { type filter hook output priority 0 ; }");
        within(space, "nft add rule inet deaf out icmp type destination-unreachable drop");
        within(space, "nft add rule inet deaf out icmpv6 type packet-too-big drop");
    }
    let listener = inside(&world.tasks[1].container.space, || {
        TcpListener::bind(SocketAddr::from(([0_u16; 8], TARGET + 1))).expect("a listener")
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut back = stream.try_clone().expect("another");
            let _ = std::io::copy(&mut &stream, &mut back);
        }
    });
    for machine in 0..2 {
        let mut desired = world.desired(machine);
        let published: Vec<_> = desired.ports.keys().copied().collect();
        for port in published {
            desired.ports[&port].backends = [(world.tasks[1].ingress, TARGET + 1)].into();
        }
        world.machines[machine].ports.apply(desired).await.expect("applied");
    }
    for to in ["192.168.7.1", "fd77::1"] {
        for client in [&world.client, &world.machines[0].own] {
            let to = SocketAddr::new(to.parse().expect("an address"), PUBLISHED);
            let mut stream =
                inside(&client.space, || TcpStream::connect(to)).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
            let mut writer = stream.try_clone().expect("another");
            let written = std::thread::spawn(move || writer.write_all(&[7; 1_000_000]));
            let mut bytes = vec![0; 1_000_000];
            stream.read_exact(&mut bytes).expect("all of it");
            written.join().expect("done").expect("written");
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_comes_by_the_way_between_nodes() {
    let world = served().await;
    // A node that was taken over asks another's own services, and those of 127.0.0.1.
    serve_on(&world.machines[1].own, 9);
    let liar = world.machines[0].own.clone();
    within(&liar.space, "nft delete table inet swarmw_ports");
    ip(&format!("-n {} route add 172.18.0.9 via inet6 fe80::5357:2 dev swingress", liar.space));
    ip(&format!("-n {} route add 203.0.113.9 via inet6 fe80::5357:2 dev swingress", liar.space));
    let reached = |to: &str| {
        let to = SocketAddr::new(to.parse().expect("an address"), 9);
        inside(&liar.space, || TcpStream::connect_timeout(&to, Duration::from_millis(300)))
    };
    let second = world.machine(1);
    ip(&format!("-n {second} address add 172.18.0.9/32 dev lo"));
    reached("172.18.0.9").expect_err("the node itself");
    let counted = |words: &str| within(second, words);
    counted("nft add table inet seen");
    counted("nft add chain inet seen f { type filter hook forward priority 300 ; }");
    counted("nft add rule inet seen f ip daddr 203.0.113.9 counter");
    ip(&format!("-n {second} route add 203.0.113.9 dev eth0"));
    reached("203.0.113.9").expect_err("elsewhere");
    assert!(counted("nft list table inet seen").contains("packets 0"), "it was passed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_do_not_reach_127_0_0_1_of_their_machine() {
    let world = served().await;
    let machine = world.machine(0).to_owned();
    let open = within(&machine, "sysctl -n net.ipv4.conf.docker_gwbridge.route_localnet");
    assert_eq!(open.trim(), "1");
    let listener = inside(&machine, || TcpListener::bind("127.0.0.1:99").expect("a listener"));
    let container = &world.tasks[0].container;
    // It sends to 127.0.0.1 by way of its machine.
    within(&container.space, "sysctl -qw net.ipv4.conf.all.route_localnet=1");
    ip(&format!("-n {} address del 127.0.0.1/8 dev lo", container.space));
    ip(&format!("-n {} route add 127.0.0.1 via 172.18.0.1", container.space));
    let to = SocketAddr::from(([127, 0, 0, 1], 99));
    let reach =
        || inside(&container.space, || TcpStream::connect_timeout(&to, Duration::from_millis(300)));
    reach().expect_err("the guard");
    // It is the guard that keeps it.
    within(&machine, "nft flush chain inet swarmw_ports guard");
    reach().expect("nothing else does");
    drop(listener);
}
