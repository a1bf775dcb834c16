//! One service: the tasks it should have, beside those it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{
    Availability, Duration, NodeState, Service, ServiceId, ServiceMode, Slot, Task, TaskId,
    TaskState, TaskStatus, Time, UpdateState,
};
use swarmw_state::{Change, NewTask, State, TaskChange};

use crate::nodes::{Ground, ground};
use crate::reap;
use crate::restart::{self, Verdict};
use crate::slots::{SlotTasks, Slots, is_live, slots_of};
use crate::update::{Memory, Update};
use crate::{Fits, Order, UpdatePolicies};

/// A replacement that waits for its predecessor's end waits no longer than this
/// beyond its delay.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Reconciles one service.
pub(crate) struct Reconcile<'a, 'b> {
    pub(crate) state: &'a State,
    pub(crate) now: Time,
    pub(crate) fits: &'b mut dyn Fits,
    pub(crate) policies: &'b mut dyn UpdatePolicies,
    pub(crate) ids: &'b mut dyn FnMut() -> TaskId,
    pub(crate) changes: &'b mut Vec<Change>,
    /// What the leader remembers of the service's rollout.
    pub(crate) memory: &'b mut Memory,
    /// When this service must be looked at again.
    pub(crate) due: Option<Time>,
}

/// What a service's mode makes of its slots.
#[derive(Default)]
struct Plan {
    /// Slots that stay filled.
    keep: Vec<Slot>,
    /// Of those, the ones that an update may touch.
    updatable: BTreeSet<Slot>,
    /// Slots to fill.
    create: BTreeSet<Slot>,
}

// === impl Reconcile ===

impl Reconcile<'_, '_> {
    /// Decides for one service.
    pub(crate) fn service(&mut self, id: ServiceId) {
        let Some(service) = self.state.service(id).cloned() else { return };
        match &service.spec.mode {
            ServiceMode::Replicated(_) | ServiceMode::Global(_) => self.goes_on(&service),
            ServiceMode::ReplicatedJob(mode) => self.replicated_job(&service, mode),
            ServiceMode::GlobalJob(_) => self.global_job(&service),
        }
    }

    /// A service whose tasks are to run on and on.
    fn goes_on(&mut self, service: &Service) {
        let slots = slots_of(self.state, service, self.fits);
        for task in slots.values().flat_map(SlotTasks::adoptable) {
            let adopt = Some(service.spec_version);
            self.changes.push(Change::Task(TaskChange { adopt, ..TaskChange::of(task.id) }));
        }
        let plan = match service.spec.replicas() {
            Some(replicas) => self.replicated(service, &slots, replicas),
            None => self.global(service, &slots),
        };
        let rolling_back =
            service.update_status.as_ref().is_some_and(|s| s.state == UpdateState::RollbackStarted);
        let decided = Update {
            service,
            slots: &slots,
            updatable: &plan.updatable,
            state: self.state,
            now: self.now,
            policies: self.policies,
            memory: self.memory,
            changes: self.changes,
            due: &mut self.due,
            rolling_back,
            turns_back: false,
        }
        .decide();
        let Some(ordered) = decided else { return };
        for (slot, order) in &ordered {
            self.replace_old(service, *slot, &slots[slot], *order);
        }
        for slot in plan.keep.iter().filter(|slot| !ordered.contains_key(slot)) {
            self.keep(service, *slot, &slots[slot]);
        }
        for slot in plan.create {
            // Scaled down and up again, or an order got lost half-way: the old task
            // may still be stopping.
            let stopping = |t: &Arc<Task>| self.is_in_the_way(t);
            let waits = slots.get(&slot).is_some_and(|tasks| tasks.all().any(stopping));
            let desired = if waits { TaskState::Ready } else { TaskState::Running };
            self.create(service, slot, desired);
        }
    }

    fn replicated(&mut self, service: &Service, slots: &Slots, replicas: u64) -> Plan {
        let mut filled: Vec<_> =
            slots.iter().filter(|(_, tasks)| is_filled(service, tasks)).collect();
        let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
        if filled.len() > wanted {
            let gone = victims(&filled, filled.len() - wanted);
            filled.retain(|(slot, _)| !gone.contains(slot));
        }
        let keep: Vec<_> = filled.iter().map(|(slot, _)| **slot).collect();
        let updatable: BTreeSet<_> = keep.iter().copied().collect();
        let free = (1..).map(Slot::Replica).filter(|slot| !updatable.contains(slot));
        let create: BTreeSet<_> = free.take(wanted.saturating_sub(keep.len())).collect();
        // Nobody will want to see the history of slots that are no more.
        for (slot, tasks) in slots {
            if !updatable.contains(slot) && !create.contains(slot) {
                self.desire(tasks.all(), TaskState::Remove);
            }
        }
        Plan { keep, updatable, create }
    }

