//! Machines that have ways of their own to where tasks are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::super::peers::{Flow, ask, ask_often, by, serve_on};
use super::super::world::{inside, ip, within};
use super::world::{TARGET, World};

/// Three machines with a task on each, of addresses 10.0.0.10 to 12.
async fn served() -> World {
    let mut world = World::new(3).await;
    for machine in 0..3 {
        world.task(machine);
    }
    world.publish(&[0, 1, 2]);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_clients_may_be_in_the_subnet_of_the_tasks() {
    let world = served().await;
    for machine in 0..3 {
        let address = format!("10.0.0.20{machine}/24");
        ip(&format!("-n {} address add {address} dev eth0", world.machine(machine)));
    }
    // It has a task's address.
    ip(&format!("-n {} address add 10.0.0.11/24 dev eth0", world.client.space));
    serve_on(&world.client, 9);
    world.apply().await;
    for to in ["10.0.0.200", "10.0.0.201", "192.168.7.1"] {
        let from = if to.starts_with("10") { "10.0.0.11" } else { "192.168.7.100" };
        let each: BTreeMap<_, _> = ["c0", "c1", "c2"].map(|name| (by(name, from), 2)).into();
        assert_eq!(ask_often(&world.client, to, 6), each, "TCP to {to}");
        for _ in 0..3 {
            let flow = Flow::open(&world.client, to);
            let first = flow.ask().expect(to);
            assert_eq!((first.seen.to_string(), flow.ask().expect(to)), (from.to_owned(), first));
        }
    }
    // The machines themselves are clients, and reach who has the task's address there.
    let machine = &world.machines[0].own;
    for to in ["10.0.0.200", "127.0.0.1", "192.168.7.2"] {
        let answers = ask_often(machine, to, 6).into_keys().map(|answer| answer.by);
        assert_eq!(answers.collect::<Vec<_>>(), ["c0", "c1", "c2"], "{to}");
    }
    let to = SocketAddr::from(([10, 0, 0, 11], 9));
    inside(&machine.space, || TcpStream::connect_timeout(&to, Duration::from_secs(2)))
        .expect("the client");
    let way = ip(&format!("-n {} route get 10.0.0.12", machine.space));
    assert!(way.contains("dev eth0"), "{way}");
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_between_nodes_are_not_led_to_tasks() {
    let mut world = served().await;
    // A task has its node's address.
    world.tasks[1].ingress = [192, 168, 7, 2].into();
    world.publish(&[1]);
    world.apply().await;
    for client in [&world.client, &world.machines[0].own] {
        assert_eq!(ask(client, "192.168.7.1").expect("an answer").by, "c1");
        Flow::open(client, "192.168.7.1").ask().expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_packet_leaves_the_machine_with_a_mark() {
    let world = served().await;
    world.apply().await;
    let seen = |machine: usize| {
        let space = world.machine(machine);
        within(space, "nft add table inet seen");
        let hook = "{ type filter hook postrouting priority 300 ; }";
        within(space, &format!("nft add chain inet seen out {hook}"));
        for mark in ["0x53570000", "0x535f0000"] {
            let ours = format!("meta mark and 0xffff0000 == {mark}");
            within(space, &format!("nft add rule inet seen out {ours} counter"));
        }
    };
    (0..2).for_each(seen);
    for client in [&world.client, &world.machines[0].own] {
        for to in ["192.168.7.1", "fd77::1"] {
            ask_often(client, to, 3);
            (0..3).for_each(|_| drop(Flow::open(client, to).ask().expect(to)));
        }
    }
    for machine in 0..2 {
        let counted = within(world.machine(machine), "nft list table inet seen");
        assert_eq!(counted.matches("packets 0").count(), 2, "{counted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_a_machine_reaches_tasks_by_published_ports_only() {
    let world = served().await;
    world.apply().await;
    let machine = &world.machines[0].own;
    let way = "10.0.0.11 via inet6 fe80::5357:2 dev swingress src 192.168.7.1";
    ip(&format!("-n {} route add {way}", machine.space));
    let reach = |to: &str| {
        let to = SocketAddr::new(to.parse::<IpAddr>().expect("an address"), TARGET);
        inside(&machine.space, || TcpStream::connect_timeout(&to, Duration::from_millis(300)))
    };
    for to in ["10.0.0.11", "fd53:5700::a00:b"] {
        reach(to).expect_err("its port is not published");
        assert_eq!(ask_often(machine, "192.168.7.1", 3).len(), 3, "those that are go on");
    }
    // It is the guard that keeps it.
    within(&machine.space, "nft flush chain inet swarmw_ports apart-own");
    for to in ["10.0.0.11", "fd53:5700::a00:b"] {
        reach(to).expect("nothing else does");
    }
}
