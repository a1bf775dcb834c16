//! The nftables of published ports.
//!
//! - A connection to a published port of any of the node's own addresses goes to its backends
//!   in turn: a counter gives the number of the next *slot*, a map says which backend is in
//!   it. So a backend that goes or comes changes an element or two, and the rule that says
//!   how many slots there are.
//! - What arrives by `swingress` is for an ingress address of this node: it goes to the
//!   container, and the connection is marked with the node it came by. Connections that came
//!   by different nodes are told apart by a zone, as a client may use one of its ports for
//!   several nodes at a time.
//! - What goes to a task elsewhere is marked, and led by a routing table that nobody else's
//!   packets see; answers are marked alike for the kernel's check of sources.
//! - Clients are masked only where no answer would find its way: the node itself, another that
//!   is led back to a task of its own, containers on the engine's bridges.
//! - A port without backends is refused at once, if it is not left to user space.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plan::{Ends, MARKS, mark_of};
use super::{DesiredPorts, PublishedEnds, ingress_v6};
use crate::device::Mac;
use crate::layout::LED;
use crate::netfilter::{Flow, Gone};
use crate::table::{begun, settled};

mod listing;
mod messages;
mod rules;
mod text;

pub(super) use listing::{Listed, is_of, list};
pub(super) use rules::Fixed;
pub(super) use text::TABLE;

/// A published port, of one family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The number of the protocol.
    pub(super) protocol: u8,
    pub(super) port: u16,
    pub(super) v6: bool,
}

/// Whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Turns {
    /// Who serves it, in the order of turns; none: it is refused.
    pub(super) slots: Vec<(IpAddr, u16)>,
    pub(super) snat: bool,
}

/// An element of a set or map: its name, the key, and the value if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    pub(super) set: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) fixed: Fixed,
    /// Those of ports are not here.
    pub(super) elements: BTreeSet<Element>,
    pub(super) ports: BTreeMap<Key, Turns>,
}

// === impl Table ===

impl Table {
    /// What should be there, changed as little as possible from what is. `opened`: the bridge
    /// takes packets to 127.0.0.0/8 because of this table.
    pub(super) fn of(desired: &DesiredPorts, found: &Self, opened: bool) -> Self {
        let mut table = Self::of_ends(desired, found);
        table.fixed = Fixed::of(desired);
        table.add_peers(desired);
        if opened {
            table.add("opened", &desired.bridge, "");
        }
        table
    }

    /// Of what should be there, what tasks and ports have.
    pub(super) fn of_ends(desired: &DesiredPorts, found: &Self) -> Self {
        let mut table = Self { fixed: found.fixed.clone(), ..Self::default() };
        table.add_tasks(desired);
        table.add_homes(desired);
        let ends = Ends::of(desired);
        for ((protocol, port), published) in &desired.ports {
            let protocol = number_of(*protocol);
            table.add_selves(desired, published, &format!("{protocol} . {port}"));
            let served = [false, true].map(|v6| ends.backends(published, v6));
            let left = published.user_space || served.iter().any(|served| !served.is_empty());
            for (v6, wanted) in [false, true].into_iter().zip(served) {
                // A family that nobody serves, while the other is served: user space can
                // still go from one to the other.
                if wanted.is_empty() && left {
                    continue;
                }
                let key = Key { protocol, port: *port, v6 };
                let slots = match found.ports.get(&key).filter(|there| !there.slots.is_empty()) {
                    Some(there) => settled(&there.slots, wanted),
                    None => begun(wanted, desired.number.into()),
                };
                let snat = published.snat && !slots.is_empty();
                table.ports.insert(key, Turns { slots, snat });
            }
        }
        table
    }

    /// What there is where two others have something.
    pub(super) fn part(&self, others: &[Self; 2]) -> Self {
        let mut part = Self { fixed: self.fixed.clone(), ..Self::default() };
        for other in others {
            for Element { set, key, .. } in &other.elements {
                part.elements.extend(self.element(set, key).cloned());
            }
            let ports = other.ports.keys();
            part.ports.extend(ports.filter_map(|key| Some((*key, self.ports.get(key)?.clone()))));
        }
        part
    }

    /// The same, which leads nobody and refuses nobody: that is left to user space.
    pub(super) fn without_ports(&self) -> Self {
        let Self { fixed, elements, .. } = self.clone();
        Self { fixed, elements, ports: BTreeMap::new() }
    }