    fn global(&mut self, service: &Service, slots: &Slots) -> Plan {
        let mut plan = Plan::default();
        for node in self.state.nodes() {
            let slot = Slot::Node(node.id);
            let active = node.spec.availability == Availability::Active;
            let empties = node.status.state == NodeState::Down
                || node.spec.availability == Availability::Drain;
            let fits = !empties && self.fits.satisfies(self.state, &service.spec, node.id);
            match slots.get(&slot) {
                Some(tasks) if !fits => self.desire(tasks.all(), TaskState::Shutdown),
                Some(tasks) if is_filled(service, tasks) => {
                    plan.keep.push(slot);
                    if active {
                        plan.updatable.insert(slot);
                    }
                }
                _ if fits && active => drop(plan.create.insert(slot)),
                _ => {}
            }
        }
        for (slot, tasks) in slots {
            if let Slot::Node(node) = slot
                && self.state.node(*node).is_none()
            {
                self.changes.extend(tasks.all().map(|t| Change::RemoveTask(t.id)));
            }
        }
        plan
    }

    /// Looks after one slot that should be filled.
    pub(crate) fn keep(&mut self, service: &Service, slot: Slot, tasks: &SlotTasks) {
        let Some(task) = tasks.chosen() else { return };
        let on = ground(self.state, task);
        if task.status.state.is_terminal() || on != Ground::Firm {
            self.replace(service, slot, tasks, task, on);
        } else if task.desired_state == TaskState::Ready {
            self.promote(service, tasks, task);
        } else {
            self.enforce(service, task);
        }
        self.retire(tasks, task);
    }

    /// Of two live tasks of a slot the other one goes once this one runs, and at
    /// once when it is of no use any more.
    fn retire(&mut self, tasks: &SlotTasks, task: &Task) {
        let runs = task.status.state == TaskState::Running;
        let useless =
            |t: &Task| t.status.state.is_terminal() || ground(self.state, t) != Ground::Firm;
        let others = tasks.live().filter(|t| t.id != task.id && (runs || useless(t)));
        let others: Vec<_> = others.cloned().collect();
        self.desire(others.iter(), TaskState::Shutdown);
    }

    /// A task has ended, or its node is lost: another takes its place, if the
    /// restart policy allows it.
    fn replace(
        &mut self,
        service: &Service,
        slot: Slot,
        tasks: &SlotTasks,
        old: &Task,
        on: Ground,
    ) {
        let verdict = restart::verdict(service, tasks.all(), old);
        if verdict == Verdict::Replace && old.desired_state == TaskState::Ready {
            // It ended within its own delay, as where its image cannot be had: the
            // delay is waited for, so that nothing spins.
            let from = old.created_at + restart::delay(service);
            if self.now < from && on == Ground::Firm {
                self.wake(from);
                return;
            }
        }
        self.changes.push(Change::Task(TaskChange::desire(old.id, TaskState::Shutdown)));
        if verdict == Verdict::Replace && self.takes_tasks(slot, on) {
            self.create(service, slot, TaskState::Ready);
        }
    }

    /// Whether a slot may be filled again: that of a global service is bound to
    /// its node.
    fn takes_tasks(&self, slot: Slot, on: Ground) -> bool {
        match slot {
            Slot::Replica(_) => true,
            Slot::Node(id) => {
                let active = |n: &Arc<_>| is_active(n);
                on == Ground::Firm && self.state.node(id).is_some_and(active)
            }
        }
    }

    /// A task of an older spec gives way to one of the present spec.
    fn replace_old(&mut self, service: &Service, slot: Slot, tasks: &SlotTasks, order: Order) {
        match order {
            Order::StopFirst => {
                self.desire(tasks.all(), TaskState::Shutdown);
                self.create(service, slot, TaskState::Ready);
            }
            Order::StartFirst => self.create(service, slot, TaskState::Running),
        }
    }

    /// A replacement may run once its delay is over and its predecessor is out of
    /// the way.
    fn promote(&mut self, service: &Service, tasks: &SlotTasks, new: &Task) {
        let before = tasks.all().rev().find(|t| t.id != new.id && t.created_at <= new.created_at);
        if before.is_some_and(|old| is_live(old)) {
            // It was told to stop, but the word was lost.
            let others = tasks.live().filter(|t| t.id != new.id);
            self.desire(others.cloned().collect::<Vec<_>>().iter(), TaskState::Shutdown);
            return;
        }
        let on = before.map_or(Ground::Firm, |old| ground(self.state, old));
        let delay = match before {
            Some(_) if on == Ground::Drained => Duration::ZERO,
            // An update knows its own delay.
            Some(old) if old.spec_version != new.spec_version => Duration::ZERO,
            // It did not end by itself.
            Some(old) if on == Ground::Firm && was_told(old) => Duration::ZERO,
            // Its slot had been given up; one that ended by itself were in the history.
            None if reap::keeps_predecessor(self.state, service) => Duration::ZERO,
            _ => restart::delay(service),
        };
        let from = new.created_at + delay;
        if self.now < from {
            self.wake(from);
            return;
        }
        let in_the_way = tasks.all().any(|old| self.is_in_the_way(old));
        let at_last = from + STOP_PATIENCE;
        if in_the_way && self.now < at_last {
            self.wake(at_last);
            return;
        }
        self.changes.push(Change::Task(TaskChange::desire(new.id, aim(service))));
    }

