//! What the kernel should have, from what the leader said and what is here. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

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

/// Who is on a network.
#[derive(Default)]
struct Members<'a> {
    endpoints: Vec<&'a NetworkEndpoint>,
    /// The virtual addresses of services.
    virtuals: Vec<(ServiceId, IpAddr)>,
}

/// `None` before the leader has said what the node is to the others.
pub(crate) fn desired(known: &Known, here: &Here<'_>) -> Option<Desired> {
    let own = known.peers.get(&here.node)?;
    let others = known.peers.values().filter(|peer| peer.node != here.node);
    let networks = known.networks.values().filter(|network| is_here(network, here));
    let members = members(known);
    Some(Desired {
        number: own.number,
        address: own.address,
        port: known.port,
        peers: others.map(|peer| (peer.number, peer.address)).collect(),
        networks: networks.map(|n| (n.id, Arc::new(network(n, known, here, &members)))).collect(),
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
    Some((network(of, known, here, &members(known)), own.address))
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

/// Who is on each network.
fn members(known: &Known) -> BTreeMap<NetworkId, Members<'_>> {
    let mut all = BTreeMap::<_, Members<'_>>::new();
    for endpoint in known.endpoints.values() {
        for on in &endpoint.on {
            all.entry(on.network).or_default().endpoints.push(endpoint);
        }
    }
    for service in known.services.values() {
        for vip in &service.virtual_ips {
            all.entry(vip.network).or_default().virtuals.push((service.id, vip.addr.addr()));
        }
    }
    all
}

fn network(
    network: &Network,
    known: &Known,
    here: &Here<'_>,
    members: &BTreeMap<NetworkId, Members<'_>>,
) -> DesiredNetwork {
    let nobody = Members::default();
    let members = members.get(&network.id).unwrap_or(&nobody);
    let mut elsewhere = BTreeMap::new();
    let mut caught = BTreeSet::new();
    let mut serving: BTreeMap<ServiceId, Vec<IpAddr>> = BTreeMap::new();
    for endpoint in &members.endpoints {
        let addresses = on(endpoint, network.id);
        if endpoint.user_space {
            caught.extend(addresses.clone());
        } else if endpoint.node != here.node
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
    for (service, vip) in &members.virtuals {
        let tasks = serving.get(service).map_or(&[][..], Vec::as_slice);
        let family = tasks.iter().filter(|task| task.is_ipv4() == vip.is_ipv4());
        balanced.insert(*vip, family.copied().collect());
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
        caught,
        balanced,
    }
}

/// An endpoint's addresses on a network.
fn on(endpoint: &NetworkEndpoint, network: NetworkId) -> impl Iterator<Item = IpAddr> + Clone + '_ {
    let on = endpoint.on.iter().filter(move |on| on.network == network);
    on.flat_map(|on| on.addresses.iter().map(IpNet::addr))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swarmw_model::{
        NetworkAttachment, NetworkNews, NetworkPeer, Pool, ServiceOnNetworks, Time, VirtualIp,
    };

    use super::*;

    const OWN: NodeId = NodeId::from_bits(1);
    const OTHER: NodeId = NodeId::from_bits(2);
    const WEB: NetworkId = NetworkId::from_bits(11);
    const SERVICE: ServiceId = ServiceId::from_bits(21);

    fn net(text: &str) -> IpNet {
        text.parse().expect("an address")
    }

    fn task(n: u128, node: NodeId, address: &str, user_space: bool) -> NetworkEndpoint {
        NetworkEndpoint {
            id: EndpointId::Task(TaskId::from_bits(n)),
            service: Some(SERVICE),
            names: Vec::new(),
            node,
            on: vec![NetworkAttachment { network: WEB, addresses: vec![net(address)] }],
            serves: true,
            user_space,
        }
    }

    fn peer(node: NodeId, number: u16) -> NetworkPeer {
        let address = format!("192.168.9.{number}").parse().expect("an address");
        NetworkPeer { node, number, address, hostname: String::new(), agent: String::new() }
    }

    #[test]
    fn components_are_caught_wherever_they_are_and_serve_virtual_addresses_as_containers_do() {
        let mut known = Known::default();
        let spec = json!({"Name": "web", "Driver": {"Name": "overlay"}});
        let virtual_ip = VirtualIp { network: WEB, addr: net("10.1.0.2/24") };
        known.learn(NetworkNews {
            networks: vec![Network {
                id: WEB,
                version: Default::default(),
                created_at: Time::ZERO,
                updated_at: Time::ZERO,
                spec: serde_json::from_value(spec).expect("a spec"),
                pools: vec![Pool::of(net("10.1.0.0/24")).expect("room")],
                vni: 4097,
            }],
            peers: vec![peer(OWN, 1), peer(OTHER, 2)],
            services: vec![ServiceOnNetworks {
                id: SERVICE,
                name: "web".to_owned(),
                mode: Default::default(),
                virtual_ips: vec![virtual_ip],
                aliases: Vec::new(),
            }],
            endpoints: vec![
                task(1, OWN, "10.1.0.5/24", true),
                task(2, OTHER, "10.1.0.6/24", true),
                task(3, OTHER, "10.1.0.7/24", false),
            ],
            ..NetworkNews::default()
        });
        let (joined, ended) = ([], BTreeSet::new());
        let here = Here { node: OWN, joined: &joined, ended: &ended };
        let network = network(&known.networks[&WEB], &known, &here, &members(&known));
        let ip = |last: u8| IpAddr::from([10, 1, 0, last]);
        assert_eq!(network.caught, [ip(5), ip(6)].into());
        assert_eq!(network.elsewhere, [(ip(7), 2)].into(), "no node's VXLAN leads to the others");
        assert_eq!(network.balanced, [(ip(2), vec![ip(5), ip(6), ip(7)])].into());
    }
}
