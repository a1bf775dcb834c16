//! What others do to the kernel is seen, said and made good.

use swarmw_overlay::Ports;

use super::super::peers::ask_often;
use super::super::world::within;
use super::world::World;

async fn served() -> World {
    let mut world = World::new(2).await;
    world.task(0);
    world.task(1);
    world.publish(&[0, 1]);
    world.apply().await;
    world
}

/// Does harm on the first machine; it is seen, said so, and made good.
async fn healed(world: &World, harm: &str, said: &str) {
    within(world.machine(0), harm);
    let ports = &world.machines[0].ports;
    let drifts: Vec<_> = ports.check().await.expect(harm).iter().map(|d| d.to_string()).collect();
    assert!(drifts.iter().any(|d| d == said), "{harm}: no {said:?} in {drifts:#?}");
    let (repaired, applied) = ports.repair().await.expect(harm);
    assert_eq!(repaired.len(), drifts.len(), "{harm}");
    assert!(!applied.is_nothing(), "{harm}");
    assert_eq!(ports.check().await.expect(harm), [], "{harm}");
    for to in ["192.168.7.1", "fd77::1"] {
        let answers = ask_often(&world.client, to, 4);
        assert_eq!(answers.into_values().collect::<Vec<_>>(), [2, 2], "{harm}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_between_nodes_comes_back() {
    let world = served().await;
    assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
    for (harm, said) in [
        ("ip link del swingress", "device swingress is missing"),
        ("ip link set swingress down", "device swingress is down"),
        ("ip link set swingress mtu 1300", "device swingress has MTU 1300, not 1450"),
        (
            "ip route del 10.0.0.11 table 1398734848",
            "route to 10.0.0.11 of table 0x535f0000 is missing",
        ),
        (
            "ip route replace 10.0.0.11 dev eth0 table 1398734848",
            "route to 10.0.0.11 of table 0x535f0000 leads to eth0, not to swingress via \
             fe80::5357:2",
        ),
        (
            "ip route add 10.0.0.77 dev eth0 table 1398734848",
            "route to 10.0.0.77 of table 0x535f0000 is too much: it leads to eth0",
        ),
        ("ip -6 route del fd53:5700::a00:b", "route to fd53:5700::a00:b is missing"),
        (
            "ip route add 10.0.0.77 dev swingress",
            "route to 10.0.0.77 is too much: it leads to swingress",
        ),
        (
            "ip neigh del fe80::5357:2 dev swingress",
            "neighbour fe80::5357:2 on swingress is missing",
        ),
        (
            "bridge fdb del 02:53:57:00:00:02 dev swingress self",
            "forwarding entry 02:53:57:00:00:02 to 192.168.7.2 on swingress is missing",
        ),
        (
            "ip rule del pref 5357 fwmark 0x53570000/0xffff0000",
            "routing rule 5357 for mark 0x53570000/0xffff0000 from docker_gwbridge to rule 53570 \
             is missing",
        ),
        (
            "ip rule del pref 5358",
            "routing rule 5358 for mark 0x535f0000/0xffff0000 to table 0x535f0000 is missing",
        ),
        (
            "ip rule del pref 5359",
            "routing rule 5359 for mark 0x535f0000/0xffff0000 to what follows is missing",
        ),
        (
            "ip rule del pref 5357 fwmark 0x535f0000/0xffff0000",
            "routing rule 5357 for mark 0x535f0000/0xffff0000 from swingress to rule 5359 is \
             missing",
        ),
        (
            "ip -6 rule del pref 53570",
            "routing rule 53570 of IPv6 for mark 0x53570002 to table 0x53570002 is missing",
        ),
        (
            "ip rule add pref 5357 fwmark 0x53570009 lookup 9",
            "routing rule 5357 for mark 0x53570009 to table 0x9 is too much",
        ),
        ("ip route flush table 1398210562", "table 0x53570002 does not lead back to fe80::5357:2"),
        (
            "ip -6 route flush table 1398210562",
            "table 0x53570002 of IPv6 does not lead back to fe80::5357:2",
        ),
        (
            "ip route replace default dev eth0 table 1398210562",
            "table 0x53570002 does not lead back to fe80::5357:2",
        ),
        ("sysctl -qw net.ipv4.ip_forward=0", "setting net.ipv4.ip_forward is 0, not 1"),
        (
            "sysctl -qw net.ipv4.conf.docker_gwbridge.route_localnet=0",
            "setting net.ipv4.conf.docker_gwbridge.route_localnet is 0, not 1",
        ),
        (
            "sysctl -qw net.ipv4.conf.swingress.src_valid_mark=0",
            "setting net.ipv4.conf.swingress.src_valid_mark is 0, not 1",
        ),
    ] {
        healed(&world, harm, said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nftables_come_back() {
    let world = served().await;
    for (harm, said) in [
        ("nft delete table inet swarmw_ports", "table inet swarmw_ports of nftables is missing"),
        (
            "nft flush chain inet swarmw_ports arrive-nodes",
            "rule \"a connection by another node\" of chain arrive-nodes of nftables is missing",
        ),
        (
            "nft delete element inet swarmw_ports there4 { 10.0.0.11 }",
            "10.0.0.11 of there4 of nftables is missing",
        ),
        ("nft chain inet swarmw_ports apart { policy drop ; }", "a rule of nftables was changed"),
        (
            "nft flush chain inet swarmw_ports tcp-80 ; add rule inet swarmw_ports tcp-80 \
             meta mark set 0x535f0000 dnat ip to tcp dport . numgen random mod 2 map @tcp4 \
             comment \"2\"",
            "port 80/tcp is not served as it should be",
        ),
        ("nft flush chain inet swarmw_ports tcp-80", "port 80/tcp is not served as it should be"),
        (
            "nft delete element inet swarmw_ports tcp4 { 80 . 1 }",
            "port 80/tcp is not served as it should be",
        ),
        (
            "nft add element inet swarmw_ports tcp6 { 80 . 7 : fd00::9 . 80 }",
            "80 . 7 : fd00::9 . 80 of tcp6 of nftables is too much",
        ),
        (
            "nft delete element inet swarmw_ports here4 { 10.0.0.10 }",
            "10.0.0.10 172.18.0.5 of here4 of nftables is missing",
        ),
        ("nft add element inet swarmw_ports refused4 { tcp . 22 }", "port 22/tcp is too much"),
        (
            "nft delete element inet swarmw_ports entries { 02:53:57:00:00:02 }",
            "02:53:57:00:00:02 1398210562 of entries of nftables is missing",
        ),
        ("nft add chain inet swarmw_ports mine", "chain mine of nftables is too much"),
    ] {
        healed(&world, harm, said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_was_changed_while_no_process_was_there_is_written_anew() {
    let mut world = served().await;
    let settings = world.machines[0].settings.clone();
    for harm in [
        "nft flush chain inet swarmw_ports lead-own ; add rule inet swarmw_ports lead-own \
         drop comment \"from this machine to a task elsewhere\"",
        "nft chain inet swarmw_ports apart { policy drop ; }",
    ] {
        within(world.machine(0), harm);
        world.machines[0].ports = Ports::open(settings.clone()).await.expect("opened");
        let applied = world.apply_on(0).await;
        assert_eq!(applied.tables, 1, "{harm}: {applied:?}");
        let answers = ask_often(&world.machines[0].own, "192.168.7.1", 4);
        assert_eq!(answers.into_values().collect::<Vec<_>>(), [2, 2], "{harm}");
        assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
        // What was written is known to the next one.
        world.machines[0].ports = Ports::open(settings.clone()).await.expect("opened");
        let applied = world.apply_on(0).await;
        assert!(applied.is_nothing(), "{harm}: {applied:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_firewall_is_told_again() {
    let world = served().await;
    for (harm, said) in [
        (
            "iptables -D DOCKER-USER -j SWARMW-PORTS",
            "chain DOCKER-USER of iptables does not lead to SWARMW-PORTS",
        ),
        (
            "ip6tables -F DOCKER-USER",
            "chain DOCKER-USER of ip6tables does not lead to SWARMW-PORTS",
        ),
        ("iptables -D SWARMW-PORTS 2", "chain SWARMW-PORTS of iptables is not as it should be"),
        ("iptables -A FORWARD -j SWARMW-PORTS", "chain FORWARD of iptables leads to SWARMW-PORTS"),
        // A user's rule that comes later is before ours.
        ("iptables -I DOCKER-USER 2 -j RETURN", "nothing"),
    ] {
        if said == "nothing" {
            within(world.machine(0), harm);
            assert_eq!(world.machines[0].ports.check().await.expect("checked"), []);
        } else {
            healed(&world, harm, said).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_rule_of_the_engines_firewall_comes_first() {
    let world = served().await;
    let space = world.machine(0);
    within(space, "iptables -I DOCKER-USER -s 192.168.7.100 -j DROP");
    super::super::peers::ask(&world.client, "192.168.7.1").expect_err("the user's rule");
    within(space, "iptables -D DOCKER-USER -s 192.168.7.100 -j DROP");
    super::super::peers::ask(&world.client, "192.168.7.1").expect("an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_comes_later_is_told_in_its_own_chain() {
    let world = served().await;
    let space = world.machine(0);
    let ports = &world.machines[0].ports;
    for words in ["-D FORWARD -j DOCKER-USER", "-F DOCKER-USER", "-X DOCKER-USER"] {
        within(space, &format!("iptables {words}"));
    }
    ports.repair().await.expect("repaired");
    assert!(within(space, "iptables -S FORWARD").contains("-A FORWARD -j SWARMW-PORTS"));
    within(space, "iptables -N DOCKER-USER");
    within(space, "iptables -I FORWARD -j DOCKER-USER");
    ports.repair().await.expect("repaired");
    assert!(!within(space, "iptables -S FORWARD").contains("SWARMW-PORTS"));
    let answers = ask_often(&world.client, "192.168.7.1", 4);
    assert_eq!(answers.into_values().collect::<Vec<_>>(), [2, 2]);
}
