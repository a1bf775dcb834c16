//! Containers that talk to each other.

use super::peers::{Flow, ask, by, echo, serve};
use super::world::{World, ip, within};

const BOTH: [&str; 2] = ["10.0.1.0/24", "fd00:1::/64"];

#[tokio::test(flavor = "multi_thread")]
async fn containers_reach_each_other_on_one_machine_and_across() {
    let mut world = World::new(2).await;
    let web = world.network(4097, &BOTH);
    let client = world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    let near = world.container(0, web, &["10.0.1.6", "fd00:1::6"]).await;
    // In the other half of the subnet.
    let far = world.container(1, web, &["10.0.1.200", "fd00:1:0:0:8000::7"]).await;
    world.apply().await;
    serve(&world.containers[near]);
    serve(&world.containers[far]);

    let client = &world.containers[client];
    for (to, answer) in [
        ("10.0.1.6", by("c1", "10.0.1.5")),
        ("fd00:1::6", by("c1", "fd00:1::5")),
        ("10.0.1.200", by("c2", "10.0.1.5")),
        ("fd00:1:0:0:8000::7", by("c2", "fd00:1::5")),
    ] {
        assert_eq!(ask(client, to).expect(to), answer, "TCP to {to}");
        assert_eq!(Flow::open(client, to).ask().expect(to), answer, "UDP to {to}");
        echo(client, to).expect(to);
    }
    for gateway in ["10.0.1.1", "fd00:1::1"] {
        echo(client, gateway).expect(gateway);
    }
    // Nobody's: answered at once that it is nowhere.
    let nowhere = ask(client, "10.0.1.99").expect_err("nobody is there");
    assert_eq!(nowhere.kind(), std::io::ErrorKind::HostUnreachable, "{nowhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_may_be_joined_by_ipv6() {
    let mut world = World::new(2).await;
    for (number, machine) in world.machines.iter_mut().enumerate() {
        machine.address = format!("fd77::{}", number + 1).parse().expect("an address");
    }
    let web = world.network(4097, &BOTH);
    let client = world.container(0, web, &["10.0.1.5"]).await;
    let far = world.container(1, web, &["10.0.1.7"]).await;
    world.apply().await;
    serve(&world.containers[far]);
    let answer = ask(&world.containers[client], "10.0.1.7").expect("an answer");
    assert_eq!(answer, by("c1", "10.0.1.5"));
    let device = within(world.router(0), "ip link show vx4097");
    assert!(device.contains("mtu 1430"), "70 bytes less than the underlay: {device}");
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_apart() {
    let mut world = World::new(2).await;
    let web = world.network(4097, &BOTH);
    let other = world.network(4098, &["10.0.2.0/24", "fd00:2::/64"]);
    let server = world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    let near = world.container(0, other, &["10.0.2.5", "fd00:2::5"]).await;
    let far = world.container(1, other, &["10.0.2.6", "fd00:2::6"]).await;
    world.balance(web, "10.0.1.2", &[server]);
    world.apply().await;
    serve(&world.containers[server]);
    for stranger in [near, far] {
        let stranger = &world.containers[stranger];
        // It knows the way, and takes it.
        ip(&format!("-n {} route add 10.0.1.0/24 via 10.0.2.1", stranger.space));
        ip(&format!("-n {} route add fd00:1::/64 via fd00:2::1", stranger.space));
        for to in ["10.0.1.5", "fd00:1::5", "10.0.1.2"] {
            ask(stranger, to).expect_err("another network");
            Flow::open(stranger, to).ask_once().expect_err("another network");
        }
        // By the virtual address least of all.
        echo(stranger, "10.0.1.2").expect_err("another network");
        echo(stranger, "10.0.2.1").expect("its own gateway");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_sends_under_no_address_but_its_own() {
    let mut world = World::new(2).await;
    let web = world.network(4097, &BOTH);
    let liar = world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    let here = world.container(0, web, &["10.0.1.6", "fd00:1::6"]).await;
    let far = world.container(1, web, &["10.0.1.7", "fd00:1::7"]).await;
    world.apply().await;
    serve(&world.containers[here]);
    serve(&world.containers[far]);
    let liar = &world.containers[liar];
    for lie in ["10.0.1.77/32", "10.0.1.7/32", "fd00:1::77/128"] {
        let nodad = if lie.contains(':') { "nodad" } else { "" };
        ip(&format!("-n {} address add {lie} dev eth0 {nodad}", liar.space));
    }
    for (lie, truth, to, server) in [
        // One that nobody has, and one that another has.
        ("10.0.1.77", "10.0.1.5", "10.0.1.6", here),
        ("10.0.1.7", "10.0.1.5", "10.0.1.6", here),
        ("fd00:1::77", "fd00:1::5", "fd00:1::7", far),
    ] {
        let space = &world.containers[server].space;
        let before = datagrams(space);
        Flow::open_as(liar, lie, to).ask_once().expect_err("a lie");
        assert_eq!(datagrams(space), before, "{lie} arrived at {to}");
        Flow::open_as(liar, truth, to).ask().expect("the truth");
    }
}

/// Datagrams that arrived, of both families.
fn datagrams(space: &str) -> u64 {
    let four = within(space, "cat /proc/net/snmp");
    let mut lines = four.lines().filter(|line| line.starts_with("Udp:")).skip(1);
    let four = lines.next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let six = within(space, "cat /proc/net/snmp6");
    let mut lines = six.lines().filter(|line| line.starts_with("Udp6InDatagrams"));
    let six = lines.next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    four.expect("a counter") + six.expect("a counter")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_packet_fits_into_one_of_the_underlay() {
    let mut world = World::new(2).await;
    let web = world.network(4097, &BOTH);
    let client = world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    let far = world.container(1, web, &["10.0.1.7", "fd00:1::7"]).await;
    world.apply().await;
    serve(&world.containers[far]);
    let client = &world.containers[client];
    let device = within(&client.space, "ip link show eth0");
    assert!(device.contains("mtu 1450"), "50 bytes less than the underlay: {device}");
    // With the headers of IP and UDP.
    Flow::open(client, "10.0.1.7").ask_with(1450 - 28).expect("an answer");
    Flow::open(client, "fd00:1::7").ask_with(1450 - 48).expect("an answer");
    let counters = within(&world.machines[0].space, "cat /proc/net/snmp");
    let fragments = counters.lines().filter(|line| line.starts_with("Ip:")).nth(1);
    let made = fragments.and_then(|line| line.split_whitespace().nth(19));
    assert_eq!(made, Some("0"), "fragments: {counters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_smaller_packets_says_so_to_containers_elsewhere() {
    let mut world = World::new(2).await;
    let second = &mut world.machines[1];
    let space = &second.space;
    ip(&format!("-n {space} link add low mtu 1400 type veth peer name low-end"));
    ip(&format!("-n {space} address add 192.168.7.102/32 dev low"));
    ip(&format!("-n {space} link set low up"));
    ip(&format!("-n {space} link set low-end up"));
    second.address = "192.168.7.102".parse().expect("an address");
    let web = world.network(4097, &BOTH);
    let client = world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    let far = world.container(1, web, &["10.0.1.7", "fd00:1::7"]).await;
    world.apply().await;
    serve(&world.containers[far]);
    let device = within(&world.containers[far].space, "ip link show eth0");
    assert!(device.contains("mtu 1350"), "{device}");
    for to in ["10.0.1.7", "fd00:1::7"] {
        let flow = Flow::open(&world.containers[client], to);
        flow.ask_with(1402).expect_err("too large for its last link");
        flow.ask_with(1402).expect("in pieces, as its last router said");
    }
}
