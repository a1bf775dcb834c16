//! What a node is told of networks: those that its tasks and containers are on, with all
//! who are there, and where every node is. Pure.
//!
//! A change marks what it touched in the sessions of the nodes that it concerns
//! ([`Concerned`]); a session compares what it was told ([`Told`]) with the present state
//! and says what differs.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use swarmw_model::{
    Attachment, EndpointId, NetworkAttachment, NetworkEndpoint, NetworkId, NetworkNews,
    NetworkPeer, Node, NodeId, Service, ServiceId, ServiceOnNetworks, Task, TaskId, TaskState,
    Version,
};
use swarmw_state::{Event, Holder, NETWORKS_LEVEL, State};

use super::session::is_sent;

/// Entries in one message.
pub(super) const ENTRIES_MAX: usize = 1_000;
/// Docker's short id of a container, by which it is found too.
const SHORT_ID: usize = 12;

/// What of networks has changed since a session last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkMarks {
    /// The networks that the node itself is on may be others.
    pub(crate) own: bool,
    pub(crate) networks: BTreeSet<NetworkId>,
    pub(crate) peers: BTreeSet<NodeId>,
    pub(crate) services: BTreeSet<ServiceId>,
    pub(crate) endpoints: BTreeSet<EndpointId>,
}

/// Which nodes have somebody on a network, by the events alone.
#[derive(Debug, Default)]
pub(super) struct Concerned {
    /// How many are on a network, by node.
    nodes: HashMap<NetworkId, BTreeMap<NodeId, usize>>,
}

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

// === impl NetworkMarks ===

impl NetworkMarks {
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.own |= more.own;
        self.networks.extend(more.networks);
        self.peers.extend(more.peers);
        self.services.extend(more.services);
        self.endpoints.extend(more.endpoints);
    }
}

// === impl Concerned ===

impl Concerned {
    pub(super) fn new(state: &State) -> Self {
        let mut all = Self::default();
        state.tasks().for_each(|task| all.count(holds(task), true));
        state.attachments().for_each(|one| all.count(Some((one.node, one.on.network)), true));
        all
    }

