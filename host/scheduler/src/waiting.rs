//! The tasks that wait for a node, by what makes them a group, with what a pass must
//! know of each: reading it from a hundred thousand tasks would cost a pass more than
//! placing them.

use swarmw_model::{NodeId, ServiceId, Task, TaskId, TaskState, Version};

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
    groups: FastMap<GroupKey, Vec<Waiter>>,
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
            crowd.put((task.service_id, task.spec_version), waiter);
        }
        match unplaced && task.desired_state == TaskState::Shutdown {
            true => self.stale.insert(task.id),
            false => self.stale.remove(&task.id),
        };
    }

    /// The groups that a pass tries: of the due ones, or of all.
    pub(crate) fn to_try(&self, all: bool) -> impl Iterator<Item = (GroupKey, &[Waiter])> {
        let answered = all.then_some(&self.answered);
        let crowds = std::iter::once(&self.due).chain(answered);
        crowds.flat_map(|crowd| &crowd.groups).map(|(key, tasks)| (*key, &tasks[..]))
    }

    /// A decision about a task may get lost before it is committed: the task stays
    /// due until an event shows what became of it.
    pub(crate) fn await_confirmation(&mut self, id: TaskId) {
        if let Some((key, waiter)) = self.answered.remove(id) {
            self.due.put(key, waiter);
        }
    }

    /// The task was told the same before: nothing will be written.
    pub(crate) fn stays_answered(&mut self, id: TaskId) {
        if let Some((key, waiter)) = self.due.remove(id) {
            self.answered.put(key, waiter);
        }
    }
}

// === impl Crowd ===

impl Crowd {
    fn put(&mut self, key: GroupKey, waiter: Waiter) {
        let group = self.groups.entry(key).or_default();
        self.places.insert(waiter.id, (key, group.len() as u32));
        group.push(waiter);
    }

    /// Takes a task out, where it is; the last of its group takes its place.
    fn remove(&mut self, id: TaskId) -> Option<(GroupKey, Waiter)> {
        let (key, place) = self.places.remove(&id)?;
        let group = self.groups.get_mut(&key)?;
        let waiter = group.swap_remove(place as usize);
        if let Some(moved) = group.get(place as usize) {
            self.places.insert(moved.id, (key, place));
        } else if group.is_empty() {
            self.groups.remove(&key);
        }
        Some((key, waiter))
    }
}
