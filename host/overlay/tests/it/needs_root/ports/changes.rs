//! What changes touch, and what they leave.

use std::io::ErrorKind;
use std::net::UdpSocket;

use swarmw_model::PortProtocol::Udp;
use swarmw_overlay::{Applied, Ports};

use super::super::peers::Flow;
use super::super::world::{inside, within};
use super::world::World;

/// A task on the first of two machines, and two on the second.
async fn served() -> World {
    let mut world = World::new(2).await;
    for machine in [0, 1, 1] {
        world.task(machine);
    }
    world.publish(&[0, 1, 2]);
    world.apply().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_already_is_left() {
    let world = served().await;
    for applied in world.apply().await {
        assert!(applied.is_nothing(), "{applied:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_goes_or_comes_changes_its_slot_and_the_count() {
    let mut world = served().await;
    world.publish(&[0, 1]);
    let applied = world.apply_on(0).await;
    // Three protocols of two families, of each the chain and at most three elements.
    let Applied { elements, bytes, .. } = applied;
    assert_eq!(applied, Applied { chains: 6, elements, bytes, ..Applied::default() });
    assert!((6..=18).contains(&elements), "{applied:?}");
    world.publish(&[0, 1, 2]);
    let Applied { elements, bytes, .. } = world.apply_on(0).await;
    assert_eq!(elements, 6);
    assert!(bytes < 1500, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_comes_elsewhere_is_a_route_and_a_pair_of_each_family() {
    let mut world = served().await;
    // And its address on the way there.
    let changed = |bytes| Applied { routes: 2, elements: 3, bytes, ..Applied::default() };
    world.task(1);
    let applied = world.apply_on(0).await;
    assert_eq!(applied, changed(applied.bytes));
    world.tasks.pop();
    let applied = world.apply_on(0).await;
    assert_eq!(applied, changed(applied.bytes));
    assert!(applied.bytes < 300, "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_flow_goes_elsewhere_when_its_backend_goes() {
    let mut world = served().await;
    for to in ["192.168.7.1", "fd77::1"] {
        world.publish(&[0, 1, 2]);
        world.apply().await;
        let flow = Flow::open(&world.client, to);
        let first = flow.ask().expect("an answer");
        let untouched = Flow::open(&world.client, to);
        let other = untouched.ask().expect("an answer");
        let rest: Vec<_> =
            (0..3).filter(|task| world.tasks[*task].container.name != first.by).collect();
        world.publish(&rest);
        let applied = world.apply_on(0).await;
        assert_eq!(applied.flows, 1, "{applied:?}");
        assert_ne!(flow.ask().expect("an answer"), first);
        assert_eq!(untouched.ask().expect("an answer"), other);
        world.publish(&[]);
        world.apply_on(0).await;
        assert_eq!(flow.ask().expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
    }
}

/// A packet that was on its way by the rules of before: here by a rule that comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_begins_as_its_backend_goes_is_forgotten_by_the_next_look() {
    let mut world = served().await;
    world.publish(&[1, 2]);
    world.apply_on(0).await;
    let machine = world.machine(0);
    within(machine, "nft add table ip late");
    within(machine, "nft add chain ip late pre { type nat hook prerouting priority -106 ; }");
    within(machine, "nft add rule ip late pre udp dport 80 dnat to 172.18.0.5:8080");
    let flow = Flow::open(&world.client, "192.168.7.1");
    assert_eq!(flow.ask().expect("an answer").by, "c0");
    within(machine, "nft delete table ip late");
    assert_eq!(flow.ask().expect("an answer").by, "c0", "a flow stays");
    let (drifts, _) = world.machines[0].ports.repair().await.expect("looked");
    assert_eq!(drifts, []);
    assert_ne!(flow.ask().expect("an answer").by, "c0");
}

/// Whoever changed the rules did not come to forget the flow.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_an_earlier_process_should_have_forgotten_is_by_the_next() {
    let mut world = served().await;
    world.publish(&[1, 2]);
    world.apply_on(0).await;
    let machine = world.machine(0).to_owned();
    within(&machine, "nft add table ip late");
    within(&machine, "nft add chain ip late pre { type nat hook prerouting priority -106 ; }");
    within(&machine, "nft add rule ip late pre udp dport 80 dnat to 172.18.0.5:8080");
    let flow = Flow::open(&world.client, "192.168.7.1");
    assert_eq!(flow.ask().expect("an answer").by, "c0");
    within(&machine, "nft delete table ip late");
    let served = Flow::open(&world.client, "192.168.7.1");
    let by = served.ask().expect("an answer");
    let settings = world.machines[0].settings.clone();
    world.machines[0].ports = Ports::open(settings).await.expect("opened");
    let applied = world.apply_on(0).await;
    assert_eq!(applied, Applied { flows: 1, flows_read: applied.flows_read, ..Applied::default() });
    assert_ne!(flow.ask().expect("an answer").by, "c0");
    assert_eq!(served.ask().expect("an answer"), by, "one that is served stays");
    assert!(world.apply_on(0).await.is_nothing());
}

/// `nft` once took such a port for one of TCP. The table is written as a whole, then changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_udp_alone_comes_and_changes() {
    let mut world = World::new(2).await;
    for machine in [0, 1, 1] {
        world.task(machine);
    }
    for tasks in [&[0, 1, 2][..], &[1, 2], &[], &[0]] {
        world.publish(tasks);
        world.published.retain(|(protocol, _), _| *protocol == Udp);
        world.apply().await;
        for to in ["192.168.7.1", "fd77::1"] {
            let asked = Flow::open(&world.client, to).ask();
            match tasks {
                [] => assert_eq!(asked.expect_err("nobody").kind(), ErrorKind::ConnectionRefused),
                _ => drop(asked.expect("an answer")),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_others_are_not_read_for_a_backend_that_goes() {
    const OTHERS: u16 = 2000;
    let mut world = served().await;
    inside(&world.machines[0].own.space, || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for port in 1..=OTHERS {
            socket.send_to(b"?", ("192.168.7.100", port)).expect("sent");
        }
        let socket = UdpSocket::bind("[::]:0").expect("a socket");
        for port in 1..=OTHERS {
            socket.send_to(b"?", ("fd77::100", port)).expect("sent");
        }
    });
    let tracked =
        within(&world.machines[0].own.space, "sysctl -n net.netfilter.nf_conntrack_count");
    let tracked: u16 = tracked.trim().parse().expect("a number");
    assert!(tracked >= 2 * OTHERS, "{tracked}");
    for to in ["192.168.7.1", "fd77::1"] {
        world.publish(&[1]);
        world.apply().await;
        let flow = Flow::open(&world.client, to);
        flow.ask().expect("an answer");
        world.publish(&[2]);
        let applied = world.apply_on(0).await;
        assert_eq!(applied.flows, 1, "{applied:?}");
        assert!(applied.flows_read < 20, "{applied:?}");
        assert_eq!(flow.ask().expect("an answer").by, "c2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_moves_on_the_bridge_takes_its_flows_along() {
    let mut world = served().await;
    world.publish(&[1]);
    world.apply().await;
    let flow = Flow::open(&world.client, "192.168.7.1");
    flow.ask().expect("an answer");
    // Its ingress address is now another's.
    let moved = world.tasks[2].local;
    world.tasks[1].local = moved;
    world.tasks.pop();
    let applied = world.apply_on(1).await;
    assert_eq!(applied.flows, 1, "{applied:?}");
    assert_eq!(flow.ask().expect("an answer").by, "c2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_answered_tries_another_end() {
    let mut world = served().await;
    let silent = &world.tasks[1].container.space;
    within(silent, "nft add table inet deaf");
    within(
        silent,
        "nft add chain inet deaf in { type filter hook input priority 0 ; policy drop ; }",
    );
    world.publish(&[1]);
    world.apply().await;
    let client = world.client.clone();
    let asked = std::thread::spawn(move || {
        let to = "192.168.7.1:80".parse().expect("an address");
        super::super::world::inside(&client.space, || {
            std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(8))
        })
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    world.publish(&[0]);
    let applied = world.apply_on(0).await;
    assert_eq!(applied.flows, 1, "{applied:?}");
    asked.join().expect("done").expect("a connection");
}
