//! The decision.
//!
//! As many workers as `parallelism` says each take a target, wait without limit
//! until the task made for it has run or ended, rest for the delay, and take the
//! next. So the delay is each worker's own and no barrier. When the last has
//! rested, new tasks are watched for one more monitor period.

use swarmw_sdk::raw::update::{
    Action, EndedTask, ReplaceNextCall, RollbackCall, Rollout, TargetState, View,
};

use crate::progress::Progress;
use crate::settings::{FailureAction, Settings};

/// What to do now, after what the view tells.
pub fn decide(
    rollout: &Rollout,
    settings: &Settings,
    progress: &mut Progress,
    view: &View,
) -> Vec<Action> {
    if let Some(task) = trip(rollout, settings, progress, view) {
        return vec![failed(rollout, settings, task)];
    }
    for change in &view.changed {
        // Its task has run, has ended without, or nobody wants it any more.
        let done = change.was == TargetState::Replacing && change.now != TargetState::Replacing;
        if done {
            progress.rest(change.at_ms + settings.delay_ms);
        }
    }
    progress.wake(view.now_ms);
    if view.counts.outdated > 0 {
        go_on(rollout, settings, progress, view)
    } else {
        finish(settings, progress, view)
    }
}

/// Counts failures; the task whose failure is one too many.
fn trip<'a>(
    rollout: &Rollout,
    settings: &Settings,
    progress: &mut Progress,
    view: &'a View,
) -> Option<&'a EndedTask> {
    if settings.action == FailureAction::Continue {
        return None;
    }
    view.ended.iter().find(|task| {
        if !is_failure(task, settings.monitor_ms) {
            return false;
        }
        progress.failures += 1;
        progress.failures as f32 / rollout.total as f32 > settings.max_failure_ratio
    })
}

/// A task that the update itself made and that ended, in whatever way, before it
/// ever ran or within the monitor period after.
fn is_failure(task: &EndedTask, monitor_ms: u64) -> bool {
    !task.restarted && task.ran_ms.is_none_or(|ran| task.ended_ms.saturating_sub(ran) <= monitor_ms)
}

fn failed(rollout: &Rollout, settings: &Settings, task: &EndedTask) -> Action {
    let cause = format!("due to failure or early termination of task {}", task.task_id);
    if rollout.rolling_back {
        // Never back from a rollback.
        Action::Pause(format!("rollback paused {cause}"))
    } else if settings.action == FailureAction::Rollback {
        Action::RollbackTo(RollbackCall {
            version: None,
            reason: format!("update rolled back {cause}"),
        })
    } else {
        Action::Pause(format!("update paused {cause}"))
    }
}

/// Idle workers take targets; the next to get up says when to call again.
fn go_on(rollout: &Rollout, settings: &Settings, progress: &Progress, view: &View) -> Vec<Action> {
    let workers = match settings.parallelism {
        0 => u64::from(rollout.total),
        limited => limited.min(u64::from(rollout.total)),
    };
    let busy = u64::from(view.counts.replacing) + progress.resting();
    let idle = workers.saturating_sub(busy).min(u64::from(view.counts.outdated));
    let mut actions = Vec::new();
    if idle > 0 {
        actions.push(Action::ReplaceNext(ReplaceNextCall {
            count: idle as u32,
            order: settings.order,
        }));
    }
    if let Some((until, _)) = progress.resting.first() {
        actions.push(Action::WakeAt(*until));
    }
    actions
}

/// No target is left to take.
fn finish(settings: &Settings, progress: &Progress, view: &View) -> Vec<Action> {
    if view.counts.replacing > 0 {
        return Vec::new();
    }
    let watched_until = progress.rested_ms + settings.monitor_ms;
    if view.now_ms >= watched_until {
        vec![Action::Complete]
    } else {
        vec![Action::WakeAt(watched_until)]
    }
}
