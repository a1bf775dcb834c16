use swarmw_model::NodeId;
use swarmw_model::PortProtocol::{Tcp, Udp};

use super::*;
use crate::ports::{Local, PublishedEnds, Remote};

/// Node 1 of three; tasks 10.0.0.11 here, 10.0.0.12 and 13 on the nodes of their numbers.
fn desired() -> DesiredPorts {
    let address = |number: u8| IpAddr::from([192, 168, 7, number]);
    let local = Local {
        v4: Some(Ipv4Addr::new(172, 18, 0, 5)),
        v6: Some("fd18::5".parse().expect("an address")),
    };
    let remote = |node| (task(node), Remote { node: u16::from(node), v4: true, v6: node == 2 });
    DesiredPorts {
        node: NodeId::from_bits(1),
        number: 1,
        address: address(1),
        port: 4789,
        vni: 4096,
        bridge: "docker_gwbridge".to_owned(),
        peers: [(1, address(1)), (2, address(2)), (3, address(3))].into(),
        nodes: BTreeMap::new(),
        here: [(task(1), local)].into(),
        elsewhere: vec![remote(2), remote(3)].into(),
        ports: vec![((Tcp, 8080), served_by(&[1, 2, 3]))].into(),
    }
}

fn task(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 10 + number)
}

fn served_by(tasks: &[u8]) -> PublishedEnds {
    let backends = tasks.iter().map(|number| (task(*number), 80)).collect();
    PublishedEnds { backends, ..PublishedEnds::default() }
}

fn table(desired: &DesiredPorts, found: &Table) -> Table {
    Table::of(desired, found, false)
}

fn slots(table: &Table, v6: bool) -> Vec<String> {
    let turns = &table.ports[&Key { protocol: 6, port: 8080, v6 }];
    turns.slots.iter().map(|(end, _)| end.to_string()).collect()
}

#[test]
fn a_task_here_is_reached_on_the_bridge_and_one_elsewhere_by_its_ingress_address() {
    let table = table(&desired(), &Table::default());
    let mut four = slots(&table, false);
    four.sort();
    assert_eq!(four, ["10.0.0.12", "10.0.0.13", "172.18.0.5"]);
    // The third node has no IPv6 for containers.
    let mut six = slots(&table, true);
    six.sort();
    assert_eq!(six, ["fd18::5", "fd53:5700::a00:c"]);
}

#[test]
fn a_task_that_no_way_leads_to_takes_no_connections() {
    let mut desired = desired();
    desired.peers.remove(&3);
    desired.here.insert(task(1), Local::default());
    desired.ports.insert((Tcp, 8080), served_by(&[1, 2, 3, 9]));
    assert_eq!(slots(&table(&desired, &Table::default()), false), ["10.0.0.12"]);
}

#[test]
fn one_backend_less_is_a_slot_and_the_count() {
    let mut desired = desired();
    desired.ports.insert((Udp, 53), served_by(&[2]));
    let before = table(&desired, &Table::default());
    assert_eq!(slots(&before, false), ["10.0.0.13", "172.18.0.5", "10.0.0.12"]);
    desired.ports.insert((Tcp, 8080), served_by(&[1, 2]));
    let after = table(&desired, &before);
    let wanted = "\
flush chain inet swarmw_ports tcp-8080
add rule inet swarmw_ports tcp-8080 meta mark set 0x535f0000 dnat ip to tcp dport . numgen inc mod 2 map @tcp4 comment \"2\"
delete element inet swarmw_ports tcp4 { 8080 . 0, 8080 . 2 }
add element inet swarmw_ports tcp4 { 8080 . 0 : 10.0.0.12 . 80 }
";
    let change = after.change_from(&before);
    assert_eq!(change.text, wanted);
    assert_eq!((change.chains, change.elements), (1, 3));
    assert!(table(&desired, &after).change_from(&after).is_empty());
    let end = "10.0.0.13".parse().expect("an address");
    let gone = Gone::Port { protocol: 6, port: 8080, end, target: 80 };
    assert_eq!(Table::gone(&before, &after), [gone].into());
}

#[test]
fn a_port_without_backends_is_refused_or_left_to_user_space() {
    let mut desired = desired();
    let before = table(&desired, &Table::default());
    desired.ports.insert((Tcp, 8080), PublishedEnds::default());
    let refused = table(&desired, &before);
    let text = refused.change_from(&before).text;
    assert!(text.contains("add element inet swarmw_ports refused4 { 6 . 8080 }"), "{text}");
    assert!(text.contains("add element inet swarmw_ports refused6 { 6 . 8080 }"), "{text}");
    assert!(text.ends_with("delete chain inet swarmw_ports tcp-8080-6\n"), "{text}");

    let left = PublishedEnds { user_space: true, ..PublishedEnds::default() };
    desired.ports.insert((Tcp, 8080), left);
    assert!(table(&desired, &refused).ports.is_empty());

    // The family that nobody serves, when the other is served.
    desired.ports.insert((Tcp, 8080), served_by(&[3]));
    let keys: Vec<_> = table(&desired, &refused).ports.into_keys().collect();
    assert_eq!(keys, [Key { protocol: 6, port: 8080, v6: false }]);
}

