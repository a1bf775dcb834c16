//! The tables of the state and how to read them.

use std::collections::HashMap as StdHashMap;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet, Vector};
use ipnet::IpNet;
use swarmw_model::{
    Attachment, AttachmentId, Cluster, ClusterVolume, ConfigId, Network, NetworkId, Node, NodeId,
    NodeRole, Plugin, PluginId, PortProtocol, RequestId, SecretId, Service, ServiceFacts,
    ServiceId, Slot, Task, TaskId, VolumeId,
};

use crate::data::DataTable;
use crate::{Holder, Outcome, Rollout};

/// Names of client writes kept with their outcomes, so that a retry is told what
/// became of the first try.
pub(crate) const REQUESTS_KEPT: usize = 10_000;

/// The whole replicated state of a cluster.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) index: u64,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) nodes: OrdMap<NodeId, Arc<Node>>,
    pub(crate) services: OrdMap<ServiceId, Arc<Service>>,
    pub(crate) tasks: OrdMap<TaskId, Arc<Task>>,
    pub(crate) plugins: OrdMap<PluginId, Arc<Plugin>>,
    pub(crate) volumes: OrdMap<VolumeId, Arc<ClusterVolume>>,
    pub(crate) secrets: DataTable<SecretId>,
    pub(crate) configs: DataTable<ConfigId>,
    pub(crate) networks: OrdMap<NetworkId, Arc<Network>>,
    /// Networks that were removed, on which tasks that are told to stop have addresses yet.
    pub(crate) going: OrdMap<NetworkId, Arc<Network>>,
    pub(crate) attachments: OrdMap<AttachmentId, Arc<Attachment>>,
    pub(crate) rollouts: OrdMap<ServiceId, Arc<Rollout>>,
    /// Raft ids are never given twice: the next one.
    pub(crate) next_raft_id: u64,
    pub(crate) requests: HashMap<RequestId, Arc<Vec<Outcome>>>,
    pub(crate) request_order: Vector<RequestId>,

    // Indexes, rebuilt from the tables when a snapshot is read.
    pub(crate) service_names: OrdMap<String, ServiceId>,
    pub(crate) plugin_names: OrdMap<String, PluginId>,
    pub(crate) volume_names: OrdMap<String, VolumeId>,
    pub(crate) facts: HashMap<ServiceId, Arc<ServiceFacts>>,
    pub(crate) tasks_of_service: HashMap<ServiceId, OrdSet<(Slot, TaskId)>>,
    pub(crate) tasks_of_node: HashMap<NodeId, OrdSet<TaskId>>,
    pub(crate) ports: OrdMap<(PortProtocol, u16), ServiceId>,
    pub(crate) network_names: OrdMap<String, NetworkId>,
    pub(crate) vnis: OrdMap<u32, NetworkId>,
    pub(crate) services_of_network: HashMap<NetworkId, OrdSet<ServiceId>>,
    /// Who has an address: tasks that have not ended, services, containers that joined.
    pub(crate) addresses: OrdMap<(NetworkId, IpAddr), Holder>,
    /// How many of them are of a subnet's range.
    pub(crate) taken_in: HashMap<(NetworkId, IpNet), u64>,
    /// How many tasks of a service have addresses on a network.
    pub(crate) tasks_on: HashMap<(ServiceId, NetworkId), u64>,
    /// Services that have left networks on which their tasks are yet.
    pub(crate) leaving: OrdSet<ServiceId>,
    pub(crate) attachments_of_node: HashMap<NodeId, OrdSet<AttachmentId>>,
    pub(crate) node_numbers: OrdMap<u16, NodeId>,
}

// === impl State ===

impl State {
    /// Index of the last applied entry.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The cluster, once founded.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// All nodes by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Nodes that the operator wants as managers.
    pub fn wanted_managers(&self) -> usize {
        self.nodes.values().filter(|n| n.spec.role == NodeRole::Manager).count()
    }

