//! What a node is told of networks: those that its tasks and containers are on, with all
//! who are there, and where every node is. Pure.
//!
//! A change marks what it touched in the sessions of the nodes that it concerns
//! ([`Concerned`]); a session compares what it was told ([`Told`]) with the present state
//! and says what differs, in [`parts`] that fit a message.

mod concerned;
mod parts;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use swarmw_model::{
    Attachment, EndpointId, NetHeard, NetworkAttachment, NetworkEndpoint, NetworkId, NetworkNews,
    NetworkPeer, Node, NodeId, Service, ServiceId, ServiceOnNetworks, Task, TaskId, Version,
};
use swarmw_state::{Holder, NETWORKS_LEVEL, State};

pub(crate) use self::concerned::NetworkMarks;
pub(super) use self::concerned::{Concerned, Touched};
pub(super) use self::parts::parts;
use super::session::is_sent;

/// Docker's short id of a container, by which it is found too.
const SHORT_ID: usize = 12;

/// What an agent has been told of networks.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// It has been told everything once.
    begun: bool,
    networks: BTreeMap<NetworkId, Version>,
    /// Each by what it looked like.
    peers: HashMap<NodeId, u64>,
    services: HashMap<ServiceId, u64>,
    endpoints: HashMap<EndpointId, u64>,
}

// === impl Told ===

impl Told {
    /// Everything that a node is to know: the first news of a session. `None` where the
    /// node, or a manager, is too old to know networks.
    pub(super) fn everything(&mut self, state: &State, node: NodeId) -> Option<NetworkNews> {
        *self = Self::default();
        let level = state.node(node)?.description.feature_level;
        let cluster = state.cluster()?;
        if level < NETWORKS_LEVEL || !state.has_networks() {
            return None;
        }
        self.begun = true;
        let marks = NetworkMarks::own();
        let mut news = self.difference(state, node, &marks, BTreeSet::new());
        news.complete = true;
        news.data_path_port = cluster.data_path_port;
        Some(news)
    }

    /// What differs from what was told, of all that is marked and of these tasks of the
    /// node; `None` for nothing.
    pub(super) fn changes(
        &mut self,
        state: &State,
        node: NodeId,
        marks: &NetworkMarks,
        tasks: &BTreeSet<TaskId>,
    ) -> Option<NetworkNews> {
        let is_on = |id: &&TaskId| state.task(**id).is_some_and(|t| !t.attachments.is_empty());
        let tasks: Vec<_> = tasks.iter().filter(is_on).map(|id| EndpointId::Task(*id)).collect();
        if !marks.any() && tasks.is_empty() {
            return None;
        }
        if !self.begun {
            return self.everything(state, node);
        }
        let news = self.difference(state, node, marks, tasks.into_iter().collect());
        (news != NetworkNews::default()).then_some(news)
    }

