//! Which tasks stand behind each published port: recomputed for the services that
//! changed, told to every node as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use swarmw_model::{
    Backend, Ingress, IngressSource, NetworkId, NetworkPeer, Node, NodeId, PortConfig, PublishMode,
    PublishedPort, Service, ServiceId, Task, TaskState,
};
use swarmw_state::{Event, State};

use super::networks::peer;

/// The published ports of all services.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    by_service: BTreeMap<ServiceId, OfService>,
    dirty: BTreeSet<ServiceId>,
    /// The network of the routing mesh.
    network: Option<NetworkId>,
    mesh: Option<Mesh>,
    /// Both are to be looked at.
    mesh_is_dirty: bool,
}

/// What there is of a service, or was.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfService {
    ports: Vec<PublishedPort>,
    /// Without ports: tasks that may have connections by those that there were.
    leaving: Vec<Backend>,
}

/// What every node is told of published ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) ports: Vec<PublishedPort>,
    /// See [`Ingress::leaving`].
    leaving: Vec<Backend>,
    mesh: Option<Mesh>,
}

/// The routing mesh between kernels, the same for all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mesh {
    vni: u32,
    data_path_port: u16,
}

/// How a task stands to published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// New connections go to it: it runs, and is not told to stop. From the moment on that
    /// it is, it gets none, before it is asked to end.
    Serves,
    /// It keeps those that it has.
    Leaves,
}

// === impl Published ===

impl Published {
    /// What one node's kernel needs beside the ports.
    pub(crate) fn ingress(&self, state: &State, node: NodeId) -> Option<Ingress> {
        let Mesh { vni, data_path_port } = self.mesh?;
        let own = state.node(node).and_then(|node| peer(node));
        Some(Ingress { vni, data_path_port, own, leaving: self.leaving.clone() })
    }
}

// === impl PortTable ===

impl PortTable {
    /// A table that will look at every service, and at those that are gone and have tasks.
    pub(crate) fn new(state: &State) -> Self {
        let services = state.services().map(|service| service.id);
        let dirty = services.chain(state.tasks().map(|task| task.service_id)).collect();
        Self { dirty, mesh_is_dirty: true, ..Self::default() }
    }

