//! A scheduler that spreads by the number of tasks, and reads label constraints.

use std::collections::BTreeMap;

use swarmw_model::*;
use swarmw_orchestrator::Fits;
use swarmw_state::{Change, State, TaskChange};

use super::World;

/// `node.labels.KEY==VALUE` and `!=`, and no plugin.
pub struct Labels;

impl Fits for Labels {
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        let Some(node) = state.node(node) else { return false };
        spec.task_template.constraints().iter().all(|constraint| {
            let (key, value, equal) = match constraint.split_once("==") {
                Some((key, value)) => (key, value, true),
                None => {
                    let (key, value) = constraint.split_once("!=").expect("== or !=");
                    (key, value, false)
                }
            };
            let label = key.strip_prefix("node.labels.").expect("a label");
            (node.spec.labels.get(label).map(String::as_str) == Some(value)) == equal
        })
    }
}

/// [`Labels`], by plugins that besides refuse a node.
pub(super) struct Judge {
    pub(super) refuses: Option<NodeId>,
}

impl Fits for Judge {
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        self.refuses != Some(node) && Labels.satisfies(state, spec, node)
    }
}

impl<P> World<P> {
    /// Gives each task that waits the node with the fewest tasks.
    pub(super) fn schedule(&mut self, changes: &mut Vec<Change>) {
        let mut load: BTreeMap<NodeId, usize> = BTreeMap::new();
        for node in self.state.nodes() {
            let ready = node.status.state == NodeState::Ready;
            if ready && node.spec.availability == Availability::Active {
                let active = self.state.tasks_of_node(node.id).filter(|t| t.is_active()).count();
                load.insert(node.id, active);
            }
        }
        let (state, refuses) = (&self.state, self.refuses);
        let mut place = |service: ServiceId, slot: Option<Slot>| {
            let spec = &state.service(service)?.spec;
            let fits = |id: &NodeId| Judge { refuses }.satisfies(state, spec, *id);
            let node = match slot {
                Some(Slot::Node(node)) => load.keys().copied().find(|id| *id == node),
                _ => load
                    .iter()
                    .filter(|(id, _)| fits(id))
                    .min_by_key(|(_, n)| **n)
                    .map(|(id, _)| *id),
            }?;
            *load.get_mut(&node)? += 1;
            Some(node)
        };
        for change in changes.iter_mut() {
            if let Change::CreateTask(new) = change {
                new.node = place(new.service, Some(new.slot));
                let spec = state.service(new.service).map(|s| s.spec.task_template.clone());
                let asked = spec.map(|spec| spec.reserved_generic()).unwrap_or_default();
                let given = |(kind, count)| GenericResource::Discrete { kind, count };
                new.generic_resources = asked.into_iter().map(given).collect();
            }
        }
        for task in state.tasks().filter(|t| waits(t)) {
            if let Some(node) = place(task.service_id, task.slot()) {
                let assign = Some(node);
                changes.push(Change::Task(TaskChange { assign, ..TaskChange::of(task.id) }));
            }
        }
    }
}

/// Whether a task waits for the scheduler.
fn waits(task: &Task) -> bool {
    task.status.state <= TaskState::Pending && task.desired_state <= TaskState::Complete
}
