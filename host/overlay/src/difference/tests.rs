use super::*;
use crate::layout::{Tunnel, TunnelEnds};

fn tunnel(local: &str) -> Device {
    let ends = TunnelEnds {
        vni: 4097,
        local: local.parse().expect("an address"),
        port: 4789,
        learns: false,
    };
    let kind = Kind::Tunnel(Tunnel { ends, mac: Mac::of_node(1), mtu: 1450 });
    Device { group: 4097, up: true, kind }
}

fn veth() -> Device {
    Device { group: 4097, up: true, kind: Kind::Veth }
}

fn host(address: &str) -> IpNet {
    address.parse::<IpAddr>().expect("an address").into()
}

/// A network with one container here and one on node 2.
fn layout() -> Layout {
    let mut layout = Layout::default();
    layout.devices.insert("vx4097".to_owned(), tunnel("192.168.7.1"));
    layout.devices.insert("sw1".to_owned(), veth());
    for device in ["vx4097", "sw1"] {
        layout.addresses.insert((device.to_owned(), host("10.0.1.1")));
    }
    let hop = crate::device::next_hop(2);
    let (device, mac) = ("vx4097".to_owned(), Mac::of_node(2));
    layout.neighbours.insert((device.clone(), hop), mac);
    layout.ends.insert((device.clone(), mac), "192.168.7.2".parse().expect("an address"));
    layout.routes.insert(host("10.0.1.5").into(), Way::Device("sw1".to_owned()));
    layout.routes.insert(host("10.0.1.6").into(), Way::Node { device, hop });
    layout
}

fn said(found: &Layout, wanted: &Layout) -> Vec<String> {
    let difference = difference(found, wanted);
    let lost = difference.lost.iter().map(Drift::to_string);
    difference.steps.iter().map(Step::to_string).chain(lost).collect()
}

#[test]
fn what_is_alike_needs_no_step() {
    assert_eq!(said(&layout(), &layout()), [""; 0]);
}

#[test]
fn a_device_that_must_be_made_again_takes_along_what_was_on_it() {
    let mut moved = layout();
    moved.devices.insert("vx4097".to_owned(), tunnel("192.168.7.9"));
    let wanted = [
        "device vx4097 is too much: VXLAN 4097 of 192.168.7.1 port 4789",
        "device vx4097 is missing",
        "address 10.0.1.1 on vx4097 is missing",
        "forwarding entry 02:53:57:00:00:02 to 192.168.7.2 on vx4097 is missing",
        "neighbour fe80::5357:2 on vx4097 is missing",
        "route to 10.0.1.6 is missing",
    ];
    assert_eq!(said(&layout(), &moved), wanted);
}

#[test]
fn what_goes_with_a_device_is_no_step() {
    let mut found = layout();
    found.routes.remove(&host("10.0.1.5").into());
    let wanted = Layout::default();
    let said = said(&found, &wanted);
    assert_eq!(said, ["device vx4097 is too much: VXLAN 4097 of 192.168.7.1 port 4789"]);
}

#[test]
fn a_link_that_nothing_is_told_of_keeps_its_addresses_and_loses_its_routes() {
    let wanted = Layout::default();
    let mut found = layout();
    found.forget("vx4097");
    assert_eq!(said(&found, &wanted), ["route to 10.0.1.5 is too much: it leads to sw1"]);
}

#[test]
fn a_lost_link_is_said_and_nothing_on_it_is_tried() {
    let mut found = layout();
    found.forget("sw1");
    let lost = "the link sw1 of a container is missing";
    assert_eq!(said(&found, &layout()), [lost]);
}
