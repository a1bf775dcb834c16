//! Whether an ended task is replaced.

use std::sync::Arc;

use swarmw_model::{DEFAULT_RESTART_DELAY, Duration, RestartCondition, Service, Task, TaskState};

/// What the restart policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another task takes its place.
    Replace,
    /// The slot stays as it is.
    Leave,
}

/// Before a replacement starts.
pub(crate) fn delay(service: &Service) -> Duration {
    let policy = service.spec.task_template.restart_policy.as_ref();
    policy.map_or(DEFAULT_RESTART_DELAY, |policy| policy.delay())
}

fn ended_well(task: &Task) -> bool {
    task.status.state == TaskState::Complete
}

/// Judges the end of `old` by the service's policy and what its slot went through:
/// `tasks`, oldest first.
pub(crate) fn verdict<'a>(
    service: &Service,
    tasks: impl DoubleEndedIterator<Item = &'a Arc<Task>>,
    old: &Task,
) -> Verdict {
    let policy = service.spec.task_template.restart_policy.clone().unwrap_or_default();
    let allowed = match policy.condition {
        RestartCondition::None => false,
        RestartCondition::OnFailure => !ended_well(old),
        // A job's task that has ended well has done its part.
        RestartCondition::Any if service.spec.mode.is_job() => !ended_well(old),
        RestartCondition::Any => true,
    };
    if !allowed {
        return Verdict::Leave;
    }
    let most = policy.max_attempts.unwrap_or(0);
    if most == 0 {
        return Verdict::Replace;
    }
    let window = policy.window.filter(|window| *window > Duration::ZERO);
    // Both by the leader's clock, whatever the agents' clocks say.
    let ended = old.updated_at;
    let recent = |t: &Task| window.is_none_or(|window| ended.since(t.created_at) <= window);
    // Since the slot came to this spec; its first task is no restart, every later
    // one is.
    let mine = tasks.rev().skip_while(|t| t.id != old.id);
    let mine: Vec<_> = mine.take_while(|t| t.spec_version == old.spec_version).collect();
    let restarts = mine.iter().rev().skip(1).filter(|t| recent(t)).count();
    if restarts as u64 >= most { Verdict::Leave } else { Verdict::Replace }
}
