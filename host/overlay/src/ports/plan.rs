//! What a [`DesiredPorts`] means in links, routes and rules.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::policy::Policy;
use super::{DesiredPorts, PublishedEnds, Remote, ingress_v6};
use crate::device::{Mac, next_hop};
use crate::layout::{Destination, Device, Kind, LED, Layout, Tunnel, TunnelEnds, Way};
use crate::probe::{Asked, Probe, Silent};

/// The device between nodes.
pub(super) const DEVICE: &str = "swingress";

/// The group of the device, by which rules know it.
pub(super) const GROUP: u32 = 0x5357;

/// Marks of connections, and routing tables: of each node, its number is added.
pub(super) const MARKS: u32 = 0x5357_0000;

/// The mark of connections that came by a node, and the table that leads back there.
pub(super) fn mark_of(number: u16) -> u32 {
    MARKS | u32::from(number)
}

/// Who can be reached.
pub(super) struct Ends<'a>(&'a DesiredPorts);

/// What should be there but for nftables.
pub(super) fn layout(desired: &DesiredPorts, mtu: u32) -> Layout {
    if !desired.has_ends() {
        return Layout::default();
    }
    let mut layout = ways(desired);
    layout.devices.insert(DEVICE.to_owned(), device(desired, mtu));
    // All nodes: connections come by each, whether it has tasks or not.
    for (number, end) in peers(desired) {
        let (hop, mac) = (next_hop(number), Mac::of_node(number));
        layout.neighbours.insert((DEVICE.to_owned(), hop), mac);
        layout.ends.insert((DEVICE.to_owned(), mac), end);
    }
    for (number, end) in &desired.peers {
        if *number != desired.number && end.is_ipv4() != desired.address.is_ipv4() {
            layout.impossible.insert(format!(
                "node {number} cannot be reached: its data path address is {end}, this node's \
                 is {}, and both must be of one family",
                desired.address
            ));
        }
    }
    layout
}

/// The device between nodes.
pub(super) fn device(desired: &DesiredPorts, mtu: u32) -> Device {
    let ends =
        TunnelEnds { vni: desired.vni, local: desired.address, port: desired.port, learns: false };
    let tunnel = Tunnel { ends, mac: Mac::of_node(desired.number), mtu };
    Device { group: GROUP, up: true, kind: Kind::Tunnel(tunnel) }
}

/// Of what should be there, the ways to tasks.
pub(super) fn ways(desired: &DesiredPorts) -> Layout {
    let mut layout = Layout::default();
    let ends = Ends(desired);
    for (address, remote) in &desired.elsewhere {
        if !ends.leads_to(*address) {
            continue;
        }
        let way = || Way::Node { device: DEVICE.to_owned(), hop: next_hop(remote.node) };
        // The machine may have another way to this address, and somebody else there.
        let led = Destination { table: LED, to: IpAddr::V4(*address).into() };
        layout.routes.insert(led, way());
        // These are nobody else's.
        layout.routes.insert(IpAddr::V6(ingress_v6(*address)).into(), way());
    }
    layout
}

/// Rules for the way there, rules and tables for the way back.
pub(super) fn policy(desired: &DesiredPorts) -> Policy {
    let mut policy = Policy::default();
    if desired.has_ends() {
        policy.lead_there();
        policy.lead_back(&desired.bridge, peers(desired).map(|(number, _)| number));
    }
    policy
}

/// Other nodes that can be reached.
fn peers(desired: &DesiredPorts) -> impl Iterator<Item = (u16, IpAddr)> {
    let others = desired.peers.iter().map(|(number, end)| (*number, *end));
    others.filter(|(number, _)| reaches(desired, *number))
}

fn reaches(desired: &DesiredPorts, number: u16) -> bool {
    let alike = |end: &IpAddr| end.is_ipv4() == desired.address.is_ipv4();
    number != desired.number && desired.peers.get(&number).is_some_and(alike)
}