    /// The same, which leaves to user space what it refuses and another does not.
    pub(super) fn freed_for(&self, wanted: &Self) -> Self {
        let mut freed = self.clone();
        let stays = |key: &Key| wanted.ports.get(key).is_some_and(Turns::refuses);
        freed.ports.retain(|key, turns| !turns.refuses() || stays(key));
        freed
    }

    /// The same, which leads to nobody whom another does not lead to: a port without the rest is
    /// left to user space.
    pub(super) fn without_gone(mut self, wanted: &Self) -> Self {
        self.ports.retain(|key, turns| {
            let after = wanted.ports.get(key);
            if turns.refuses() || after == Some(&*turns) {
                return true;
            }
            let after: BTreeSet<_> = after.into_iter().flat_map(|after| &after.slots).collect();
            let stay = turns.slots.iter().filter(|end| after.contains(end)).copied().collect();
            turns.slots = settled(&turns.slots, stay);
            !turns.slots.is_empty()
        });
        self
    }

    /// Puts something in the place of a part.
    pub(super) fn replace(&mut self, part: &Self, by: Self) {
        for element in &part.elements {
            self.elements.remove(element);
        }
        for key in part.ports.keys() {
            self.ports.remove(key);
        }
        self.elements.extend(by.elements);
        self.ports.extend(by.ports);
    }

    fn element(&self, set: &str, key: &str) -> Option<&Element> {
        let (set, key) = (set.to_owned(), key.to_owned());
        let least = Element { set, key, value: String::new() };
        let found = self.elements.range(&least..).next();
        found.filter(|found| (&found.set, &found.key) == (&least.set, &least.key))
    }

    fn add_tasks(&mut self, desired: &DesiredPorts) {
        for (address, local) in &desired.here {
            if let Some(v4) = local.v4 {
                self.add("here4", address, v4);
            }
            if let Some(v6) = local.v6 {
                self.add("here6", ingress_v6(*address), v6);
            }
        }
        let ends = Ends::of(desired);
        for (address, _) in desired.elsewhere.iter().filter(|(_, remote)| remote.v4) {
            if ends.leads_to(*address) {
                self.add("there4", address, "");
            }
        }
    }

    /// Containers that serve a port themselves.
    fn add_selves(&mut self, desired: &DesiredPorts, published: &PublishedEnds, port: &str) {
        for (task, _) in &published.backends {
            let Some(local) = desired.here.get(task) else { continue };
            if let Some(v4) = local.v4 {
                self.add("itself4", format!("{v4} . {port}"), "");
            }
            if let Some(v6) = local.v6 {
                self.add("itself6", format!("{v6} . {port}"), "");
            }
        }
    }

    fn add_peers(&mut self, desired: &DesiredPorts) {
        for number in desired.peers.keys().filter(|number| **number != desired.number) {
            let mac = Mac::of_node(*number);
            self.add("entries", mac, mark_of(*number));
            self.add("zones", mac, number);
        }
    }

    /// The addresses of a node with those of its own tasks.
    fn add_homes(&mut self, desired: &DesiredPorts) {
        let ends = desired.peers.iter().map(|(number, address)| (*number, *address));
        let others = desired.nodes.iter().map(|(address, number)| (*number, *address));
        let addresses: BTreeSet<_> = ends.chain(others).collect();
        let least = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        for (task, remote) in &desired.elsewhere {
            let of_its = addresses.range((remote.node, least)..);
            for (_, address) in of_its.take_while(|(number, _)| *number == remote.node) {
                match address {
                    IpAddr::V4(v4) => self.add("homes4", format!("{v4} . {task}"), ""),
                    IpAddr::V6(v6) => {
                        self.add("homes6", format!("{v6} . {}", ingress_v6(*task)), "");
                    }
                }
            }
        }
    }

    fn add(&mut self, set: &str, key: impl ToString, value: impl ToString) {
        let (set, key, value) = (set.to_owned(), key.to_string(), value.to_string());
        self.elements.insert(Element { set, key, value });
    }

    /// Whether the bridge takes packets to 127.0.0.0/8 because of this table: then it no
    /// longer should when the table goes.
    pub(super) fn opened(&self) -> impl Iterator<Item = &str> {
        let opened = self.elements.iter().filter(|element| element.set == "opened");
        opened.map(|element| element.key.as_str())
    }