    /// Notes what may have changed.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::Service { old, new } => {
                self.dirty.extend(old.iter().chain(new).map(|s| s.id));
            }
            Event::Task { old, new } => {
                let stands = |task: &Option<Arc<Task>>| task.as_ref().and_then(|t| standing(t));
                if stands(old) != stands(new) {
                    self.dirty.extend(old.iter().chain(new).map(|t| t.service_id));
                }
            }
            Event::Node { old: Some(old), new: Some(new) } if place(old) == place(new) => {}
            // Addresses have changed, or a node went: look at everything.
            Event::Node { .. } => self.dirty.extend(self.by_service.keys().copied()),
            Event::Network { old, new } => {
                self.mesh_is_dirty |= old.iter().chain(new).any(|network| network.spec.ingress);
            }
            Event::Cluster => self.mesh_is_dirty = true,
            Event::Plugin { .. }
            | Event::Volume { .. }
            | Event::Secret { .. }
            | Event::Config { .. }
            | Event::Attachment { .. } => {}
        }
    }

    /// Looks again at what changed; the whole, where it differs from before.
    pub(crate) fn refresh(&mut self, state: &State) -> Option<Published> {
        let mut changed = self.refresh_mesh(state);
        for id in std::mem::take(&mut self.dirty) {
            let now = self.of_service(state, id);
            let now = Some(now).filter(|now| *now != OfService::default());
            changed |= self.by_service.get(&id) != now.as_ref();
            match now {
                Some(now) => drop(self.by_service.insert(id, now)),
                None => drop(self.by_service.remove(&id)),
            }
        }
        changed.then(|| self.published())
    }

    fn published(&self) -> Published {
        let ports = self.by_service.values().flat_map(|of| &of.ports);
        let leaving = self.by_service.values().flat_map(|of| &of.leaving);
        // Others were served in user space, where connections go on by themselves.
        let leaving = leaving.filter(|backend| backend.ingress.is_some());
        Published {
            ports: ports.cloned().collect(),
            leaving: leaving.take(Ingress::LEAVING_MAX).cloned().collect(),
            mesh: self.mesh,
        }
    }

    fn of_service(&self, state: &State, id: ServiceId) -> OfService {
        let ports = state.service(id).map(|service| self.ports_of(state, service));
        let ports = ports.unwrap_or_default();
        let mut leaving = Vec::new();
        if ports.is_empty() {
            let may_have =
                |task: &&Arc<Task>| standing(task).is_some() && self.address(task).is_some();
            let there = state.tasks_of_service(id).filter(may_have);
            leaving.extend(there.filter_map(|task| self.backend(state, task)));
        }
        OfService { ports, leaving }
    }

    fn refresh_mesh(&mut self, state: &State) -> bool {
        if !std::mem::take(&mut self.mesh_is_dirty) {
            return false;
        }
        let network = state.ingress().and_then(|id| state.network(id));
        let mesh = network.zip(state.cluster()).map(|(network, cluster)| Mesh {
            vni: network.vni,
            data_path_port: cluster.data_path_port,
        });
        let id = network.map(|network| network.id);
        if self.network != id {
            // Tasks have other addresses on it, or none.
            self.network = id;
            self.dirty.extend(self.by_service.keys().copied());
        }
        std::mem::replace(&mut self.mesh, mesh) != mesh
    }

    fn ports_of(&self, state: &State, service: &Service) -> Vec<PublishedPort> {
        let ingress = service
            .endpoint
            .ports
            .iter()
            .filter(|p| p.publish_mode == PublishMode::Ingress && p.published_port != 0);
        let mut ports = ingress.peekable();
        if ports.peek().is_none() {
            return Vec::new();
        }
        let (mut backends, mut leaving) = (Vec::new(), Vec::new());
        for task in state.tasks_of_service(service.id) {
            let there = self.backend(state, task).map(|backend| (&**task, backend));
            match standing(task) {
                Some(Standing::Serves) => backends.extend(there),
                Some(Standing::Leaves) => leaving.extend(there),
                None => {}
            }
        }
        let snat = service.spec.ingress_source() == IngressSource::Node;
        let of_port = |port: &PortConfig, there: &[(&Task, Backend)]| {
            let own = there.iter().map(|(task, backend)| {
                let target = own_target(task, port);
                Backend { target, ..backend.clone() }
            });
            own.collect::<Vec<_>>()
        };
        ports
            .map(|port| PublishedPort {
                protocol: port.protocol,
                published: port.published_port,
                target: port.target_port,
                backends: of_port(port, &backends),
                leaving: of_port(port, &leaving),
                snat,
            })
            .collect()
    }

    fn backend(&self, state: &State, task: &Task) -> Option<Backend> {
        let node = state.node(task.node_id?)?;
        let peer = peer(node);
        Some(Backend {
            task: task.id,
            node: node.id,
            address: node.description.agent_address.clone(),
            ingress: self.address(task).filter(|_| node.description.kernel_ports),
            number: node.number,
            data_path: peer.map(|peer| peer.address),
            v6: node.description.gateway_v6 && !task.spec.has_no_ipv6(),
            target: 0,
        })
    }

    /// A task's address on the network of the routing mesh.
    fn address(&self, task: &Task) -> Option<Ipv4Addr> {
        let on = task.attachments.iter().find(|on| Some(on.network) == self.network)?;
        on.addresses.iter().find_map(|net| match net.addr() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }
}

/// The port inside a task that was made when a published port had another; 0: the same.
fn own_target(task: &Task, port: &PortConfig) -> u16 {
    let is_it = |own: &&PortConfig| {
        own.publish_mode == port.publish_mode
            && (own.protocol, own.published_port) == (port.protocol, port.published_port)
    };
    let own = task.service.ports.iter().find(is_it).map_or(0, |own| own.target_port);
    if own == port.target_port { 0 } else { own }
}

fn standing(task: &Task) -> Option<Standing> {
    let runs = task.status.state == TaskState::Running;
    runs.then_some(match task.serves() {
        true => Standing::Serves,
        false => Standing::Leaves,
    })
}

/// What backends say of their node.
fn place(node: &Node) -> (&str, Option<NetworkPeer>, [bool; 2]) {
    let description = &node.description;
    // Its name is no news, and where its agent is stands beside it.
    let unsaid = |peer| NetworkPeer { hostname: String::new(), agent: String::new(), ..peer };
    let peer = peer(node).map(unsaid);
    (&description.agent_address, peer, [description.gateway_v6, description.kernel_ports])
}

#[cfg(test)]
mod tests;
