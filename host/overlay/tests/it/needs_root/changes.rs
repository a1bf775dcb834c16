//! What changes touch, and what they leave.

use std::io::ErrorKind;

use swarmw_overlay::{Applied, Overlay, extend};

use super::peers::{Connection, Flow, ask, by, serve};
use super::world::{Container, World, path, pool, within};

/// A client and three servers on two machines.
async fn served() -> World {
    let mut world = World::new(2).await;
    let web = world.network(4097, &["10.0.1.0/24"]);
    world.container(0, web, &["10.0.1.5"]).await;
    for (machine, address) in [(0, "10.0.1.10"), (1, "10.0.1.11"), (1, "10.0.1.12")] {
        let server = world.container(machine, web, &[address]).await;
        serve(&world.containers[server]);
    }
    world.balance(web, "10.0.1.2", &[1, 2, 3]);
    world.apply().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_already_is_left() {
    let mut world = served().await;
    for applied in world.apply().await {
        assert!(applied.is_nothing(), "{applied:?}");
    }
    // Another order is no change.
    let backends = world.networks[0].balanced.values_mut().next().expect("one");
    backends.reverse();
    for applied in world.apply().await {
        assert!(applied.is_nothing(), "{applied:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_goes_changes_its_slot_and_the_count() {
    let mut world = served().await;
    world.balance(0, "10.0.1.3", &[1, 2, 3]);
    world.apply().await;
    let client = &world.containers[0].clone();
    let mut connections: Vec<_> =
        (0..3).map(|_| Connection::open(client, "10.0.1.2").expect("a connection")).collect();
    let before: Vec<_> = connections.iter_mut().map(|c| c.ask().expect("an answer")).collect();

    world.balance(0, "10.0.1.2", &[2, 3]);
    let applied = world.apply_on(0).await;
    // One slot is gone; at most another got its backend: taken out and put in.
    // Connections to the backend that went are looked at, and left alone.
    let Applied { elements, flows_read, .. } = applied;
    assert_eq!(applied, Applied { chains: 1, elements, flows_read, ..Applied::default() });
    assert!((1..=3).contains(&applied.elements), "{applied:?}");

    let after: Vec<_> = connections.iter_mut().map(|c| c.ask().expect("an answer")).collect();
    assert_eq!(after, before, "connections stay where they are");
    let mut new: Vec<_> = (0..4).map(|_| ask(client, "10.0.1.2").expect("an answer").by).collect();
    new.sort();
    assert_eq!(new, ["c2", "c2", "c3", "c3"]);

    // And comes back.
    world.balance(0, "10.0.1.2", &[1, 2, 3]);
    let applied = world.apply_on(0).await;
    assert_eq!(applied, Applied { chains: 1, elements: 1, ..Applied::default() });

    // One for another: the count stays.
    world.balance(0, "10.0.1.3", &[1, 2]);
    world.apply().await;
    world.balance(0, "10.0.1.3", &[1, 3]);
    let applied = world.apply_on(0).await;
    let flows_read = applied.flows_read;
    assert_eq!(applied, Applied { elements: 2, flows_read, ..Applied::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_flow_goes_elsewhere_when_its_backend_goes() {
    let mut world = served().await;
    let flow = Flow::open(&world.containers[0], "10.0.1.2");
    let first = flow.ask().expect("an answer");
    assert_eq!(flow.ask().expect("an answer"), first, "a flow stays with its backend");
    let untouched = Flow::open(&world.containers[0], "10.0.1.2");
    let other = untouched.ask().expect("an answer");

    let rest: Vec<_> = (1..=3).filter(|c| world.containers[*c].name != first.by).collect();
    world.balance(0, "10.0.1.2", &rest);
    let applied = world.apply_on(0).await;
    assert_eq!(applied.flows, 1, "{applied:?}");
    assert_ne!(flow.ask().expect("an answer"), first);
    assert_eq!(untouched.ask().expect("an answer"), other);

    world.balance(0, "10.0.1.2", &[]);
    world.apply_on(0).await;
    assert_eq!(flow.ask().expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
}

/// Whoever changed the table did not come to forget the flow: here it is begun by a rule that
/// comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_udp_flow_that_an_earlier_process_should_have_forgotten_is_by_the_next() {
    let mut world = served().await;
    world.balance(0, "10.0.1.2", &[2, 3]);
    world.apply_on(0).await;
    let router = world.router(0).to_owned();
    within(&router, "nft add table ip late");
    within(&router, "nft add chain ip late pre { type nat hook prerouting priority -105 ; }");
    within(&router, "nft add rule ip late pre udp dport 80 dnat to 10.0.1.10");
    let flow = Flow::open(&world.containers[0], "10.0.1.2");
    assert_eq!(flow.ask().expect("an answer").by, "c1");
    within(&router, "nft delete table ip late");
    let served = Flow::open(&world.containers[0], "10.0.1.2");
    let by = served.ask().expect("an answer");
    let settings = world.machines[0].settings.clone();
    world.machines[0].overlay = Overlay::open(settings).await.expect("opened");
    let applied = world.apply_on(0).await;
    assert_eq!(applied, Applied { flows: 1, flows_read: applied.flows_read, ..Applied::default() });
    assert_ne!(flow.ask().expect("an answer").by, "c1");
    assert_eq!(served.ask().expect("an answer"), by, "one that is served stays");
    assert!(world.apply_on(0).await.is_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_comes_elsewhere_is_a_route_and_no_more() {
    let mut world = served().await;
    world.container(1, 0, &["10.0.1.77"]).await;
    let applied = world.apply_on(0).await;
    assert_eq!(applied, Applied { routes: 1, ..Applied::default() });
    world.containers.pop();
    let applied = world.apply_on(0).await;
    assert_eq!(applied, Applied { routes: 1, ..Applied::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_leaves_the_other() {
    let mut world = served().await;
    let other = world.network(4098, &["10.0.2.0/24"]);
    let lonely = world.container(0, other, &["10.0.2.5"]).await;
    world.balance(other, "10.0.2.2", &[lonely]);
    world.apply().await;
    let gone = world.containers.pop().expect("it");
    world.machines[0].overlay.unlink(&gone.veth).await.expect("unlinked");
    let applied = world.apply_on(0).await;
    // Its VXLAN device, and the unreachable subnet; the group, the virtual address three
    // times over.
    assert_eq!((applied.devices, applied.routes), (1, 1), "{applied:?}");
    assert_eq!((applied.chains, applied.elements), (1, 4), "{applied:?}");
    assert_eq!(world.machines[0].overlay.check().await.expect("checked"), []);
    ask(&world.containers[0], "10.0.1.2").expect("an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_grows_is_one_network() {
    let mut world = served().await;
    world.networks[0].pools.push(pool("10.9.0.0/24"));
    world.networks[0].pools.push(pool("fd00:9::/64"));
    let new = world.container(1, 0, &["10.9.0.5", "fd00:9::5"]).await;
    let applied = world.apply_on(0).await;
    assert_eq!(applied.devices, 0, "{applied:?}");
    world.apply().await;
    serve(&world.containers[new]);
    let old = world.containers[0].clone();
    ask(&old, "10.9.0.5").expect_err("a container from before knows no way yet");
    let pools = &world.networks[0].pools;
    // The second time, nothing is to be done.
    for container in [0, 0, 1] {
        let Container { space, addresses, .. } = &world.containers[container];
        extend(&path(space), pools, addresses).await.expect("extended");
    }
    assert_eq!(ask(&old, "10.9.0.5").expect("an answer"), by("c4", "10.0.1.5"));
    assert_eq!(ask(&world.containers[new], "10.0.1.10").expect("an answer").by, "c1");
    let routes = within(&old.space, "ip route");
    assert_eq!(routes.matches("10.9.0.0/24").count(), 1, "{routes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moves_is_followed() {
    let mut world = served().await;
    let space = world.machines[1].space.clone();
    super::world::ip(&format!("-n {space} address add 192.168.7.202/24 dev eth0"));
    world.machines[1].address = "192.168.7.202".parse().expect("an address");
    let applied = world.apply_on(0).await;
    assert_eq!(applied, Applied { ends: 1, ..Applied::default() });
    let applied = world.apply_on(1).await;
    assert_eq!(applied.devices, 2, "its VXLAN device is made again: {applied:?}");
    assert_eq!(ask(&world.containers[0], "10.0.1.11").expect("an answer").by, "c2");
}
