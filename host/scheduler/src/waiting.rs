//! The tasks that wait for a node, with what a pass must know of each: reading it
//! from a hundred thousand tasks would cost a pass more than placing them.

use swarmw_model::{NodeId, ServiceId, Task, TaskId, TaskState, Version};

use crate::hash::{FastMap, FastSet};

/// A task that waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    pub(crate) id: TaskId,
    pub(crate) service: ServiceId,
    pub(crate) version: Version,
    pub(crate) slot: u64,
    /// Of a global service: the node it is for.
    pub(crate) node: Option<NodeId>,
}

/// All tasks that wait.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Without an answer yet that the events confirm.
    due: FastMap<TaskId, Waiter>,
    /// Told why there is no node for them.
    answered: FastMap<TaskId, Waiter>,
    /// Never had a node, and are to be shut down.
    pub(crate) stale: FastSet<TaskId>,
}

// === impl Waiting ===

impl Waiting {
    /// Follows a task: one without a node and without a reason is due until the
    /// events show that it got the one or the other.
    pub(crate) fn note(&mut self, task: &Task, exists: bool) {
        let unplaced = exists && task.status.state <= TaskState::Pending;
        let waits = unplaced && task.desired_state <= TaskState::Complete;
        let waiter = Waiter {
            id: task.id,
            service: task.service_id,
            version: task.spec_version,
            slot: task.slot,
            node: task.node_id,
        };
        let (put, other) = match task.status.error.is_empty() {
            true => (&mut self.due, &mut self.answered),
            false => (&mut self.answered, &mut self.due),
        };
        other.remove(&task.id);
        match waits {
            true => drop(put.insert(task.id, waiter)),
            false => drop(put.remove(&task.id)),
        }
        match unplaced && task.desired_state == TaskState::Shutdown {
            true => self.stale.insert(task.id),
            false => self.stale.remove(&task.id),
        };
    }

    /// Those that a pass tries: the due ones, or all.
    pub(crate) fn to_try(&self, all: bool) -> impl Iterator<Item = &Waiter> {
        self.due.values().chain(self.answered.values().filter(move |_| all))
    }

    /// A decision about a task may get lost before it is committed: the task stays
    /// due until an event shows what became of it.
    pub(crate) fn await_confirmation(&mut self, id: TaskId) {
        if let Some(waiter) = self.answered.remove(&id) {
            self.due.insert(id, waiter);
        }
    }

    /// The task was told the same before: nothing will be written.
    pub(crate) fn stays_answered(&mut self, id: TaskId) {
        if let Some(waiter) = self.due.remove(&id) {
            self.answered.insert(id, waiter);
        }
    }
}
