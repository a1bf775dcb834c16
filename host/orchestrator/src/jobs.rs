//! Jobs: services whose tasks are to end well, so many in all or one on each node.
//!
//! ```text
//! tasks of this time ──► slots ──► done, at work, open, given up ──► keep, create
//! tasks of earlier times ─────► what still runs goes, what has ended is history
//! ```
//!
//! Each write of a job's spec has it done once more: [`JobStatus`] counts the times, and
//! every task carries the one it belongs to. A slot is done once a task of it has
//! ended with exit code 0 in the present time. Whether one that ended otherwise is
//! replaced, the restart policy says, as with other services; so does a task whose node
//! is lost or drained get another one elsewhere. A task may therefore be carried out more
//! than once, where its node was only out of reach.
//!
//! [`JobStatus`]: swarmw_model::JobStatus

use std::collections::BTreeSet;

use swarmw_model::{
    Availability, NodeState, ReplicatedJob, Service, Slot, Task, TaskState, Version,
};
use swarmw_state::Change;

use crate::nodes::{Ground, ground};
use crate::reconcile::{Reconcile, STOP_PATIENCE, aim, is_active};
use crate::restart::{self, Verdict};
use crate::slots::{SlotTasks, Slots, slots_of_job};

/// How far a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// A task of it has ended well.
    Done,
    /// A task of it is to do it.
    AtWork,
    /// Nobody is at it: what was is gone.
    Open,
    /// It was not done, and the restart policy wants no other try.
    GivenUp,
}

// === impl Reconcile ===

impl Reconcile<'_, '_> {
    /// Decides for a job of so many completions, so many at a time.
    pub(crate) fn replicated_job(&mut self, service: &Service, mode: &ReplicatedJob) {
        let stopping = self.earlier(service, |slot| match slot {
            Slot::Replica(number) => number <= mode.completions(),
            Slot::Node(_) => false,
        });
        let slots = slots_of_job(self.state, service);
        let mut taken = BTreeSet::new();
        let mut at_work = stopping.len() as u64;
        for (slot, tasks) in &slots {
            match progress(service, tasks) {
                Progress::Open => continue,
                Progress::Done => self.let_go(tasks),
                Progress::GivenUp => {}
                Progress::AtWork => {
                    at_work += 1;
                    self.keep(service, *slot, tasks);
                }
            }
            taken.insert(*slot);
        }
        let left = mode.completions().saturating_sub(taken.len() as u64);
        let room = mode.at_a_time().saturating_sub(at_work);
        let count = usize::try_from(left.min(room)).unwrap_or(usize::MAX);
        let free = (1..).map(Slot::Replica).filter(|slot| !taken.contains(slot));
        for slot in free.take(count) {
            self.begin(service, slot, slots.get(&slot));
        }
    }

    /// Decides for a job of one completion on each node. A node that comes later, or is
    /// active again, gets its task then.
    pub(crate) fn global_job(&mut self, service: &Service) {
        let state = self.state;
        let is_there = |slot: Slot| matches!(slot, Slot::Node(node) if state.node(node).is_some());
        let stopping = self.earlier(service, is_there);
        let slots = slots_of_job(state, service);
        for node in state.nodes() {
            let slot = Slot::Node(node.id);
            let empties = node.status.state == NodeState::Down
                || node.spec.availability == Availability::Drain;
            let fits = !empties && self.fits.satisfies(state, &service.spec, node.id);
            let Some(tasks) = slots.get(&slot) else {
                if fits && is_active(node) && !stopping.contains(&slot) {
                    self.begin(service, slot, None);
                }
                continue;
            };
            match progress(service, tasks) {
                Progress::Done => self.let_go(tasks),
                Progress::GivenUp => {}
                Progress::AtWork if fits => self.keep(service, slot, tasks),
                Progress::AtWork => self.let_go(tasks),
                Progress::Open if fits && is_active(node) => {
                    self.begin(service, slot, Some(tasks));
                }
                Progress::Open => {}
            }
        }
        self.forget(&slots, is_there);
    }

    /// Somebody is to do what a slot is for; a task of it may still be stopping.
    fn begin(&mut self, service: &Service, slot: Slot, tasks: Option<&SlotTasks>) {
        let waits = tasks.is_some_and(|tasks| tasks.all().any(|task| self.is_in_the_way(task)));
        let desired = if waits { TaskState::Ready } else { aim(service) };
        self.create(service, slot, desired);
    }

    /// Nobody is to go on with a slot: it is done, or its node does not take it.
    fn let_go(&mut self, tasks: &SlotTasks) {
        let goes_on = tasks.live().filter(|task| task.status.state != TaskState::Complete);
        let goes_on: Vec<_> = goes_on.cloned().collect();
        self.desire(goes_on.iter(), TaskState::Shutdown);
    }

    /// Of earlier times, what has not ended goes, and the history of slots that are no
    /// more. The slots of tasks that are still stopping, one each, as long as they are
    /// waited for: they count among those that run at a time.
    fn earlier(&mut self, service: &Service, stays: impl Fn(Slot) -> bool) -> Vec<Slot> {
        let mut stopping = Vec::new();
        let mut gone = Vec::new();
        let mut failed = Vec::new();
        for task in self.state.tasks_of_service(service.id) {
            let Some(slot) = task.slot().filter(|_| task.job_iteration != iteration(service))
            else {
                continue;
            };
            let ended = task.status.state.is_terminal();
            if !ended || !stays(slot) {
                gone.push(task.clone());
            } else if task.status.state != TaskState::Complete {
                failed.push(task.clone());
            }
            let is_up = !ended && task.status.state >= TaskState::Assigned;
            if is_up && ground(self.state, task) != Ground::Lost {
                stopping.push(slot);
            }
        }
        self.desire(gone.iter(), TaskState::Remove);
        self.desire(failed.iter(), TaskState::Shutdown);
        let begun = service.job_status.map_or(service.updated_at, |status| status.last_execution);
        let at_last = begun + STOP_PATIENCE;
        if stopping.is_empty() || self.now >= at_last {
            return Vec::new();
        }
        self.wake(at_last);
        stopping
    }

    /// Forgets the tasks of slots whose nodes are no more.
    fn forget(&mut self, slots: &Slots, is_there: impl Fn(Slot) -> bool) {
        let gone = slots.iter().filter(|(slot, _)| !is_there(**slot));
        let gone = gone.flat_map(|(_, tasks)| tasks.all());
        self.changes.extend(gone.map(|task| Change::RemoveTask(task.id)));
    }
}

fn iteration(job: &Service) -> Option<Version> {
    job.job_status.map(|status| status.job_iteration)
}

fn progress(service: &Service, tasks: &SlotTasks) -> Progress {
    let ended_well = |task: &Task| task.status.state == TaskState::Complete;
    if tasks.all().any(|task| ended_well(task)) {
        return Progress::Done;
    }
    if tasks.live().next().is_some() {
        return Progress::AtWork;
    }
    let newest = tasks.newest();
    // One that was told to stop, or lost with its node, was no attempt.
    let failed = matches!(newest.status.state, TaskState::Failed | TaskState::Rejected);
    let no_other = failed
        && newest.desired_state < TaskState::Remove
        && restart::verdict(service, tasks.all(), newest) == Verdict::Leave;
    if no_other { Progress::GivenUp } else { Progress::Open }
}
