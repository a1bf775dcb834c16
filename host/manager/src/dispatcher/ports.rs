//! Which tasks stand behind each published port: recomputed for the services that
//! changed, told to every node as a whole.

use std::collections::{BTreeMap, BTreeSet};

use swarmw_model::{Backend, PublishMode, PublishedPort, ServiceId, Task, TaskState};
use swarmw_state::{Event, State};

/// The published ports of all services.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    by_service: BTreeMap<ServiceId, Vec<PublishedPort>>,
    dirty: BTreeSet<ServiceId>,
}

// === impl PortTable ===

impl PortTable {
    /// A table that will look at every service.
    pub(crate) fn new(state: &State) -> Self {
        Self { by_service: BTreeMap::new(), dirty: state.services().map(|s| s.id).collect() }
    }

    /// Notes what may have changed.
    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::Service { old, new } => {
                self.dirty.extend(old.iter().chain(new).map(|s| s.id));
            }
            Event::Task { old, new } => {
                let serves =
                    |t: &Option<std::sync::Arc<Task>>| t.as_ref().is_some_and(|t| takes_traffic(t));
                if serves(old) != serves(new) {
                    self.dirty.extend(old.iter().chain(new).map(|t| t.service_id));
                }
            }
            Event::Node { old: Some(old), new: Some(new) }
                if old.description.agent_address == new.description.agent_address => {}
            // Addresses have changed, or a node went: look at everything.
            Event::Node { .. } => self.dirty.extend(self.by_service.keys().copied()),
            Event::Cluster
            | Event::Plugin { .. }
            | Event::Volume { .. }
            | Event::Secret { .. }
            | Event::Config { .. }
            | Event::Network { .. }
            | Event::Attachment { .. } => {}
        }
    }

    /// Looks again at what changed; the whole list, where it differs from before.
    pub(crate) fn refresh(&mut self, state: &State) -> Option<Vec<PublishedPort>> {
        let mut changed = false;
        for id in std::mem::take(&mut self.dirty) {
            let now = ports_of(state, id);
            let before = self.by_service.get(&id).map_or(&[][..], Vec::as_slice);
            changed |= before != now;
            if now.is_empty() {
                self.by_service.remove(&id);
            } else {
                self.by_service.insert(id, now);
            }
        }
        changed.then(|| self.by_service.values().flatten().cloned().collect())
    }
}

/// A task that new connections may go to: one that is told to stop gets none from
/// that moment on, before it is asked to end.
fn takes_traffic(task: &Task) -> bool {
    task.status.state == TaskState::Running && task.desired_state <= TaskState::Running
}

fn ports_of(state: &State, id: ServiceId) -> Vec<PublishedPort> {
    let Some(service) = state.service(id) else { return Vec::new() };
    let ingress = service
        .endpoint
        .ports
        .iter()
        .filter(|p| p.publish_mode == PublishMode::Ingress && p.published_port != 0);
    ingress
        .map(|port| PublishedPort {
            protocol: port.protocol,
            published: port.published_port,
            target: port.target_port,
            backends: state
                .tasks_of_service(id)
                .filter(|task| takes_traffic(task))
                .filter_map(|task| backend(state, task))
                .collect(),
        })
        .collect()
}

fn backend(state: &State, task: &Task) -> Option<Backend> {
    let node = state.node(task.node_id?)?;
    Some(Backend { task: task.id, node: node.id, address: node.description.agent_address.clone() })
}
