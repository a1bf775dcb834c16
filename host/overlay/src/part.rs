//! What of a [`Desired`] a change may touch: the same of before and after, and nothing of
//! what stays. Both are small `Desired`s, which mean what the whole ones mean there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::beside::{pairs, unlike};
use crate::device::TUNNEL;
use crate::{Desired, DesiredNetwork, Veth};

/// A part, before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) before: Desired,
    pub(crate) after: Desired,
    /// Other addresses are [caught](DesiredNetwork::caught) than before, which is no part of
    /// either.
    pub(crate) is_caught_otherwise: bool,
}

/// Addresses of one network.
#[derive(Default)]
struct Touched {
    /// Of containers, here or elsewhere.
    containers: BTreeSet<IpAddr>,
    virtuals: BTreeSet<IpAddr>,
}

/// Whether no two networks have anything in common, so that what one means does not depend
/// on the others; and all nodes can be reached, which is said of all of them at once.
pub(crate) fn is_plain(desired: &Desired) -> bool {
    is_apart(desired) && desired.networks.values().all(|network| keeps_to_its_pools(network))
}

// === impl Part ===

impl Part {
    /// What differs between two, of which the first is plain; none: it is better told from
    /// the whole.
    pub(crate) fn between(before: &Desired, after: &Desired) -> Option<Self> {
        let own = |desired: &Desired| (desired.number, desired.address, desired.port);
        let peers: BTreeSet<_> =
            unlike(&before.peers, &after.peers).map(|(number, ..)| *number).collect();
        // Who is on a node that moves is looked for in all networks.
        let networks: Vec<_> = pairs(&before.networks, &after.networks)
            .filter(|(_, was, is)| was != is || !peers.is_empty())
            .collect();
        let stay_apart =
            peers.is_empty() && networks.iter().all(|(_, was, is)| stays_apart(*was, *is));
        if own(before) != own(after) || !(stay_apart || is_apart(after)) {
            return None;
        }
        let mut part = Self {
            before: without_networks(before),
            after: without_networks(after),
            is_caught_otherwise: false,
        };
        for (id, was, is) in networks {
            if !is.is_none_or(|is| keeps_to_its_pools(is)) {
                return None;
            }
            part.is_caught_otherwise |= !caught(was).eq(caught(is));
            let (was, is) = match (was, is) {
                (Some(was), Some(is)) if (was.vni, &was.pools) == (is.vni, &is.pools) => {
                    let touched = Touched::between(was, is, &peers);
                    if touched.is_empty() {
                        continue;
                    }
                    (Some(Arc::new(touched.of(was))), Some(Arc::new(touched.of(is))))
                }
                whole => (whole.0.cloned(), whole.1.cloned()),
            };
            part.before.networks.extend(was.map(|was| (*id, was)));
            part.after.networks.extend(is.map(|is| (*id, is)));
        }
        Some(part)
    }

    /// Both.
    pub(crate) fn sides(&self) -> [&Desired; 2] {
        [&self.before, &self.after]
    }
}

// === impl Touched ===

