//! What the kernel should have, from what the leader said and what is here. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_engine_driver::{Endpoint, EndpointId as EngineEndpointId};
use swarmw_model::{EndpointId, Network, NetworkEndpoint, NetworkId, NodeId, ServiceId, TaskId};
use swarmw_overlay::{Desired, DesiredNetwork, Veth};

use super::known::{Known, differing};
use super::members::Members;

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

/// What was worked out last, and of what: of a change, only networks are worked out anew of
/// which something differs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    known: Known,
    members: Members,
    joined: Vec<Endpoint>,
    ended: BTreeSet<TaskId>,
    /// None: nothing that is still so.
    desired: Option<Desired>,
}

/// `None` before the leader has said what the node is to the others.
pub(crate) fn desired(known: &Known, here: &Here<'_>) -> Option<Desired> {
    Kept::default().desired(known, here)
}

/// One network as it should be, whether a container is on it already, and where the node's
/// VXLAN ends.
pub(crate) fn network_of(
    of: &Network,
    known: &Known,
    here: &Here<'_>,
) -> Option<(DesiredNetwork, IpAddr)> {
    let own = known.peers.get(&here.node)?;
    Some((network(of, known, here, &Members::of(known)), own.address))
}

/// What leads to a container.
pub(crate) fn veth(endpoint: &EngineEndpointId) -> Veth {
    Veth(format!("sw{}", endpoint.to_string().chars().take(LINK_ID).collect::<String>()))
}

/// Whether new connections may go to an endpoint: a task of this node that has ended gets
/// none, whatever the leader knows.
pub(crate) fn serves(endpoint: &NetworkEndpoint, node: NodeId, ended: &BTreeSet<TaskId>) -> bool {
    endpoint.serves && !is_among(ended, endpoint, node)
}

/// Whether an endpoint is a task of this node that has ended: nobody has its names any more,
/// whatever the leader knows.
pub(crate) fn is_over(endpoint: &NetworkEndpoint, node: NodeId, over: &BTreeSet<TaskId>) -> bool {
    is_among(over, endpoint, node)
}

fn is_among(tasks: &BTreeSet<TaskId>, endpoint: &NetworkEndpoint, node: NodeId) -> bool {
    match endpoint.id {
        EndpointId::Task(task) => endpoint.node == node && tasks.contains(&task),
        EndpointId::Attachment(_) => false,
    }
}

/// A network is in the kernel from its first container on to its last: what the leader
/// tells of it before and after costs nothing.
fn is_here(network: &Network, here: &Here<'_>) -> bool {
    network.is_overlay() && joined(here.joined, network.id).next().is_some()
}

/// Of containers, those on a network. One that has no sandbox has no link: it is about to join,
/// or has left.
fn joined(all: &[Endpoint], network: NetworkId) -> impl Iterator<Item = &Endpoint> {
    let on = all.iter().filter(move |joined| joined.network == network);
    on.filter(|joined| joined.sandbox.is_some())
}

