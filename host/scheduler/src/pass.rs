//! One pass: from what waits to changes.

use std::sync::Arc;

use swarmw_model::{GenericResource, NodeId, ServiceId, TaskSpec, TaskState, TaskStatus, Time};
use swarmw_state::{Change, State, TaskChange};

use crate::batch::{Batch, Policy};
use crate::explain::no_suitable_node;
use crate::group::{Group, Groups, Item};
use crate::need::Need;
use crate::{Policies, PolicyFailure, Scheduler};

/// What a pass did, beside the changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pass {
    /// Tasks that got a node.
    pub placed: usize,
    /// Tasks that were tried and wait.
    pub waiting: usize,
    /// Failures of plugins, for the log; each failure once.
    pub events: Vec<PolicyEvent>,
}

/// A placement plugin failed, and what that meant.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyEvent {
    /// A service that was hit; others may have been by the same failure.
    pub service: ServiceId,
    /// The failure.
    pub failure: PolicyFailure,
    /// What became of the service's tasks.
    pub consequence: Consequence,
}

/// What the failure of a plugin means for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// A constraint fails closed, and any policy may be there soon: the tasks wait, and
    /// are tried again in the next pass.
    Waits,
    /// A preference falls back: the tasks are balanced over all nodes that fit.
    NativeBalance,
}

/// What tasks need besides a node, and others give: whoever gets none takes no node's room
/// from those that need none.
pub trait Supply {
    /// Whether there is enough for so many tasks of a service that run this.
    ///
    /// # Errors
    /// For how many there is, and what the others are told.
    fn enough(
        &mut self,
        service: ServiceId,
        spec: &TaskSpec,
        wanted: usize,
    ) -> Result<(), (usize, Arc<str>)>;
}

/// Enough for all.
struct Plenty;

impl Supply for Plenty {
    fn enough(&mut self, _: ServiceId, _: &TaskSpec, _: usize) -> Result<(), (usize, Arc<str>)> {
        Ok(())
    }
}

/// Where the tasks of a pass stand.
struct Work<'a> {
    state: &'a State,
    decisions: &'a mut Vec<Change>,
    now: Time,
    pass: Pass,
}

// === impl Scheduler ===

impl Scheduler {
    /// Gives nodes to the tasks that wait: fills in those that `decisions` are about
    /// to make, and appends changes for those already in `state`. A task that fits
    /// nowhere is told why, once.
    ///
    /// `state` is what the observed events lead to. Tasks that were answered before
    /// are tried again only when something changed that could help.
    pub fn schedule(
        &mut self,
        state: &State,
        decisions: &mut Vec<Change>,
        now: Time,
        policies: &mut dyn Policies,
    ) -> Pass {
        self.schedule_with(state, decisions, now, policies, &mut Plenty)
    }

    /// The same, for no more tasks than there is a `supply` for.
    pub fn schedule_with(
        &mut self,
        state: &State,
        decisions: &mut Vec<Change>,
        now: Time,
        policies: &mut dyn Policies,
        supply: &mut dyn Supply,
    ) -> Pass {
        if self.table.forget_stale_columns() {
            self.verdicts.forget();
        }
        self.begin_pass(policies);
        let all = std::mem::take(&mut self.retry);
        let mut groups = self.collect(state, decisions, all);
        self.shut_down_stale(state, decisions, now);
        let mut work = Work { state, decisions, now, pass: Pass::default() };
        if !groups.is_empty() {
            self.hold_back(&mut groups, &mut work, supply);
            self.table.order();
            self.usage.begin_pass();
            self.foresee(&work);
            self.place(groups, &mut work, policies);
            self.usage.end_pass();
            self.verdicts.end_pass();
        }
        let mut told: Vec<PolicyFailure> = Vec::new();
        work.pass.events.retain(|event| {
            let news = !told.contains(&event.failure);
            if news {
                told.push(event.failure.clone());
            }
            news
        });
        work.pass
    }

    fn collect(&mut self, state: &State, decisions: &[Change], all: bool) -> Vec<Group> {
        let mut groups = Groups::default();
        groups.add_new(decisions, state);
        for (key, waiters) in self.waiting.to_try(all) {
            groups.add_waiting(key, waiters, state);
        }
        groups.sorted()
    }

    /// Leaves out the tasks that would have a node and lack something else. Of replicas,
    /// which are all alike, these are the last; of a global service whoever has no node
    /// needs nothing else.
    fn hold_back(&mut self, groups: &mut [Group], work: &mut Work<'_>, supply: &mut dyn Supply) {
        for group in groups.iter_mut().filter(|group| !group.spec.networks.is_empty()) {
            let wanted = group.items.len() + group.preassigned.len();
            let Err((enough, why)) = supply.enough(group.service, &group.spec, wanted) else {
                continue;
            };
            for item in group.items.drain(enough.min(group.items.len())..) {
                self.leave(&item, &why, work);
            }
            group.enough = Some((enough, why));
        }
    }

