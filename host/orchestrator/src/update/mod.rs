//! Rolling updates: an update policy says what, this module tells it how its
//! targets fare and carries out what it wants.
//!
//! ```text
//! slots ──► targets ──► view ──► begin / step ──► actions ──► orders, status, log
//!           (state,     (what is    (the           (replace,   (StepRollout,
//!            moves)      new)        component)     pause, …)    CreateTask, …)
//! ```
//!
//! What the policy was told and its own bytes are in the log with each outcome, so
//! a new leader goes on from there. Orders that got lost (a node went away in the
//! same moment) are noticed because their targets are still outdated.

mod actions;
mod charge;
mod memory;
mod policy;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{Base64, Duration, Service, Slot, TaskId, Time, UpdateState, UpdateStatus};
use swarmw_state::{Change, Rollout, RolloutStep, State, TargetState};

pub(crate) use memory::Memory;

use crate::slots::{SlotTasks, Slots};
use crate::{Counts, Needs, Order, RolloutFacts, StepOutcome, TargetInfo, UpdateFailure};
use crate::{UpdatePolicies, View};
use actions::Wanted;
use charge::Charge;
use view::News;

/// Orders whose targets are still outdated are put to the policy again after this
/// time.
const PAUSE: Duration = Duration::from_secs(1);

/// Slots to replace in this tick, and which of their two tasks goes first.
pub(crate) type Ordered = BTreeMap<Slot, Order>;

/// One look at a service's update.
pub(crate) struct Update<'a> {
    pub(crate) service: &'a Service,
    pub(crate) slots: &'a Slots,
    /// Slots that are wanted and may be replaced now.
    pub(crate) updatable: &'a BTreeSet<Slot>,
    pub(crate) state: &'a State,
    pub(crate) now: Time,
    pub(crate) policies: &'a mut dyn UpdatePolicies,
    pub(crate) memory: &'a mut Memory,
    pub(crate) changes: &'a mut Vec<Change>,
    pub(crate) due: &'a mut Option<Time>,
    /// Whether the service goes back to an older spec: as its status says, unless
    /// a rollout is under way, which knows better.
    pub(crate) rolling_back: bool,
    /// Whether this look sends it back.
    pub(crate) turns_back: bool,
}

// === impl Update ===

