//! Addresses on networks: the state's, with what a tick has given.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_model::{AttachmentId, Network, NetworkAttachment, NetworkId, POOLS_MAX, Pool, Time};
use swarmw_state::{Change, State};

use crate::resting::Place;
use crate::subnets::{Defaults, address, bits, subnets_of};

/// Subnets that are told one by one where all are full.
const POOLS_TOLD: usize = 8;

/// Which addresses are taken: in a state, and by decisions that are not in it yet.
pub struct Addresses<'a> {
    state: &'a State,
    given: HashSet<(NetworkId, IpAddr)>,
    /// How many of them are of a subnet's range.
    given_in: HashMap<(NetworkId, IpNet), u128>,
    grown: BTreeMap<NetworkId, Vec<Pool>>,
    /// Networks that have nothing left of a family, and why.
    exhausted: BTreeMap<(NetworkId, bool), Arc<str>>,
    /// Free, and given where nothing else is.
    resting: Arc<HashMap<Place, Time>>,
}

// === impl Addresses ===

impl<'a> Addresses<'a> {
    /// Those of a state.
    pub fn of(state: &'a State) -> Self {
        Self::with_rest(state, Arc::default())
    }

    pub(crate) fn with_rest(state: &'a State, resting: Arc<HashMap<Place, Time>>) -> Self {
        let (given, given_in, grown, exhausted) = Default::default();
        Self { state, given, given_in, grown, exhausted, resting }
    }

