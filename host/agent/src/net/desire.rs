//! What the kernel should have, from what the leader said and what is here. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use swarmw_engine_driver::{Endpoint, EndpointId as EngineEndpointId};
use swarmw_model::{EndpointId, Network, NetworkEndpoint, NetworkId, NodeId, ServiceId, TaskId};
use swarmw_overlay::{Desired, DesiredNetwork, Veth};

use super::known::Known;

/// Characters of the engine's id in the name of a link; the kernel's names have 15.
const LINK_ID: usize = 12;

/// What there is on the node itself, beside what the leader says.
pub(crate) struct Here<'a> {
    /// The node.
    pub(crate) node: NodeId,
    /// Containers on networks, as the engine has told.
    pub(crate) joined: &'a [Endpoint],
    /// Tasks of the node that have ended, whether the leader has heard of it or not.
    pub(crate) ended: &'a BTreeSet<TaskId>,
}

/// `None` before the leader has said what the node is to the others.
pub(crate) fn desired(known: &Known, here: &Here<'_>) -> Option<Desired> {
    let own = known.peers.get(&here.node)?;
    let others = known.peers.values().filter(|peer| peer.node != here.node);
    let networks = known.networks.values().filter(|network| is_here(network, here));
    Some(Desired {
        number: own.number,
        address: own.address,
        port: known.port,
        peers: others.map(|peer| (peer.number, peer.address)).collect(),
        networks: networks.map(|n| (n.id, network(n, known, here))).collect(),
    })
}

/// One network as it should be, whether a container is on it already, and where the node's
/// VXLAN ends.
pub(crate) fn network_of(
    of: &Network,
    known: &Known,
    here: &Here<'_>,
) -> Option<(DesiredNetwork, IpAddr)> {
    let own = known.peers.get(&here.node)?;
    Some((network(of, known, here), own.address))
}

/// What leads to a container.
pub(crate) fn veth(endpoint: &EngineEndpointId) -> Veth {
    Veth(format!("sw{}", endpoint.to_string().chars().take(LINK_ID).collect::<String>()))
}

/// Whether new connections may go to an endpoint: a task of this node that has ended gets
/// none, whatever the leader knows.
pub(crate) fn serves(endpoint: &NetworkEndpoint, node: NodeId, ended: &BTreeSet<TaskId>) -> bool {
    let has_ended = match endpoint.id {
        EndpointId::Task(task) => endpoint.node == node && ended.contains(&task),
        EndpointId::Attachment(_) => false,
    };
    endpoint.serves && !has_ended
}

/// A network is in the kernel from its first container on to its last: what the leader
/// tells of it before and after costs nothing.
fn is_here(network: &Network, here: &Here<'_>) -> bool {
    network.is_overlay() && joined(here, network.id).next().is_some()
}

/// Containers on a network. One that has no sandbox has no link: it is about to join, or
/// has left.
fn joined<'a>(here: &Here<'a>, network: NetworkId) -> impl Iterator<Item = &'a Endpoint> {
    let on = here.joined.iter().filter(move |joined| joined.network == network);
    on.filter(|joined| joined.sandbox.is_some())
}

fn network(network: &Network, known: &Known, here: &Here<'_>) -> DesiredNetwork {
    let mut elsewhere = BTreeMap::new();
    let mut serving: BTreeMap<ServiceId, Vec<IpAddr>> = BTreeMap::new();
    for endpoint in known.endpoints.values() {
        let addresses = on(endpoint, network.id);
        if endpoint.node != here.node
            && let Some(peer) = known.peers.get(&endpoint.node)
        {
            elsewhere.extend(addresses.clone().map(|address| (address, peer.number)));
        }
        if let Some(service) = endpoint.service
            && serves(endpoint, here.node, here.ended)
        {
            serving.entry(service).or_default().extend(addresses);
        }
    }
    let mut balanced = BTreeMap::new();
    for service in known.services.values() {
        let tasks = serving.get(&service.id).map_or(&[][..], Vec::as_slice);
        for vip in service.virtual_ips.iter().filter(|vip| vip.network == network.id) {
            let vip = vip.addr.addr();
            let family = tasks.iter().filter(|task| task.is_ipv4() == vip.is_ipv4());
            balanced.insert(vip, family.copied().collect());
        }
    }
    let links = |joined: &Endpoint| {
        let veth = veth(&joined.id);
        let addresses = joined.addresses.iter().map(IpNet::addr);
        addresses.map(|address| (address, veth.clone())).collect::<Vec<_>>()
    };
    DesiredNetwork {
        vni: network.vni,
        underlay_mtu: network.underlay_mtu(),
        pools: network.pools.clone(),
        here: joined(here, network.id).flat_map(links).collect(),
        elsewhere,
        balanced,
    }
}

/// An endpoint's addresses on a network.
fn on(endpoint: &NetworkEndpoint, network: NetworkId) -> impl Iterator<Item = IpAddr> + Clone + '_ {
    let on = endpoint.on.iter().filter(move |on| on.network == network);
    on.flat_map(|on| on.addresses.iter().map(IpNet::addr))
}
