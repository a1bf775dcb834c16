//! The `--update-*` values.

use swarmw_sdk::raw::update::{Order, Policy};
use swarmw_sdk::raw::{Options, Problem, problem};

/// What happens when too many new tasks fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// Stop there.
    Pause,
    /// Nothing: failures are not even counted.
    Continue,
    /// Go back to the spec before.
    Rollback,
}

/// The settings of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub action: FailureAction,
    /// Workers; 0 for as many as there are targets.
    pub parallelism: u64,
    /// What a worker rests after each target.
    pub delay_ms: u64,
    /// How long a task is watched after it first ran, and all of them after the
    /// last worker has done.
    pub monitor_ms: u64,
    /// Share of failures that is still borne.
    pub max_failure_ratio: f32,
    pub order: Order,
}

const DEFAULT_PARALLELISM: i64 = 1;
const DEFAULT_MONITOR_MS: i64 = 5_000;
/// A monitor no longer than the delay is the delay and this much more.
const MONITOR_PAST_DELAY_MS: u64 = 1_000;

impl Settings {
    pub fn read(policy: &Policy) -> Result<Self, Problem> {
        let action = match policy.failure_action.as_str() {
            "pause" => FailureAction::Pause,
            "continue" => FailureAction::Continue,
            "rollback" => FailureAction::Rollback,
            other => {
                let message = format!("unrecognized update failure action {other}");
                return Err(problem("bad-action", message));
            }
        };
        let settings = Options::new(policy.settings.clone());
        let integer =
            |name: &str, default: i64| settings.integer(name).unwrap_or(default).max(0) as u64;
        let delay_ms = integer("delay", 0);
        let monitor_ms = integer("monitor", DEFAULT_MONITOR_MS);
        Ok(Self {
            action,
            parallelism: integer("parallelism", DEFAULT_PARALLELISM),
            delay_ms,
            monitor_ms: if monitor_ms <= delay_ms {
                delay_ms + MONITOR_PAST_DELAY_MS
            } else {
                monitor_ms
            },
            max_failure_ratio: settings.number("max-failure-ratio").unwrap_or(0.0) as f32,
            order: match settings.text("order") {
                Some("start-first") => Order::StartFirst,
                _ => Order::StopFirst,
            },
        })
    }
}