    pub(crate) fn state(&self) -> &'a State {
        self.state
    }

    /// The networks that must grow for what was given: before everything else.
    pub fn growth(&self) -> Vec<Change> {
        let grow = |(id, pools): (&NetworkId, &Vec<Pool>)| {
            let version = self.state.network(*id)?.version;
            Some(Change::GrowNetwork { id: *id, version, pools: pools.clone() })
        };
        self.grown.iter().filter_map(grow).collect()
    }

    /// Gives a task, from whose id its place follows, an address of each family on each
    /// of these networks; on all of them or on none. Networks that are no overlays give
    /// none.
    pub(crate) fn give(
        &mut self,
        networks: impl Iterator<Item = NetworkId>,
        place: u128,
    ) -> Result<Vec<NetworkAttachment>, Arc<str>> {
        let mut all = Vec::new();
        for id in networks {
            let Some(network) = self.state.network(id).cloned() else {
                return Err(format!("network {id} not found").into());
            };
            if !network.is_overlay() {
                continue;
            }
            let families: Vec<_> = families(&network).collect();
            let addresses: Result<_, _> =
                families.into_iter().map(|v4| self.find(&network, v4, place)).collect();
            all.push(NetworkAttachment { network: id, addresses: addresses? });
        }
        self.take(&all);
        Ok(all)
    }

    /// Gives a task an address on the network of the routing mesh, of IPv4, which stands
    /// for the one of IPv6 as well.
    pub(crate) fn give_ingress(
        &mut self,
        network: NetworkId,
        place: u128,
    ) -> Result<NetworkAttachment, Arc<str>> {
        let Some(found) = self.state.network(network).cloned() else {
            return Err(format!("network {network} not found").into());
        };
        let address = self.find(&found, true, place)?;
        let attachment = NetworkAttachment { network, addresses: vec![address] };
        self.take(std::slice::from_ref(&attachment));
        Ok(attachment)
    }

    /// Gives one address of a family.
    pub(crate) fn give_one(
        &mut self,
        network: &Network,
        v4: bool,
        place: u128,
    ) -> Result<IpNet, Arc<str>> {
        let found = self.find(network, v4, place)?;
        self.take_one(network.id, found);
        Ok(found)
    }

    /// Whether there are addresses of each family on each of these networks for so many.
    ///
    /// # Errors
    /// For how many there are, and why for no more.
    pub(crate) fn enough(
        &mut self,
        networks: impl Iterator<Item = NetworkId>,
        wanted: usize,
    ) -> Result<(), (usize, Arc<str>)> {
        let mut least: Result<(), (usize, Arc<str>)> = Ok(());
        for id in networks {
            let Some(network) = self.state.network(id).cloned() else {
                return Err((0, format!("network {id} not found").into()));
            };
            if !network.is_overlay() {
                continue;
            }
            for v4 in families(&network) {
                let most = least.as_ref().map_or_else(|(most, _)| *most, |()| wanted);
                let free: u128 =
                    self.pools(&network, v4).map(|pool| self.free(network.id, pool)).sum();
                let free = usize::try_from(free).unwrap_or(usize::MAX);
                if free < most && self.grow(&network, v4).is_none() {
                    least = Err((free, self.why_none(&network, v4).into()));
                }
            }
        }
        least
    }

    /// An address for a container that joins a network: the one that it asks for, or any
    /// of a family.
    ///
    /// # Errors
    /// There is none, or not the one that was asked for.
    pub fn attach(
        &mut self,
        network: &Network,
        id: AttachmentId,
        asked: Option<IpAddr>,
        v4: bool,
    ) -> Result<NetworkAttachment, Arc<str>> {
        let address = match asked {
            Some(address) => self.asked(network, address)?,
            None => self.find(network, v4, id.bits())?,
        };
        let attachment = NetworkAttachment { network: network.id, addresses: vec![address] };
        self.take(std::slice::from_ref(&attachment));
        Ok(attachment)
    }

    fn asked(&self, network: &Network, address: IpAddr) -> Result<IpNet, Arc<str>> {
        let Some(pool) = network.pool_of(address) else {
            let name = &network.spec.name;
            return Err(
                format!("no subnet of network {name} contains the address {address}").into()
            );
        };
        if !pool.may_give(address) || !self.is_free(network.id, address) {
            return Err(format!("Address already in use: {address}").into());
        }
        net_of(pool, address)
    }

    fn take(&mut self, attachments: &[NetworkAttachment]) {
        for on in attachments {
            on.addresses.iter().for_each(|net| self.take_one(on.network, *net));
        }
    }

    fn take_one(&mut self, network: NetworkId, net: IpNet) {
        // One that was asked for need not be of the range; nobody asks twice in a tick.
        if self.given.insert((network, net.addr())) {
            *self.given_in.entry((network, net.trunc())).or_default() += 1;
        }
    }

    /// How many addresses of a subnet's range are free.
    fn free(&self, network: NetworkId, pool: &Pool) -> u128 {
        let key = (network, pool.subnet);
        let given = self.given_in.get(&key).copied().unwrap_or_default();
        let taken = u128::from(self.state.addresses_within(network, pool.subnet)) + given;
        capacity(pool).saturating_sub(taken)
    }

    fn is_free(&self, network: NetworkId, address: IpAddr) -> bool {
        self.state.address_holder(network, address).is_none()
            && !self.given.contains(&(network, address))
    }

    /// A free address of a family; the network grows for it if it may.
    fn find(&mut self, network: &Network, v4: bool, place: u128) -> Result<IpNet, Arc<str>> {
        if let Some(why) = self.exhausted.get(&(network.id, v4)) {
            return Err(why.clone());
        }
        match self.find_or_grow(network, v4, place) {
            Some((pool, found)) => net_of(&pool, found),
            None => {
                let why: Arc<str> = self.why_none(network, v4).into();
                self.exhausted.insert((network.id, v4), why.clone());
                Err(why)
            }
        }
    }

    fn find_or_grow(&mut self, network: &Network, v4: bool, place: u128) -> Option<(Pool, IpAddr)> {
        let find = |rested: bool| {
            self.pools(network, v4).find_map(|pool| {
                let found = self.find_in(network.id, pool, place, rested);
                found.map(|found| (pool.clone(), found))
            })
        };
        // A network does not grow for the sake of addresses that rest.
        if let Some(found) = find(true).or_else(|| find(false)) {
            return Some(found);
        }
        let pool = self.grow(network, v4)?;
        self.grown.entry(network.id).or_default().push(pool.clone());
        self.find_in(network.id, &pool, place, false).map(|found| (pool, found))
    }

    /// The subnets of a family, with those that this tick has added.
    fn pools<'b>(&'b self, network: &'b Network, v4: bool) -> impl Iterator<Item = &'b Pool> {
        let grown = self.grown.get(&network.id).into_iter().flatten();
        let all = network.pools.iter().chain(grown);
        all.filter(move |pool| pool.subnet.addr().is_ipv4() == v4)
    }

    /// Why there is no address, in numbers.
    fn why_none(&self, network: &Network, v4: bool) -> String {
        let name = &network.spec.name;
        let pools: Vec<_> = self.pools(network, v4).collect();
        if pools.is_empty() {
            return format!("network {name} has no subnet of IPv{}", if v4 { 4 } else { 6 });
        }
        let told = pools.iter().take(POOLS_TOLD);
        let each = told.map(|pool| format!("{} has {}", pool.range, capacity(pool)));
        let mut each = each.collect::<Vec<_>>().join(", ");
        if let Some(others) = pools.get(POOLS_TOLD..).filter(|others| !others.is_empty()) {
            let count: u128 = others.iter().map(|pool| capacity(pool)).sum();
            each.push_str(&format!(", {} more have {count}", others.len()));
        }
        let beyond = match may_grow(network, v4) {
            true if self.is_largest(network) => {
                format!("; it cannot grow: {POOLS_MAX} subnets are the most that a network has")
            }
            true => {
                let count = Defaults::of(self.state).count(v4);
                format!("; it cannot grow: {count}, all in use")
            }
            false => String::new(),
        };
        format!("no address is free on network {name}: {each}, all in use{beyond}")
    }

    /// The next free address of a subnet from a place on; one that does not rest, if so
    /// asked.
    fn find_in(
        &self,
        network: NetworkId,
        pool: &Pool,
        place: u128,
        rested: bool,
    ) -> Option<IpAddr> {
        if self.free(network, pool) == 0 {
            return None;
        }
        let v4 = pool.subnet.addr().is_ipv4();
        let first = bits(pool.range.network());
        let count = size(pool);
        let start = place % count;
        let at = |n: u128| {
            // Of the sum of two places below 2^128 one may have to be taken off first.
            let wrapped = if n >= count - start { n - (count - start) } else { start + n };
            address(first + wrapped, v4)
        };
        let mut n = 0;
        while n < count {
            let candidate = at(n);
            let is_free = pool.gives(candidate) && self.is_free(network, candidate);
            if is_free && !(rested && self.resting.contains_key(&(network, candidate))) {
                return Some(candidate);
            }
            n += 1;
        }
        None
    }

    /// A further subnet for a network whose subnet nobody named.
    fn grow(&self, network: &Network, v4: bool) -> Option<Pool> {
        let has_family = families(network).any(|family| family == v4);
        if !has_family || !may_grow(network, v4) || self.is_largest(network) {
            return None;
        }
        let grown = self.grown.values().flatten().map(|pool| pool.subnet);
        let taken: Vec<_> = subnets_of(self.state).chain(grown).collect();
        Defaults::of(self.state).next(v4, &taken)
    }

    /// Whether a network has as many subnets as one may have.
    fn is_largest(&self, network: &Network) -> bool {
        let grown = self.grown.get(&network.id).map_or(0, Vec::len);
        network.pools.len() + grown >= POOLS_MAX
    }
}

