//! One service: the tasks it should have, beside those it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{
    Availability, NodeState, Service, ServiceId, Slot, Task, TaskId, TaskState, Time,
};
use swarmw_state::{Change, NewTask, State, TaskChange};

use crate::Fits;
use crate::nodes::{Ground, ground};
use crate::restart::{self, Verdict};

/// A replacement that waits for its predecessor's end waits no longer than this
/// beyond the restart delay.
const STOP_PATIENCE: swarmw_model::Duration = swarmw_model::Duration::from_secs(60);

/// Reconciles one service.
pub(crate) struct Reconcile<'a, 'b> {
    pub(crate) state: &'a State,
    pub(crate) now: Time,
    pub(crate) fits: &'b mut dyn Fits,
    pub(crate) ids: &'b mut dyn FnMut() -> TaskId,
    pub(crate) changes: &'b mut Vec<Change>,
    /// When this service must be looked at again.
    pub(crate) due: Option<Time>,
}

/// The tasks of a slot, oldest first.
type Slots = BTreeMap<Slot, Vec<Arc<Task>>>;

// === impl Reconcile ===

impl Reconcile<'_, '_> {
    /// Decides for one service.
    pub(crate) fn service(&mut self, id: ServiceId) {
        let Some(service) = self.state.service(id).cloned() else { return };
        let mut slots = Slots::new();
        for task in self.state.tasks_of_service(id) {
            if let Some(slot) = task.slot() {
                slots.entry(slot).or_default().push(task.clone());
            }
        }
        for tasks in slots.values_mut() {
            tasks.sort_by_key(|t| (t.created_at, t.id));
        }
        match service.spec.replicas() {
            Some(replicas) => self.replicated(&service, &slots, replicas),
            None => self.global(&service, &slots),
        }
    }

    fn replicated(&mut self, service: &Service, slots: &Slots, replicas: u64) {
        let mut live: Vec<_> = slots
            .iter()
            .filter(|(_, tasks)| counts(service, tasks))
            .map(|(slot, tasks)| (*slot, tasks))
            .collect();
        let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
        if live.len() > wanted {
            for (_, tasks) in victims(&live, live.len() - wanted) {
                self.remove(tasks);
            }
            let gone: Vec<_> =
                victims(&live, live.len() - wanted).into_iter().map(|(slot, _)| slot).collect();
            live.retain(|(slot, _)| !gone.contains(slot));
        }
        for (slot, tasks) in &live {
            self.keep(service, *slot, tasks);
        }
        let used: Vec<_> = live.iter().map(|(slot, _)| *slot).collect();
        let free = (1..).map(Slot::Replica).filter(|slot| !used.contains(slot));
        for slot in free.take(wanted.saturating_sub(live.len())) {
            self.create(service, slot, TaskState::Running);
        }
    }

    fn global(&mut self, service: &Service, slots: &Slots) {
        for node in self.state.nodes() {
            let slot = Slot::Node(node.id);
            let tasks = slots.get(&slot).map_or(&[][..], Vec::as_slice);
            let empties = node.status.state == NodeState::Down
                || node.spec.availability == Availability::Drain;
            let fits = !empties && self.fits.satisfies(self.state, &service.spec, node.id);
            if !fits {
                self.shut_down(tasks);
            } else if counts(service, tasks) {
                self.keep(service, slot, tasks);
            } else if node.spec.availability == Availability::Active {
                self.create(service, slot, TaskState::Running);
            }
        }
        for (slot, tasks) in slots {
            if let Slot::Node(node) = slot
                && self.state.node(*node).is_none()
            {
                self.changes.extend(tasks.iter().map(|t| Change::RemoveTask(t.id)));
            }
        }
    }

    /// Looks after one slot that should be filled.
    fn keep(&mut self, service: &Service, slot: Slot, tasks: &[Arc<Task>]) {
        let Some(newest) = tasks.iter().rev().find(|t| t.desired_state <= TaskState::Running)
        else {
            return;
        };
        let on = ground(self.state, newest);
        if newest.status.state.is_terminal() || on != Ground::Firm {
            self.replace(service, slot, tasks, newest, on);
        } else if newest.desired_state == TaskState::Ready {
            self.promote(service, tasks, newest);
        } else {
            self.enforce(service, newest);
        }
    }

