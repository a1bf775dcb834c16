use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn slots(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(address).collect()
}

fn table(balanced: &[(&str, &str)]) -> Table {
    let balanced = balanced.iter().map(|(virtual_address, backends)| {
        (address(virtual_address), Balanced { vni: 4097, slots: slots(backends) })
    });
    Table { networks: [4097].into(), balanced: balanced.collect() }
}

#[test]
fn who_stays_keeps_its_slot_and_the_last_ones_fill_holes() {
    for (there, wanted, settled_as) in [
        ("10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.2 10.0.0.3", "10.0.0.3 10.0.0.2"),
        ("10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"),
        ("10.0.0.3 10.0.0.1", "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.3 10.0.0.1 10.0.0.2"),
        ("10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.9", "10.0.0.9 10.0.0.2"),
        ("10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1 10.0.0.2", "", ""),
        ("", "10.0.0.2 10.0.0.1", "10.0.0.1 10.0.0.2"),
    ] {
        let settled = settled(&slots(there), slots(wanted).into_iter().collect());
        assert_eq!(settled, slots(settled_as), "{there} to {wanted}");
    }
}

#[test]
fn nodes_begin_with_different_backends() {
    let backends = || slots("10.0.0.1 10.0.0.2 10.0.0.3").into_iter().collect();
    assert_eq!(begun(backends(), 3), slots("10.0.0.1 10.0.0.2 10.0.0.3"));
    assert_eq!(begun(backends(), 4), slots("10.0.0.2 10.0.0.3 10.0.0.1"));
    assert!(begun(BTreeSet::<IpAddr>::new(), 4).is_empty());
}

/// A service of three on one network, or no network at all.
fn desired(number: u16, is_here: bool) -> Desired {
    let network = crate::DesiredNetwork {
        vni: 4097,
        underlay_mtu: None,
        pools: Vec::new(),
        here: BTreeMap::new(),
        elsewhere: BTreeMap::new(),
        caught: BTreeSet::new(),
        balanced: [(address("10.0.1.2"), slots("10.0.1.5 10.0.1.6 10.0.1.7"))].into(),
    };
    let id = swarmw_model::NetworkId::from_bits(1);
    Desired {
        number,
        address: address("192.168.7.1"),
        port: 4789,
        peers: BTreeMap::new(),
        networks: is_here.then_some((id, std::sync::Arc::new(network))).into_iter().collect(),
    }
}

#[test]
fn turns_that_begin_anew_begin_with_the_next_backend_and_nobody_loses_its_slot_meanwhile() {
    let mut beginnings = Beginnings::default();
    let mut there = Table::default();
    let mut first = Vec::new();
    for _ in 0..4 {
        for is_here in [true, true, false] {
            let made = Table::of(&desired(3, is_here), &there, &beginnings);
            let stays = there.balanced.is_empty() || !is_here || made == there;
            assert!(stays, "{there:?} to {made:?}");
            beginnings.note(&there, &made);
            first.extend(made.balanced.values().map(|balanced| balanced.slots[0]));
            there = made;
        }
    }
    let each = "10.0.1.5 10.0.1.5 10.0.1.6 10.0.1.6 10.0.1.7 10.0.1.7 10.0.1.5 10.0.1.5";
    assert_eq!(first, slots(each));
}

#[test]
fn an_address_that_nobody_served_begins_as_one_that_is_new() {
    let none = table(&[("10.0.1.2", "")]);
    let made = Table::of(&desired(4, true), &none, &Beginnings::default());
    assert_eq!(made.balanced[&address("10.0.1.2")].slots, slots("10.0.1.6 10.0.1.7 10.0.1.5"));
}

#[test]
fn one_backend_less_is_a_slot_and_the_count() {
    let before = table(&[("10.0.1.2", "10.0.1.5 10.0.1.6 10.0.1.7"), ("10.0.1.3", "10.0.1.5")]);
    let after = table(&[("10.0.1.2", "10.0.1.7 10.0.1.6"), ("10.0.1.3", "10.0.1.5")]);
    let change = after.change_from(&before);
    let wanted = "\
flush chain inet swarmw to-10.0.1.2
add rule inet swarmw to-10.0.1.2 dnat ip to ip daddr . numgen inc mod 2 map @backends4 comment \"2\"
delete element inet swarmw backends4 { 10.0.1.2 . 0, 10.0.1.2 . 2 }
add element inet swarmw backends4 { 10.0.1.2 . 0 : 10.0.1.7 }
";
    assert_eq!(change.text, wanted);
    assert_eq!((change.chains, change.elements), (1, 3));
}

#[test]
fn a_virtual_address_that_nobody_serves_any_more_is_there_without_turns() {
    let before = table(&[("fd00:1::2", "fd00:1::5")]);
    let after = table(&[("fd00:1::2", "")]);
    let wanted = "\
delete element inet swarmw backends6 { fd00:1::2 . 0 }
delete element inet swarmw turns6 { 4097 . fd00:1::2 }
delete chain inet swarmw to-fd000001000000000000000000000002
";
    assert_eq!(after.change_from(&before).text, wanted);
    assert!(after.change_from(&after).is_empty());
}

#[test]
fn who_no_longer_serves_is_named_with_what_it_served() {
    let before = table(&[("10.0.1.2", "10.0.1.5 10.0.1.6"), ("10.0.1.3", "10.0.1.5")]);
    let after = table(&[("10.0.1.2", "10.0.1.6 10.0.1.7")]);
    let five = address("10.0.1.5");
    let wanted = ["10.0.1.2", "10.0.1.3"].map(|to| Gone::Pair { to: address(to), by: five });
    assert_eq!(Table::gone(&before, &after), wanted.into());
}

#[test]
fn a_listing_that_is_none_is_refused() {
    for listing in ["", "{}", "[]", r#"{"nftables": [{"set": {"name": "together", "elem": [7]}}]}"#]
    {
        list(listing).expect_err(listing);
    }
    let empty = list(r#"{"nftables": []}"#).expect("a listing");
    assert!(empty.broken.contains(&"chain apart of nftables is missing".to_owned()));
}