/// The families of which a network has subnets, IPv4 first.
pub(crate) fn families(network: &Network) -> impl Iterator<Item = bool> {
    let has = |v4: bool| network.pools.iter().any(|pool| pool.subnet.addr().is_ipv4() == v4);
    [true, false].into_iter().filter(move |v4| has(*v4))
}

/// Whether a network gets further subnets of a family: not where its operator named some.
fn may_grow(network: &Network, v4: bool) -> bool {
    let named = network.spec.pools().unwrap_or_default();
    !named.iter().any(|pool| pool.subnet.addr().is_ipv4() == v4)
}

/// How many addresses a pool's range has.
fn size(pool: &Pool) -> u128 {
    let bits = pool.range.max_prefix_len() - pool.range.prefix_len();
    1_u128.checked_shl(bits.into()).unwrap_or(u128::MAX)
}

/// How many of them are given away.
fn capacity(pool: &Pool) -> u128 {
    let mut kept: BTreeSet<_> = pool.auxiliary.values().copied().collect();
    kept.extend([pool.gateway, pool.subnet.network()]);
    if pool.subnet.addr().is_ipv4() {
        kept.insert(pool.subnet.broadcast());
    }
    size(pool) - kept.iter().filter(|address| pool.range.contains(*address)).count() as u128
}

fn net_of(pool: &Pool, address: IpAddr) -> Result<IpNet, Arc<str>> {
    IpNet::new(address, pool.subnet.prefix_len()).map_err(|error| error.to_string().into())
}
