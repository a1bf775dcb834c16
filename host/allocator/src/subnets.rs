//! Subnets and VXLAN identifiers of networks.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use swarmw_model::{AddressPools, ClusterId, NetworkSpec, Pool, Refusal, RefusalKind};
use swarmw_state::{State, VNI_FIRST, VNI_LAST};

/// A cluster has a block of unique local addresses (RFC 4193) of its own…
const V6_BLOCK: u8 = 48;
/// …and networks have subnets of it.
const V6_SUBNET: u8 = 64;

/// The subnets of a network to be made: those that its spec names, else the first free
/// one of the default pools; and one of IPv6 where it is to have that.
///
/// # Errors
/// The spec names what is none, or the default pools are exhausted: how many there are.
pub fn choose_subnets(state: &State, spec: &NetworkSpec) -> Result<Vec<Pool>, Refusal> {
    let mut pools = spec.pools()?;
    let asked = |v4: bool| pools.iter().any(|pool| pool.subnet.addr().is_ipv4() == v4);
    let (v4, v6) = (asked(true), asked(false));
    let defaults = Defaults::of(state);
    let taken = subnets_of(state).chain(pools.iter().map(|pool| pool.subnet)).collect::<Vec<_>>();
    if !v4 {
        pools.insert(0, defaults.next(true, &taken).ok_or_else(|| exhausted(&defaults, true))?);
    }
    if spec.enable_ipv6 && !v6 {
        pools.push(defaults.next(false, &taken).ok_or_else(|| exhausted(&defaults, false))?);
    }
    Ok(pools)
}

/// The least VXLAN identifier that no network has.
///
/// # Errors
/// All are in use.
pub fn choose_vni(state: &State) -> Result<u32, Refusal> {
    let mut free = VNI_FIRST;
    for taken in state.vnis() {
        if taken != free {
            break;
        }
        free += 1;
    }
    if free > VNI_LAST {
        let count = VNI_LAST - VNI_FIRST + 1;
        let message = format!("a cluster has {count} networks at most");
        return Err(Refusal::rpc(RefusalKind::FailedPrecondition, message));
    }
    Ok(free)
}

/// Every subnet that a network has.
pub(crate) fn subnets_of(state: &State) -> impl Iterator<Item = IpNet> {
    state.networks_with_subnets().flat_map(|network| network.pools.iter().map(|pool| pool.subnet))
}

/// Where subnets come from that nobody named.
pub(crate) struct Defaults {
    v4: AddressPools,
    v6: IpNet,
}

// === impl Defaults ===

impl Defaults {
    pub(crate) fn of(state: &State) -> Self {
        let cluster = state.cluster();
        Self {
            v4: cluster.map(|cluster| cluster.address_pools.clone()).unwrap_or_default(),
            v6: unique_local(cluster.map(|cluster| cluster.id).unwrap_or_default()),
        }
    }

    /// The first subnet of a family that has nothing in common with those taken.
    pub(crate) fn next(&self, v4: bool, taken: &[IpNet]) -> Option<Pool> {
        let subnet = match v4 {
            true => {
                let size = self.v4.subnet_size;
                self.v4.pools.iter().find_map(|base| first_free(*base, size, taken))
            }
            false => first_free(self.v6, V6_SUBNET, taken),
        };
        subnet.and_then(Pool::of)
    }

    /// What there is, and how many: `10.0.0.0/8 has 65536 subnets of /24`.
    pub(crate) fn count(&self, v4: bool) -> String {
        let each = |base: &IpNet, size: u8| {
            let count = 1_u128 << size.saturating_sub(base.prefix_len()).min(127);
            let plural = if count == 1 { "" } else { "s" };
            format!("{base} has {count} subnet{plural} of /{size}")
        };
        match v4 {
            true => {
                let all: Vec<_> =
                    self.v4.pools.iter().map(|base| each(base, self.v4.subnet_size)).collect();
                all.join(", ")
            }
            false => each(&self.v6, V6_SUBNET),
        }
    }
}

