//! What the leader remembers of a rollout between ticks. All of it can be lost: a
//! new leader finds out again, or asks the policy once more.

use std::collections::HashMap;
use std::sync::Arc;

use swarmw_model::{Task, TaskId, TaskState, Time};
use swarmw_state::{Rollout, TargetState};

use super::PAUSE;
use crate::{Answer, Query};

/// What is remembered of one service's rollout.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Whether this leader has called the policy.
    pub(crate) asked: bool,
    /// Whether the policy could not be called yet, so that the next call waits for it.
    pub(crate) awaits_policy: bool,
    /// A release that could not go on from where the one in charge stands.
    pub(crate) declined: Option<Arc<str>>,
    /// When the leader learnt what of tasks.
    learnt: HashMap<TaskId, Learnt>,
    /// Targets of the last orders, and when they were given.
    orders: Option<(Vec<u32>, Time)>,
    /// Queries to be sent.
    queries: Vec<Query>,
    /// Queries under way: id, and when each was asked.
    under_way: Vec<(String, Time)>,
    answers: Vec<Answer>,
}

/// When the leader learnt of a task's states.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learnt {
    /// That it runs.
    pub(crate) ran: Option<Time>,
    /// That it has ended.
    pub(crate) ended: Option<Time>,
}

// === impl Memory ===

impl Memory {
    /// Notes a change of a task.
    pub(crate) fn observe(&mut self, old: Option<&Task>, new: Option<&Task>) {
        let Some(new) = new else {
            if let Some(old) = old {
                self.learnt.remove(&old.id);
            }
            return;
        };
        let was = old.map_or(TaskState::New, |old| old.status.state);
        if was == new.status.state {
            return;
        }
        let learnt = self.learnt.entry(new.id).or_default();
        if new.status.state == TaskState::Running {
            learnt.ran.get_or_insert(new.updated_at);
        } else if new.status.state.is_terminal() {
            learnt.ended.get_or_insert(new.updated_at);
        }
    }

    /// When the leader learnt of a task's states; what it did not see itself, it
    /// reads from the log or from the task.
    pub(crate) fn learnt(&self, task: &Task, rollout: &Rollout) -> Learnt {
        let Learnt { ran, ended } = self.learnt.get(&task.id).copied().unwrap_or_default();
        let state = task.status.state;
        let runs = (state == TaskState::Running).then_some(task.updated_at);
        let is_over = state.is_terminal().then_some(task.updated_at);
        Learnt {
            ran: rollout.ran.get(&task.id).copied().or(ran).or(runs),
            ended: ended.or(is_over),
        }
    }

    /// Remembers orders, to see whether they were carried out.
    pub(crate) fn ordered(&mut self, targets: Vec<u32>, at: Time) {
        self.orders = (!targets.is_empty()).then_some((targets, at));
    }

    /// When to put orders to the policy again that came to nothing, if any did.
    pub(crate) fn lost_orders(&self, states: &[TargetState], rollout: &Rollout) -> Option<Time> {
        let (targets, at) = self.orders.as_ref()?;
        let outdated = |t: &u32| states.get(*t as usize) == Some(&TargetState::Outdated);
        let known = |t: &u32| (*t as usize) < rollout.targets.len();
        targets.iter().any(|t| known(t) && outdated(t)).then_some(*at + PAUSE)
    }

    /// Asks, unless the same query is under way.
    pub(crate) fn ask(&mut self, query: Query) {
        if !self.under_way.iter().any(|(id, _)| *id == query.id) {
            self.under_way.push((query.id.clone(), query.asked_at));
            self.queries.push(query);
        }
    }

    /// The queries that are to be sent now.
    pub(crate) fn take_queries(&mut self) -> Vec<Query> {
        std::mem::take(&mut self.queries)
    }

    /// Keeps the answer to a query for a later view. One to a query that is not
    /// under way, such as an earlier rollout's, is dropped.
    pub(crate) fn answer(&mut self, asked_at: Time, answer: Answer) {
        let this = |(id, at): &(String, Time)| *id == answer.id && *at == asked_at;
        if let Some(at) = self.under_way.iter().position(this) {
            self.under_way.swap_remove(at);
            self.answers.push(answer);
        }
    }

    /// Whether an answer has come.
    pub(crate) fn has_answers(&self, now: Time) -> bool {
        self.answers.iter().any(|a| a.at <= now)
    }

    /// When the next answer comes.
    pub(crate) fn answers_at(&self) -> Option<Time> {
        self.answers.iter().map(|a| a.at).min()
    }

    /// Keeps answers for the next view that were taken for one that nobody saw.
    pub(crate) fn put_back(&mut self, answers: Vec<Answer>) {
        self.answers.splice(0..0, answers);
    }

    /// The answers that have come.
    pub(crate) fn take_answers(&mut self, now: Time) -> Vec<Answer> {
        let (come, waiting) = self.answers.drain(..).partition(|a| a.at <= now);
        self.answers = waiting;
        come
    }
}