impl Touched {
    fn between(was: &DesiredNetwork, is: &DesiredNetwork, peers: &BTreeSet<u16>) -> Self {
        let mut containers: BTreeSet<_> =
            unlike(&was.elsewhere, &is.elsewhere).map(|(address, ..)| *address).collect();
        let mut veths = BTreeSet::new();
        for (address, was, is) in unlike(&was.here, &is.here) {
            containers.insert(*address);
            veths.extend([was, is].into_iter().flatten());
        }
        let sides = [was, is];
        if !veths.is_empty() {
            // A link goes with all that leads to it.
            let on = sides.into_iter().flat_map(|network| &network.here);
            containers.extend(on.filter(|(_, veth)| veths.contains(veth)).map(|(on, _)| *on));
        }
        if !peers.is_empty() {
            let on = sides.into_iter().flat_map(|network| &network.elsewhere);
            containers.extend(on.filter(|(_, number)| peers.contains(*number)).map(|(on, _)| *on));
        }
        // One that stays on a node keeps the way there.
        let left: BTreeSet<_> = containers.iter().filter_map(|on| was.elsewhere.get(on)).collect();
        let stay = |number: &u16| {
            let mut all = is.elsewhere.iter();
            all.find(|(on, of)| *of == number && !containers.contains(*on)).map(|(on, _)| *on)
        };
        let staying: Vec<_> = left.into_iter().filter_map(stay).collect();
        containers.extend(staying);
        let virtuals = unlike(&was.balanced, &is.balanced).map(|(address, ..)| *address).collect();
        Self { containers, virtuals }
    }

    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.virtuals.is_empty()
    }

    fn of(&self, network: &DesiredNetwork) -> DesiredNetwork {
        DesiredNetwork {
            vni: network.vni,
            underlay_mtu: network.underlay_mtu,
            pools: network.pools.clone(),
            here: some_of(&network.here, &self.containers),
            elsewhere: some_of(&network.elsewhere, &self.containers),
            // Those are seen to as a whole.
            caught: BTreeSet::new(),
            balanced: some_of(&network.balanced, &self.virtuals),
        }
    }
}

fn without_networks(desired: &Desired) -> Desired {
    let Desired { number, address, port, ref peers, .. } = *desired;
    Desired { number, address, port, peers: peers.clone(), networks: BTreeMap::new() }
}

fn some_of<V: Clone>(all: &BTreeMap<IpAddr, V>, keys: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, V> {
    keys.iter().filter_map(|key| Some((*key, all.get(key)?.clone()))).collect()
}

/// Addresses that are caught, each with the number of the network.
fn caught(network: Option<&Arc<DesiredNetwork>>) -> impl Iterator<Item = (u32, IpAddr)> {
    let networks = network.into_iter();
    networks.flat_map(|network| network.caught.iter().map(move |address| (network.vni, *address)))
}

/// Whether a network that had nothing in common with another has nothing now: what two could
/// have is as it was, or goes.
fn stays_apart(was: Option<&Arc<DesiredNetwork>>, is: Option<&Arc<DesiredNetwork>>) -> bool {
    match (was, is) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(was), Some(is)) => (was.vni, &was.pools, &was.here) == (is.vni, &is.pools, &is.here),
    }
}

/// Whether nodes are of one family, and networks have their own numbers, subnets and links.
/// A subnet of one address would be the route to that address as well.
fn is_apart(desired: &Desired) -> bool {
    let networks = || desired.networks.values();
    let of_one_family =
        desired.peers.values().all(|end| end.is_ipv4() == desired.address.is_ipv4());
    let mut subnets: Vec<_> =
        networks().flat_map(|network| &network.pools).map(|pool| pool.subnet.trunc()).collect();
    // What is in one of them comes next.
    subnets.sort();
    let are_own = |pair: &[IpNet]| !pair[0].contains(&pair[1]);
    let are_wide = |subnet: &IpNet| subnet.prefix_len() < subnet.max_prefix_len();
    let numbers: BTreeSet<_> = networks().map(|network| network.vni).collect();
    let mut links = BTreeSet::new();
    of_one_family
        && numbers.len() == desired.networks.len()
        && subnets.windows(2).all(are_own)
        && subnets.iter().all(are_wide)
        && networks().all(|network| {
            let of_one: BTreeSet<_> = network.here.values().collect();
            of_one.into_iter().all(|veth| is_no_device_of_ours(veth) && links.insert(veth))
        })
}

fn is_no_device_of_ours(veth: &Veth) -> bool {
    veth.0 != "lo" && !veth.0.starts_with(TUNNEL)
}

/// Whether all addresses of a network are of its subnets.
fn keeps_to_its_pools(network: &DesiredNetwork) -> bool {
    let containers = network.here.keys().chain(network.elsewhere.keys());
    let mut addresses = containers.chain(network.balanced.keys());
    addresses.all(|address| network.pools.iter().any(|pool| pool.subnet.contains(address)))
}

#[cfg(test)]
mod tests;
