//! Where an address of a network leads. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use swarmw_model::{EndpointId, NetworkEndpoint, NetworkId, NodeId, TaskId};

use crate::net::{Known, serves};

/// Virtual addresses whose turns are remembered; beyond, all begin anew.
const TURNS_MAX: usize = 4_096;

/// One task or container, by its address on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: EndpointId,
    pub(crate) node: NodeId,
    pub(crate) network: NetworkId,
    pub(crate) address: IpAddr,
    /// It is a component.
    pub(crate) user_space: bool,
}

/// Where an address leads, seen from some networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// It is of none of these networks.
    NotOurs,
    /// Nobody has it.
    Nowhere,
    /// To one.
    To(Target),
    /// It is virtual: to one of these in turn; none: nobody serves it.
    InTurn(NetworkId, Vec<Target>),
}

/// What there is on the node itself, beside what the leader says.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) node: NodeId,
    /// Tasks of the node that have ended.
    pub(crate) ended: &'a BTreeSet<TaskId>,
}

/// Whose turn it is, by virtual address.
#[derive(Debug, Default)]
pub(crate) struct Turns(HashMap<(NetworkId, IpAddr), usize>);

/// Where an address leads for somebody on these networks.
pub(crate) fn led(known: &Known, here: Here<'_>, networks: &[NetworkId], address: IpAddr) -> Led {
    let of = |id: &&NetworkId| {
        let network = known.networks.get(*id);
        network.is_some_and(|n| !n.spec.ingress && n.pool_of(address).is_some())
    };
    let Some(network) = networks.iter().find(of).copied() else { return Led::NotOurs };
    let is_virtual = known.services.values().find(|service| {
        service.virtual_ips.iter().any(|ip| (ip.network, ip.addr.addr()) == (network, address))
    });
    let Some(service) = is_virtual else {
        let holder = known.endpoints.values().find(|e| has(e, network, address));
        return holder.map_or(Led::Nowhere, |one| Led::To(target(one, network, address)));
    };
    let serving = known.endpoints.values().filter(|endpoint| {
        endpoint.service == Some(service.id) && serves(endpoint, here.node, here.ended)
    });
    let targets = serving.filter_map(|one| {
        let mut own = addresses(one, network).map(IpNet::addr);
        let alike = own.find(|own| own.is_ipv4() == address.is_ipv4())?;
        Some(target(one, network, alike))
    });
    Led::InTurn(network, targets.collect())
}

/// Who has an address on a network, if it is somebody of this node that has not ended.
pub(crate) fn own(
    known: &Known,
    here: Here<'_>,
    network: NetworkId,
    address: IpAddr,
) -> Option<Target> {
    let is_own = |e: &&NetworkEndpoint| {
        let has_ended = matches!(e.id, EndpointId::Task(task) if here.ended.contains(&task));
        e.node == here.node && !has_ended && has(e, network, address)
    };
    known.endpoints.values().find(is_own).map(|one| target(one, network, address))
}

fn target(endpoint: &NetworkEndpoint, network: NetworkId, address: IpAddr) -> Target {
    let NetworkEndpoint { id, node, user_space, .. } = *endpoint;
    Target { id, node, network, address, user_space }
}

fn has(endpoint: &NetworkEndpoint, network: NetworkId, address: IpAddr) -> bool {
    addresses(endpoint, network).any(|own| own.addr() == address)
}

fn addresses(endpoint: &NetworkEndpoint, network: NetworkId) -> impl Iterator<Item = &IpNet> {
    endpoint.on.iter().filter(move |on| on.network == network).flat_map(|on| &on.addresses)
}

// === impl Turns ===

impl Turns {
    /// All of them, beginning with the one whose turn it is.
    pub(crate) fn next(
        &mut self,
        network: NetworkId,
        address: IpAddr,
        mut all: Vec<Target>,
    ) -> Vec<Target> {
        if self.0.len() >= TURNS_MAX {
            self.0.clear();
        }
        let turn = self.0.entry((network, address)).or_default();
        *turn = turn.wrapping_add(1);
        if !all.is_empty() {
            let first = *turn % all.len();
            all.rotate_left(first);
        }
        all
    }
}

#[cfg(test)]
mod tests;