    /// A task has ended, or its node is lost: another takes its place, if the
    /// restart policy allows it.
    fn replace(
        &mut self,
        service: &Service,
        slot: Slot,
        tasks: &[Arc<Task>],
        old: &Task,
        on: Ground,
    ) {
        match restart::verdict(service, tasks, old, self.now) {
            Verdict::Leave => {}
            Verdict::Replace => {
                self.changes.push(Change::Task(TaskChange::desire(old.id, TaskState::Shutdown)));
                if matches!(slot, Slot::Node(_)) && on != Ground::Firm {
                    return;
                }
                self.create(service, slot, TaskState::Ready);
            }
        }
    }

    /// A replacement may run once its delay is over and its predecessor is out of
    /// the way.
    fn promote(&mut self, service: &Service, tasks: &[Arc<Task>], new: &Task) {
        let before = tasks.iter().rev().find(|t| t.id != new.id && t.created_at <= new.created_at);
        let delay = match before {
            Some(old) if ground(self.state, old) == Ground::Drained => swarmw_model::Duration::ZERO,
            _ => restart::delay(service),
        };
        let from = new.created_at + delay;
        if self.now < from {
            self.wake(from);
            return;
        }
        let in_the_way = before.is_some_and(|old| {
            !old.status.state.is_terminal() && ground(self.state, old) != Ground::Lost
        });
        let at_last = from + STOP_PATIENCE;
        if in_the_way && self.now < at_last {
            self.wake(at_last);
            return;
        }
        self.changes.push(Change::Task(TaskChange::desire(new.id, TaskState::Running)));
    }

    /// A running task whose node no longer satisfies the constraints is rejected;
    /// the restart policy then decides.
    fn enforce(&mut self, service: &Service, task: &Task) {
        let Some(node) = task.node_id else { return };
        if task.status.state < TaskState::Assigned
            || self.fits.satisfies(self.state, &service.spec, node)
        {
            return;
        }
        let status = swarmw_model::TaskStatus {
            timestamp: self.now,
            state: TaskState::Rejected,
            message: "rejected by constraint enforcer".into(),
            error: "assigned node no longer meets constraints".into(),
            ..task.status.clone()
        };
        self.changes
            .push(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(task.id) }));
    }

    fn create(&mut self, service: &Service, slot: Slot, desired: TaskState) {
        self.changes.push(Change::CreateTask(NewTask {
            id: (self.ids)(),
            service: service.id,
            spec_version: service.spec_version,
            slot,
            node: None,
            desired,
            error: Arc::from(""),
        }));
        if desired == TaskState::Ready {
            self.wake(self.now + restart::delay(service));
        }
    }

    fn shut_down(&mut self, tasks: &[Arc<Task>]) {
        self.desire(tasks, TaskState::Shutdown);
    }

    fn remove(&mut self, tasks: &[Arc<Task>]) {
        self.desire(tasks, TaskState::Remove);
    }

    fn desire(&mut self, tasks: &[Arc<Task>], desired: TaskState) {
        let late = tasks.iter().filter(|t| t.desired_state < desired);
        self.changes.extend(late.map(|t| Change::Task(TaskChange::desire(t.id, desired))));
    }

    fn wake(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// Whether a slot is filled: a task should run, or has ended and must not be
/// replaced.
fn counts(_service: &Service, tasks: &[Arc<Task>]) -> bool {
    tasks.iter().any(|t| t.desired_state <= TaskState::Running)
}

/// The slots to give up when there are too many: those on the nodes with most of
/// them first, those that do not run before those that do, higher numbers first.
fn victims<'a>(
    live: &[(Slot, &'a Vec<Arc<Task>>)],
    count: usize,
) -> Vec<(Slot, &'a Vec<Arc<Task>>)> {
    let runs = |tasks: &[Arc<Task>]| tasks.iter().any(|t| t.status.state == TaskState::Running);
    let mut sorted: Vec<_> = live.to_vec();
    sorted.sort_by_key(|(slot, tasks)| (!runs(tasks), *slot));
    let mut copies = BTreeMap::new();
    let mut ranked: Vec<_> = sorted
        .into_iter()
        .enumerate()
        .map(|(place, (slot, tasks))| {
            let current: Vec<_> =
                tasks.iter().filter(|t| t.desired_state <= TaskState::Running).collect();
            let copy = match current.as_slice() {
                [only] if only.node_id.is_some() => {
                    let copy = copies.entry(only.node_id).or_insert(0usize);
                    *copy += 1;
                    *copy
                }
                _ => usize::MAX,
            };
            (copy, place, slot, tasks)
        })
        .collect();
    ranked.sort_by_key(|(copy, place, _, _)| (*copy, *place));
    let keep = ranked.len() - count;
    ranked.split_off(keep).into_iter().map(|(_, _, slot, tasks)| (slot, tasks)).collect()
}
