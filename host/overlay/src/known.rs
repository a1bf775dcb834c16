//! What is there, as far as this process knows; and the part of it that a change touches,
//! so that a change costs what changes and not what there is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::layout::Layout;
use crate::part::{Part, is_plain};
use crate::table::Table;
use crate::{Desired, Veth};

/// What is known to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) there: There,
    /// Of networks, by the address that the underlay was looked up with.
    mtu: (IpAddr, u32),
    /// There is what was desired last and no link that it did not have, and what was desired
    /// is plain: what a change touches can be told from what is desired.
    plain: bool,
}

/// All that varies in a router, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct There {
    pub(crate) layout: Layout,
    pub(crate) table: Table,
}

/// What there is after a change.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) there: There,
    /// Devices that went meanwhile, with all that was on them.
    pub(crate) gone: BTreeSet<String>,
}

// === impl Known ===

impl Known {
    /// After all that is desired was made.
    pub(crate) fn of(desired: &Desired, made: Made, mtu: u32) -> Self {
        Self { there: made.there, mtu: (desired.address, mtu), plain: is_plain(desired) }
    }

    /// The MTU of networks on a node with this address, if that is known.
    pub(crate) fn mtu_of(&self, address: IpAddr) -> Option<u32> {
        (self.mtu.0 == address).then_some(self.mtu.1)
    }

    /// The MTU of networks.
    pub(crate) fn mtu(&self) -> u32 {
        self.mtu.1
    }

    /// Whether it says all that is needed for a change to what is desired.
    pub(crate) fn suffices(&self, desired: &Desired) -> bool {
        let veths = desired.networks.values().flat_map(|network| network.here.values());
        let mut links = veths.map(|veth| self.there.layout.devices.contains_key(&veth.0));
        self.mtu.0 == desired.address && links.all(|is_known| is_known)
    }

    /// What a change touches of what is desired, `before` being what is there; none: look at
    /// all of it.
    pub(crate) fn part(&self, before: &Desired, after: &Desired) -> Option<Part> {
        if self.plain { Part::between(before, after) } else { None }
    }

    /// What there is of a part.
    pub(crate) fn found(&self, part: &Part) -> There {
        let layouts = part.sides().map(|side| Layout::of(side, self.mtu.1));
        There { layout: self.there.layout.part(&layouts), table: self.there.table.part(part) }
    }

    /// Takes over a part that was changed.
    pub(crate) fn take_over(&mut self, found: &There, made: Made) {
        self.there.layout.replace(&found.layout, made.there.layout);
        self.there.table.replace(&found.table, made.there.table);
        for device in &made.gone {
            self.there.layout.forget(device);
        }
    }

    /// A link was made, with what is on it.
    pub(crate) fn link(&mut self, veth: &Veth, made: Layout, desired: Option<&Desired>) {
        self.there.layout.devices.extend(made.devices);
        self.there.layout.addresses.extend(made.addresses);
        // It was there, perhaps otherwise, or comes back without what leads to it.
        let networks = desired.into_iter().flat_map(|desired| desired.networks.values());
        if networks.flat_map(|network| network.here.values()).any(|here| here == veth) {
            self.plain = false;
        }
    }

    /// A link was removed.
    pub(crate) fn unlink(&mut self, veth: &Veth) {
        self.there.layout.forget(&veth.0);
    }
}

#[cfg(test)]
mod tests;
