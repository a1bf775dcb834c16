//! The scheduler's mirror of the committed state, moved by events alone.

use std::sync::Arc;

use swarmw_model::{Node, NodeId, ServiceSpec, Task, TaskId};
use swarmw_state::{Event, State};

use crate::failures::Failures;
use crate::need::Need;
use crate::table::Table;
use crate::usage::{Usage, holds, same};
use crate::verdicts::Verdicts;
use crate::waiting::Waiting;
use crate::{Policies, PolicyFailure};

/// Puts tasks on nodes. See the crate's head.
#[derive(Default)]
pub struct Scheduler {
    pub(crate) table: Table,
    pub(crate) usage: Usage,
    pub(crate) failures: Failures,
    pub(crate) verdicts: Verdicts,
    pub(crate) waiting: Waiting,
    /// Something changed that could help a task already answered.
    pub(crate) retry: bool,
}

// === impl Scheduler ===

impl Scheduler {
    /// A scheduler that has seen `state`.
    pub fn new(state: &State) -> Self {
        let mut scheduler = Self { retry: true, ..Self::default() };
        for node in state.nodes() {
            scheduler.put_node(node);
        }
        for task in state.tasks() {
            scheduler.observe_task(None, Some(task));
        }
        scheduler
    }

    /// Follows a committed change. Events come in the order of the log.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Cluster => {}
            Event::Node { new: Some(node), .. } => self.put_node(node),
            Event::Node { old, new: None } => {
                if let Some(row) = old.as_ref().and_then(|node| self.table.remove(node.id)) {
                    self.usage.clear(row);
                    self.failures.forget_row(row);
                }
            }
            Event::Service { old: Some(old), new: Some(new) } => {
                // A virtual address that it gave up, or got, may be what tasks wait for.
                self.retry |=
                    old.spec != new.spec || old.endpoint.virtual_ips != new.endpoint.virtual_ips;
            }
            Event::Service { old: Some(old), new: None } => {
                self.failures.forget_service(old.id);
                self.retry |= !old.endpoint.virtual_ips.is_empty();
            }
            Event::Service { .. } => {}
            Event::Task { old, new } => self.observe_task(old.as_ref(), new.as_ref()),
            Event::Plugin { .. } | Event::Volume { .. } => self.retry = true,
            // Tasks wait for addresses as well.
            Event::Network { .. } => self.retry = true,
            Event::Attachment { new, .. } => self.retry |= new.is_none(),
            Event::Secret { .. } | Event::Config { .. } => {}
        }
    }

    fn put_node(&mut self, node: &Arc<Node>) {
        let size = |n: &Node| {
            let all = &n.description.resources;
            (all.nano_cpus, all.memory_bytes)
        };
        let known = self.table.row(node.id).and_then(|row| self.table.node(row));
        let (cpu_before, memory_before) = known.map_or((0, 0), |n| size(n));
        let (cpu, memory) = size(node);
        let row = self.table.put(node);
        self.usage.grow(self.table.len());
        self.usage.resize(row, cpu - cpu_before, memory - memory_before);
        self.usage.restock(row, &node.description.resources.generic_resources);
        self.retry = true;
    }

    fn observe_task(&mut self, old: Option<&Arc<Task>>, new: Option<&Arc<Task>>) {
        match (old, new) {
            (Some(old), Some(new)) => {
                if !same(old, new) {
                    self.take_away(old);
                    self.add(new);
                }
                self.retry |= lets_go_of_addresses(old, Some(new));
                // What it was told is of the spec that it had.
                self.retry |= old.spec_version != new.spec_version && new.node_id.is_none();
                if let Some(row) = new.node_id.and_then(|node| self.table.row(node)) {
                    self.failures.note(row, old, new);
                }
            }
            (Some(old), None) => {
                self.retry |= lets_go_of_addresses(old, None);
                self.take_away(old);
            }
            (None, Some(new)) => self.add(new),
            (None, None) => {}
        }
        if let Some(task) = new.or(old) {
            self.waiting.note(task, new.is_some());
        }
    }

    /// Somebody else, who was asked after a pass, has no place for a task that waits
    /// already, and has told it so before: it is tried again when something changes that
    /// could help, like one that the pass itself left.
    pub fn stays_waiting(&mut self, id: TaskId) {
        self.waiting.stays_answered(id);
    }

    /// All that waits is tried again in the next pass.
    pub fn try_again(&mut self) {
        self.retry = true;
    }

    fn add(&mut self, task: &Task) {
        if let Some(row) = task.node_id.and_then(|node| self.table.row(node)) {
            self.usage.add(row, task);
        }
    }

    fn take_away(&mut self, task: &Task) {
        if let Some(row) = task.node_id.and_then(|node| self.table.row(node)) {
            self.usage.take_away(row, task);
            self.retry |= holds(task);
        }
    }

    /// Whoever first sees a new generation of plugins has all that waits tried again:
    /// their answers may be others.
    pub(crate) fn begin_pass(&mut self, policies: &dyn Policies) {
        self.retry |= self.verdicts.begin_pass(policies.generation());
    }

    /// Whether a node satisfies a service's constraints and runs its image; all
    /// else that a task needs is not looked at.
    ///
    /// # Errors
    /// What a constraint's plugin fails with.
    pub fn satisfies(
        &mut self,
        state: &State,
        service: &ServiceSpec,
        node: NodeId,
        policies: &mut dyn Policies,
    ) -> Result<bool, PolicyFailure> {
        self.begin_pass(policies);
        let Some(row) = self.table.row(node) else {
            return Ok(false);
        };
        let spec = &service.task_template;
        let need = Need::of(spec, std::iter::empty(), state);
        if !self.table.platform_passes(row, |runs| need.runs_on(runs)) {
            return Ok(false);
        }
        if spec.constraints().is_empty() {
            return Ok(true);
        }
        let options = Arc::new(service.policy_options());
        for expression in spec.constraints() {
            let constraint = self.verdicts.constraint(expression, &options, policies)?;
            self.verdicts.refresh(&constraint, &mut self.table, policies)?;
            if !self.verdicts.mask(constraint.id).contains(row as usize) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a task had addresses, and has them no more.
fn lets_go_of_addresses(old: &Task, new: Option<&Arc<Task>>) -> bool {
    !old.attachments.is_empty()
        && !old.status.state.is_terminal()
        && new.is_none_or(|new| new.status.state.is_terminal())
}
