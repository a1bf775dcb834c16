//! Agents whose tasks do what their image's name says, each on its time.

use swarmw_model::*;
use swarmw_orchestrator::{Query, UpdatePolicies};
use swarmw_state::{Change, TaskChange, Transaction};

use super::{PREPARE, START, STOP, World};

impl<P: UpdatePolicies> World<P> {
    /// Commits what agents report, and answers queries.
    pub(super) fn agents(&mut self) {
        let (due, waiting) = self.queries.drain(..).partition(|(at, _)| *at <= self.clock);
        self.queries = waiting;
        for (_, query) in due as Vec<(i64, Query)> {
            self.orchestrator.answered(&query, self.now(), self.told.clone());
        }
        let mut changes = Vec::new();
        for task in self.state.tasks() {
            let Some((at, state)) = self.next_of(task) else { continue };
            if at > self.clock {
                continue;
            }
            let exit_code = i64::from(state == TaskState::Failed);
            let status = TaskStatus {
                timestamp: Time::from_nanos((self.clock + self.skew) * 1_000_000),
                state,
                container_status: (state.is_terminal() && state < TaskState::Rejected)
                    .then(|| Box::new(ContainerStatus { exit_code, ..Default::default() })),
                ..Default::default()
            };
            let status = Some(status);
            changes.push(Change::Task(TaskChange { status, ..TaskChange::of(task.id) }));
        }
        if !changes.is_empty() {
            let at = self.now();
            self.apply(&Transaction { at, request: None, changes });
        }
    }

    /// When a task's agent sees what next.
    pub(super) fn next_of(&self, task: &Task) -> Option<(i64, TaskState)> {
        let node = task.node_id?;
        if self.dark.contains(&node) || self.state.node(node).is_none() {
            return None;
        }
        let state = task.status.state;
        if state < TaskState::Assigned || state.is_terminal() {
            return None;
        }
        let since = self.since.get(&task.id)?.2;
        if task.desired_state >= TaskState::Shutdown {
            return Some((since + STOP, TaskState::Shutdown));
        }
        let mut words = task.spec.image().split(' ').skip(1);
        let fate = words.next().unwrap_or("");
        let mut after = || words.next().and_then(|w| w.parse::<i64>().ok()).expect("milliseconds");
        match state {
            TaskState::Assigned if fate == "bad" => Some((since + PREPARE, TaskState::Rejected)),
            TaskState::Assigned => Some((since + PREPARE, TaskState::Ready)),
            TaskState::Ready if task.desired_state == TaskState::Ready => None,
            TaskState::Ready if fate == "hang" => Some((since + START, TaskState::Starting)),
            TaskState::Ready => Some((since + START, TaskState::Running)),
            TaskState::Running if fate == "crash" => Some((since + after(), TaskState::Failed)),
            TaskState::Running if fate == "exit" => Some((since + after(), TaskState::Complete)),
            _ => None,
        }
    }
}