impl Update<'_> {
    /// Goes on with the service's update, begins one, or leaves things as they are.
    /// `None` where the service returns to an older spec: nothing else should be
    /// decided about it before it has.
    pub(crate) fn decide(mut self) -> Option<Ordered> {
        let ordered = self.orders();
        (!self.turns_back).then_some(ordered)
    }

    fn orders(&mut self) -> Ordered {
        self.memory.awaits_policy = false;
        let rollout = self.state.rollout(self.service.id).cloned();
        let status = self.service.update_status.as_ref().map(|s| s.state);
        let paused = matches!(status, Some(UpdateState::Paused | UpdateState::RollbackPaused));
        let current = rollout.filter(|rollout| {
            let turned = status == Some(UpdateState::RollbackStarted) && !rollout.rolling_back;
            let current = rollout.spec_version == self.service.spec_version && !paused && !turned;
            if !current {
                self.end(rollout);
            }
            current
        });
        self.rolling_back = match &current {
            Some(rollout) => rollout.rolling_back,
            None => self.rolling_back,
        };
        if paused {
            return Ordered::new();
        }
        if let Some(rollout) = current {
            let mut ordered = self.go_on(&rollout);
            let targets: BTreeSet<_> = rollout.targets.iter().map(|(slot, _)| *slot).collect();
            for slot in self.late().filter(|slot| !targets.contains(slot)) {
                ordered.entry(slot).or_default();
            }
            return ordered;
        }
        *self.memory = Memory::default();
        let outdated: Vec<_> = self.outdated().collect();
        match status {
            _ if outdated.is_empty() => {
                self.finish(status);
                Ordered::new()
            }
            // Slots that the update could not reach, such as those of paused nodes,
            // follow when they can be; the update itself is over.
            Some(UpdateState::Completed | UpdateState::RollbackCompleted) => {
                self.late().map(|slot| (slot, Order::StopFirst)).collect()
            }
            _ => self.begin(&outdated),
        }
    }

    fn outdated(&self) -> impl Iterator<Item = Slot> + use<'_> {
        let outdated = |slot: &&Slot| self.slots.get(slot).is_some_and(SlotTasks::is_outdated);
        self.updatable.iter().filter(outdated).copied()
    }

    /// Outdated slots that no update has reached.
    fn late(&self) -> impl Iterator<Item = Slot> + use<'_> {
        self.outdated().filter(|slot| self.slots.get(slot).is_some_and(SlotTasks::is_untried))
    }

    fn begin(&mut self, outdated: &[Slot]) -> Ordered {
        let rolling_back = self.rolling_back;
        let facts = RolloutFacts {
            service_id: self.service.id.to_string(),
            service_name: self.service.spec.name.clone(),
            policy: policy::policy(self.service, rolling_back),
            rolling_back,
            total: u32::try_from(outdated.len()).unwrap_or(u32::MAX),
            started_at: self.now,
        };
        let view = View {
            seq: 1,
            now: self.now,
            counts: Counts { outdated: facts.total, ..Counts::default() },
            ..View::default()
        };
        let (component, outcome) = match self.ask_to_begin(&facts, outdated, &view) {
            Ok(begun) => begun,
            Err(UpdateFailure::NotYet { .. }) => return self.wait_for_policy(),
            Err(failure) => {
                self.pause(self.now, failure.to_string());
                return Ordered::new();
            }
        };
        let targets: Vec<_> = outdated.iter().map(|slot| (*slot, TargetState::Outdated)).collect();
        let wanted = self.carry_out(&outcome, &targets);
        let rollout = Rollout {
            service: self.service.id,
            spec_version: self.service.spec_version,
            rolling_back,
            component: component.digest,
            writer: component.version,
            seq: 1,
            started_at: self.now,
            called_at: self.now,
            state: Base64(outcome.state),
            wake_at: wanted.wake_at,
            targets: targets.into_iter().collect(),
            before: outdated
                .iter()
                .filter_map(|slot| self.slots.get(slot))
                .flat_map(SlotTasks::of_spec)
                .map(|task| task.id)
                .collect(),
            ran: imbl::OrdMap::new(),
            told_ended: imbl::OrdSet::new(),
        };
        self.changes.push(Change::StepRollout(Box::new(RolloutStep::Begin(rollout))));
        self.memory.asked = true;
        self.settle(wanted, self.now)
    }

    fn ask_to_begin(
        &mut self,
        facts: &RolloutFacts,
        outdated: &[Slot],
        view: &View,
    ) -> Result<(crate::Component, StepOutcome), UpdateFailure> {
        let action = &facts.policy.failure_action;
        let component = self.policies.component(action).ok_or_else(|| UpdateFailure::Broken {
            plugin: action.as_str().into(),
            message: "no plugin claims this failure action; add one with `swarmw plugin add`, or \
                      update the service with another --update-failure-action"
                .to_owned(),
        })?;
        let needs = self.policies.check(&facts.policy)?;
        let targets = self.describe(outdated, &needs);
        let outcome = self.policies.begin(&component.digest, facts, &targets, view)?;
        Ok((component, outcome))
    }

    fn describe(&self, outdated: &[Slot], needs: &Needs) -> Vec<TargetInfo> {
        if !needs.targets {
            return Vec::new();
        }
        outdated.iter().map(|slot| self.target_info(*slot, needs.group_by.as_deref())).collect()
    }

    fn target_info(&self, slot: Slot, group_by: Option<&str>) -> TargetInfo {
        let node = self.slots.get(&slot).and_then(|tasks| tasks.newest().node_id);
        let node = node.and_then(|id| self.state.node(id));
        let id = match slot {
            Slot::Replica(number) => number.to_string(),
            Slot::Node(id) => id.to_string(),
        };
        TargetInfo {
            name: format!("{}.{id}", self.service.spec.name),
            id,
            node: node.map(|n| n.description.hostname.clone()).unwrap_or_default(),
            group: node
                .zip(group_by)
                .and_then(|(node, column)| node.attribute(column))
                .unwrap_or_default()
                .into_owned(),
        }
    }

    fn go_on(&mut self, rollout: &Arc<Rollout>) -> Ordered {
        let now = self.now.max(rollout.called_at);
        let news = News::of(rollout, self.slots, self.updatable, self.memory, now);
        let lost = self.memory.lost_orders(&news.states, rollout);
        let asks = !self.memory.asked
            || !news.is_empty()
            || self.memory.has_answers(now)
            || rollout.wake_at.is_some_and(|at| at <= now)
            || lost.is_some_and(|at| at <= now);
        if !asks {
            let next = [rollout.wake_at, lost, self.memory.answers_at()];
            self.wake_at_first(next);
            // A write of the service, such as a scale, may have cleared it.
            self.show(rollout.started_at, None);
            return Ordered::new();
        }
        let facts = RolloutFacts {
            service_id: self.service.id.to_string(),
            service_name: self.service.spec.name.clone(),
            policy: policy::policy(self.service, rollout.rolling_back),
            rolling_back: rollout.rolling_back,
            total: u32::try_from(rollout.targets.len()).unwrap_or(u32::MAX),
            started_at: rollout.started_at,
        };
        let mut view = View {
            seq: rollout.seq + 1,
            now,
            counts: news.counts(),
            changed: news.moves.clone(),
            ended: news.ended.clone(),
            answers: self.memory.take_answers(now),
        };
        let stepped = self.in_charge(rollout, &facts.policy.failure_action).and_then(|charge| {
            let outcome = self.policies.step(&charge.component, &facts, &charge.state, &view)?;
            Ok((charge, outcome))
        });
        match stepped {
            Ok((charge, outcome)) => self.accept(rollout, &news, charge, outcome, now),
            Err(UpdateFailure::NotYet { .. }) => {
                self.memory.put_back(std::mem::take(&mut view.answers));
                self.wait_for_policy()
            }
            Err(failure) => {
                self.end(rollout);
                self.pause(rollout.started_at, failure.to_string());
                Ordered::new()
            }
        }
    }

    fn accept(
        &mut self,
        rollout: &Arc<Rollout>,
        news: &News,
        charge: Charge,
        outcome: StepOutcome,
        now: Time,
    ) -> Ordered {
        let targets: Vec<_> =
            rollout.targets.iter().map(|(slot, _)| *slot).zip(news.states.clone()).collect();
        let wanted = self.carry_out(&outcome, &targets);
        self.memory.asked = true;
        let nothing_new = news.is_empty()
            && wanted.is_empty()
            && wanted.wake_at == rollout.wake_at
            && charge.taken_over.is_none()
            && outcome.state == rollout.state.0;
        if nothing_new {
            self.memory.ordered(Vec::new(), now);
            self.wake_at_first([wanted.wake_at, self.memory.answers_at()]);
            self.show(rollout.started_at, None);
            return Ordered::new();
        }
        self.changes.push(Change::StepRollout(Box::new(RolloutStep::Next {
            service: rollout.service,
            spec_version: rollout.spec_version,
            seq: rollout.seq + 1,
            called_at: now,
            state: Base64(outcome.state),
            wake_at: wanted.wake_at,
            moves: news.told_moves(),
            ran: news.ran.clone(),
            ended: news.ended.iter().map(|e| e.task).collect::<Vec<TaskId>>(),
            taken_over: charge.taken_over,
        })));
        self.settle(wanted, rollout.started_at)
    }

    /// What an outcome comes to, beside the rollout's own step.
    fn settle(&mut self, wanted: Wanted, started_at: Time) -> Ordered {
        let Wanted { ordered, targets, wake_at, report, end } = wanted;
        self.memory.ordered(targets, self.now);
        self.wake_at_first([wake_at, self.memory.answers_at()]);
        match end {
            Some(end) => {
                self.changes.push(Change::StepRollout(Box::new(RolloutStep::End {
                    service: self.service.id,
                    spec_version: self.service.spec_version,
                })));
                self.conclude(end, started_at);
            }
            None => self.show(started_at, report),
        }
        ordered
    }

    /// Sees to it that the update shows as under way, with its last report.
    fn show(&mut self, started_at: Time, report: Option<String>) {
        let message = report.unwrap_or_else(|| self.present_message());
        let state = match self.rolling_back {
            true => UpdateState::RollbackStarted,
            false => UpdateState::Updating,
        };
        self.set_status(UpdateStatus { state, started_at, completed_at: None, message });
    }

    /// The policy is there soon: until then all stays as it is.
    fn wait_for_policy(&mut self) -> Ordered {
        self.memory.awaits_policy = true;
        Ordered::new()
    }

    fn end(&mut self, rollout: &Rollout) {
        self.changes.push(Change::StepRollout(Box::new(RolloutStep::End {
            service: rollout.service,
            spec_version: rollout.spec_version,
        })));
    }

    fn wake_at_first(&mut self, times: impl IntoIterator<Item = Option<Time>>) {
        let first = times.into_iter().flatten().chain(*self.due).min();
        *self.due = first;
    }
}
