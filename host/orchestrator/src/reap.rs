//! What is forgotten: history beyond its limit, tasks that were told to go.

use std::collections::BTreeMap;

use swarmw_model::{Service, ServiceId, Slot, Task, TaskState};
use swarmw_state::{Change, State};

/// Forgets what a service does not need any more.
pub(crate) fn service(state: &State, id: ServiceId, changes: &mut Vec<Change>) {
    let service = state.service(id);
    let limit = limit(state, service.map(|s| &**s));
    let mut slots: BTreeMap<Slot, Vec<&Task>> = BTreeMap::new();
    for task in state.tasks_of_service(id) {
        if is_gone(task) || (service.is_none() && task.status.state == TaskState::Orphaned) {
            changes.push(Change::RemoveTask(task.id));
        } else if let Some(slot) = task.slot() {
            slots.entry(slot).or_default().push(task);
        }
    }
    let Ok(limit) = usize::try_from(limit) else { return };
    let rollout = state.rollout(id);
    let iteration = service.and_then(|s| s.job_status).map(|status| status.job_iteration);
    for mut tasks in slots.into_values() {
        let mut excess = tasks.len().saturating_sub(limit);
        tasks.sort_by_key(|t| (t.created_at, t.id));
        let of_rollout = |t: &&&Task| {
            rollout.is_some_and(|r| r.spec_version == t.spec_version && !r.before.contains(&t.id))
        };
        let first_of_rollout = tasks.iter().find(of_rollout).map(|t| t.id);
        let of_job = |t: &Task| iteration.is_some() && t.job_iteration == iteration;
        let last_of_job = tasks.iter().rfind(|t| of_job(t)).map(|t| t.id);
        for task in tasks {
            // The update needs to know which task it made and which is a restart; a job,
            // what is done and what was tried.
            let needed = first_of_rollout == Some(task.id)
                || last_of_job == Some(task.id)
                || (of_job(task) && task.status.state == TaskState::Complete);
            if excess > 0 && is_history(task) && !needed {
                changes.push(Change::RemoveTask(task.id));
                excess -= 1;
            }
        }
    }
}

/// Whether the task that another one replaced stays known while that one starts.
pub(crate) fn keeps_predecessor(state: &State, service: &Service) -> bool {
    !(0..2).contains(&limit(state, Some(service)))
}

/// Tasks kept per slot, the one that runs included; negative keeps all.
fn limit(state: &State, service: Option<&Service>) -> i64 {
    let attempts = service
        .and_then(|s| s.spec.task_template.restart_policy.as_ref())
        .and_then(|p| p.max_attempts)
        .filter(|n| *n > 0)
        .and_then(|n| i64::try_from(n).ok());
    let general = state.cluster().map_or(5, |c| c.spec.orchestration.task_history_retention_limit);
    attempts.map_or(general, |n| n.saturating_add(1))
}

/// Told to go, and nothing of it is left on a node.
fn is_gone(task: &Task) -> bool {
    task.desired_state == TaskState::Remove
        && (task.status.state < TaskState::Assigned || task.status.state >= TaskState::Complete)
}

/// Ended, or never to run: of interest only to people.
fn is_history(task: &Task) -> bool {
    let never = task.status.state < TaskState::Assigned;
    match task.is_wanted() {
        // It went where it should: one of an earlier time of its job.
        true => task.job_iteration.is_some() && task.status.state == TaskState::Complete,
        false => task.status.state.is_terminal() || never,
    }
}
