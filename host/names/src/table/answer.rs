//! What a name stands for, for one who asks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rand::RngCore;
use rand::seq::SliceRandom;
use swarmw_model::{EndpointId, NetworkId, ResolutionMode, ServiceId};

use super::Table;
use super::on_network::{Holder, OnNetwork};
use crate::question::{Answer, Question, Want};
use crate::reverse;

/// How long addresses of tasks and containers may be kept: they come and go, and asking
/// again is a trip over the loopback device.
pub const LIST_TTL: u32 = 1;
/// How long a virtual address may be kept. A service keeps its own for life, so Swarm says
/// 600; but a stack that is removed and deployed again has others, and whoever honours 600
/// talks to nobody for ten minutes.
pub const VIRTUAL_IP_TTL: u32 = 10;

/// Before a service's name: its tasks, whatever its mode.
const TASKS: &str = "tasks.";

/// A network that the asker is on.
type Reachable<'a> = (NetworkId, &'a OnNetwork);

/// Addresses that a name stands for; none: the name is known, they are not.
#[derive(Default)]
struct Found {
    addresses: Vec<IpAddr>,
    ttl: u32,
}

// === impl Table ===

impl Table {
    /// Answers a question of a process on these networks. It sees their names only; where
    /// a name stands for different things on two, the first that has addresses counts.
    pub fn answer(
        &self,
        networks: &[NetworkId],
        question: Question<'_>,
        mut chance: impl RngCore,
    ) -> Answer {
        let reachable: Vec<_> = networks
            .iter()
            .filter_map(|id| Some((*id, self.networks.get(id)?)))
            .filter(|(_, on)| !on.ingress)
            .collect();
        let name = question.name.strip_suffix('.').unwrap_or(question.name).to_ascii_lowercase();
        if let Some(address) = reverse::address(&name) {
            return self.reverse(&reachable, address, question.want);
        }
        match self.forward(&reachable, &name, question.want) {
            None => Answer::NotOurs,
            Some(found) if found.addresses.is_empty() => Answer::Nothing,
            Some(Found { mut addresses, ttl }) => {
                addresses.shuffle(&mut chance);
                Answer::Addresses { addresses, ttl }
            }
        }
    }

    fn reverse(&self, reachable: &[Reachable<'_>], address: IpAddr, want: Want) -> Answer {
        let names: Vec<_> = reachable
            .iter()
            .filter_map(|(_, on)| Some((on, on.addresses.get(&address)?)))
            .flat_map(|(on, holders)| holders.iter().filter_map(|who| self.full_name(on, *who)))
            .collect();
        match want {
            _ if names.is_empty() => Answer::NotOurs,
            Want::Name => Answer::Names { names, ttl: LIST_TTL },
            Want::V4 | Want::V6 | Want::Other => Answer::Nothing,
        }
    }

    /// `NAME.NETWORK`, as Docker's own resolver says it.
    fn full_name(&self, on: &OnNetwork, who: Holder) -> Option<String> {
        let own = match who {
            Holder::Service(id) => &self.services.get(&id)?.name,
            Holder::Endpoint(id) => self.endpoints.get(&id)?.names.first()?,
        };
        Some(match &on.name {
            Some(network) => format!("{own}.{network}"),
            None => own.clone(),
        })
    }

    /// As it stands, then as `NAME.NETWORK` for every dot there is: both may have dots.
    fn forward(&self, reachable: &[Reachable<'_>], name: &str, want: Want) -> Option<Found> {
        let qualified = name.match_indices('.').filter_map(|(dot, _)| {
            let (own, network) = (&name[..dot], &name[dot + 1..]);
            let on = reachable.iter().filter(|(_, on)| on.name.as_deref() == Some(network));
            let on: Vec<_> = on.copied().collect();
            self.named(&on, own, want)
        });
        self.named(reachable, name, want).or_else(|| qualified.into_iter().next())
    }

    /// A service's name counts before a container's, so nobody who may start a container
    /// takes a service's place.
    fn named(&self, reachable: &[Reachable<'_>], name: &str, want: Want) -> Option<Found> {
        let service = |name: &str, tasks: bool| {
            let here = reachable.iter().map(|on| self.service(*on, name, tasks, want));
            first_with_addresses(here)
        };
        let of_tasks = || name.strip_prefix(TASKS).and_then(|name| service(name, true));
        let containers = || {
            let here = reachable.iter().map(|on| self.container(*on, name, want));
            first_with_addresses(here)
        };
        service(name, false).or_else(of_tasks).or_else(containers)
    }

    /// Services of a name on one network; where several have it, all of theirs.
    fn service(
        &self,
        (_, on): Reachable<'_>,
        name: &str,
        tasks: bool,
        want: Want,
    ) -> Option<Found> {
        let own = self.named.get(name).into_iter().flatten();
        let own = own.filter(|id| on.services.contains_key(*id));
        let services: BTreeSet<_> = own.chain(on.aliases.get(name).into_iter().flatten()).collect();
        let found = services.into_iter().map(|id| self.addresses(on, *id, tasks, want));
        found.reduce(|a, b| Found {
            addresses: [a.addresses, b.addresses].concat(),
            ttl: a.ttl.min(b.ttl),
        })
    }

    fn addresses(&self, on: &OnNetwork, id: ServiceId, tasks: bool, want: Want) -> Found {
        let Some((service, here)) = self.services.get(&id).zip(on.services.get(&id)) else {
            return Found::default();
        };
        if tasks || service.mode == ResolutionMode::Dnsrr {
            let serving = here.serving.iter().map(|(address, _)| *address);
            Found { addresses: of_family(serving, want), ttl: LIST_TTL }
        } else {
            let virtual_ips = here.virtual_ips.iter().copied();
            Found { addresses: of_family(virtual_ips, want), ttl: VIRTUAL_IP_TTL }
        }
    }

    fn container(&self, (id, on): Reachable<'_>, name: &str, want: Want) -> Option<Found> {
        let owners = on.owners.get(name)?;
        let addresses = owners.iter().flat_map(|owner| self.addresses_of(*owner, id));
        Some(Found { addresses: of_family(addresses, want), ttl: LIST_TTL })
    }

    fn addresses_of(&self, id: EndpointId, network: NetworkId) -> impl Iterator<Item = IpAddr> {
        let on = self.endpoints.get(&id).into_iter().flat_map(|endpoint| &endpoint.on);
        let here = on.filter(move |on| on.network == network);
        here.flat_map(|on| on.addresses.iter().map(|address| address.addr()))
    }
}

/// The first that has addresses; else one that says that the name is known.
fn first_with_addresses(found: impl Iterator<Item = Option<Found>>) -> Option<Found> {
    let mut known = None;
    for found in found.flatten() {
        if !found.addresses.is_empty() {
            return Some(found);
        }
        known = Some(found);
    }
    known
}

fn of_family(addresses: impl Iterator<Item = IpAddr>, want: Want) -> Vec<IpAddr> {
    let wanted = |address: &IpAddr| match want {
        Want::V4 => address.is_ipv4(),
        Want::V6 => address.is_ipv6(),
        Want::Name | Want::Other => false,
    };
    addresses.filter(wanted).collect()
}