#[test]
fn a_port_is_refused_no_more_before_the_ways_to_its_tasks_are_made() {
    let mut desired = desired();
    desired.ports.insert((Udp, 53), PublishedEnds::default());
    desired.ports.insert((Tcp, 8080), PublishedEnds::default());
    let refused = table(&desired, &Table::default());
    desired.ports.insert((Tcp, 8080), served_by(&[2]));
    let served = table(&desired, &refused);
    let begun = refused.freed_for(&served);
    let wanted = "\
delete element inet swarmw_ports refused4 { 6 . 8080 }
delete element inet swarmw_ports refused6 { 6 . 8080 }
";
    assert_eq!(begun.change_from(&refused).text, wanted, "the other is refused on");
    let text = served.change_from(&begun).text;
    assert!(text.contains("tcp-8080") && !text.contains("refused"), "{text}");
    assert!(served.freed_for(&refused).change_from(&served).is_empty(), "who is led is led on");
    // And where nothing is there yet.
    assert!(served.without_ports().whole().text.contains("10.0.0.12"));
    assert!(!served.without_ports().whole().text.contains("tcp-8080"));
}

#[test]
fn until_ways_are_made_those_who_stay_are_led_to_and_those_who_went_are_not() {
    let mut desired = desired();
    desired.ports.insert((Udp, 53), served_by(&[3]));
    let before = table(&desired, &Table::default());
    let four = Remote { node: 2, v4: true, v6: true };
    desired.elsewhere.insert(task(4), four);
    desired.ports.insert((Tcp, 8080), served_by(&[1, 4]));
    desired.ports.insert((Udp, 53), served_by(&[4]));
    let after = table(&desired, &before);
    let begun = before.clone().without_gone(&after);
    assert_eq!(slots(&begun, false), ["172.18.0.5"]);
    assert_eq!(slots(&begun, true), ["fd18::5"]);
    assert_eq!(begun.ports.len(), 2, "the other has nobody yet: it is left to user space");
    assert!(after.clone().without_gone(&after).change_from(&after).is_empty());
}

#[test]
fn a_task_that_goes_takes_its_flows_with_it() {
    let mut desired = desired();
    let before = table(&desired, &Table::default());
    desired.here.clear();
    desired.ports.clear();
    let after = table(&desired, &before);
    let pair = |to: &str, by: &str| Gone::Pair {
        to: to.parse().expect("an address"),
        by: by.parse().expect("an address"),
    };
    let gone = Table::gone(&before, &after);
    assert!(gone.contains(&pair("10.0.0.11", "172.18.0.5")), "{gone:?}");
    assert!(gone.contains(&pair("fd53:5700::a00:b", "fd18::5")), "{gone:?}");
    // And five backends of both families.
    assert_eq!(gone.len(), 2 + 5);
}

#[test]
fn a_service_that_wants_it_is_masked() {
    let mut desired = desired();
    let before = table(&desired, &Table::default());
    let wants = PublishedEnds { snat: true, ..served_by(&[1, 2, 3]) };
    desired.ports.insert((Tcp, 8080), wants);
    let change = table(&desired, &before).change_from(&before);
    assert!(change.text.contains("meta mark set 0x535f0001 dnat ip to"), "{}", change.text);
    assert_eq!(change.chains, 2, "of both families");
}

#[test]
fn a_table_of_other_rules_is_known_by_its_name() {
    let mut desired = desired();
    let one = Fixed::of(&desired);
    desired.bridge = "docker_gwbridge2".to_owned();
    let other = Fixed::of(&desired);
    let listing = r#"{"nftables": []}"#;
    let last = |fixed: &Fixed| {
        let broken = list(listing, fixed).expect("a listing").broken;
        broken.into_iter().rfind(|said| said.contains("made-")).expect("it")
    };
    assert_ne!(last(&one), last(&other));
}

#[test]
fn a_listing_that_is_none_is_refused() {
    let fixed = Fixed::of(&desired());
    for listing in ["", "{}", "[]", r#"{"nftables": [{"set": {"name": "a", "elem": [[7]]}}]}"#] {
        list(listing, &fixed).map(|listed| listed.broken).expect_err(listing);
    }
}
