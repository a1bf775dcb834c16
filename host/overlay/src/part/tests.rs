use swarmw_model::{NetworkId, Pool};

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn pool(subnet: &str, gateway: &str) -> Pool {
    let subnet = subnet.parse().expect("a subnet");
    Pool { subnet, range: subnet, gateway: address(gateway), auxiliary: BTreeMap::new() }
}

fn id(number: u128) -> NetworkId {
    NetworkId::from_bits(number)
}

/// Two networks, each with a container here and three on two nodes.
fn desired() -> Desired {
    let network = |number: u8| DesiredNetwork {
        vni: 4096 + u32::from(number),
        underlay_mtu: None,
        pools: vec![pool(&format!("10.0.{number}.0/24"), &format!("10.0.{number}.1"))],
        here: [([10, 0, number, 5].into(), Veth(format!("sw{number}")))].into(),
        elsewhere: [(6, 2), (7, 2), (8, 3)]
            .map(|(on, node)| ([10, 0, number, on].into(), node))
            .into(),
        caught: BTreeSet::new(),
        balanced: [([10, 0, number, 2].into(), vec![[10, 0, number, 6].into()])].into(),
    };
    Desired {
        number: 1,
        address: address("192.168.7.1"),
        port: 4789,
        peers: [2, 3].map(|node: u8| (node.into(), [192, 168, 7, node].into())).into(),
        networks: [1, 2].map(|number| (id(number.into()), Arc::new(network(number)))).into(),
    }
}

fn first(desired: &mut Desired) -> &mut DesiredNetwork {
    Arc::make_mut(desired.networks.get_mut(&id(1)).expect("it"))
}

/// What of the first network a change touches, after it.
fn touched(change: impl FnOnce(&mut DesiredNetwork)) -> Vec<String> {
    let mut after = desired();
    change(first(&mut after));
    let part = Part::between(&desired(), &after).expect("a part");
    assert!(part.sides().iter().all(|side| side.networks.keys().eq([&id(1)])));
    let network = &part.after.networks[&id(1)];
    let containers = network.here.keys().chain(network.elsewhere.keys());
    containers.chain(network.balanced.keys()).map(IpAddr::to_string).collect()
}

#[test]
fn a_change_touches_its_address_and_no_other() {
    let comes = |network: &mut DesiredNetwork| {
        network.elsewhere.insert(address("10.0.1.9"), 3);
    };
    assert_eq!(touched(comes), ["10.0.1.9"]);
    let serves = |network: &mut DesiredNetwork| {
        network.balanced.insert(address("10.0.1.2"), vec![address("10.0.1.7")]);
    };
    assert_eq!(touched(serves), ["10.0.1.2"]);
}

#[test]
fn one_that_goes_touches_another_that_stays_on_its_node() {
    let goes = |network: &mut DesiredNetwork| {
        network.elsewhere.remove(&address("10.0.1.6"));
    };
    assert_eq!(touched(goes), ["10.0.1.7"]);
    let goes = |network: &mut DesiredNetwork| {
        network.elsewhere.remove(&address("10.0.1.8"));
    };
    assert_eq!(touched(goes), [""; 0]);
}

#[test]
fn what_is_as_it_was_is_not_touched() {
    let part = Part::between(&desired(), &desired()).expect("a part");
    assert!(part.sides().iter().all(|side| side.networks.is_empty()));
}

#[test]
fn a_change_of_what_is_caught_is_told() {
    let mut after = desired();
    first(&mut after).caught.insert(address("10.0.1.9"));
    let part = Part::between(&desired(), &after).expect("a part");
    assert!(part.is_caught_otherwise);
    let mut without = after.clone();
    without.networks.remove(&id(1));
    let part = Part::between(&after, &without).expect("a part");
    assert!(part.is_caught_otherwise);
    let mut other = after.clone();
    first(&mut other).elsewhere.insert(address("10.0.1.9"), 3);
    let part = Part::between(&after, &other).expect("a part");
    assert!(!part.is_caught_otherwise);
}

#[test]
fn a_node_that_moves_touches_who_is_on_it_in_all_networks() {
    let mut after = desired();
    after.peers.insert(3, address("192.168.7.9"));
    let part = Part::between(&desired(), &after).expect("a part");
    let elsewhere = part.after.networks.values().flat_map(|network| network.elsewhere.keys());
    assert!(elsewhere.eq([&address("10.0.1.8"), &address("10.0.2.8")]));
}

#[test]
fn what_networks_share_has_no_part() {
    type Harm = fn(&mut DesiredNetwork);
    let harms: [(&str, Harm); 6] = [
        ("a number", |network| network.vni = 4098),
        ("a subnet", |network| network.pools.push(pool("10.0.0.0/16", "10.0.0.1"))),
        ("a link", |network| {
            drop(network.here.insert(address("10.0.1.5"), Veth("sw2".to_owned())))
        }),
        ("an address", |network| {
            network.elsewhere.insert(address("10.0.2.9"), 3);
        }),
        ("a link that is named as a tunnel", |network| {
            network.here.insert(address("10.0.1.5"), Veth("vx4098".to_owned()));
        }),
        ("a route", |network| network.pools.push(pool("10.0.3.6/32", "10.0.3.6"))),
    ];
    for (what, harm) in harms {
        let mut after = desired();
        harm(first(&mut after));
        assert_eq!(Part::between(&desired(), &after), None, "{what}");
        assert!(!is_plain(&after), "{what}");
    }
    assert!(is_plain(&desired()));
}

#[test]
fn what_concerns_all_networks_has_no_part() {
    let changes: [fn(&mut Desired); 4] = [
        |desired| desired.number = 4,
        |desired| desired.address = address("192.168.7.9"),
        |desired| desired.port = 4790,
        |desired| {
            desired.peers.insert(3, address("fd77::3"));
        },
    ];
    for change in changes {
        let mut after = desired();
        change(&mut after);
        assert_eq!(Part::between(&desired(), &after), None);
    }
}
