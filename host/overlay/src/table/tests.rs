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
