//! How often turns began here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Table;

/// How often connections to each virtual address began to go in turn on this node, as far as
/// this process knows. A network goes with its last container here, and with it the kernel's
/// count of turns: this stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beginnings(BTreeMap<IpAddr, usize>);

/// Addresses that are kept in mind; with one more all are forgotten, and begin as at first.
const ADDRESSES_MAX: usize = 16_384;

// === impl Beginnings ===

impl Beginnings {
    /// Where the turns of an address begin, counted from where they began first.
    pub(super) fn of(&self, address: IpAddr) -> usize {
        self.0.get(&address).copied().unwrap_or_default()
    }

    /// Takes note of what begins with a change of the table.
    pub(crate) fn note(&mut self, found: &Table, made: &Table) {
        for (address, balanced) in made.served() {
            if found.served_by(*address).is_some_and(|before| before.vni == balanced.vni) {
                continue;
            }
            if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(address) {
                self.0.clear();
            }
            let times = self.0.entry(*address).or_default();
            *times = times.wrapping_add(1);
        }
    }
}
