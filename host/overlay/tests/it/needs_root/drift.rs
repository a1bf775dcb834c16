//! What others do to the kernel is seen, said and made good.

use std::path::Path;

use swarmw_overlay::{ContainerEnd, Drift};

use super::peers::{ask, ask_often, serve};
use super::world::{World, ip, path, within};

async fn served() -> World {
    let mut world = World::new(2).await;
    let web = world.network(4097, &["10.0.1.0/24", "fd00:1::/64"]);
    world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    for (machine, address) in [(0, "10.0.1.10"), (1, "10.0.1.11")] {
        let server = world.container(machine, web, &[address]).await;
        serve(&world.containers[server]);
    }
    world.balance(web, "10.0.1.2", &[1, 2]);
    world.apply().await;
    world
}

/// Does harm in the router of the first machine; it is seen, said so, and made good.
async fn healed(world: &World, harm: &str, said: &[&str]) {
    within(world.router(0), harm);
    made_good(world, harm, said).await;
}

async fn made_good(world: &World, harm: &str, said: &[&str]) {
    let overlay = &world.machines[0].overlay;
    let drifts: Vec<_> = overlay.check().await.expect(harm).iter().map(|d| d.to_string()).collect();
    for sentence in said {
        assert!(drifts.iter().any(|d| d == sentence), "{harm}: no {sentence:?} in {drifts:#?}");
    }
    let (repaired, applied) = overlay.repair().await.expect(harm);
    assert_eq!(repaired.len(), drifts.len(), "{harm}");
    assert!(!applied.is_nothing(), "{harm}");
    let left = overlay.check().await.expect(harm);
    assert_eq!(left, [], "{harm}");
    let answers = ask_often(&world.containers[0], "10.0.1.2", 4);
    assert_eq!(answers.into_values().collect::<Vec<_>>(), [2, 2], "{harm}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_neighbours_and_addresses_come_back() {
    let world = served().await;
    assert_eq!(world.machines[0].overlay.check().await.expect("checked"), []);
    for (harm, said) in [
        ("ip route del 10.0.1.11", "route to 10.0.1.11 is missing"),
        ("ip route del 10.0.1.10", "route to 10.0.1.10 is missing"),
        ("ip -6 route del fd00:1::5", "route to fd00:1::5 is missing"),
        ("ip route del unreachable 10.0.1.0/24", "route to 10.0.1.0/24 is missing"),
        (
            "ip route replace 10.0.1.11 dev sw0",
            "route to 10.0.1.11 leads to sw0, not to vx4097 via fe80::5357:2",
        ),
        ("ip route add 10.0.1.66 dev sw0", "route to 10.0.1.66 is too much: it leads to sw0"),
        ("ip route add default dev sw0", "route to 0.0.0.0/0 is too much: it leads to sw0"),
        ("ip neigh del fe80::5357:2 dev vx4097", "neighbour fe80::5357:2 on vx4097 is missing"),
        (
            "ip neigh replace fe80::5357:2 lladdr 02:00:00:00:00:09 dev vx4097 nud permanent",
            "neighbour fe80::5357:2 on vx4097 is 02:00:00:00:00:09, not 02:53:57:00:00:02",
        ),
        (
            "bridge fdb del 02:53:57:00:00:02 dev vx4097 self",
            "forwarding entry 02:53:57:00:00:02 to 192.168.7.2 on vx4097 is missing",
        ),
        (
            "bridge fdb replace 02:53:57:00:00:02 dev vx4097 dst 192.168.7.9 self permanent",
            "forwarding entry 02:53:57:00:00:02 on vx4097 leads to 192.168.7.9, not 192.168.7.2",
        ),
        (
            "bridge fdb append 00:00:00:00:00:00 dev vx4097 dst 192.168.7.9 self permanent",
            "forwarding entry 00:00:00:00:00:00 to 192.168.7.9 on vx4097 is too much",
        ),
        ("ip addr del 10.0.1.1/32 dev sw0", "address 10.0.1.1 on sw0 is missing"),
        ("ip addr add 10.0.1.3/32 dev sw0", "address 10.0.1.3 on sw0 is too much"),
    ] {
        healed(&world, harm, &[said]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_settings_come_back() {
    let world = served().await;
    for (harm, said) in [
        ("ip link del vx4097", "device vx4097 is missing"),
        ("ip link set vx4097 down", "device vx4097 is down"),
        ("ip link set vx4097 mtu 1300", "device vx4097 has MTU 1300, not 1450"),
        ("ip link set vx4097 group 5", "device vx4097 is of group 5, not 4097"),
        (
            "ip link set vx4097 address 02:00:00:00:00:09",
            "device vx4097 has link-layer address 02:00:00:00:00:09, not 02:53:57:00:00:01",
        ),
        ("ip link set sw0 down", "device sw0 is down"),
        ("ip link set sw1 group 0", "device sw1 is of group 0, not 4097"),
        ("sysctl -qw net.ipv4.ip_forward=0", "setting net.ipv4.ip_forward is 0, not 1"),
        (
            "sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0",
            "setting net.netfilter.nf_conntrack_tcp_be_liberal is 0, not 1",
        ),
    ] {
        healed(&world, harm, &[said]).await;
    }
    // Another in its place.
    within(world.router(0), "ip link del vx4097");
    let local = "local 192.168.7.1 dstport 4789 learning";
    let host = &world.machines[0].space;
    let router = world.router(0);
    ip(&format!("-n {host} link add vx4097 netns {router} type vxlan id 4097 {local}"));
    let said = "device vx4097 is too much: VXLAN 4097 of 192.168.7.1 port 4789 that learns";
    made_good(&world, "another vxlan", &[said]).await;
    ip(&format!("-n {host} link add vx9 netns {router} type vxlan id 9 {local}"));
    let said = "device vx9 is too much: VXLAN 9 of 192.168.7.1 port 4789 that learns";
    made_good(&world, "one more vxlan", &[said]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nftables_come_back() {
    let world = served().await;
    for (harm, said) in [
        ("nft delete table inet swarmw", "table inet swarmw of nftables is missing"),
        ("nft flush ruleset", "table inet swarmw of nftables is missing"),
        (
            "nft flush chain inet swarmw hairpin",
            "rule \"is answered by way of its gateway\" of chain hairpin of nftables is missing",
        ),
        (
            "nft add rule inet swarmw apart counter accept",
            "rule \"without comment\" of chain apart of nftables is too much",
        ),
        ("nft chain inet swarmw apart { policy accept ; }", "a rule of nftables was changed"),
        (
            "nft flush chain inet swarmw to-10.0.1.2",
            "connections to 10.0.1.2 are not balanced as they should be",
        ),
        (
            "nft flush chain inet swarmw to-10.0.1.2 ; add rule inet swarmw to-10.0.1.2 drop \
             comment \"2\"",
            "connections to 10.0.1.2 are not balanced as they should be",
        ),
        (
            "nft flush chain inet swarmw to-10.0.1.2 ; add rule inet swarmw to-10.0.1.2 \
             dnat ip to ip daddr . numgen inc mod 1 map @backends4 comment \"2\"",
            "connections to 10.0.1.2 are not balanced as they should be",
        ),
        (
            "nft delete element inet swarmw backends4 { 10.0.1.2 . 1 }",
            "turn 1 of 2 of 10.0.1.2 has no backend",
        ),
        (
            "nft add element inet swarmw backends4 { 10.0.1.2 . 7 : 10.0.1.9 }",
            "10.0.1.2 . 7 : 10.0.1.9 of backends4 of nftables is too much",
        ),
        (
            "nft delete element inet swarmw virtual4 { 4097 . 10.0.1.2 }",
            "virtual address 10.0.1.2 is missing",
        ),
        (
            "nft add element inet swarmw virtual4 { 4097 . 10.0.1.9 }",
            "virtual address 10.0.1.9 is too much",
        ),
        (
            "nft delete element inet swarmw turns4 { 4097 . 10.0.1.2 }",
            "connections to 10.0.1.2 are not balanced",
        ),
        (
            "nft delete element inet swarmw together { 4097 . 4097 }",
            "network number 4097 is not forwarded",
        ),
        (
            "nft add element inet swarmw together { 4097 . 5 }",
            "4097 . 5 of together of nftables is too much",
        ),
        ("nft add chain inet swarmw mine", "chain mine of nftables is too much"),
    ] {
        let said = if harm.contains("virtual4 { 4097 . 10.0.1.2 }") {
            // Its other parts are left over.
            "4097 . 10.0.1.2 : goto to-10.0.1.2 of turns4 of nftables is too much"
        } else {
            said
        };
        healed(&world, harm, &[said]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_another_release_are_written_anew() {
    let world = served().await;
    let chains = within(world.router(0), "nft list chains inet");
    let edition = chains.split_whitespace().find(|word| word.starts_with("rules-"));
    let edition = edition.expect("the table says whose rules it has");
    // As the other release left it, before this process begins.
    let other = "rename chain inet swarmw";
    within(world.router(0), &format!("nft {other} {edition} rules-0123456789abcdef"));
    let settings = world.machines[0].settings.clone();
    let overlay = swarmw_overlay::Overlay::open(settings).await.expect("opened");
    let applied = overlay.apply(world.desired(0)).await.expect("applied");
    assert_eq!(applied.tables, 1, "{applied:?}");
    let applied = overlay.apply(world.desired(0)).await.expect("applied");
    assert!(applied.is_nothing(), "{applied:?}");
    assert!(within(world.router(0), "nft list chains inet").contains(edition));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_was_changed_while_no_process_was_there_is_written_anew() {
    let world = served().await;
    let settings = world.machines[0].settings.clone();
    let open = || async { swarmw_overlay::Overlay::open(settings.clone()).await.expect("opened") };
    within(
        world.router(0),
        "nft flush chain inet swarmw hairpin ; add rule inet swarmw hairpin \
         drop comment \"is answered by way of its gateway\"",
    );
    let overlay = open().await;
    let applied = overlay.apply(world.desired(0)).await.expect("applied");
    assert_eq!(applied.tables, 1, "{applied:?}");
    assert!(within(world.router(0), "nft list chain inet swarmw hairpin").contains("masquerade"));
    let answers = ask_often(&world.containers[0], "10.0.1.2", 4);
    assert_eq!(answers.into_values().collect::<Vec<_>>(), [2, 2]);
    // What was written is known to the next one.
    let applied = open().await.apply(world.desired(0)).await.expect("applied");
    assert!(applied.is_nothing(), "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_lost_its_name_gets_it_back_with_all_that_is_in_it() {
    let world = served().await;
    let path = world.machines[0].settings.path();
    let said = format!("namespace {} is missing", path.display());
    ip(&format!("netns del {}", world.router(0)));
    made_good(&world, "netns del", &[&said]).await;
    ip(&format!("netns del {}", world.router(0)));
    ip(&format!("netns add {}", world.router(0)));
    made_good(&world, "another netns", &[&said]).await;
    assert!(within(world.router(0), "ip link").contains("vx4097"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_a_container_is_lost_and_keeps_nothing_else_from_repair() {
    let world = served().await;
    within(world.router(0), "ip link del sw1");
    within(world.router(0), "ip route del 10.0.1.11");
    let overlay = &world.machines[0].overlay;
    let (drifts, applied) = overlay.repair().await.expect("repaired");
    let said: Vec<_> = drifts.iter().map(|d| (d.to_string(), d.is_repairable())).collect();
    let lost = "the link sw1 of a container is missing";
    let route = "route to 10.0.1.11 is missing";
    assert_eq!(said, [(route.to_owned(), true), (lost.to_owned(), false)]);
    assert_eq!((applied.routes, applied.lost.len()), (1, 1), "{applied:?}");
    let (drifts, applied) = overlay.repair().await.expect("repaired");
    assert_eq!(drifts.len(), 1);
    assert!(applied.is_nothing(), "{applied:?}");
    // Nor from changes.
    let applied = world.apply_on(0).await;
    assert_eq!((applied.is_nothing(), applied.lost.len()), (true, 1), "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_a_container_is_made_anew() {
    let world = served().await;
    let overlay = &world.machines[0].overlay;
    let client = &world.containers[0];
    within(world.router(0), &format!("ip link del {}", client.veth));
    let (drifts, _) = overlay.repair().await.expect("repaired");
    let lost: Vec<_> = drifts.iter().filter_map(Drift::link).collect();
    assert_eq!(lost, [&client.veth]);
    ask(client, "10.0.1.2").expect_err("nothing leads to it");

    let desired = world.desired(0);
    let network = desired.networks.values().next().expect("its network");
    let sandbox = path(&client.space);
    let addresses = ["10.0.1.5/24", "fd00:1::5/64"].map(|text| text.parse().expect("one"));
    let mac = Some([0x02, 0x42, 0x0a, 0, 1, 5]);
    let inside = ContainerEnd { sandbox: &sandbox, prefix: "eth", addresses: &addresses, mac };
    // A second time there is nothing to do.
    for _ in 0..2 {
        overlay.relink(&client.veth, network, desired.address, &inside).await.expect("linked");
    }
    overlay.repair().await.expect("repaired");
    assert_eq!(overlay.check().await.expect("checked"), []);
    let answers = ask_often(client, "10.0.1.2", 4);
    assert_eq!(answers.into_values().collect::<Vec<_>>(), [2, 2]);
    let links = within(&client.space, "ip link");
    assert!(links.contains("02:42:0a:00:01:05"), "{links}");
    assert_eq!(links.matches(": eth").count(), 1, "{links}");

    // One that has ended gets none.
    let gone = ContainerEnd { sandbox: Path::new("/nowhere"), ..inside };
    within(world.router(0), &format!("ip link del {}", client.veth));
    let refused = overlay.relink(&client.veth, network, desired.address, &gone).await;
    refused.expect_err("it is no namespace");
    let links = within(world.router(0), "ip link");
    assert!(!links.contains(&client.veth.0), "{links}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_the_other_family_is_said_to_be_out_of_reach() {
    let mut world = served().await;
    world.machines[1].address = "fd77::2".parse().expect("an address");
    let applied = world.apply_on(0).await;
    let said: Vec<_> = applied.lost.iter().map(|drift| drift.to_string()).collect();
    assert_eq!(
        said,
        ["node 2 cannot be reached: its data path address is fd77::2, this node's is \
          192.168.7.1, and both must be of one family"]
    );
}
