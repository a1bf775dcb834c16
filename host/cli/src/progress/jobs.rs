//! How far a job is: how many of its tasks have ended well, and how many are at it.

use std::collections::{BTreeMap, BTreeSet};

use swarmw_model::{RestartCondition, ServiceMode, TaskState};

use super::machine::{Message, Share};
use super::tasks::{ROWS_MAX, STATE_WIDTH, error, step};
use crate::client::{Service, Task};

/// The step at which a job's task has ended well.
const COMPLETE_STEP: u64 = 10;
const PROGRESS: &str = "job progress";
const ACTIVE: &str = "active tasks";

/// The lines of a job.
#[derive(Debug, Default)]
pub(super) struct JobRows {
    begun: bool,
    /// The nodes of a global job, as they were first seen: others that come later are not
    /// waited for.
    nodes: BTreeSet<String>,
}

/// What a row is for: a task's number, or its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Node(String),
}

// === impl JobRows ===

impl JobRows {
    /// Adds the lines that changed; how the job has ended, if it has.
    pub(super) fn update(
        &mut self,
        service: &Service,
        tasks: &[Task],
        messages: &mut Vec<Message>,
    ) -> Option<Result<(), String>> {
        let iteration = service.job_status.map(|status| status.job_iteration);
        let tasks = || tasks.iter().filter(|task| task.job_iteration == iteration);
        let limits = match &service.spec.mode {
            ServiceMode::ReplicatedJob(job) => Some((job.completions(), job.at_a_time())),
            _ => None,
        };
        if limits.is_none() && !self.begun {
            self.nodes = tasks().map(|task| task.node_id.clone()).collect();
            if self.nodes.is_empty() {
                // Not made yet, or no node fits: nobody can tell from here.
                messages.push(Message::action(PROGRESS, "waiting for tasks"));
                return None;
            }
        }
        let total = limits.map_or(self.nodes.len() as u64, |(total, _)| total);
        if !self.begun {
            self.begun = true;
            messages.extend(sums(0, 0, total, limits));
            if limits.is_some() && total <= ROWS_MAX {
                let rows = (1..=total).map(|row| format!("{row}/{total}"));
                messages.extend(rows.map(|row| Message::action(row, " ")));
            }
        }
        let parts = self.parts(tasks(), limits.is_some());
        let mut active = 0;
        let mut complete = 0;
        for (part, task) in &parts {
            if total <= ROWS_MAX {
                messages.push(line(part, task, total));
            }
            active += u64::from(!task.status.state.is_terminal());
            complete += u64::from(task.status.state == TaskState::Complete);
        }
        messages.extend(sums(active, complete, total, limits));
        if complete >= total {
            messages.push(Message::plain("", "job complete"));
            return Some(Ok(()));
        }
        let given_up = parts.values().filter(|task| is_given_up(service, task)).count() as u64;
        if complete + given_up >= total && tasks().all(|task| task.status.state.is_terminal()) {
            return Some(Err(format!(
                "job failed: {given_up} of {total} tasks did not complete, and its restart policy \
                 wants no other try"
            )));
        }
        None
    }

    /// One task for each part of the job, the one that is least far.
    fn parts<'t>(
        &self,
        tasks: impl Iterator<Item = &'t Task>,
        by_number: bool,
    ) -> BTreeMap<Part, &'t Task> {
        let mut parts: BTreeMap<Part, &Task> = BTreeMap::new();
        for task in tasks {
            let part = match by_number {
                true => Part::Number(task.slot),
                false => Part::Node(task.node_id.clone()),
            };
            let other = matches!(&part, Part::Node(node) if !self.nodes.contains(node));
            let unknown = [task.desired_state, task.status.state].iter().any(|s| step(*s) == 0);
            if other || unknown {
                continue;
            }
            let have = parts.entry(part).or_insert(task);
            if step(have.status.state) > step(task.status.state) {
                *have = task;
            }
        }
        parts
    }
}

/// Whether a task has failed, and nobody follows it.
fn is_given_up(service: &Service, task: &Task) -> bool {
    let policy = service.spec.task_template.restart_policy.as_ref();
    let limited = policy.is_some_and(|policy| {
        policy.condition == RestartCondition::None || policy.max_attempts.is_some_and(|n| n > 0)
    });
    let failed = matches!(task.status.state, TaskState::Failed | TaskState::Rejected);
    limited && failed && task.desired_state > TaskState::Complete
}

/// How much is done, and of a job that runs so many at a time how many do.
fn sums(
    active: u64,
    complete: u64,
    total: u64,
    limits: Option<(u64, u64)>,
) -> impl Iterator<Item = Message> {
    let width = digits(total);
    let text = format!("{complete:>width$} out of {total} complete");
    let progress = Message::sum(PROGRESS, text, Share { done: complete, of: total });
    let active = limits.map(|(_, at_a_time)| {
        let width = digits(at_a_time);
        let may = at_a_time.min(total.saturating_sub(complete));
        Message::action(ACTIVE, format!("{active:>width$} out of {may:>width$} tasks"))
    });
    [progress].into_iter().chain(active)
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}