/// Nodes with tasks, which know all others: whether packets get there and back. `answers`:
/// this machine says by the device what addresses it has on others.
pub(super) fn probe(desired: &DesiredPorts, answers: bool) -> Probe {
    let ends = Ends(desired);
    let remotes = desired.elsewhere.iter().filter(|(address, _)| ends.leads_to(**address));
    let asked = remotes.filter_map(|(_, Remote { node, .. })| {
        let address = *desired.peers.get(node)?;
        let silent = Silent { address, port: desired.port, vni: desired.vni };
        // The device has no address of IPv4, but takes packets to this one, see `settings`.
        let target = Ipv4Addr::LOCALHOST;
        Some((*node, Asked { device: DEVICE.to_owned(), target, silent }))
    });
    let is_there = answers && desired.has_ends();
    Probe {
        own: desired.number,
        asked: asked.collect(),
        answers: is_there.then_some(desired.vni).into_iter().collect(),
    }
}

/// What of a layout is of published ports: the node's namespace has others' things, too.
pub(super) fn own(mut layout: Layout) -> Layout {
    layout.devices.retain(|name, _| name == DEVICE);
    layout.addresses.retain(|(device, _)| device == DEVICE);
    layout.routes.retain(|of, way| of.table == LED || way.device() == Some(DEVICE));
    layout.neighbours.retain(|(device, _), _| device == DEVICE);
    layout.ends.retain(|(device, _), _| device == DEVICE);
    // The kernel gives it one by itself.
    layout.addresses.clear();
    layout
}

// === impl Ends ===

impl<'a> Ends<'a> {
    pub(super) fn of(desired: &'a DesiredPorts) -> Self {
        Self(desired)
    }

    /// Backends of a port that can be reached from here, with one family of addresses.
    pub(super) fn backends(&self, published: &PublishedEnds, v6: bool) -> BTreeSet<(IpAddr, u16)> {
        let reached = published.backends.iter();
        reached.filter_map(|(task, target)| Some((self.address(*task, v6)?, *target))).collect()
    }

    /// Where a task is reached from here.
    fn address(&self, task: Ipv4Addr, v6: bool) -> Option<IpAddr> {
        if let Some(local) = self.0.here.get(&task) {
            return if v6 { local.v6.map(IpAddr::V6) } else { local.v4.map(IpAddr::V4) };
        }
        let remote = self.0.elsewhere.get(&task).filter(|_| self.leads_to(task))?;
        match v6 {
            true => remote.v6.then(|| ingress_v6(task).into()),
            false => remote.v4.then(|| task.into()),
        }
    }

    /// Whether a task is elsewhere, on a node that can be reached.
    pub(super) fn leads_to(&self, task: Ipv4Addr) -> bool {
        let remote = self.0.elsewhere.get(&task).filter(|_| !self.0.here.contains_key(&task));
        remote.is_some_and(|remote| reaches(self.0, remote.node))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use imbl::OrdMap;

    use super::*;

    #[test]
    fn nodes_with_tasks_of_published_ports_are_asked_by_the_device_between_nodes() {
        let end = |last: u8| IpAddr::from([192, 168, 9, last]);
        let task = |last: u8| Ipv4Addr::new(10, 0, 0, last);
        let on = |node| Remote { node, v4: true, v6: false };
        let mut desired = DesiredPorts {
            node: Default::default(),
            number: 1,
            address: end(1),
            port: 4789,
            vni: 4096,
            bridge: "docker_gwbridge".to_owned(),
            peers: [(2, end(2)), (3, end(3))].into(),
            nodes: BTreeMap::new(),
            here: BTreeMap::new(),
            elsewhere: vec![(task(5), on(2)), (task(6), on(2)), (task(7), on(4))].into(),
            ports: OrdMap::new(),
        };
        let asked = Asked {
            device: "swingress".to_owned(),
            target: Ipv4Addr::LOCALHOST,
            silent: Silent { address: end(2), port: 4789, vni: 4096 },
        };
        let wanted = Probe { own: 1, asked: [(2, asked)].into(), answers: [4096].into() };
        assert_eq!(probe(&desired, true), wanted, "not 3, which has none; where 4 is is not known");
        assert!(probe(&desired, false).answers.is_empty(), "the machine would not answer");
        desired.elsewhere.clear();
        assert!(probe(&desired, true).answers.is_empty(), "there is no device");
    }
}
