//! Which nodes a change of networks concerns, by the events alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use swarmw_model::{
    Attachment, EndpointId, NetworkId, Node, NodeId, Service, ServiceId, ServiceOnNetworks, Task,
};
use swarmw_state::{Event, State};

use super::{holds, networks_of_service, of_service, of_task, peer};

/// Sets that a session keeps as they are shared with others; beyond it they are put into
/// one of its own, so that a slow one keeps no more than there is to mark.
const SHARED_MAX: usize = 32;

/// What of networks has changed since a session last looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkMarks {
    /// The networks that the node itself is on may be others.
    pub(super) own: bool,
    /// Networks that nobody of the node was on for a moment at least: what changed on them
    /// then was not marked.
    pub(super) left: BTreeSet<NetworkId>,
    touched: Touched,
    /// The same for all nodes on a network.
    shared: Vec<Arc<Touched>>,
}

/// What changes have touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(super) networks: BTreeSet<NetworkId>,
    pub(super) peers: BTreeSet<NodeId>,
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) endpoints: BTreeSet<EndpointId>,
}

/// Which nodes have somebody on a network, and what changes have touched since that was
/// last [taken](Concerned::take).
#[derive(Debug, Default)]
pub(crate) struct Concerned {
    /// The state that it was made from has the changes up to this one.
    since: u64,
    /// How many are on a network, by node.
    pub(super) nodes: HashMap<NetworkId, BTreeMap<NodeId, usize>>,
    own: BTreeSet<NodeId>,
    left: BTreeMap<NodeId, BTreeSet<NetworkId>>,
    touched: BTreeMap<NetworkId, Touched>,
    peers: BTreeSet<NodeId>,
}

// === impl NetworkMarks ===

impl NetworkMarks {
    /// Marks that the networks of the node itself may be others.
    pub(super) fn own() -> Self {
        Self { own: true, ..Self::default() }
    }

    pub(crate) fn any(&self) -> bool {
        self.own
            || !self.left.is_empty()
            || !self.shared.is_empty()
            || self.touched != Touched::default()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.own |= more.own;
        self.left.extend(more.left);
        self.touched.extend(&more.touched);
        self.shared.extend(more.shared);
        if self.shared.len() > SHARED_MAX {
            std::mem::take(&mut self.shared).iter().for_each(|each| self.touched.extend(each));
        }
    }

    /// How many sets are shared with others.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.shared.len()
    }

    /// All that was touched.
    pub(super) fn touched(&self) -> Touched {
        let mut all = self.touched.clone();
        self.shared.iter().for_each(|each| all.extend(each));
        all
    }
}

// === impl Touched ===

impl Touched {
    fn extend(&mut self, more: &Self) {
        self.networks.extend(&more.networks);
        self.peers.extend(&more.peers);
        self.services.extend(&more.services);
        self.endpoints.extend(&more.endpoints);
    }
}

// === impl Concerned ===

impl Concerned {
    pub(crate) fn new(state: &State) -> Self {
        let mut all = Self { since: state.index(), ..Self::default() };
        state.tasks().for_each(|task| all.count(holds(task), true));
        state.attachments().for_each(|one| all.count([(one.node, one.on.network)], true));
        all
    }

    /// Notes who is where, and what the changes up to the log's entry `index` touched.
    /// Those that the state had from which this was made are counted already.
    pub(crate) fn observe(&mut self, index: u64, events: &[Event]) {
        if index <= self.since {
            return;
        }
        for event in events {
            match event {
                Event::Task { old, new } => self.task(old.as_deref(), new.as_deref()),
                Event::Attachment { old, new } => self.attachment(old.as_deref(), new.as_deref()),
                Event::Service { old, new } => self.service(old.as_deref(), new.as_deref()),
                Event::Network { old, new } => {
                    let network = new.as_ref().or(old.as_ref());
                    if let Some(id) = network.map(|network| network.id) {
                        self.touch(id).networks.insert(id);
                    }
                }
                Event::Node { old, new } => {
                    let seen = |node: &Option<Arc<Node>>| node.as_ref().and_then(|node| peer(node));
                    if seen(old) != seen(new) {
                        self.peers.extend(new.as_ref().or(old.as_ref()).map(|node| node.id));
                    }
                }
                Event::Cluster
                | Event::Plugin { .. }
                | Event::Volume { .. }
                | Event::Secret { .. }
                | Event::Config { .. } => {}
            }
        }
    }

