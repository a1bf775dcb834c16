//! Conditions of `depends_on`: a service is created or updated once they hold for those
//! that it depends on. A cluster restarts tasks in any order later, as Swarm does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use swarmw_compose::{Condition, StackService};
use swarmw_model::{Filters, RestartCondition, ServiceMode, TaskState, UpdateState};

use crate::client::{Client, Service, Task};
use crate::failure::Failure;
use crate::io::Io;

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);
/// The longest wait for one condition.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Waits for the conditions that the file says, in the order of their names. `done` has
/// the ids of the services that were deployed.
pub(super) async fn for_dependencies(
    client: &Client,
    service: &StackService,
    done: &HashMap<String, String>,
    io: &mut Io,
) -> Result<(), Failure> {
    for (key, dependency) in service.depends_on.iter().filter(|(_, d)| d.is_long) {
        let Some(id) = done.get(key) else { continue };
        let name = &service.spec.name;
        let mut told = false;
        let since = Instant::now();
        loop {
            match look(client, id, dependency.condition).await? {
                Verdict::Holds => break,
                Verdict::NeverWill(why) => {
                    return Err(Failure::new(format!(
                        "failed to deploy service {name}: it waits for {key} ({}): {why}",
                        dependency.condition.as_str()
                    )));
                }
                Verdict::NotYet => {}
            }
            if !told {
                told = true;
                let condition = dependency.condition.as_str();
                io.line(format!("Waiting for service {key} ({condition}) before {name}"))?;
            }
            if since.elapsed() > WAIT_MAX {
                return Err(Failure::new(format!(
                    "failed to deploy service {name}: it waited {} minutes for {key} ({})",
                    WAIT_MAX.as_secs() / 60,
                    dependency.condition.as_str()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

/// How it stands with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    NotYet,
    NeverWill(String),
}

async fn look(client: &Client, id: &str, condition: Condition) -> Result<Verdict, Failure> {
    let service = client.service(id).await?;
    let mut filters = Filters::default();
    filters.add("service", id);
    // Tasks of the service's present spec alone.
    filters.add("_up-to-date", "true");
    let tasks = client.tasks(&filters).await?;
    Ok(verdict(&service, &tasks, condition))
}

/// A task runs, in a cluster, when its health check has said that it is well: started and
/// healthy are the same.
fn verdict(service: &Service, tasks: &[Task], condition: Condition) -> Verdict {
    let count = |wanted: TaskState| {
        let found = tasks.iter().filter(|task| task.status.state == wanted).count();
        u64::try_from(found).unwrap_or(u64::MAX)
    };
    let wanted = match &service.spec.mode {
        ServiceMode::Replicated(_) => service.spec.replicas().unwrap_or(1),
        ServiceMode::ReplicatedJob(job) => job.completions(),
        ServiceMode::Global(_) | ServiceMode::GlobalJob(_) => {
            let kept = tasks.iter().filter(|task| task.desired_state <= TaskState::Complete);
            u64::try_from(kept.count()).unwrap_or(u64::MAX).max(1)
        }
    };
    // A job's tasks come one after the other, and some may have ended already.
    let (ended, at_once) = match &service.spec.mode {
        ServiceMode::ReplicatedJob(job) => (count(TaskState::Complete), job.at_a_time()),
        ServiceMode::GlobalJob(_) => (count(TaskState::Complete), wanted),
        ServiceMode::Replicated(_) | ServiceMode::Global(_) => (0, wanted),
    };
    let state = service.update_status.as_ref().map(|status| status.state);
    if matches!(state, Some(UpdateState::Paused | UpdateState::RollbackPaused)) {
        return Verdict::NeverWill("its update is paused".to_owned());
    }
    match condition {
        Condition::Started | Condition::Healthy => {
            match count(TaskState::Running) + ended >= wanted.min(at_once) {
                true => Verdict::Holds,
                false => Verdict::NotYet,
            }
        }
        Condition::Completed if count(TaskState::Complete) >= wanted => Verdict::Holds,
        Condition::Completed => {
            let policy = service.spec.task_template.restart_policy.as_ref();
            let tries_once = policy.is_some_and(|p| p.condition == RestartCondition::None);
            let failed = count(TaskState::Failed) + count(TaskState::Rejected);
            match tries_once && failed > 0 {
                true => Verdict::NeverWill("a task of it has failed".to_owned()),
                false => Verdict::NotYet,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(replicas: u64, restart: &str) -> Service {
        serde_json::from_value(
            json!({"ID": "s", "Spec": {"Mode": {"Replicated": {"Replicas": replicas}},
            "TaskTemplate": {"RestartPolicy": {"Condition": restart}}}}),
        )
        .expect("a service")
    }

    /// Of three completions, two at a time.
    fn job() -> Service {
        let mode = json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}});
        serde_json::from_value(json!({"ID": "s", "Spec": {"Mode": mode}})).expect("a job")
    }

    fn tasks(states: &[&str]) -> Vec<Task> {
        let task = |state: &&str| json!({"ID": "t", "DesiredState": "running", "Status": {"State": state}});
        serde_json::from_value(states.iter().map(task).collect()).expect("tasks")
    }

    #[test]
    fn conditions_hold_when_enough_tasks_are_in_their_state() {
        use Condition::{Completed, Healthy, Started};
        let failed = Verdict::NeverWill("a task of it has failed".to_owned());
        for (replicas, restart, states, condition, want) in [
            (2, "any", &["running", "running"][..], Healthy, Verdict::Holds),
            (2, "any", &["running", "starting"], Started, Verdict::NotYet),
            (1, "any", &[], Started, Verdict::NotYet),
            (0, "any", &[], Healthy, Verdict::Holds),
            (1, "none", &["complete"], Completed, Verdict::Holds),
            (1, "none", &["running"], Completed, Verdict::NotYet),
            (1, "none", &["failed"], Completed, failed),
            (1, "on-failure", &["failed", "running"], Completed, Verdict::NotYet),
        ] {
            let got = verdict(&service(replicas, restart), &tasks(states), condition);
            assert_eq!(got, want, "{replicas} {restart} {states:?} {condition:?}");
        }
    }

    #[test]
    fn a_job_has_started_when_as_many_are_at_it_as_may_be_and_is_completed_when_all_are() {
        use Condition::{Completed, Started};
        for (states, started, completed) in [
            (&["running"][..], Verdict::NotYet, Verdict::NotYet),
            (&["running", "running"], Verdict::Holds, Verdict::NotYet),
            (&["complete", "running"], Verdict::Holds, Verdict::NotYet),
            (&["complete", "complete", "complete"], Verdict::Holds, Verdict::Holds),
        ] {
            assert_eq!(verdict(&job(), &tasks(states), Started), started, "{states:?}");
            assert_eq!(verdict(&job(), &tasks(states), Completed), completed, "{states:?}");
        }
    }
}
