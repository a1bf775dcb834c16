//! From what the daemon says of a service to what is shown of it: no clock, no
//! terminal, no network.

use std::collections::HashSet;

use swarmw_model::{DEFAULT_MONITOR, ServiceMode, Time, UpdateState};

use super::jobs::JobRows;
use super::tasks::Rows;
use crate::client::{Service, Task};

/// One line that is shown, replacing the one of the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What stands before the colon; empty for a line of its own.
    pub(super) id: String,
    /// What stands behind it.
    pub(super) text: String,
    /// How the line behaves.
    pub(super) kind: Kind,
}

/// How a line behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Replaced by the next one of its id.
    Action,
    /// As an action, with a bar: one of many, left out where there are no bars.
    Bar(Share),
    /// As an action, with a bar: of them all together.
    Sum(Share),
    /// Stays.
    Plain,
}

/// How far a bar is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) done: u64,
    pub(super) of: u64,
}

/// What one look at the service leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Lines to show.
    pub(super) messages: Vec<Message>,
    /// Whether the waiting is over, and how.
    pub(super) end: Option<Result<(), String>>,
}

/// How far a service has come, over many looks.
pub(super) struct Progress {
    reference: String,
    rows: Option<Rows>,
    job: Option<JobRows>,
    converged_at: Option<Time>,
    rollback: bool,
    last_words: Option<Message>,
}

// === impl Message ===

impl Message {
    pub(super) fn action(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), text: text.into(), kind: Kind::Action }
    }

    pub(super) fn bar(id: impl Into<String>, text: impl Into<String>, share: Share) -> Self {
        Self { kind: Kind::Bar(share), ..Self::action(id, text) }
    }

    pub(super) fn sum(id: impl Into<String>, text: impl Into<String>, share: Share) -> Self {
        Self { kind: Kind::Sum(share), ..Self::action(id, text) }
    }

    pub(super) fn plain(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind: Kind::Plain, ..Self::action(id, text) }
    }
}

// === impl Progress ===