    fn difference(
        &mut self,
        state: &State,
        node: NodeId,
        marks: &NetworkMarks,
        tasks: BTreeSet<EndpointId>,
    ) -> NetworkNews {
        let mut news = NetworkNews::default();
        // Nobody is found by name on the routing mesh: with the published ports each node is
        // told who serves them.
        let has_names = |network: &NetworkId| !state.is_ingress(*network);
        let was_on: BTreeSet<_> = self.networks.keys().copied().collect();
        // A task may be told of now whose networks are marked a moment later.
        let on = match marks.own || !marks.left.is_empty() || !tasks.is_empty() {
            true => networks_of(state, node),
            false => was_on.clone(),
        };
        let mut marked = marks.touched();
        marked.endpoints.extend(tasks);
        // Whoever is on a network that came, or was on one that went, is looked at again;
        // and on one that the node is on again: what was changed meanwhile nobody marked.
        let again = marks.left.iter().filter(|left| was_on.contains(left));
        let moved: BTreeSet<_> = on.symmetric_difference(&was_on).chain(again).copied().collect();
        for network in &moved {
            marked.networks.insert(*network);
            if !has_names(network) {
                continue;
            }
            marked.services.extend(state.services_of_network(*network).map(|service| service.id));
            marked.endpoints.extend(endpoints_of(state, *network));
        }
        let missed = moved.iter().any(|network| was_on.contains(network));
        if missed {
            marked.services.extend(self.services.keys());
            marked.endpoints.extend(self.endpoints.keys());
        }
        if missed || on.is_empty() != was_on.is_empty() {
            marked.peers.extend(state.nodes().map(|node| node.id));
            marked.peers.extend(self.peers.keys());
        }
        self.tell_networks(state, &on, &marked, &mut news);
        let is_on = |network: &NetworkId| on.contains(network) && has_names(network);
        for id in marked.peers {
            let now = state.node(id).filter(|_| !on.is_empty()).and_then(|node| peer(node));
            let (tell, forget) = (&mut news.peers, &mut news.remove_peers);
            differs(&mut self.peers, id, now, tell, forget);
        }
        for id in marked.services {
            let now = state.service(id).map(|service| of_service(service, is_on));
            let now = now.filter(|service| networks_of_service(service).next().is_some());
            let (tell, forget) = (&mut news.services, &mut news.remove_services);
            differs(&mut self.services, id, now, tell, forget);
        }
        for id in marked.endpoints {
            let now = match id {
                EndpointId::Task(task) => state.task(task).and_then(|task| of_task(task, is_on)),
                EndpointId::Attachment(one) => {
                    state.attachment(one).and_then(|one| of_attachment(one, is_on))
                }
            };
            let (tell, forget) = (&mut news.endpoints, &mut news.remove_endpoints);
            differs(&mut self.endpoints, id, now, tell, forget);
        }
        news
    }

    fn tell_networks(
        &mut self,
        state: &State,
        on: &BTreeSet<NetworkId>,
        marked: &Touched,
        news: &mut NetworkNews,
    ) {
        for id in &marked.networks {
            match state.any_network(*id).filter(|_| on.contains(id)) {
                Some(network) if self.networks.get(id) != Some(&network.version) => {
                    self.networks.insert(*id, network.version);
                    news.networks.push(swarmw_model::Network::clone(network));
                }
                Some(_) => {}
                None => {
                    if self.networks.remove(id).is_some() {
                        news.remove_networks.push(*id);
                    }
                }
            }
        }
    }
}

/// What a node should have heard of networks; `None` where it is not told of any.
pub(crate) fn should_have_heard(state: &State, node: NodeId) -> Option<NetHeard> {
    Told::default().everything(state, node).map(|news| NetHeard::of(&news))
}

/// Tells what something looks like now, or that it is gone, if the agent knows otherwise.
fn differs<I: Copy + Eq + Hash, T: Hash>(
    told: &mut HashMap<I, u64>,
    id: I,
    now: Option<T>,
    tell: &mut Vec<T>,
    forget: &mut Vec<I>,
) {
    match now {
        Some(now) => {
            let mut hasher = DefaultHasher::new();
            now.hash(&mut hasher);
            let looks = hasher.finish();
            if told.insert(id, looks) != Some(looks) {
                tell.push(now);
            }
        }
        None => {
            if told.remove(&id).is_some() {
                forget.push(id);
            }
        }
    }
}

/// The networks that a node's tasks and containers are on.
fn networks_of(state: &State, node: NodeId) -> BTreeSet<NetworkId> {
    let tasks = state.tasks_of_node(node).flat_map(|task| holds(task)).map(|(_, network)| network);
    let others = state.attachments_of_node(node).map(|one| one.on.network);
    tasks.chain(others).filter(|id| state.any_network(*id).is_some()).collect()
}

/// Who has addresses on a network.
fn endpoints_of(state: &State, network: NetworkId) -> impl Iterator<Item = EndpointId> {
    state.addresses(network).filter_map(|(_, holder)| match holder {
        Holder::Task(task) => Some(EndpointId::Task(task)),
        Holder::Attachment(attachment) => Some(EndpointId::Attachment(attachment)),
        Holder::Service(_) => None,
    })
}