    /// The marks of each node that is concerned. Those of a network are one set, which all
    /// nodes on it share.
    pub(crate) fn take(&mut self) -> BTreeMap<NodeId, NetworkMarks> {
        let mut marks: BTreeMap<NodeId, NetworkMarks> = BTreeMap::new();
        for (network, touched) in std::mem::take(&mut self.touched) {
            let touched = Arc::new(touched);
            for node in self.nodes.get(&network).into_iter().flat_map(BTreeMap::keys) {
                marks.entry(*node).or_default().shared.push(touched.clone());
            }
        }
        if !self.peers.is_empty() {
            let peers = std::mem::take(&mut self.peers);
            let peers = Arc::new(Touched { peers, ..Touched::default() });
            let everywhere: BTreeSet<_> =
                self.nodes.values().flat_map(BTreeMap::keys).copied().collect();
            for node in everywhere {
                marks.entry(node).or_default().shared.push(peers.clone());
            }
        }
        for node in std::mem::take(&mut self.own) {
            marks.entry(node).or_default().own = true;
        }
        for (node, left) in std::mem::take(&mut self.left) {
            marks.entry(node).or_default().left = left;
        }
        marks
    }

    fn task(&mut self, old: Option<&Task>, new: Option<&Task>) {
        let seen = |task: Option<&Task>| task.and_then(|task| of_task(task, |_| true));
        let (before, now) = (seen(old), seen(new));
        if before == now {
            return;
        }
        for seen in before.iter().chain(&now) {
            for on in &seen.on {
                self.touch(on.network).endpoints.insert(seen.id);
            }
            self.own.insert(seen.node);
        }
        // Whoever is replaced by himself has not left.
        new.into_iter().for_each(|task| self.count(holds(task), true));
        old.into_iter().for_each(|task| self.count(holds(task), false));
    }

    fn attachment(&mut self, old: Option<&Attachment>, new: Option<&Attachment>) {
        for one in old.into_iter().chain(new) {
            self.touch(one.on.network).endpoints.insert(EndpointId::Attachment(one.id));
            self.own.insert(one.node);
        }
        let place = |one: &Attachment| [(one.node, one.on.network)];
        new.into_iter().for_each(|one| self.count(place(one), true));
        old.into_iter().for_each(|one| self.count(place(one), false));
    }

    fn service(&mut self, old: Option<&Service>, new: Option<&Service>) {
        let seen = |service: Option<&Service>| service.map(|service| of_service(service, |_| true));
        let (before, now): (Option<ServiceOnNetworks>, _) = (seen(old), seen(new));
        if before == now {
            return;
        }
        for service in before.iter().chain(&now) {
            for network in networks_of_service(service) {
                self.touch(network).services.insert(service.id);
            }
        }
    }

    /// What is touched of a network; of one that no node is on nobody asks.
    fn touch(&mut self, network: NetworkId) -> &mut Touched {
        self.touched.entry(network).or_default()
    }

    fn count(&mut self, places: impl IntoIterator<Item = (NodeId, NetworkId)>, comes: bool) {
        for (node, network) in places {
            let nodes = self.nodes.entry(network).or_default();
            let count = nodes.entry(node).or_default();
            *count = if comes { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                nodes.remove(&node);
                self.left.entry(node).or_default().insert(network);
            }
            if nodes.is_empty() {
                self.nodes.remove(&network);
            }
        }
    }
}