impl Progress {
    /// Before the first look; `reference` is how the user named the service.
    pub(super) fn new(reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            rows: None,
            job: None,
            converged_at: None,
            rollback: false,
            last_words: None,
        }
    }

    /// Whether all tasks ran at the last look.
    pub(super) fn has_converged(&self) -> bool {
        self.converged_at.is_some()
    }

    /// One look: the service, its tasks of the present spec, the nodes that are
    /// not down.
    pub(super) fn step(
        &mut self,
        service: &Service,
        tasks: &[Task],
        nodes: &HashSet<String>,
        now: Time,
    ) -> Step {
        let mut step = Step::default();
        if service.spec.mode.is_job() {
            // What is done stays done: there is nothing to verify.
            step.end = self.job.get_or_insert_default().update(service, tasks, &mut step.messages);
            return step;
        }
        if let Some(end) = self.update_status(service, &mut step.messages) {
            step.end = Some(end);
            return step;
        }
        let monitor = service
            .spec
            .update_config
            .as_ref()
            .map(|config| config.monitor)
            .filter(|monitor| monitor.as_nanos() > 0)
            .unwrap_or(DEFAULT_MONITOR);
        if self.converged_at.is_some_and(|at| now.since(at) >= monitor) {
            step.messages
                .push(Message::action("verify", format!("Service {} converged", self.reference)));
            step.messages.extend(self.last_words.take());
            step.end = Some(Ok(()));
            return step;
        }
        let rows = self.rows.get_or_insert_with(|| match service.spec.mode {
            ServiceMode::Replicated(_) => Rows::replicated(service.spec.replicas().unwrap_or(1)),
            _ => Rows::global(),
        });
        let converged = rows.update(tasks, nodes, self.rollback, &mut step.messages);
        match (converged, self.converged_at) {
            (true, at) => {
                let at = *self.converged_at.insert(at.unwrap_or(now));
                let left = monitor - now.since(at);
                if !left.is_negative() {
                    // Begun seconds: a monitor of 5 s starts at 5.
                    let seconds = ((left.as_nanos() + 999_999_999) / 1_000_000_000).max(1);
                    step.messages.push(Message::action(
                        "verify",
                        format!("Waiting {seconds} seconds to verify that tasks are stable..."),
                    ));
                }
            }
            (false, Some(_)) => {
                step.messages.push(Message::action("verify", "Detected task failure"));
                self.converged_at = None;
            }
            (false, None) => {}
        }
        step
    }

    /// What the service says of its update; how the waiting ends, if it does.
    fn update_status(
        &mut self,
        service: &Service,
        messages: &mut Vec<Message>,
    ) -> Option<Result<(), String>> {
        let status = service.update_status.as_ref()?;
        match status.state {
            UpdateState::Updating => self.rollback = false,
            UpdateState::Completed if !self.has_converged() => return Some(Ok(())),
            UpdateState::Completed => {}
            UpdateState::Paused => {
                return Some(Err(format!("service update paused: {}", status.message)));
            }
            UpdateState::RollbackStarted => {
                if !self.rollback && !status.message.is_empty() {
                    messages.push(Message::action("rollback", &status.message));
                }
                self.rollback = true;
            }
            UpdateState::RollbackPaused => {
                return Some(Err(format!("service rollback paused: {}", status.message)));
            }
            UpdateState::RollbackCompleted => {
                if !self.has_converged() {
                    self.last_words = Some(Message::plain("rollback", &status.message));
                }
                self.rollback = true;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(mode: Value, update: Value) -> Service {
        serde_json::from_value(
            json!({"ID": "svc", "Spec": {"Name": "web", "Mode": mode}, "UpdateStatus": update}),
        )
        .expect("a service")
    }

    fn replicas(count: u64) -> Service {
        service(json!({"Replicated": {"Replicas": count}}), Value::Null)
    }

    fn task(slot: u64, node: &str, state: &str, error: &str) -> Task {
        serde_json::from_value(
            json!({"ID": "t", "Slot": slot, "NodeID": node, "DesiredState": "running",
            "Status": {"State": state, "Err": error, "Timestamp": "2026-11-20T00:00:00Z"}}),
        )
        .expect("a task")
    }

    fn nodes() -> HashSet<String> {
        ["n1", "n2"].map(str::to_owned).into()
    }

    fn at(seconds: i64) -> Time {
        Time::from_nanos(1_000_000_000 * (1_000 + seconds))
    }

    fn lines(step: &Step) -> Vec<String> {
        step.messages.iter().map(|m| format!("{}: {}", m.id, m.text)).collect()
    }

    #[test]
    fn replicas_go_from_nothing_to_verified() {
        let mut progress = Progress::new("web");
        let first = progress.step(&replicas(2), &[], &nodes(), at(0));
        assert_eq!(
            lines(&first),
            [
                "overall progress: 0 out of 2 tasks",
                "1/2:  ",
                "2/2:  ",
                "overall progress: 0 out of 2 tasks"
            ]
        );
        let some = [task(1, "n1", "running", ""), task(2, "n2", "preparing", "")];
        let second = progress.step(&replicas(2), &some, &nodes(), at(1));
        assert_eq!(
            lines(&second),
            ["1/2: running  ", "2/2: preparing", "overall progress: 1 out of 2 tasks"]
        );
        assert_eq!(second.messages[1].kind, Kind::Bar(Share { done: 6, of: 9 }));
        let all = [task(1, "n1", "running", ""), task(2, "n2", "running", "")];
        let third = progress.step(&replicas(2), &all, &nodes(), at(2));
        assert_eq!(
            lines(&third),
            [
                "1/2: running  ",
                "2/2: running  ",
                "overall progress: 2 out of 2 tasks",
                "verify: Waiting 5 seconds to verify that tasks are stable..."
            ]
        );
        let fourth = progress.step(&replicas(2), &all, &nodes(), at(4));
        assert_eq!(
            lines(&fourth),
            ["verify: Waiting 3 seconds to verify that tasks are stable..."]
        );
        let last = progress.step(&replicas(2), &all, &nodes(), at(7));
        assert_eq!(lines(&last), ["verify: Service web converged"]);
        assert_eq!(last.end, Some(Ok(())));
    }

    #[test]
    fn a_task_that_fails_while_verified_starts_the_wait_again() {
        let mut progress = Progress::new("web");
        let good = [task(1, "n1", "running", "")];
        progress.step(&replicas(1), &good, &nodes(), at(0));
        let bad = [task(1, "n1", "failed", "task: non-zero exit (1)")];
        let step = progress.step(&replicas(1), &bad, &nodes(), at(1));
        assert_eq!(
            lines(&step),
            [
                "1/1: task: non-zero exit (1)",
                "overall progress: 0 out of 1 tasks",
                "verify: Detected task failure"
            ]
        );
        assert!(!progress.has_converged());
    }

    #[test]
    fn an_update_that_pauses_is_an_error() {
        for (state, want) in [
            ("paused", "service update paused: why"),
            ("rollback_paused", "service rollback paused: why"),
        ] {
            let status =
                json!({"State": state, "StartedAt": "2026-11-20T00:00:00Z", "Message": "why"});
            let service = service(json!({"Replicated": {"Replicas": 1}}), status);
            let step = Progress::new("web").step(&service, &[], &nodes(), at(0));
            assert_eq!(step.end, Some(Err(want.to_owned())));
        }
    }

    #[test]
    fn a_rollback_says_why_and_ends_well() {
        let status = |state: &str, message: &str| {
            let status =
                json!({"State": state, "StartedAt": "2026-11-20T00:00:00Z", "Message": message});
            service(json!({"Replicated": {"Replicas": 1}}), status)
        };
        let mut progress = Progress::new("web");
        let begun = status("rollback_started", "update rolled back due to failure");
        let step = progress.step(&begun, &[task(1, "n1", "preparing", "")], &nodes(), at(0));
        assert_eq!(
            lines(&step),
            [
                "rollback: update rolled back due to failure",
                "overall progress: rolling back update: 0 out of 1 tasks",
                "1/1:  ",
                "1/1: preparing",
                "overall progress: rolling back update: 0 out of 1 tasks"
            ]
        );
        assert_eq!(step.messages[3].kind, Kind::Bar(Share { done: 3, of: 9 }));
        let done = status("rollback_completed", "rollback completed");
        let good = [task(1, "n1", "running", "")];
        progress.step(&done, &good, &nodes(), at(1));
        let last = progress.step(&done, &good, &nodes(), at(6));
        assert_eq!(lines(&last), ["verify: Service web converged", "rollback: rollback completed"]);
        assert_eq!(last.end, Some(Ok(())));
    }

    #[test]
    fn a_global_service_waits_for_tasks_and_counts_nodes() {
        let global = service(json!({"Global": {}}), Value::Null);
        let mut progress = Progress::new("web");
        let step = progress.step(&global, &[], &nodes(), at(0));
        assert_eq!(lines(&step), ["overall progress: waiting for new tasks"]);
        let tasks = [task(0, "n1", "running", ""), task(0, "n2", "starting", "")];
        let step = progress.step(&global, &tasks, &nodes(), at(1));
        assert_eq!(
            lines(&step),
            [
                "overall progress: 0 out of 2 tasks",
                "n1: running  ",
                "n2: starting ",
                "overall progress: 1 out of 2 tasks"
            ]
        );
    }

    #[test]
    fn above_twenty_tasks_only_the_sum_is_shown() {
        let mut progress = Progress::new("web");
        let step = progress.step(&replicas(21), &[task(1, "n1", "running", "")], &nodes(), at(0));
        assert_eq!(
            lines(&step),
            ["overall progress: 0 out of 21 tasks", "overall progress: 1 out of 21 tasks"]
        );
    }

    #[test]
    fn long_errors_are_cut_and_stay_on_one_line() {
        let error = format!("first\n{}", "x".repeat(100));
        let mut progress = Progress::new("web");
        let step =
            progress.step(&replicas(1), &[task(1, "n1", "rejected", &error)], &nodes(), at(0));
        let shown = &step.messages[2].text;
        assert_eq!(shown.chars().count(), 75);
        assert!(shown.starts_with("first xxx") && shown.ends_with('…'), "{shown}");
    }

    #[test]
    fn a_slot_shows_the_task_that_should_live() {
        let mut old = task(1, "n1", "running", "");
        old.desired_state = swarmw_model::TaskState::Shutdown;
        let new = task(1, "gone", "starting", "");
        let newer = task(1, "n2", "starting", "");
        let mut progress = Progress::new("web");
        let step = progress.step(&replicas(1), &[old, new, newer], &nodes(), at(0));
        assert_eq!(lines(&step)[2], "1/1: starting ");
    }
}