/// Where a task is and on which networks, while its node is told of it and it has not
/// ended.
fn holds(task: &Task) -> impl Iterator<Item = (NodeId, NetworkId)> {
    let node = task.node_id.filter(|_| is_sent(task) && !task.status.state.is_terminal());
    node.into_iter().flat_map(|node| task.attachments.iter().map(move |on| (node, on.network)))
}

fn of_task(task: &Task, is_on: impl Fn(&NetworkId) -> bool) -> Option<NetworkEndpoint> {
    let node = task.node_id.filter(|_| is_sent(task) && !task.status.state.is_terminal())?;
    let on: Vec<NetworkAttachment> =
        task.attachments.iter().filter(|on| is_on(&on.network)).cloned().collect();
    if on.is_empty() {
        return None;
    }
    let container = task.status.container_status.as_ref().map(|c| c.container_id.as_str());
    let short = container.and_then(|id| id.get(..SHORT_ID)).map(str::to_owned);
    Some(NetworkEndpoint {
        id: EndpointId::Task(task.id),
        service: Some(task.service_id),
        names: task.assignment().map(|assigned| assigned.name()).into_iter().chain(short).collect(),
        node,
        on,
        serves: task.serves(),
        user_space: task.spec.is_component(),
    })
}

fn of_attachment(one: &Attachment, is_on: impl Fn(&NetworkId) -> bool) -> Option<NetworkEndpoint> {
    is_on(&one.on.network).then(|| NetworkEndpoint {
        id: EndpointId::Attachment(one.id),
        service: None,
        names: one.names.clone(),
        node: one.node,
        on: vec![one.on.clone()],
        serves: false,
        user_space: false,
    })
}

/// A service as it is found on some networks.
fn of_service(service: &Service, is_on: impl Fn(&NetworkId) -> bool) -> ServiceOnNetworks {
    // Its tasks of before are found on the networks that it has left as long as they last.
    let networks = service.spec.task_template.networks.iter().chain(&service.endpoint.leaving);
    let aliases = networks.filter_map(|network| {
        let id: NetworkId = network.target.parse().ok().filter(&is_on)?;
        Some((id, network.aliases.clone()))
    });
    // Another order is no news.
    let mut aliases: Vec<_> = aliases.collect();
    aliases.sort_unstable();
    let joined = |network: &NetworkId| aliases.iter().any(|(id, _)| id == network);
    let ips = service.endpoint.virtual_ips.iter().filter(|ip| joined(&ip.network));
    let mut virtual_ips: Vec<_> = ips.copied().collect();
    virtual_ips.sort_unstable_by_key(|ip| (ip.network, ip.addr));
    ServiceOnNetworks {
        id: service.id,
        name: service.spec.name.clone(),
        mode: service.endpoint.spec.mode,
        virtual_ips,
        aliases,
    }
}

fn networks_of_service(service: &ServiceOnNetworks) -> impl Iterator<Item = NetworkId> {
    service.aliases.iter().map(|(network, _)| *network)
}

/// A node as others reach it; `None` while it has no number or says no address.
pub(super) fn peer(node: &Node) -> Option<NetworkPeer> {
    let description = &node.description;
    let advertised = description.agent_address.parse::<SocketAddr>().ok().map(|a| a.ip());
    let own: Option<IpAddr> = match description.data_path_address.as_str() {
        "" => advertised.filter(|ip| !ip.is_unspecified()),
        text => text.parse().ok(),
    };
    let address = own.or_else(|| node.status.addr.parse().ok())?;
    (node.number > 0).then(|| NetworkPeer {
        node: node.id,
        number: node.number,
        address,
        hostname: description.hostname.clone(),
        agent: description.agent_address.clone(),
    })
}

#[cfg(test)]
mod tests;