    /// Tasks of an older spec that never had a node end here, as there is no agent
    /// to end them.
    fn shut_down_stale(&mut self, state: &State, decisions: &mut Vec<Change>, now: Time) {
        let mut stale: Vec<_> =
            self.waiting.stale.iter().filter_map(|id| state.task(*id)).collect();
        stale.sort_unstable_by_key(|task| task.id);
        for task in stale {
            let newer =
                state.service(task.service_id).is_some_and(|s| s.spec_version > task.spec_version);
            if newer {
                decisions.push(Change::Task(TaskChange {
                    status: Some(TaskStatus {
                        timestamp: now,
                        state: TaskState::Shutdown,
                        error: Arc::default(),
                        ..task.status.clone()
                    }),
                    ..TaskChange::of(task.id)
                }));
            }
        }
    }

    /// Takes the tick's other decisions into the overlay: tasks that it stops no
    /// longer count in the balance.
    fn foresee(&mut self, work: &Work<'_>) {
        for change in work.decisions.iter() {
            let Change::Task(change) = change else {
                continue;
            };
            if change.desired.is_none_or(|desired| desired <= TaskState::Complete) {
                continue;
            }
            let Some(task) = work.state.task(change.id) else {
                continue;
            };
            if let Some(row) = task.node_id.and_then(|node| self.table.row(node)) {
                self.usage.dismiss(row, task);
            }
        }
    }

    fn place(&mut self, mut groups: Vec<Group>, work: &mut Work<'_>, policies: &mut dyn Policies) {
        let mut batch = Batch::default();
        for group in groups.iter_mut().filter(|g| !g.preassigned.is_empty()) {
            if batch.is_closed_to(group) {
                batch = Batch::default();
            }
            self.confirm(group, &mut batch, work, policies);
        }
        let waiting = groups.iter().flat_map(|g| &g.items).filter(|item| item.waiting().is_some());
        work.decisions.reserve(waiting.count());
        let mut batch = Batch::default();
        for at in 0..groups.len() {
            if groups[at].items.is_empty() {
                continue;
            }
            if batch.is_closed_to(&groups[at]) {
                let full = std::mem::take(&mut batch);
                self.finish(full, &groups, work, policies);
            }
            match self.class_of(&mut groups[at], &mut batch, work, policies) {
                Ok(class) => batch.add(at, &groups[at], class, self, work.now),
                Err(failure) => self.fail(&groups[at], &failure, work),
            }
        }
        self.finish(batch, &groups, work, policies);
        drop(groups);
    }

    /// Compiles a group's policies and finds its class. Constraints fail closed,
    /// preferences fall back to native balance; for what is there soon both wait.
    fn class_of(
        &mut self,
        group: &mut Group,
        batch: &mut Batch,
        work: &mut Work<'_>,
        policies: &mut dyn Policies,
    ) -> Result<usize, PolicyFailure> {
        let service = &group.owner;
        let preferences = service.spec.preferences();
        let expressions = group.spec.constraints();
        let mut policy = Policy { constraints: Vec::new(), preferences: Vec::new() };
        if !expressions.is_empty() || !preferences.is_empty() {
            let options = Arc::new(service.spec.policy_options());
            for expression in expressions {
                let constraint = self.verdicts.constraint(expression, &options, policies)?;
                self.verdicts.refresh(&constraint, &mut self.table, policies)?;
                policies.needed(&constraint.plugin, self.table.len());
                policy.constraints.push(constraint);
            }
            for preference in &preferences {
                match self.verdicts.preference(preference, &options, policies) {
                    Ok(compiled) => {
                        policies.needed(&compiled.plugin, self.table.len());
                        policy.preferences.push(compiled);
                    }
                    Err(failure) if failure.is_soon() => return Err(failure),
                    Err(failure) => {
                        work.pass.balance(group.service, failure);
                        policy.preferences.clear();
                        break;
                    }
                }
            }
        }
        let need = Need::of(&group.spec, group.ports.iter().copied(), work.state);
        let class = match batch.class(need.clone(), &policy, self, policies) {
            Ok(class) => class,
            Err(failure) if failure.is_soon() => return Err(failure),
            Err(failure) => {
                work.pass.balance(group.service, failure);
                policy.preferences.clear();
                batch.class(need, &policy, self, policies)?
            }
        };
        group.policy = Some(policy);
        Ok(class)
    }

