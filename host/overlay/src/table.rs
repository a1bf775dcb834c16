//! The nftables of the router: virtual addresses, and one network apart from another.
//!
//! - A packet is heard only from the device that its source's route leads to.
//! - A connection to a virtual address goes to its backends in turn: a counter gives the
//!   number of the next *slot*, a map says which backend is in it. So a backend that goes
//!   or comes changes an element or two and the rule that says how many slots there are.
//! - The counter begins at the first slot whenever a network comes here anew. So each time
//!   another backend is in that slot: clients that come one by one, each the only one here,
//!   go to each backend in turn as well.
//! - A client that is sent to itself is answered by way of the gateway.
//! - What is left for a virtual address (nobody serves it) is refused at once; an echo
//!   request is answered here.
//! - Packets are forwarded between devices of one group, which is one network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::Desired;
use crate::netfilter::{Flow, Gone};
use crate::part::Part;

mod beginnings;
mod listing;
mod messages;
mod text;

pub(crate) use beginnings::Beginnings;
pub(crate) use listing::{Listed, list, unlike};
pub(crate) use text::TABLE;

/// What varies of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Numbers of networks.
    pub(crate) networks: BTreeSet<u32>,
    pub(crate) balanced: BTreeMap<IpAddr, Balanced>,
}

/// A virtual address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balanced {
    /// Its network: others' connections to it are not translated.
    pub(crate) vni: u32,
    /// Who serves it, in the order of turns.
    pub(crate) slots: Vec<IpAddr>,
}

// === impl Table ===

impl Table {
    /// What should be there, changed as little as possible from what is.
    pub(crate) fn of(desired: &Desired, found: &Self, beginnings: &Beginnings) -> Self {
        let mut table = Self::default();
        for network in desired.networks.values() {
            table.networks.insert(network.vni);
            for (address, backends) in &network.balanced {
                let there = found.served_by(*address).filter(|b| b.vni == network.vni);
                let alike = backends.iter().filter(|b| b.is_ipv4() == address.is_ipv4());
                let slots = match there {
                    Some(there) => settled(&there.slots, alike.copied().collect()),
                    None => {
                        let first = usize::from(desired.number) + beginnings.of(*address);
                        begun(alike.copied().collect(), first)
                    }
                };
                table.balanced.insert(*address, Balanced { vni: network.vni, slots });
            }
        }
        table
    }

    /// What there is of a part of what is desired.
    pub(crate) fn part(&self, part: &Part) -> Self {
        let mut there = Self::default();
        for network in part.sides().into_iter().flat_map(|side| side.networks.values()) {
            there.networks.extend(self.networks.get(&network.vni));
            for address in network.balanced.keys() {
                let balanced = self.balanced.get(address).cloned();
                there.balanced.extend(balanced.map(|balanced| (*address, balanced)));
            }
        }
        there
    }

    /// Puts something in the place of a part.
    pub(crate) fn replace(&mut self, part: &Self, by: Self) {
        for vni in &part.networks {
            self.networks.remove(vni);
        }
        for address in part.balanced.keys() {
            self.balanced.remove(address);
        }
        self.networks.extend(by.networks);
        self.balanced.extend(by.balanced);
    }

    /// What is not as it should be, in sentences.
    pub(crate) fn unlike(&self, wanted: &Self) -> Vec<String> {
        let mut unlike = Vec::new();
        for vni in wanted.networks.difference(&self.networks) {
            unlike.push(format!("network number {vni} is not forwarded"));
        }
        for vni in self.networks.difference(&wanted.networks) {
            unlike.push(format!("network number {vni} is forwarded and not here"));
        }
        for address in self.balanced.keys().filter(|a| !wanted.balanced.contains_key(a)) {
            unlike.push(format!("virtual address {address} is too much"));
        }
        for (address, balanced) in &wanted.balanced {
            match self.balanced.get(address) {
                None => unlike.push(format!("virtual address {address} is missing")),
                Some(there) if there != balanced => {
                    unlike.push(format!("connections to {address} go elsewhere than they should"));
                }
                Some(_) => {}
            }
        }
        unlike
    }

    /// A virtual address that somebody serves.
    fn served_by(&self, address: IpAddr) -> Option<&Balanced> {
        self.balanced.get(&address).filter(|balanced| !balanced.slots.is_empty())
    }

    /// Whether a backend serves an address.
    pub(crate) fn serves(&self, pair: &Gone) -> bool {
        let Gone::Pair { to, by } = pair else { return false };
        self.balanced.get(to).is_some_and(|balanced| balanced.slots.contains(by))
    }

    /// Whether a flow of the router, where nobody else translates, goes where nobody serves.
    pub(crate) fn is_astray(&self, flow: &Flow) -> bool {
        !self.serves(&Gone::Pair { to: flow.to, by: flow.answered_by })
    }

    /// Backends that no longer serve an address, with it.
    pub(crate) fn gone(found: &Self, wanted: &Self) -> BTreeSet<Gone> {
        let mut gone = BTreeSet::new();
        for (address, balanced) in &found.balanced {
            let serving = wanted.balanced.get(address).map_or(&[][..], |b| &b.slots);
            let went = balanced.slots.iter().filter(|backend| !serving.contains(backend));
            gone.extend(went.map(|backend| Gone::Pair { to: *address, by: *backend }));
        }
        gone
    }
}

/// Slots where each backend that stays keeps its own, as far as there are no holes: the
/// last ones fill them.
pub(crate) fn settled<T: Ord + Copy>(there: &[T], wanted: BTreeSet<T>) -> Vec<T> {
    let mut coming = wanted.iter().filter(|backend| !there.contains(backend)).copied();
    let mut slots: Vec<_> = there.iter().map(|b| wanted.contains(b).then_some(*b)).collect();
    for slot in slots.iter_mut().filter(|slot| slot.is_none()) {
        *slot = coming.next();
    }
    while let Some(hole) = slots.iter().position(Option::is_none) {
        slots.swap_remove(hole);
    }
    slots.into_iter().flatten().chain(coming).collect()
}

/// Slots at first, beginning anywhere. Nodes do not all begin with the same backend: of many
/// nodes that each make one connection, each backend gets its share.
pub(crate) fn begun<T>(backends: BTreeSet<T>, first: usize) -> Vec<T> {
    let mut slots: Vec<_> = backends.into_iter().collect();
    if !slots.is_empty() {
        let first = first % slots.len();
        slots.rotate_left(first);
    }
    slots
}

#[cfg(test)]
mod tests;