fn network(network: &Network, known: &Known, here: &Here<'_>, members: &Members) -> DesiredNetwork {
    let mut elsewhere = BTreeMap::new();
    let mut caught = BTreeSet::new();
    let mut serving: BTreeMap<ServiceId, Vec<IpAddr>> = BTreeMap::new();
    for endpoint in members.endpoints(network.id, known) {
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
    for service in members.services(network.id, known) {
        let tasks = serving.get(&service.id).map_or(&[][..], Vec::as_slice);
        for on in service.virtual_ips.iter().filter(|on| on.network == network.id) {
            let vip = on.addr.addr();
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
        here: joined(here.joined, network.id).flat_map(links).collect(),
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

// === impl Kept ===

impl Kept {
    /// `None` before the leader has said what the node is to the others. Networks that are as
    /// they were are those of the last time.
    pub(crate) fn desired(&mut self, known: &Known, here: &Here<'_>) -> Option<Desired> {
        let touched = self.follow(known, here);
        let last = self.desired.take().map(|last| last.networks).unwrap_or_default();
        let own = known.peers.get(&here.node)?;
        let others = known.peers.values().filter(|peer| peer.node != here.node);
        let made = |of: &Network| {
            let alike = last.get(&of.id).filter(|_| !touched.contains(&of.id));
            let anew = || Arc::new(network(of, known, here, &self.members));
            (of.id, alike.cloned().unwrap_or_else(anew))
        };
        let networks = known.networks.values().filter(|network| is_here(network, here));
        self.desired = Some(Desired {
            number: own.number,
            address: own.address,
            port: known.port,
            peers: others.map(|peer| (peer.number, peer.address)).collect(),
            networks: networks.map(made).collect(),
        });
        self.desired.clone()
    }

    /// Goes on to what is known and what is here now; the networks of which something differs.
    fn follow(&mut self, known: &Known, here: &Here<'_>) -> BTreeSet<NetworkId> {
        let mut touched = self.members.follow(&self.known, known);
        if differing(&self.known.peers, &known.peers).next().is_some() {
            // Anybody may be on a node.
            touched.extend(known.networks.keys());
        }
        if self.joined != here.joined {
            let all = self.joined.iter().chain(here.joined);
            let all: BTreeSet<_> = all.map(|joined| joined.network).collect();
            let is_alike = |id: NetworkId| joined(&self.joined, id).eq(joined(here.joined, id));
            touched.extend(all.into_iter().filter(|id| !is_alike(*id)));
            self.joined = here.joined.to_vec();
        }
        for task in self.ended.symmetric_difference(here.ended) {
            let endpoint = known.endpoints.get(&EndpointId::Task(*task));
            touched.extend(endpoint.into_iter().flat_map(|of| &of.on).map(|on| on.network));
        }
        self.ended.clone_from(here.ended);
        self.known = known.clone();
        touched
    }
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
    const DB: NetworkId = NetworkId::from_bits(12);
    const SERVICE: ServiceId = ServiceId::from_bits(21);

    /// What is known and what is here, and what was worked out last.
    #[derive(Default)]
    struct World {
        known: Known,
        joined: Vec<Endpoint>,
        ended: BTreeSet<TaskId>,
        kept: Kept,
        last: Option<Desired>,
    }

    // === impl World ===

    impl World {
        fn hear(&mut self, news: NetworkNews) -> Vec<NetworkId> {
            self.known.learn(news);
            self.anew()
        }

        /// Networks that are not those of the last time; all are as they would be from nothing.
        fn anew(&mut self) -> Vec<NetworkId> {
            let here = Here { node: OWN, joined: &self.joined, ended: &self.ended };
            let now = self.kept.desired(&self.known, &here);
            assert_eq!(now, desired(&self.known, &here));
            let last = std::mem::replace(&mut self.last, now.clone());
            let [last, now] = [last, now].map(|of| of.map(|of| of.networks).unwrap_or_default());
            let is_other = |(id, of): &(&NetworkId, &Arc<DesiredNetwork>)| {
                last.get(*id).is_none_or(|was| !Arc::ptr_eq(was, of))
            };
            now.iter().filter(is_other).map(|(id, _)| *id).collect()
        }
    }

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

    fn overlay(id: NetworkId, subnet: &str) -> Network {
        let spec = json!({"Name": "one", "Driver": {"Name": "overlay"}});
        Network {
            id,
            version: Default::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: serde_json::from_value(spec).expect("a spec"),
            pools: vec![Pool::of(net(subnet)).expect("room")],
            vni: 4097,
        }
    }

    fn service(network: NetworkId, address: &str) -> ServiceOnNetworks {
        ServiceOnNetworks {
            id: SERVICE,
            name: "web".to_owned(),
            mode: Default::default(),
            virtual_ips: vec![VirtualIp { network, addr: net(address) }],
            aliases: Vec::new(),
        }
    }

    /// A container here.
    fn container(network: NetworkId, address: &str) -> Endpoint {
        Endpoint {
            id: network.to_string().parse().expect("letters and digits"),
            on: network.to_string().parse().expect("letters and digits"),
            network,
            addresses: vec![net(address)],
            mac: None,
            sandbox: Some("/run/docker/netns/none".into()),
        }
    }

    #[test]
    fn a_change_makes_networks_anew_that_it_touches_and_no_others() {
        let mut world = World {
            joined: vec![container(WEB, "10.1.0.5/24"), container(DB, "10.2.0.5/24")],
            ..World::default()
        };
        let all = NetworkNews {
            networks: vec![overlay(WEB, "10.1.0.0/24"), overlay(DB, "10.2.0.0/24")],
            peers: vec![peer(OWN, 1), peer(OTHER, 2)],
            services: vec![service(WEB, "10.1.0.2/24")],
            endpoints: vec![task(1, OWN, "10.1.0.5/24", false)],
            ..NetworkNews::default()
        };
        assert_eq!(world.hear(all), [WEB, DB]);
        assert!(world.anew().is_empty(), "nothing is otherwise");

        let endpoints = vec![task(2, OTHER, "10.1.0.6/24", false)];
        assert_eq!(world.hear(NetworkNews { endpoints, ..Default::default() }), [WEB]);
        let remove_endpoints = vec![EndpointId::Task(TaskId::from_bits(2))];
        assert_eq!(world.hear(NetworkNews { remove_endpoints, ..Default::default() }), [WEB]);
        let services = vec![service(DB, "10.2.0.2/24")];
        assert_eq!(world.hear(NetworkNews { services, ..Default::default() }), [WEB, DB]);
        let networks = vec![overlay(DB, "10.3.0.0/24")];
        assert_eq!(world.hear(NetworkNews { networks, ..Default::default() }), [DB]);
        let peers = vec![peer(OTHER, 3)];
        assert_eq!(world.hear(NetworkNews { peers, ..Default::default() }), [WEB, DB]);
        let again = world.known.as_news();
        assert!(world.hear(again).is_empty(), "the same once more");

        world.ended.insert(TaskId::from_bits(1));
        assert_eq!(world.anew(), [WEB]);
        world.joined[1] = container(DB, "10.2.0.6/24");
        assert_eq!(world.anew(), [DB]);
    }

    #[test]
    fn nothing_is_kept_of_a_network_or_a_node_that_was_gone() {
        let mut world = World { joined: vec![container(WEB, "10.1.0.5/24")], ..World::default() };
        let networks = vec![overlay(WEB, "10.1.0.0/24")];
        let peers = vec![peer(OWN, 1)];
        assert_eq!(world.hear(NetworkNews { networks, peers, ..Default::default() }), [WEB]);
        world.joined[0].sandbox = None;
        assert!(world.anew().is_empty());
        let endpoints = vec![task(2, OWN, "10.1.0.6/24", true)];
        assert!(world.hear(NetworkNews { endpoints, ..Default::default() }).is_empty());
        world.joined = vec![container(WEB, "10.1.0.5/24")];
        assert_eq!(world.anew(), [WEB]);

        let remove_peers = vec![OWN];
        assert!(world.hear(NetworkNews { remove_peers, ..Default::default() }).is_empty());
        let endpoints = vec![task(3, OWN, "10.1.0.7/24", true)];
        assert!(world.hear(NetworkNews { endpoints, ..Default::default() }).is_empty());
        let peers = vec![peer(OWN, 1)];
        assert_eq!(world.hear(NetworkNews { peers, ..Default::default() }), [WEB]);
    }

    #[test]
    fn components_are_caught_wherever_they_are_and_serve_virtual_addresses_as_containers_do() {
        let mut known = Known::default();
        known.learn(NetworkNews {
            networks: vec![overlay(WEB, "10.1.0.0/24")],
            peers: vec![peer(OWN, 1), peer(OTHER, 2)],
            services: vec![service(WEB, "10.1.0.2/24")],
            endpoints: vec![
                task(1, OWN, "10.1.0.5/24", true),
                task(2, OTHER, "10.1.0.6/24", true),
                task(3, OTHER, "10.1.0.7/24", false),
            ],
            ..NetworkNews::default()
        });
        let (joined, ended) = ([], BTreeSet::new());
        let here = Here { node: OWN, joined: &joined, ended: &ended };
        let network = network(&known.networks[&WEB], &known, &here, &Members::of(&known));
        let ip = |last: u8| IpAddr::from([10, 1, 0, last]);
        assert_eq!(network.caught, [ip(5), ip(6)].into());
        assert_eq!(network.elsewhere, [(ip(7), 2)].into(), "no node's VXLAN leads to the others");
        assert_eq!(network.balanced, [(ip(2), vec![ip(5), ip(6), ip(7)])].into());
    }
}