    /// Notes who is where, and says whom a change concerns and what it touched.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<(NodeId, NetworkMarks)> {
        match event {
            Event::Task { old, new } => self.task(old.as_deref(), new.as_deref()),
            Event::Attachment { old, new } => self.attachment(old.as_deref(), new.as_deref()),
            Event::Service { old, new } => self.service(old.as_deref(), new.as_deref()),
            Event::Network { old, new } => {
                let Some(network) = new.as_ref().or(old.as_ref()) else { return Vec::new() };
                let marks = NetworkMarks { networks: [network.id].into(), ..Default::default() };
                self.on([network.id]).into_iter().map(|node| (node, marks.clone())).collect()
            }
            Event::Node { old, new } => {
                let seen = |node: &Option<Arc<Node>>| node.as_ref().and_then(|node| peer(node));
                let Some(node) = new.as_ref().or(old.as_ref()) else { return Vec::new() };
                if seen(old) == seen(new) {
                    return Vec::new();
                }
                let marks = NetworkMarks { peers: [node.id].into(), ..Default::default() };
                let everywhere = self.on(self.nodes.keys().copied());
                everywhere.into_iter().map(|node| (node, marks.clone())).collect()
            }
            Event::Cluster
            | Event::Plugin { .. }
            | Event::Volume { .. }
            | Event::Secret { .. }
            | Event::Config { .. } => Vec::new(),
        }
    }

    fn task(&mut self, old: Option<&Task>, new: Option<&Task>) -> Vec<(NodeId, NetworkMarks)> {
        let networks: BTreeSet<_> = old
            .into_iter()
            .chain(new)
            .flat_map(|task| task.attachments.iter().map(|on| on.network))
            .collect();
        if networks.is_empty() {
            return Vec::new();
        }
        let seen = |task: Option<&Task>| task.and_then(|task| of_task(task, |_| true));
        if seen(old) == seen(new) {
            return Vec::new();
        }
        let Some(task) = new.or(old) else { return Vec::new() };
        let endpoint = EndpointId::Task(task.id);
        let before = self.on(networks.iter().copied());
        old.into_iter().for_each(|task| self.count(holds(task), false));
        new.into_iter().for_each(|task| self.count(holds(task), true));
        self.marks(before, networks, task.node_id, endpoint)
    }

    fn attachment(
        &mut self,
        old: Option<&Attachment>,
        new: Option<&Attachment>,
    ) -> Vec<(NodeId, NetworkMarks)> {
        let Some(attachment) = new.or(old) else { return Vec::new() };
        let network = attachment.on.network;
        let before = self.on([network]);
        let place = |one: &Attachment| Some((one.node, one.on.network));
        old.into_iter().for_each(|one| self.count(place(one), false));
        new.into_iter().for_each(|one| self.count(place(one), true));
        let endpoint = EndpointId::Attachment(attachment.id);
        self.marks(before, [network].into(), Some(attachment.node), endpoint)
    }

    /// Marks of somebody who came, went or changed, for those who are or were beside it.
    fn marks(
        &self,
        mut nodes: BTreeSet<NodeId>,
        networks: BTreeSet<NetworkId>,
        own: Option<NodeId>,
        endpoint: EndpointId,
    ) -> Vec<(NodeId, NetworkMarks)> {
        nodes.extend(self.on(networks));
        let mark = |node: NodeId| {
            let own = own == Some(node);
            (node, NetworkMarks { own, endpoints: [endpoint].into(), ..Default::default() })
        };
        nodes.into_iter().map(mark).collect()
    }

    fn service(
        &mut self,
        old: Option<&Service>,
        new: Option<&Service>,
    ) -> Vec<(NodeId, NetworkMarks)> {
        let seen = |service: Option<&Service>| service.map(|service| of_service(service, |_| true));
        let (before, now) = (seen(old), seen(new));
        if before == now {
            return Vec::new();
        }
        let networks = before.iter().chain(&now).flat_map(networks_of_service);
        let nodes = self.on(networks.collect::<Vec<_>>());
        let Some(service) = new.or(old) else { return Vec::new() };
        let marks = NetworkMarks { services: [service.id].into(), ..Default::default() };
        nodes.into_iter().map(|node| (node, marks.clone())).collect()
    }

    /// The nodes that are on one of these networks.
    fn on(&self, networks: impl IntoIterator<Item = NetworkId>) -> BTreeSet<NodeId> {
        let nodes = networks.into_iter().filter_map(|network| self.nodes.get(&network));
        nodes.flat_map(|nodes| nodes.keys().copied()).collect()
    }

    fn count(&mut self, places: impl IntoIterator<Item = (NodeId, NetworkId)>, comes: bool) {
        for (node, network) in places {
            let nodes = self.nodes.entry(network).or_default();
            let count = nodes.entry(node).or_default();
            *count = if comes { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                nodes.remove(&node);
            }
            if nodes.is_empty() {
                self.nodes.remove(&network);
            }
        }
    }
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
        let marks = NetworkMarks { own: true, ..NetworkMarks::default() };
        let mut news = self.difference(state, node, marks);
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
        let mut marks = marks.clone();
        // A task may be told of now whose networks are marked a moment later.
        marks.own |= !tasks.is_empty();
        marks.endpoints.extend(tasks);
        let news = self.difference(state, node, marks);
        (news != NetworkNews::default()).then_some(news)
    }

    fn difference(&mut self, state: &State, node: NodeId, mut marks: NetworkMarks) -> NetworkNews {
        let mut news = NetworkNews::default();
        let was_on: BTreeSet<_> = self.networks.keys().copied().collect();
        let on = match marks.own {
            true => networks_of(state, node),
            false => was_on.clone(),
        };
        // Whoever is on a network that came, or was on one that went, is looked at again.
        for network in on.symmetric_difference(&was_on) {
            marks.networks.insert(*network);
            marks.services.extend(state.services_of_network(*network).map(|service| service.id));
            marks.endpoints.extend(endpoints_of(state, *network));
        }
        if was_on.difference(&on).next().is_some() {
            marks.services.extend(self.services.keys());
            marks.endpoints.extend(self.endpoints.keys());
        }
        if on.is_empty() != was_on.is_empty() {
            marks.peers.extend(state.nodes().map(|node| node.id).chain(self.peers.keys().copied()));
        }
        self.tell_networks(state, &on, &marks, &mut news);
        let is_on = |network: &NetworkId| on.contains(network);
        for id in marks.peers {
            let now = state.node(id).filter(|_| !on.is_empty()).and_then(|node| peer(node));
            let (tell, forget) = (&mut news.peers, &mut news.remove_peers);
            differs(&mut self.peers, id, now, tell, forget);
        }
        for id in marks.services {
            let now = state.service(id).map(|service| of_service(service, is_on));
            let now = now.filter(|service| networks_of_service(service).next().is_some());
            let (tell, forget) = (&mut news.services, &mut news.remove_services);
            differs(&mut self.services, id, now, tell, forget);
        }
        for id in marks.endpoints {
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
        marks: &NetworkMarks,
        news: &mut NetworkNews,
    ) {
        for id in &marks.networks {
            match state.network(*id).filter(|_| on.contains(id)) {
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
    tasks.chain(others).filter(|id| state.network(*id).is_some()).collect()
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
        serves: task.status.state == TaskState::Running && task.desired_state <= TaskState::Running,
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
    })
}

/// A service as it is found on some networks.
fn of_service(service: &Service, is_on: impl Fn(&NetworkId) -> bool) -> ServiceOnNetworks {
    let networks = &service.spec.task_template.networks;
    let aliases = networks.iter().filter_map(|network| {
        let id: NetworkId = network.target.parse().ok().filter(&is_on)?;
        Some((id, network.aliases.clone()))
    });
    let ips = service.endpoint.virtual_ips.iter();
    let aliases: Vec<_> = aliases.collect();
    let joined = |network: &NetworkId| aliases.iter().any(|(id, _)| id == network);
    ServiceOnNetworks {
        id: service.id,
        name: service.spec.name.clone(),
        mode: service.endpoint.spec.mode,
        virtual_ips: ips.filter(|ip| joined(&ip.network)).copied().collect(),
        aliases,
    }
}

fn networks_of_service(service: &ServiceOnNetworks) -> impl Iterator<Item = NetworkId> {
    service.aliases.iter().map(|(network, _)| *network)
}

/// A node as others reach it; `None` while it has no number or says no address.
fn peer(node: &Node) -> Option<NetworkPeer> {
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
    })
}

#[cfg(test)]
mod tests;
