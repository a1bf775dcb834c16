//! The beginning and the end.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use swarmw_overlay::{Desired, Error, Overlay, Settings, Veth};

use super::peers::{Connection, ask, serve};
use super::world::{World, id, inside, ip, run, within};

async fn served() -> World {
    let mut world = World::new(2).await;
    let web = world.network(4097, &["10.0.1.0/24", "fd00:1::/64"]);
    world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    let server = world.container(1, web, &["10.0.1.11", "fd00:1::11"]).await;
    serve(&world.containers[server]);
    world.balance(web, "10.0.1.2", &[1]);
    world.balance(web, "10.0.1.3", &[]);
    world.balance(web, "fd00:1::2", &[1]);
    world.apply().await;
    world
}

/// Devices of a namespace that this room or the test made, by name.
fn devices(space: &str) -> Vec<String> {
    let listed = ip(&format!("-n {space} -br link"));
    let names = listed.lines().filter_map(|line| line.split(['@', ' ']).next());
    let ours = |name: &&str| ["eth", "sw", "vx"].iter().any(|kind| name.starts_with(kind));
    names.filter(ours).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_adopts_what_is_there() {
    let mut world = served().await;
    let mut connection = Connection::open(&world.containers[0], "10.0.1.2").expect("open");
    connection.ask().expect("an answer");
    for machine in &mut world.machines {
        machine.overlay = Overlay::open(machine.settings.clone()).await.expect("opened");
    }
    for applied in world.apply().await {
        assert!(applied.is_nothing(), "{applied:?}");
    }
    // Links are there as well.
    let desired = world.desired(0);
    let overlay = &world.machines[0].overlay;
    let veth = Veth("sw0".to_owned());
    overlay.link(&veth, &desired.networks[&id(0)], desired.address).await.expect("linked");
    assert!(world.apply_on(0).await.is_nothing());
    connection.ask().expect("an answer");
    assert_eq!(overlay.check().await.expect("checked"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_no_process_was_there_is_made_up_for() {
    let mut world = served().await;
    world.machines[0].overlay =
        Overlay::open(world.machines[0].settings.clone()).await.expect("opened");
    within(world.router(0), "ip route del 10.0.1.11");
    world.balance(0, "10.0.1.2", &[]);
    world.balance(0, "10.0.1.3", &[1]);
    let applied = world.apply_on(0).await;
    assert_eq!((applied.routes, applied.tables, applied.chains), (1, 0, 2), "{applied:?}");
    ask(&world.containers[0], "10.0.1.3").expect("an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_its_container_gave_back_while_no_process_was_there_goes() {
    let mut world = served().await;
    let host = world.machines[0].space.clone();
    let gone = world.container(0, 0, &["10.0.1.9"]).await;
    let gone = world.containers.remove(gone);
    world.machines[0].overlay =
        Overlay::open(world.machines[0].settings.clone()).await.expect("opened");
    world.apply_on(0).await;
    assert_eq!(world.machines[0].overlay.check().await.expect("checked"), [], "still in use");
    ip(&format!("-n {} link set eth0 netns {host} name {}", gone.space, gone.veth.other_end()));
    let (drifts, _) = world.machines[0].overlay.repair().await.expect("repaired");
    assert_eq!(drifts[0].to_string(), format!("link {} is of no container", gone.veth));
    assert_eq!(devices(&host), ["eth0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_after_the_last_network() {
    let world = served().await;
    let [first, _] = &world.machines[..] else { panic!("two") };
    let nothing = Desired { networks: Default::default(), ..world.desired(0) };
    first.overlay.apply(nothing.clone()).await.expect("applied");
    assert!(first.settings.path().exists(), "a container still has its link");
    first.overlay.unlink(&world.containers[0].veth).await.expect("unlinked");
    assert!(!first.settings.path().exists(), "{:?}", first.settings.path());
    assert_eq!(devices(&first.space), ["eth0"]);
    assert_eq!(devices(&world.containers[0].space), [""; 0]);
    let sockets = within(&first.space, "cat /proc/net/udp /proc/net/udp6");
    assert!(!sockets.contains(":12B5"), "VXLAN's port is free: {sockets}");
    // Once more.
    first.overlay.apply(nothing).await.expect("applied");
    assert_eq!(first.overlay.check().await.expect("checked"), []);

    // And from the beginning.
    let mut world = world;
    world.containers.remove(0);
    world.container(0, 0, &["10.0.1.6"]).await;
    let applied = world.apply_on(0).await;
    assert_eq!((applied.namespaces, applied.tables), (1, 1), "{applied:?}");
    world.apply_on(1).await;
    let client = world.containers.last().expect("it");
    ask(client, "10.0.1.2").expect("an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_no_network_any_more_leaves_nothing_once_its_containers_left() {
    let world = served().await;
    let first = &world.machines[0];
    first.overlay.clear().await.expect("looked");
    assert!(first.settings.path().exists(), "a container has its link");
    first.overlay.unlink(&world.containers[0].veth).await.expect("unlinked");
    assert!(first.settings.path().exists(), "its network is still wanted");
    let applied = first.overlay.clear().await.expect("cleared");
    assert_eq!(applied.namespaces, 1, "{applied:?}");
    assert!(!first.settings.path().exists());
    assert_eq!(devices(&first.space), ["eth0"]);
    assert!(first.overlay.clear().await.expect("once more").is_nothing());
    // And from the beginning.
    world.apply_on(0).await;
    assert!(first.settings.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_removes_containers_links_too() {
    let mut world = served().await;
    let machine = world.machines.remove(0);
    machine.overlay.close().await.expect("closed");
    assert!(!machine.settings.path().exists());
    assert_eq!(devices(&machine.space), ["eth0"]);
    assert_eq!(devices(&world.containers[0].space), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let mut world = World::new(1).await;
    let web = world.network(4097, &["10.0.1.0/24"]);
    world.container(0, web, &["10.0.1.5"]).await;
    let space = world.machines[0].space.clone();
    let other = inside(&space, || UdpSocket::bind("0.0.0.0:4789").expect("a socket"));
    let applied = world.apply_on(0).await;
    let said: Vec<_> = applied.failed.iter().map(|failure| failure.why.clone()).collect();
    assert_eq!(said, [Error::PortTaken { port: 4789 }.to_string()]);
    drop(other);
    world.apply().await;
    assert_eq!(world.machines[0].overlay.check().await.expect("checked"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_number_is_named_and_keeps_no_other_network_from_working() {
    let mut world = World::new(2).await;
    let taken = world.network(4097, &["10.0.1.0/24"]);
    let web = world.network(4098, &["10.0.2.0/24"]);
    world.container(0, taken, &["10.0.1.5"]).await;
    world.container(0, web, &["10.0.2.5"]).await;
    let server = world.container(1, web, &["10.0.2.11"]).await;
    serve(&world.containers[server]);
    world.balance(web, "10.0.2.2", &[server]);
    let space = world.machines[0].space.clone();
    ip(&format!("-n {space} link add theirs type vxlan id 4097 dstport 4789 local 192.168.7.1"));
    world.apply_on(1).await;

    let applied = world.apply_on(0).await;
    let veths = [0, 1].map(|container: usize| &world.containers[container].veth);
    let said = Error::NumberTaken { vni: 4097, port: 4789 }.to_string();
    assert_eq!(applied.failure_of(id(taken), veths[0]), Some(&*said), "{applied:?}");
    assert_eq!(applied.failure_of(id(web), veths[1]), None, "{applied:?}");
    ask(&world.containers[1], "10.0.2.2").expect("an answer");

    // Nor do changes wait for it, and once it is free all is well.
    world.balance(web, "10.0.2.3", &[server]);
    assert_eq!(world.apply_on(0).await.failed.len(), 1);
    ask(&world.containers[1], "10.0.2.3").expect("an answer");
    ip(&format!("-n {space} link del theirs"));
    assert_eq!(world.apply_on(0).await.failed, []);
    assert_eq!(world.machines[0].overlay.check().await.expect("checked"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_making_nobody_waited_for_is_the_one_that_is_used() {
    let mut world = World::new(1).await;
    let web = world.network(4097, &["10.0.1.0/24"]);
    world.container(0, web, &["10.0.1.5"]).await;
    let machine = &world.machines[0];
    machine.overlay.unlink(&world.containers[0].veth).await.expect("unlinked");
    let nothing = Desired { networks: Default::default(), ..world.desired(0) };
    machine.overlay.apply(nothing.clone()).await.expect("applied");
    assert!(!machine.settings.path().exists());

    let (desired, veth) = (world.desired(0), Veth("swlate".to_owned()));
    let link = || machine.overlay.link(&veth, &desired.networks[&id(web)], desired.address);
    for microseconds in (0..40).map(|step| step * 50) {
        // Dropped wherever it is by then.
        let _ = tokio::time::timeout(Duration::from_micros(microseconds), link()).await;
    }
    link().await.expect("linked");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let path = format!(" {} ", machine.settings.path().display());
    assert_eq!(mounts.lines().filter(|line| line.contains(&path)).count(), 1);

    // Another program mounts on it: nothing is left all the same.
    run(&format!("mount --bind /proc/self/ns/net {}", machine.settings.path().display()));
    machine.overlay.unlink(&veth).await.expect("unlinked");
    machine.overlay.apply(nothing).await.expect("applied");
    assert!(!machine.settings.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_on_the_node_is_named() {
    let mut world = World::new(1).await;
    let web = world.network(4097, &["10.0.1.0/24"]);
    world.container(0, web, &["10.0.1.5"]).await;
    let desired = Desired { address: "10.99.99.99".parse().expect("one"), ..world.desired(0) };
    let refused = world.machines[0].overlay.apply(desired).await.expect_err("nowhere");
    assert_eq!(
        refused.to_string(),
        "the data path address 10.99.99.99 is on no device of this node: give one that is \
         (--data-path-addr)"
    );
    let settings =
        Settings { nft: PathBuf::from("/nowhere/nft"), ..world.machines[0].settings.clone() };
    let refused = Overlay::able(&settings).await.expect_err("no nft");
    assert_eq!(
        refused.to_string(),
        "overlay networks need \"/nowhere/nft\" of nftables, which is not there: apt install \
         nftables"
    );
    Overlay::able(&world.machines[0].settings).await.expect("able");
    for name in ["", "waytoolongforadevice", "a/b"] {
        let veth = Veth(name.to_owned());
        let network = &world.desired(0).networks[&id(0)];
        let address = world.machines[0].address;
        let refused = world.machines[0].overlay.link(&veth, network, address).await;
        assert!(matches!(refused, Err(Error::Veth(_))), "{refused:?}");
    }
}