    /// Whether a task was told to stop and its node may still be running it.
    pub(crate) fn is_in_the_way(&self, task: &Task) -> bool {
        let is_up = (TaskState::Assigned..=TaskState::Running).contains(&task.status.state);
        is_up && !is_live(task) && ground(self.state, task) != Ground::Lost
    }

    /// A running task whose node no longer satisfies the constraints, or no longer has
    /// what it gave the task, is rejected; the restart policy then decides.
    fn enforce(&mut self, service: &Service, task: &Task) {
        let Some(node) = task.node_id else { return };
        // Constraints of a newer spec are the update's business.
        let Some(at) = self.state.node(node).filter(|at| is_active(at)) else { return };
        if task.status.state < TaskState::Assigned
            || task.spec_version != service.spec_version
            || (has_what_it_gave(at, task) && self.fits.satisfies(self.state, &service.spec, node))
        {
            return;
        }
        let status = TaskStatus {
            timestamp: self.now,
            state: TaskState::Rejected,
            message: "rejected by constraint enforcer".into(),
            error: "assigned node no longer meets constraints".into(),
            ..task.status.clone()
        };
        self.changes
            .push(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(task.id) }));
    }

    pub(crate) fn create(&mut self, service: &Service, slot: Slot, desired: TaskState) {
        self.changes.push(Change::CreateTask(NewTask {
            id: (self.ids)(),
            service: service.id,
            spec_version: service.spec_version,
            slot,
            node: None,
            desired,
            error: Arc::from(""),
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        }));
    }

    pub(crate) fn desire<'t>(
        &mut self,
        tasks: impl Iterator<Item = &'t Arc<Task>>,
        desired: TaskState,
    ) {
        let late = tasks.filter(|t| t.desired_state < desired);
        self.changes.extend(late.map(|t| Change::Task(TaskChange::desire(t.id, desired))));
    }

    pub(crate) fn wake(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// Where a service's tasks are to be brought once they may start.
pub(crate) fn aim(service: &Service) -> TaskState {
    match service.spec.mode.is_job() {
        true => TaskState::Complete,
        false => TaskState::Running,
    }
}

/// Whether a task that should not run stops, or has stopped, because it was told.
fn was_told(task: &Task) -> bool {
    !task.status.state.is_terminal() || task.status.state == TaskState::Shutdown
}

pub(crate) fn is_active(node: &swarmw_model::Node) -> bool {
    node.spec.availability == Availability::Active
}

/// Whether a node still has the generic resources that it gave a task; one whose engine is
/// away says nothing of them.
fn has_what_it_gave(node: &swarmw_model::Node, task: &Task) -> bool {
    let description = &node.description;
    !description.trouble.is_empty() || description.resources.include(&task.generic_resources)
}

/// Whether a slot is filled: a task should run, or the last one has ended and the
/// restart policy wants no other.
fn is_filled(service: &Service, tasks: &SlotTasks) -> bool {
    let newest = tasks.newest();
    tasks.live().next().is_some()
        || (newest.desired_state < TaskState::Remove
            && restart::verdict(service, tasks.all(), newest) == Verdict::Leave)
}

/// The slots to give up when there are too many: those on the nodes with most of
/// them first, those that do not run before those that do, higher numbers first.
fn victims(filled: &[(&Slot, &SlotTasks)], count: usize) -> BTreeSet<Slot> {
    let runs = |tasks: &SlotTasks| tasks.live().any(|t| t.status.state == TaskState::Running);
    let mut sorted = filled.to_vec();
    sorted.sort_by_key(|(slot, tasks)| (!runs(tasks), **slot));
    let mut copies = BTreeMap::new();
    let mut ranked: Vec<_> = sorted
        .into_iter()
        .enumerate()
        .map(|(place, (slot, tasks))| {
            let current: Vec<_> = tasks.all().filter(|t| is_live(t)).collect();
            let copy = match current.as_slice() {
                [only] if only.node_id.is_some() => {
                    let copy = copies.entry(only.node_id).or_insert(0usize);
                    *copy += 1;
                    *copy
                }
                _ => usize::MAX,
            };
            (copy, place, *slot)
        })
        .collect();
    ranked.sort_unstable();
    ranked.split_off(filled.len() - count).into_iter().map(|(_, _, slot)| slot).collect()
}
