//! The beginning and the end.

use std::io::ErrorKind;

use swarmw_overlay::{DesiredPorts, Error, Ports};

use super::super::peers::{Connection, Flow, ask, by, serve_on};
use super::super::world::{ip, within};
use super::world::{PUBLISHED, World};

async fn served() -> World {
    let mut world = World::new(2).await;
    world.task(0);
    world.task(1);
    world.publish(&[0, 1]);
    world
}

/// All that a machine has which may be left behind.
fn all(space: &str) -> String {
    let mut all = String::new();
    for words in ["-br link", "rule", "-6 rule", "route show table all", "-6 route show table all"]
    {
        all += &ip(&format!("-n {space} {words}"));
    }
    all += &within(space, "nft list tables");
    for program in ["iptables", "ip6tables"] {
        all += &within(space, &format!("{program} -S"));
    }
    all += &within(space, "sysctl net.ipv4.conf.docker_gwbridge.route_localnet");
    // The order of these changes by itself.
    let lines = all.lines().map(|line| line.trim().replace(" UNKNOWN   ", " UP        "));
    // Of all machines that forward, as this one does from now on; and of devices that were
    // still looking for duplicates.
    let mut lines: Vec<_> = lines
        .filter(|line| !line.starts_with("anycast") && !line.starts_with("local fe80:"))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn same(before: &str, after: &str) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(before), lines(after));
    let more: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let less: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert_eq!((more, less), Default::default(), "too much, and missing");
    assert_eq!(before.len(), after.len());
}