    /// What is not as it should be, in sentences.
    pub(super) fn unlike(&self, wanted: &Self) -> Vec<String> {
        let mut unlike = Vec::new();
        for Element { set, key, value } in wanted.elements.difference(&self.elements) {
            unlike.push(format!("{key} {value} of {set} of nftables is missing"));
        }
        for Element { set, key, value } in self.elements.difference(&wanted.elements) {
            unlike.push(format!("{key} {value} of {set} of nftables is too much"));
        }
        for key in self.ports.keys().filter(|key| !wanted.ports.contains_key(key)) {
            unlike.push(format!("port {key} is too much"));
        }
        for (key, turns) in &wanted.ports {
            match self.ports.get(key) {
                None => unlike.push(format!("port {key} is not published")),
                Some(there) if there != turns => {
                    unlike.push(format!("connections to port {key} go elsewhere than they should"));
                }
                Some(_) => {}
            }
        }
        // Of sets, there is no value.
        unlike.into_iter().map(|said| said.replace("  ", " ")).collect()
    }

    /// Whether somebody serves what went once.
    pub(super) fn serves(&self, gone: &Gone) -> bool {
        match *gone {
            Gone::Port { protocol, port, end, target } => {
                let key = Key { protocol, port, v6: end.is_ipv6() };
                self.ports.get(&key).is_some_and(|turns| turns.slots.contains(&(end, target)))
            }
            Gone::Pair { to, by } => {
                let set = if to.is_ipv4() { "here4" } else { "here6" };
                let there = self.element(set, &to.to_string());
                there.is_some_and(|there| there.value == by.to_string())
            }
        }
    }

    /// Whether a flow goes where nobody serves. Those to ports that are not published may be
    /// others'.
    pub(super) fn is_astray(&self, flow: &Flow) -> bool {
        let Flow { protocol, to, port, answered_by: end, target, .. } = *flow;
        let set = if to.is_ipv4() { "here4" } else { "here6" };
        if self.element(set, &to.to_string()).is_some() {
            return !self.serves(&Gone::Pair { to, by: end });
        }
        let is_published = self.ports.contains_key(&Key { protocol, port, v6: end.is_ipv6() });
        is_published && !self.serves(&Gone::Port { protocol, port, end, target })
    }

    /// Flows that go where nobody serves them any more.
    pub(super) fn gone(found: &Self, wanted: &Self) -> BTreeSet<Gone> {
        let mut gone = BTreeSet::new();
        for (key, there) in &found.ports {
            let serving = wanted.ports.get(key).map_or(&[][..], |turns| &turns.slots);
            let went = there.slots.iter().filter(|backend| !serving.contains(backend));
            gone.extend(went.map(|(end, target)| Gone::Port {
                protocol: key.protocol,
                port: key.port,
                end: *end,
                target: *target,
            }));
        }
        for element in found.elements.difference(&wanted.elements) {
            let of_a_task = element.set.starts_with("here");
            if let (true, Ok(to), Ok(by)) = (of_a_task, element.key.parse(), element.value.parse())
            {
                gone.insert(Gone::Pair { to, by });
            }
        }
        gone
    }
}

// === impl Turns ===

impl Turns {
    fn refuses(&self) -> bool {
        self.slots.is_empty()
    }
}

// === impl Key ===

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = if self.v6 { " of IPv6" } else { "" };
        write!(f, "{}/{}{family}", self.port, name_of(self.protocol))
    }
}

fn number_of(protocol: swarmw_model::PortProtocol) -> u8 {
    use swarmw_model::PortProtocol::{Sctp, Tcp, Udp};
    match protocol {
        Tcp => 6,
        Udp => 17,
        Sctp => 132,
    }
}

fn name_of(protocol: u8) -> &'static str {
    match protocol {
        6 => "tcp",
        17 => "udp",
        _ => "sctp",
    }
}

/// What masked connections have as their source on the way to other nodes: an address that
/// no other node takes for its own.
pub(super) fn sources(desired: &DesiredPorts) -> (Option<Ipv4Addr>, Ipv6Addr) {
    match desired.address {
        IpAddr::V4(v4) => (Some(v4), Ipv6Addr::new(0xfd53, 0x5700, 0, 1, 0, 0, 0, desired.number)),
        IpAddr::V6(v6) => (None, v6),
    }
}

/// The marks of connections are those of this table if they are in here.
pub(super) const MASK: u32 = 0xffff_0000;

const _: () = assert!((MARKS | LED) & !MASK == 0);

#[cfg(test)]
mod tests;