fn exhausted(defaults: &Defaults, v4: bool) -> Refusal {
    let family = if v4 { "IPv4" } else { "IPv6" };
    Refusal::rpc(
        RefusalKind::FailedPrecondition,
        format!(
            "could not find an available, non-overlapping {family} address pool among the \
             defaults to assign to the network: {}, all in use; remove a network, or give this \
             one a subnet with --subnet",
            defaults.count(v4)
        ),
    )
}

/// The block of unique local addresses that a cluster's id gives.
fn unique_local(cluster: ClusterId) -> IpNet {
    let own = (cluster.bits() >> 88) << 80;
    let block = Ipv6Addr::from_bits(0xfd << 120 | own);
    IpNet::V6(Ipv6Net::new_assert(block, V6_BLOCK)).trunc()
}

/// The first subnet of a block, of a prefix's length, that overlaps nothing taken.
fn first_free(base: IpNet, size: u8, taken: &[IpNet]) -> Option<IpNet> {
    let v4 = base.addr().is_ipv4();
    if size < base.prefix_len() || size > base.max_prefix_len() {
        return None;
    }
    let host_bits = u32::from(base.max_prefix_len() - size);
    let last_of = |start: u128| start | ((1 << host_bits) - 1);
    let mut taken: Vec<_> = taken
        .iter()
        .filter(|net| net.addr().is_ipv4() == v4)
        .map(|net| (bits(net.network()), bits(net.broadcast())))
        .collect();
    taken.sort_unstable();
    let mut start = bits(base.network());
    for (from, to) in taken {
        if to < start {
            continue;
        }
        if from > last_of(start) {
            break;
        }
        start = last_of(to).checked_add(1)?;
    }
    if last_of(start) > bits(base.broadcast()) {
        return None;
    }
    IpNet::new(address(start, v4), size).ok()
}

/// An address as a number.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address that a number stands for.
pub(crate) fn address(bits: u128, v4: bool) -> IpAddr {
    match v4 {
        true => IpAddr::V4((bits as u32).into()),
        false => IpAddr::V6(bits.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a block")
    }

    #[test]
    fn the_first_free_subnet_goes_round_what_is_taken_of_whatever_size() {
        for (base, size, taken, want) in [
            ("10.0.0.0/8", 24, &[][..], "10.0.0.0/24"),
            ("10.0.0.0/8", 24, &["10.0.0.0/24"], "10.0.1.0/24"),
            ("10.0.0.0/8", 24, &["10.0.2.0/24", "10.0.0.0/23"], "10.0.3.0/24"),
            ("10.0.0.0/8", 24, &["10.0.0.0/16", "10.1.0.128/25"], "10.1.1.0/24"),
            ("10.0.0.0/8", 24, &["10.0.0.64/26", "fd00::/8"], "10.0.1.0/24"),
            ("10.9.0.0/16", 24, &["10.0.0.0/24"], "10.9.0.0/24"),
            ("10.0.0.0/23", 24, &["10.0.0.0/24", "10.0.1.0/24"], ""),
            ("10.0.0.0/16", 24, &["10.0.0.0/8"], ""),
            ("255.255.255.0/24", 24, &["255.255.255.0/24"], ""),
            ("fd00::/48", 64, &["fd00::/64"], "fd00:0:0:1::/64"),
            ("10.0.0.0/24", 16, &[], ""),
        ] {
            let taken: Vec<_> = taken.iter().map(|text| net(text)).collect();
            let found = first_free(net(base), size, &taken).map(|net| net.to_string());
            assert_eq!(found.unwrap_or_default(), want, "{base} {size} {taken:?}");
        }
    }

    #[test]
    fn clusters_have_blocks_of_their_own() {
        let block = unique_local(ClusterId::from_bits(0x1234_5678_9abc_def0 << 64));
        assert_eq!(block.to_string(), "fd12:3456:789a::/48");
    }
}