    /// Checks tasks of a global service against the node that each is for.
    fn confirm(
        &mut self,
        group: &mut Group,
        batch: &mut Batch,
        work: &mut Work<'_>,
        policies: &mut dyn Policies,
    ) {
        let class = match self.class_of(group, batch, work, policies) {
            Ok(class) => class,
            Err(failure) => {
                work.pass.wait(group.service, failure.clone());
                self.retry = true;
                let why: Arc<str> = failure.to_string().into();
                for (_, item) in &group.preassigned {
                    self.leave(item, &why, work);
                }
                return;
            }
        };
        let filters = &batch.classes[class].filters;
        let mut counts = self.usage.of_service(group.service).cloned().unwrap_or_default();
        let mut placed = Vec::new();
        let (enough, none) = match &group.enough {
            Some((enough, why)) => (*enough, why.clone()),
            None => (usize::MAX, Arc::default()),
        };
        for (node, item) in &group.preassigned {
            let row = self.table.row(*node);
            let miss = match row {
                None => Some("1 node not available for new tasks".to_owned()),
                Some(row) => {
                    let count = counts.get(&row).copied().unwrap_or(0);
                    filters
                        .first_miss(row, count, &self.table, &self.usage, &self.verdicts)
                        .map(|miss| filters.explain(miss, 1))
                }
            };
            match (row, miss) {
                (Some(_), None) if placed.len() >= enough => self.leave(item, &none, work),
                (Some(row), None) => {
                    self.usage.place(row, &filters.need);
                    placed.push(row);
                    *counts.entry(row).or_default() += 1;
                    let given = self.usage.give(row, &filters.need);
                    self.assign(item, *node, given, work);
                }
                (_, miss) => self.leave(item, &miss.unwrap_or_default().into(), work),
            }
        }
        work.pass.placed += placed.len();
        self.usage.placed(group.service, &filters.need, placed);
    }

    /// Places a batch and writes its changes.
    fn finish(
        &mut self,
        mut batch: Batch,
        groups: &[Group],
        work: &mut Work<'_>,
        policies: &mut dyn Policies,
    ) {
        batch.place(groups, work.state, self, policies, &mut work.pass.events);
        let runs = std::mem::take(&mut batch.runs);
        // Explanations tell of the end of the pass, so counts come first.
        let mut left = Vec::new();
        for mut run in runs {
            let group = &groups[run.group];
            for (item, row) in group.items.iter().zip(&run.placed) {
                if let Some(node) = self.table.id(*row) {
                    let given = self.usage.give(*row, &batch.classes[run.class].filters.need);
                    self.assign(item, node, given, work);
                }
            }
            let placed = run.placed.len();
            work.pass.placed += placed;
            if placed < group.items.len() {
                run.settle();
            }
            let need = &batch.classes[run.class].filters.need;
            self.usage.placed(group.service, need, std::mem::take(&mut run.placed));
            if placed < group.items.len() {
                left.push((run, placed));
            }
        }
        for (run, placed) in left {
            let group = &groups[run.group];
            let class = &mut batch.classes[run.class];
            let shared = class.filters.need.max_replicas == 0 && run.refusals.is_empty();
            let why: Arc<str> = match class.explained.clone().filter(|_| shared) {
                Some(known) => known,
                None => {
                    let count = |row| run.counts.get(&row).copied().unwrap_or(0);
                    class
                        .filters
                        .explain_all(count, &run.refusals, &self.table, &self.usage, &self.verdicts)
                        .into()
                }
            };
            if shared {
                class.explained = Some(why.clone());
            }
            for item in &group.items[placed..] {
                self.leave(item, &why, work);
            }
        }
    }

    /// A policy failed for now: the group's tasks wait for the next pass.
    fn fail(&mut self, group: &Group, failure: &PolicyFailure, work: &mut Work<'_>) {
        work.pass.wait(group.service, failure.clone());
        self.retry = true;
        let why: Arc<str> = no_suitable_node(&failure.to_string()).into();
        for item in &group.items {
            self.leave(item, &why, work);
        }
    }

    fn leave(&mut self, item: &Item, why: &Arc<str>, work: &mut Work<'_>) {
        work.pass.waiting += 1;
        let news = item.leave(why, work.state, work.now, work.decisions);
        match item.waiting() {
            Some(id) if news => self.waiting.await_confirmation(id),
            Some(id) => self.waiting.stays_answered(id),
            None => {}
        }
    }

    fn assign(
        &mut self,
        item: &Item,
        node: NodeId,
        given: Vec<GenericResource>,
        work: &mut Work<'_>,
    ) {
        if let Some(id) = item.waiting() {
            self.waiting.await_confirmation(id);
        }
        item.assign(node, given, work.decisions);
    }
}

// === impl Pass ===

impl Pass {
    fn balance(&mut self, service: ServiceId, failure: PolicyFailure) {
        self.events.push(PolicyEvent { service, failure, consequence: Consequence::NativeBalance });
    }

    fn wait(&mut self, service: ServiceId, failure: PolicyFailure) {
        self.events.push(PolicyEvent { service, failure, consequence: Consequence::Waits });
    }
}