    /// A service.
    pub fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.services.get(&id)
    }

    /// A service by its name, whatever the letter case.
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(self.service_names.get(&name.to_lowercase())?)
    }

    /// All services by id.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// How many services there are.
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// A task.
    pub fn task(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(&id)
    }

    /// All tasks by id.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// The same with their ids, which say their order without a look at a task.
    pub fn tasks_by_id(&self) -> impl Iterator<Item = (TaskId, &Arc<Task>)> {
        self.tasks.iter().map(|(id, task)| (*id, task))
    }

    /// How many tasks there are.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// The tasks of a service, alive or kept as history, by slot.
    pub fn tasks_of_service(&self, id: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        let ids = self.tasks_of_service.get(&id);
        ids.into_iter().flatten().filter_map(|(_, task)| self.tasks.get(task))
    }

    /// The tasks of one slot of a service, alive or kept as history.
    pub fn tasks_of_slot(&self, id: ServiceId, slot: Slot) -> impl Iterator<Item = &Arc<Task>> {
        let from = (slot, TaskId::from_bits(0));
        let to = (slot, TaskId::from_bits(u128::MAX));
        let ids = self.tasks_of_service.get(&id);
        ids.into_iter()
            .flat_map(move |ids| ids.range(from..=to))
            .filter_map(|(_, t)| self.tasks.get(t))
    }

    /// Services that have tasks though they are gone themselves, or never were.
    pub fn services_with_tasks(&self) -> impl Iterator<Item = ServiceId> {
        self.tasks_of_service.keys().copied()
    }

    /// The tasks on a node, alive or kept as history.
    pub fn tasks_of_node(&self, id: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        let ids = self.tasks_of_node.get(&id);
        ids.into_iter().flatten().filter_map(|task| self.tasks.get(task))
    }

    /// A plugin.
    pub fn plugin(&self, id: PluginId) -> Option<&Arc<Plugin>> {
        self.plugins.get(&id)
    }

    /// All plugins by id.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }

    /// A plugin by its name, `publisher/name`.
    pub fn plugin_named(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(self.plugin_names.get(name)?)
    }

    /// A volume of the cluster.
    pub fn volume(&self, id: VolumeId) -> Option<&Arc<ClusterVolume>> {
        self.volumes.get(&id)
    }

    /// All volumes of the cluster by id.
    pub fn volumes(&self) -> impl Iterator<Item = &Arc<ClusterVolume>> {
        self.volumes.values()
    }

    /// A volume of the cluster by its name.
    pub fn volume_named(&self, name: &str) -> Option<&Arc<ClusterVolume>> {
        self.volumes.get(self.volume_names.get(name)?)
    }

    /// The update under way of a service.
    pub fn rollout(&self, service: ServiceId) -> Option<&Arc<Rollout>> {
        self.rollouts.get(&service)
    }

    /// Updates under way.
    pub fn rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.rollouts.values()
    }

    /// The service that holds a published ingress port.
    pub fn port_holder(&self, protocol: PortProtocol, published: u16) -> Option<ServiceId> {
        self.ports.get(&(protocol, published)).copied()
    }

    /// All published ingress ports.
    pub fn ports(&self) -> impl Iterator<Item = (PortProtocol, u16, ServiceId)> {
        self.ports.iter().map(|((protocol, port), service)| (*protocol, *port, *service))
    }

    /// A Raft id that no manager has or had.
    pub fn next_raft_id(&self) -> u64 {
        self.next_raft_id.max(1)
    }

    /// What became of a client's write, if it is among the last 10,000.
    pub fn outcomes_of(&self, request: RequestId) -> Option<&Arc<Vec<Outcome>>> {
        self.requests.get(&request)
    }

    /// Rebuilds every index from the tables.
    pub(crate) fn reindex(&mut self) {
        self.service_names.clear();
        self.plugin_names.clear();
        self.volume_names.clear();
        self.facts.clear();
        self.ports.clear();
        self.services_of_network.clear();
        self.addresses.clear();
        self.taken_in.clear();
        self.tasks_on.clear();
        self.leaving.clear();
        for service in self.services.values().cloned().collect::<Vec<_>>() {
            self.index_service(&service);
        }
        self.reindex_networks();
        for plugin in self.plugins.values() {
            self.plugin_names.insert(plugin.name.clone(), plugin.id);
        }
        for volume in self.volumes.values() {
            self.volume_names.insert(volume.spec.name.clone(), volume.id);
        }
        let mut of_service: StdHashMap<_, Vec<_>> = StdHashMap::new();
        let mut of_node: StdHashMap<_, Vec<_>> = StdHashMap::new();
        for task in self.tasks.values() {
            if let Some(slot) = task.slot() {
                of_service.entry(task.service_id).or_default().push((slot, task.id));
            }
            if let Some(node) = task.node_id {
                of_node.entry(node).or_default().push(task.id);
            }
        }
        self.tasks_of_service =
            of_service.into_iter().map(|(id, tasks)| (id, tasks.into_iter().collect())).collect();
        self.tasks_of_node =
            of_node.into_iter().map(|(id, tasks)| (id, tasks.into_iter().collect())).collect();
    }
}
