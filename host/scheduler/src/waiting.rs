//! The tasks that wait for a node, by what makes them a group, with what a pass must
//! know of each: reading it from a hundred thousand tasks would cost a pass more than
//! placing them.

use std::sync::Arc;

use swarmw_model::{NodeId, ServiceFacts, ServiceId, Task, TaskId, TaskSpec, TaskState, Version};

use crate::hash::{FastMap, FastSet};

/// What makes tasks one group: their service and its spec's version.
pub(crate) type GroupKey = (ServiceId, Version);

/// A task that waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    pub(crate) id: TaskId,
    pub(crate) slot: u64,
    /// Of a global service: the node it is for.
    pub(crate) node: Option<NodeId>,
}

/// Tasks of one group that wait, and what they have in common.
pub(crate) struct Waiters {
    pub(crate) shared: Shared,
    pub(crate) tasks: Vec<Waiter>,
}

/// What all tasks of a service and version have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) facts: Arc<ServiceFacts>,
}

/// All tasks that wait.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Without an answer yet that the events confirm.
    due: Crowd,
    /// Told why there is no node for them.
    answered: Crowd,
    /// Never had a node, and are to be shut down.
    pub(crate) stale: FastSet<TaskId>,
}

/// Tasks by group; those of a group lie together.
#[derive(Default)]
struct Crowd {
    groups: FastMap<GroupKey, Waiters>,
    /// Where each stands: its group, and its place there.
    places: FastMap<TaskId, (GroupKey, u32)>,
}

// === impl Waiting ===

impl Waiting {
    /// Follows a task: one without a node and without a reason is due until the
    /// events show that it got the one or the other.
    pub(crate) fn note(&mut self, task: &Task, exists: bool) {
        let unplaced = exists && task.status.state <= TaskState::Pending;
        let waits = unplaced && task.desired_state <= TaskState::Complete;
        self.due.remove(task.id);
        self.answered.remove(task.id);
        if waits {
            let crowd = match task.status.error.is_empty() {
                true => &mut self.due,
                false => &mut self.answered,
            };
            let waiter = Waiter { id: task.id, slot: task.slot, node: task.node_id };
            let shared = || Shared { spec: task.spec.clone(), facts: task.service.clone() };
            crowd.put((task.service_id, task.spec_version), waiter, shared);
        }
        match unplaced && task.desired_state == TaskState::Shutdown {
            true => self.stale.insert(task.id),
            false => self.stale.remove(&task.id),
        };
    }

    /// The groups that a pass tries: of the due ones, or of all.
    pub(crate) fn to_try(&self, all: bool) -> impl Iterator<Item = (GroupKey, &Waiters)> {
        let answered = all.then_some(&self.answered);
        let crowds = std::iter::once(&self.due).chain(answered);
        crowds.flat_map(|crowd| &crowd.groups).map(|(key, waiters)| (*key, waiters))
    }

    /// A decision about a task may get lost before it is committed: the task stays
    /// due until an event shows what became of it.
    pub(crate) fn await_confirmation(&mut self, id: TaskId) {
        self.answered.hand_over(id, &mut self.due);
    }

    /// The task was told the same before: nothing will be written.
    pub(crate) fn stays_answered(&mut self, id: TaskId) {
        self.due.hand_over(id, &mut self.answered);
    }
}

// === impl Crowd ===

impl Crowd {
    fn put(&mut self, key: GroupKey, waiter: Waiter, shared: impl FnOnce() -> Shared) {
        let empty = || Waiters { shared: shared(), tasks: Vec::new() };
        let group = &mut self.groups.entry(key).or_insert_with(empty).tasks;
        self.places.insert(waiter.id, (key, group.len() as u32));
        group.push(waiter);
    }

    /// Takes a task out, where it is; the last of its group takes its place.
    fn remove(&mut self, id: TaskId) -> Option<(GroupKey, Waiter)> {
        let (key, place) = self.places.remove(&id)?;
        let group = &mut self.groups.get_mut(&key)?.tasks;
        let waiter = group.swap_remove(place as usize);
        if let Some(moved) = group.get(place as usize) {
            self.places.insert(moved.id, (key, place));
        } else if group.is_empty() {
            self.groups.remove(&key);
        }
        Some((key, waiter))
    }

    /// Moves a task, where it is here, to another crowd.
    fn hand_over(&mut self, id: TaskId, to: &mut Self) {
        // Mostly nobody has been answered, and a pass asks of each task that it places.
        if self.places.is_empty() {
            return;
        }
        let group = self.places.get(&id).and_then(|(key, _)| self.groups.get(key));
        let Some(shared) = group.map(|group| group.shared.clone()) else {
            return;
        };
        if let Some((key, waiter)) = self.remove(id) {
            to.put(key, waiter, || shared);
        }
    }
}