fn line(part: &Part, task: &Task, total: u64) -> Message {
    let row = match part {
        Part::Number(number) => format!("{}/{total}", number + 1),
        Part::Node(node) => node.clone(),
    };
    if !task.status.error.is_empty() {
        return Message::action(row, error(task));
    }
    let state = task.status.state;
    let share = Share { done: step(state), of: COMPLETE_STEP };
    Message::bar(row, format!("{state:<STATE_WIDTH$}"), share)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(mode: Value, policy: Value) -> Service {
        serde_json::from_value(json!({"ID": "svc",
            "Spec": {"Name": "count", "Mode": mode, "TaskTemplate": {"RestartPolicy": policy}},
            "JobStatus": {"JobIteration": {"Index": 1}, "LastExecution": "2026-11-20T00:00:00Z"}}))
        .expect("a job")
    }

    fn task(slot: u64, node: &str, state: &str, iteration: u64) -> Task {
        let (desired, error) = match state {
            "failed" => ("shutdown", "task: non-zero exit (1)"),
            _ => ("complete", ""),
        };
        serde_json::from_value(json!({"ID": "t", "Slot": slot, "NodeID": node,
            "DesiredState": desired, "JobIteration": {"Index": iteration},
            "Status": {"State": state, "Err": error, "Timestamp": "2026-11-20T00:00:00Z"}}))
        .expect("a task")
    }

    /// What one look adds, and how the job has ended.
    fn look(rows: &mut JobRows, job: &Service, tasks: &[Task]) -> (Vec<String>, String) {
        let mut messages = Vec::new();
        let end = rows.update(job, tasks, &mut messages);
        let lines = messages.iter().map(|m| format!("{}: {}", m.id, m.text)).collect();
        let end = match end {
            None => "goes on".to_owned(),
            Some(Ok(())) => "complete".to_owned(),
            Some(Err(why)) => why,
        };
        (lines, end)
    }

    #[test]
    fn a_replicated_job_counts_what_is_complete_and_what_is_active() {
        let job =
            job(json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}), Value::Null);
        let mut rows = JobRows::default();
        let (lines, end) = look(&mut rows, &job, &[task(0, "n1", "complete", 0)]);
        assert_eq!(
            lines,
            [
                "job progress: 0 out of 3 complete",
                "active tasks: 0 out of 2 tasks",
                "1/3:  ",
                "2/3:  ",
                "3/3:  ",
                "job progress: 0 out of 3 complete",
                "active tasks: 0 out of 2 tasks",
            ],
            "tasks of an earlier time do not count"
        );
        assert_eq!(end, "goes on");
        let some =
            [task(0, "n1", "complete", 1), task(1, "n2", "failed", 1), task(1, "n2", "ready", 1)];
        let (lines, end) = look(&mut rows, &job, &some);
        assert_eq!(
            lines,
            [
                "1/3: complete ",
                "2/3: ready    ",
                "job progress: 1 out of 3 complete",
                "active tasks: 1 out of 2 tasks",
            ]
        );
        assert_eq!(end, "goes on");
        let all: Vec<_> = (0..3).map(|slot| task(slot, "n1", "complete", 1)).collect();
        let (lines, end) = look(&mut rows, &job, &all);
        assert_eq!(
            lines[3..],
            [
                "job progress: 3 out of 3 complete",
                "active tasks: 0 out of 0 tasks",
                ": job complete"
            ]
        );
        assert_eq!(end, "complete");
    }

    #[test]
    fn a_global_job_counts_the_nodes_that_it_began_with() {
        let job = job(json!({"GlobalJob": {}}), Value::Null);
        let mut rows = JobRows::default();
        let (lines, _) = look(&mut rows, &job, &[]);
        assert_eq!(lines, ["job progress: waiting for tasks"]);
        let two = [task(0, "n1", "running", 1), task(0, "n2", "complete", 1)];
        let (lines, _) = look(&mut rows, &job, &two);
        assert_eq!(
            lines,
            [
                "job progress: 0 out of 2 complete",
                "n1: running  ",
                "n2: complete ",
                "job progress: 1 out of 2 complete",
            ]
        );
        let three = [
            task(0, "n1", "complete", 1),
            task(0, "n2", "complete", 1),
            task(0, "n3", "running", 1),
        ];
        assert_eq!(look(&mut rows, &job, &three).1, "complete");
    }

    #[test]
    fn a_job_that_is_given_up_is_a_failure() {
        let mode = json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}});
        let tasks = [task(0, "n1", "complete", 1), task(1, "n1", "failed", 1)];
        for (policy, want) in [
            (json!({"Condition": "none"}), "job failed: 1 of 2 tasks did not complete"),
            (json!({"MaxAttempts": 1}), "job failed: 1 of 2 tasks did not complete"),
            (json!({"Condition": "any"}), "goes on"),
        ] {
            let (_, end) = look(&mut JobRows::default(), &job(mode.clone(), policy), &tasks);
            assert!(end.starts_with(want), "{end}");
        }
        // The first one failed, and the second is not made yet.
        let job = job(mode, json!({"Condition": "none"}));
        let (_, end) = look(&mut JobRows::default(), &job, &[task(0, "n1", "failed", 1)]);
        assert_eq!(end, "goes on");
    }

    #[test]
    fn above_twenty_tasks_only_the_sums_are_shown() {
        let job = job(
            json!({"ReplicatedJob": {"MaxConcurrent": 10, "TotalCompletions": 21}}),
            Value::Null,
        );
        let mut rows = JobRows::default();
        let (lines, _) = look(&mut rows, &job, &[task(0, "n1", "running", 1)]);
        assert_eq!(
            lines[2..],
            ["job progress:  0 out of 21 complete", "active tasks:  1 out of 10 tasks"]
        );
    }
}
