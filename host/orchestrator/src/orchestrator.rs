//! What the leader remembers between ticks, and one tick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{Duration, Node, NodeId, Service, ServiceId, ServiceSpec, TaskId, Time};
use swarmw_state::{Change, Event, State};

use crate::reconcile::Reconcile;
use crate::update::Memory;
use crate::{Answer, Query, UpdatePolicies, orphans, reap};

/// Answers whether a node satisfies a service's constraints.
pub trait Fits {
    /// Constraints and platforms alone; resources are the scheduler's business.
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool;
}

/// What a tick wants.
#[derive(Debug, Default)]
pub struct Decisions {
    /// In order; each stands for itself.
    pub changes: Vec<Change>,
    /// When something is due next.
    pub wake_at: Option<Time>,
    /// What policies want to be told; [`Orchestrator::answered`] takes the answers.
    pub queries: Vec<Query>,
}

/// The leader's orchestrator.
#[derive(Debug)]
pub struct Orchestrator {
    /// Services that may need a decision.
    dirty: BTreeSet<ServiceId>,
    /// Nodes that changed in a way that may matter to tasks.
    nodes: BTreeSet<NodeId>,
    /// Services and nodes for which something is due at a time.
    due: BTreeSet<(Time, Due)>,
    /// What is remembered of rollouts under way.
    rollouts: BTreeMap<ServiceId, Memory>,
    /// Constraints may have other verdicts than before.
    judge_anew: bool,
}

/// Decisions may be dropped on their way, and nothing tells: a service about which
/// something was decided is looked at again after this time.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Service(ServiceId),
    Node(NodeId),
}

// === impl Orchestrator ===

impl Orchestrator {
    /// A new leader's: it looks at everything once.
    pub fn new(state: &State, _now: Time) -> Self {
        let services = state.services().map(|s| s.id);
        Self {
            dirty: services.chain(state.services_with_tasks()).collect(),
            nodes: state.nodes().map(|n| n.id).collect(),
            due: BTreeSet::new(),
            rollouts: state.rollouts().map(|r| (r.service, Memory::default())).collect(),
            judge_anew: false,
        }
    }

    /// Notes what may have changed.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Service { old, new } => {
                self.dirty.extend(old.iter().chain(new).map(|s| s.id));
            }
            Event::Task { old, new } => {
                let Some(task) = new.as_ref().or(old.as_ref()) else { return };
                self.dirty.insert(task.service_id);
                if let Some(memory) = self.rollouts.get_mut(&task.service_id) {
                    memory.observe(old.as_deref(), new.as_deref());
                }
            }
            Event::Node { old, new } => {
                let matters = match (old, new) {
                    (Some(old), Some(new)) => matters(old, new),
                    _ => true,
                };
                self.nodes.extend(old.iter().chain(new).map(|n| n.id).filter(|_| matters));
            }
            Event::Cluster
            | Event::Plugin { .. }
            | Event::Volume { .. }
            | Event::Secret { .. }
            | Event::Config { .. }
            | Event::Network { .. }
            | Event::Attachment { .. } => {}
        }
    }

    /// The plugins are others than before, or more of them can be called: running tasks
    /// may stand where they no longer may, and updates may go on that waited for theirs.
    pub fn policies_changed(&mut self) {
        self.judge_anew = true;
        let waits = self.rollouts.iter().filter(|(_, memory)| memory.awaits_policy);
        self.dirty.extend(waits.map(|(service, _)| *service));
    }

    /// Takes the answer to a query: a number, or why there is none.
    pub fn answered(&mut self, query: &Query, at: Time, value: Result<f64, String>) {
        if let Some(memory) = self.rollouts.get_mut(&query.service) {
            memory.answer(query.asked_at, Answer { id: query.id.clone(), at, value });
            self.dirty.insert(query.service);
        }
    }

    /// Decides for all services that may need it. Where nothing has changed and
    /// nothing is due, it decides nothing.
    pub fn tick(
        &mut self,
        state: &State,
        now: Time,
        fits: &mut dyn Fits,
        policies: &mut dyn UpdatePolicies,
        ids: &mut dyn FnMut() -> TaskId,
    ) -> Decisions {
        while let Some((at, what)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, what));
            match what {
                Due::Service(service) => drop(self.dirty.insert(service)),
                Due::Node(node) => drop(self.nodes.insert(node)),
            }
        }
        if std::mem::take(&mut self.judge_anew) {
            let judged = |s: &&Arc<Service>| !s.spec.task_template.constraints().is_empty();
            self.dirty.extend(state.services().filter(judged).map(|s| s.id));
        }
        let mut decisions = Decisions::default();
        self.take_nodes(state, now, &mut decisions.changes);
        for id in std::mem::take(&mut self.dirty) {
            let mut memory = self.rollouts.remove(&id).unwrap_or_default();
            let mut reconcile = Reconcile {
                state,
                now,
                fits,
                policies,
                ids,
                changes: &mut decisions.changes,
                memory: &mut memory,
                due: None,
            };
            let before = reconcile.changes.len();
            reconcile.service(id);
            let decided = reconcile.changes.len() > before;
            let again = decided.then_some(now + AGAIN);
            if let Some(at) = reconcile.due.into_iter().chain(again).min() {
                self.due.insert((at, Due::Service(id)));
            }
            decisions.queries.extend(memory.take_queries());
            if memory.asked || memory.awaits_policy {
                self.rollouts.insert(id, memory);
            }
            reap::service(state, id, &mut decisions.changes);
        }
        decisions.wake_at = self.due.first().map(|(at, _)| *at);
        decisions
    }

    /// Of a node that changed: the services with tasks on it, the global ones and jobs,
    /// and tasks that are lost with it.
    fn take_nodes(&mut self, state: &State, now: Time, changes: &mut Vec<Change>) {
        let nodes = std::mem::take(&mut self.nodes);
        if nodes.is_empty() {
            return;
        }
        let global = |s: &&Arc<Service>| s.spec.replicas().is_none();
        self.dirty.extend(state.services().filter(global).map(|s| s.id));
        for node in nodes {
            self.dirty.extend(state.tasks_of_node(node).map(|t| t.service_id));
            if let Some(at) = orphans::of_node(state, node, now, changes) {
                self.due.insert((at, Due::Node(node)));
            }
        }
    }
}

/// Whether a change of a node may move tasks: heartbeats and addresses do not.
fn matters(old: &Node, new: &Node) -> bool {
    old.spec != new.spec
        || old.role != new.role
        || old.status.state != new.status.state
        || old.description != new.description
}
