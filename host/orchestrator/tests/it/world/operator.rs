//! What an operator does, and what befalls nodes.

use swarmw_model::*;
use swarmw_orchestrator::{Orchestrator, UpdatePolicies};
use swarmw_state::{Change, TaskChange};

use super::{World, node, node_id};

impl<P: UpdatePolicies> World<P> {
    pub fn create(&mut self, spec: ServiceSpec) -> ServiceId {
        let id = ServiceId::from_bits(self.id());
        self.commit(Change::CreateService { id, spec: Box::new(spec) });
        self.settle();
        id
    }

    pub fn update(&mut self, id: ServiceId, edit: impl FnOnce(&mut ServiceSpec)) {
        self.write(id, edit);
        self.settle();
    }

    /// An update that the leader's loops have not seen yet.
    pub fn write(&mut self, id: ServiceId, edit: impl FnOnce(&mut ServiceSpec)) {
        let service = self.service(id);
        let mut spec = service.spec.clone();
        edit(&mut spec);
        let version = service.version;
        self.commit(Change::UpdateService { id, version, spec: Box::new(spec) });
    }

    pub fn scale(&mut self, id: ServiceId, replicas: u64) {
        self.update(id, |spec| {
            spec.mode = ServiceMode::Replicated(Replicated { replicas: Some(replicas) });
        });
    }

    pub fn roll_back(&mut self, id: ServiceId) {
        let version = Some(self.service(id).version);
        let message = "manually requested rollback".to_owned();
        self.commit(Change::RollbackService { id, version, message });
        self.settle();
    }

    pub fn remove(&mut self, id: ServiceId) {
        self.commit(Change::RemoveService { id });
        self.settle();
    }

    pub fn join(&mut self, number: u32) {
        self.commit(Change::AddNode(Box::new(node(number))));
        self.settle();
    }

    pub fn edit_node(&mut self, number: u32, edit: impl FnOnce(&mut NodeSpec)) {
        let Some(node) = self.state.node(node_id(number)) else { return };
        let mut spec = node.spec.clone();
        edit(&mut spec);
        let change = Change::UpdateNode { id: node.id, version: node.version, spec };
        self.commit(change);
        self.settle();
    }

    pub fn set(&mut self, number: u32, availability: Availability) {
        self.edit_node(number, |spec| spec.availability = availability);
    }

    pub fn label(&mut self, number: u32, key: &str, value: &str) {
        self.edit_node(number, |spec| {
            spec.labels.insert(key.to_owned(), value.to_owned());
        });
    }

    /// What a node says of itself.
    pub fn describe(&mut self, number: u32, edit: impl FnOnce(&mut NodeDescription)) {
        let Some(node) = self.state.node(node_id(number)) else { return };
        let mut description = Box::new(node.description.clone());
        edit(&mut description);
        let change =
            Change::RegisterNode { id: node.id, description, addr: node.status.addr.clone() };
        self.commit(change);
        self.settle();
    }

    pub fn remove_node(&mut self, number: u32) {
        let id = node_id(number);
        self.dark.remove(&id);
        self.commit(Change::RemoveNode { id, force: true, deny_until: Time::ZERO });
        self.settle();
    }

    /// A node loses its power and the leader knows.
    pub fn power_off(&mut self, number: u32) {
        let id = node_id(number);
        self.dark.insert(id);
        let message = "heartbeat failure".to_owned();
        self.commit(Change::SetNodeState { id, state: NodeState::Down, message });
        self.settle();
    }

    /// The node is back; its tasks survived.
    pub fn power_on(&mut self, number: u32) {
        let id = node_id(number);
        self.dark.remove(&id);
        let message = String::new();
        self.commit(Change::SetNodeState { id, state: NodeState::Ready, message });
        self.settle();
    }

    /// The agent hears nothing and says nothing; the leader does not know yet.
    pub fn cut_off(&mut self, number: u32) {
        self.dark.insert(node_id(number));
    }

    /// A task fails now.
    pub fn fail(&mut self, id: TaskId) {
        let status =
            TaskStatus { timestamp: self.now(), state: TaskState::Failed, ..TaskStatus::default() };
        let status = Some(status);
        self.commit(Change::Task(TaskChange { status, ..TaskChange::of(id) }));
        self.settle();
    }

    /// What the leader makes of a node.
    pub fn set_state(&mut self, number: u32, state: NodeState) {
        let message = String::new();
        self.commit(Change::SetNodeState { id: node_id(number), state, message });
        self.settle();
    }

    pub fn history(&mut self, limit: i64) {
        let cluster = self.state.cluster().expect("a cluster");
        let mut spec = cluster.spec.clone();
        spec.orchestration.task_history_retention_limit = limit;
        let version = cluster.version;
        let rotate = JoinTokens::default();
        let spec = Box::new(spec);
        self.commit(Change::UpdateCluster { version, spec, rotate, unlock_key: None });
    }

    /// Another manager leads; it knows nothing but the state.
    pub fn new_leader(&mut self) {
        self.orchestrator = Orchestrator::new(&self.state, self.now());
        self.settle();
    }

    /// A plugin that was being compiled can be called.
    pub fn compiled(&mut self) {
        self.orchestrator.policies_changed();
    }

    /// Other plugins judge constraints from now on; they refuse this node.
    pub fn change_plugins(&mut self, refuse: u32) {
        self.refuses = Some(node_id(refuse));
        self.orchestrator.policies_changed();
    }
}
