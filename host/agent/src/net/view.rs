//! What a node makes of the leader's word, without an engine and a kernel of its own: for
//! benchmarks with more nodes than machines.

use std::collections::BTreeSet;

use swarmw_engine_driver::Endpoint;
use swarmw_model::{Assignment, Ingress, NetworkAttachment, NetworkNews, NodeId, PortNews, TaskId};
use swarmw_overlay::{Desired, DesiredPorts, Local};

use super::desire::{Here, Kept};
use super::known::whole;
use super::published::{HereOnPorts, desired_ports};
use super::{Known, Listed};
use crate::docker::{Bridged, OnBridge};
use crate::port_list::PortList;

/// The sandbox of a container that there is not.
const NO_SANDBOX: &str = "/run/docker/netns/none";

/// What a node knows of networks and published ports, and what its kernel should have
/// therefore: the functions that an agent decides by, and no more.
#[derive(Debug)]
pub struct NetworkView {
    node: NodeId,
    /// Parts of the leader's word that have come so far.
    part: Option<NetworkNews>,
    known: Known,
    ports: PortList,
    listed: Listed,
    /// Containers on overlay networks.
    joined: Vec<Endpoint>,
    /// Containers on the engine's bridge.
    bridged: Bridged,
    ended: BTreeSet<TaskId>,
    /// What was worked out last.
    kept: Kept,
    kept_ports: Option<DesiredPorts>,
}

// === impl NetworkView ===

impl NetworkView {
    /// That of a node that has heard nothing.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            part: None,
            known: Known::default(),
            ports: PortList::default(),
            listed: Listed::default(),
            joined: Vec::new(),
            bridged: Bridged::new(),
            ended: BTreeSet::new(),
            kept: Kept::default(),
            kept_ports: None,
        }
    }

    /// The leader says something of networks; whether anything is known by it: not before the
    /// last of its parts.
    pub fn learn(&mut self, news: NetworkNews) -> bool {
        let Some(news) = whole(&mut self.part, news) else { return false };
        self.known.learn(news);
        true
    }

    /// The leader says something of published ports; whether anything is known by it: not
    /// before the last of its parts, which comes with what the node is to the mesh.
    pub fn learn_ports(&mut self, news: PortNews, ingress: Option<Ingress>) -> bool {
        let Some(ports) = self.ports.learn(news) else { return false };
        self.listed = Listed { ports, ingress };
        true
    }

    /// A task's container is on the task's networks, which are known already, and on the
    /// engine's bridge.
    pub fn join(&mut self, task: &Assignment, local: Local) {
        let places = task.attachments.iter().enumerate();
        let linked = places.filter(|(_, on)| self.has_link(on));
        let endpoints: Vec<_> =
            linked.filter_map(|(place, on)| endpoint(task.id, place, on)).collect();
        self.joined.extend(endpoints);
        let attachments = task.attachments.clone();
        self.bridged.insert(task.id, OnBridge { attachments, local });
    }

    /// A task of this node has ended.
    pub fn end(&mut self, task: TaskId) {
        self.ended.insert(task);
    }

    /// What the kernel should have of overlay networks; `None` before the leader has said what
    /// the node is to the others.
    pub fn desired(&mut self) -> Option<Desired> {
        let here = Here { node: self.node, joined: &self.joined, ended: &self.ended };
        self.kept.desired(&self.known, &here)
    }

    /// What the kernel should have of published ports.
    pub fn desired_ports(&mut self) -> DesiredPorts {
        let here = HereOnPorts {
            node: self.node,
            known: &self.known,
            bridged: &self.bridged,
            ended: &self.ended,
            refused: &BTreeSet::new(),
            taken: &[],
        };
        let anew = desired_ports(&self.listed, &here);
        let desired = match self.kept_ports.take() {
            Some(last) => anew.sharing(&last),
            None => anew,
        };
        self.kept_ports = Some(desired.clone());
        desired
    }

    /// The routing mesh has none of its own: it leads to the engine's bridge.
    fn has_link(&self, on: &NetworkAttachment) -> bool {
        self.known.networks.get(&on.network).is_some_and(|network| !network.spec.ingress)
    }
}

/// A task's place on a network, as an engine would tell of it; the first letters of its id
/// differ from those of all others.
fn endpoint(task: TaskId, place: usize, on: &NetworkAttachment) -> Option<Endpoint> {
    Some(Endpoint {
        id: format!("{place}{task}").parse().ok()?,
        on: on.network.to_string().parse().ok()?,
        network: on.network,
        addresses: on.addresses.clone(),
        mac: None,
        sandbox: Some(NO_SANDBOX.into()),
    })
}

#[cfg(test)]
mod tests {
    use swarmw_model::NetworkPeer;

    use super::*;

    const OWN: NodeId = NodeId::from_bits(1);
    const OTHER: NodeId = NodeId::from_bits(2);

    #[test]
    fn nothing_is_known_before_the_last_part() {
        let mut view = NetworkView::new(OWN);
        let peer = |node: NodeId, number: u16| NetworkPeer {
            node,
            number,
            address: [10, 200, 0, 1].into(),
            hostname: String::new(),
            agent: String::new(),
        };
        let first = NetworkNews {
            complete: true,
            more: true,
            peers: vec![peer(OWN, 1)],
            ..NetworkNews::default()
        };
        assert!(!view.learn(first));
        assert_eq!(view.desired(), None);
        let last = NetworkNews { peers: vec![peer(OTHER, 2)], ..NetworkNews::default() };
        assert!(view.learn(last));
        assert_eq!(view.desired().map(|desired| desired.peers.len()), Some(1));
    }
}