fn nothing(world: &World, machine: usize) -> DesiredPorts {
    let desired = world.desired(machine);
    DesiredPorts {
        here: Default::default(),
        elsewhere: Default::default(),
        ports: Default::default(),
        ..desired
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_after_the_last_task() {
    let world = served().await;
    let space = world.machine(0).to_owned();
    let before = all(&space);
    world.apply().await;
    ask(&world.client, "192.168.7.1").expect("an answer");
    assert_ne!(all(&space), before);
    let ports = &world.machines[0].ports;
    ports.apply(nothing(&world, 0)).await.expect("applied");
    same(&before, &all(&space));
    let applied = ports.apply(nothing(&world, 0)).await.expect("applied");
    assert!(applied.is_nothing(), "{applied:?}");
    assert_eq!(ports.check().await.expect("checked"), []);
    // And from the beginning.
    world.apply().await;
    ask(&world.client, "192.168.7.1").expect("an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_task_ports_are_refused_by_a_table_alone() {
    let mut world = World::new(1).await;
    let space = world.machine(0).to_owned();
    // The machine says nothing of ports that nobody listens on.
    for program in ["iptables", "ip6tables"] {
        for protocol in ["tcp", "udp"] {
            within(&space, &format!("{program} -A INPUT -p {protocol} --dport 80 -j DROP"));
        }
    }
    let refused = |world: &World| {
        for to in ["192.168.7.1", "fd77::1"] {
            let why = ask(&world.client, to).expect_err("nobody").kind();
            assert_eq!(why, ErrorKind::ConnectionRefused, "TCP to {to}");
            let why = Flow::open(&world.client, to).ask().expect_err("nobody").kind();
            assert_eq!(why, ErrorKind::ConnectionRefused, "UDP to {to}");
        }
    };
    world.task(0);
    // Its container is there, and no task yet.
    let tasks = std::mem::take(&mut world.tasks);
    world.publish(&[]);
    world.apply().await;
    refused(&world);
    let before = all(&space);
    for other in ["swingress", "SWARMW-PORTS", "0x5357"] {
        assert!(!before.contains(other), "{before}");
    }

    world.tasks = tasks;
    world.publish(&[0]);
    world.apply().await;
    for to in ["192.168.7.1", "fd77::1"] {
        ask(&world.client, to).expect("an answer");
    }
    let open = || within(&space, "sysctl -n net.ipv4.conf.docker_gwbridge.route_localnet");
    assert_eq!(open().trim(), "1");

    world.tasks.clear();
    world.publish(&[]);
    world.apply().await;
    refused(&world);
    assert_eq!(open().trim(), "0", "nothing guards it any more");
    same(&before, &all(&space));
    assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_by_the_next_process_after_a_crash() {
    let mut world = served().await;
    let space = world.machine(0).to_owned();
    let before = all(&space);
    world.apply().await;
    let settings = world.machines[0].settings.clone();
    world.machines[0].ports = Ports::open(settings.clone()).await.expect("opened");
    let applied = world.machines[0].ports.apply(nothing(&world, 0)).await.expect("applied");
    assert_eq!((applied.tables, applied.devices), (1, 1), "{applied:?}");
    same(&before, &all(&space));

    world.apply().await;
    let ports = Ports::open(settings).await.expect("opened");
    ports.close().await.expect("closed");
    same(&before, &all(&space));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_leaves_ports_to_user_space_removes_its_nodes_own_rules_only() {
    let world = served().await;
    let machine = &world.machines[0];
    let space = world.machine(0).to_owned();
    let open = || async { Ports::open(machine.settings.clone()).await.expect("opened") };
    let before = all(&space);
    assert!(!open().await.close_of(machine.id()).await.expect("closed"), "there are none");
    world.apply().await;
    let made = all(&space);
    let other = world.machines[1].id();
    assert!(!open().await.are_of(other).await.expect("read"));
    assert!(!open().await.close_of(other).await.expect("closed"));
    same(&made, &all(&space));
    assert!(open().await.are_of(machine.id()).await.expect("read"));
    assert!(open().await.close_of(machine.id()).await.expect("closed"));
    same(&before, &all(&space));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_adopts_what_is_there() {
    let mut world = served().await;
    world.apply().await;
    let mut connections: Vec<_> = (0..2)
        .map(|_| Connection::open(&world.client, "192.168.7.1").expect("a connection"))
        .collect();
    for machine in &mut world.machines {
        machine.ports = Ports::open(machine.settings.clone()).await.expect("opened");
    }
    for applied in world.apply().await {
        assert!(applied.is_nothing(), "{applied:?}");
    }
    for connection in &mut connections {
        connection.ask().expect("an answer");
    }
    assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_with_a_firewall_that_cannot_be_told_is_refused() {
    let world = served().await;
    let space = world.machine(0);
    within(space, "nft add table ip docker-bridges");
    let ports = &world.machines[0].ports;
    ports.apply(world.desired(0)).await.expect("this engine is told in DOCKER-USER");
    ports.apply(nothing(&world, 0)).await.expect("applied");
    for program in ["iptables", "ip6tables"] {
        for words in ["-D FORWARD -j DOCKER-USER", "-F DOCKER-USER", "-X DOCKER-USER"] {
            within(space, &format!("{program} {words}"));
        }
    }
    let refused = ports.apply(world.desired(0)).await;
    assert!(matches!(refused, Err(Error::EngineFirewall)), "{refused:?}");
    assert!(!within(space, "nft list tables").contains("swarmw_ports"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_kernel_refuses_something_of_it_user_space_serves() {
    let mut world = World::new(2).await;
    let space = world.machine(0).to_owned();
    serve_on(&world.machines[0].own, PUBLISHED);
    ip(&format!("-n {space} link add other type vxlan id 4096 dstport 4789 local 192.168.7.1"));
    let served = |world: &World| {
        for (to, from) in [("192.168.7.1", "192.168.7.100"), ("fd77::1", "fd77::100")] {
            assert_eq!(ask(&world.client, to).expect("an answer"), by("m1", from));
        }
    };
    // Once from nothing, and once when the port was refused before.
    world.task(1);
    world.publish(&[0]);
    for is_refused_before in [false, true] {
        if is_refused_before {
            let tasks = std::mem::take(&mut world.tasks);
            world.publish(&[]);
            world.apply_on(0).await;
            let why = ask(&world.client, "192.168.7.1").expect_err("nobody").kind();
            assert_eq!(why, ErrorKind::ConnectionRefused);
            world.tasks = tasks;
            world.publish(&[0]);
        }
        // Each time that it is tried.
        for _ in 0..2 {
            let applied = world.machines[0].ports.apply(world.desired(0)).await;
            applied.expect_err("this number of VXLAN is another's");
            served(&world);
        }
    }
    ip(&format!("-n {space} link delete other"));
    world.apply().await;
    assert_eq!(ask(&world.client, "192.168.7.1").expect("an answer").by, "c0");
    // And if somebody takes the device away, and the number with it.
    ip(&format!("-n {space} link delete swingress"));
    ip(&format!("-n {space} link add other type vxlan id 4096 dstport 4789 local 192.168.7.1"));
    world.machines[0].ports.repair().await.expect_err("it is another's again");
    served(&world);
    ip(&format!("-n {space} link delete other"));
    world.apply().await;
    for (to, from) in [("192.168.7.1", "192.168.7.100"), ("fd77::1", "fd77::100")] {
        assert_eq!(ask(&world.client, to).expect("an answer"), by("c0", from));
    }
    assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_without_a_proper_name_is_refused() {
    let world = served().await;
    for name in ["", "a name", "x\" accept", "waytoolongforadevice"] {
        let desired = DesiredPorts { bridge: name.to_owned(), ..world.desired(0) };
        let refused = world.machines[0].ports.apply(desired).await;
        assert!(matches!(refused, Err(Error::Bridge(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_lives_by_router_advertisements_goes_on_to() {
    let world = served().await;
    let space = world.machine(0);
    ip(&format!("-n {space} -6 route add default via fe80::1 dev eth0 proto ra"));
    world.apply_on(0).await;
    assert_eq!(within(space, "sysctl -n net.ipv6.conf.eth0.accept_ra").trim(), "2");
    assert_eq!(within(space, "sysctl -n net.ipv6.conf.docker_gwbridge.accept_ra").trim(), "1");
    assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
}
