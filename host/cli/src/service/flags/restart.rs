//! `--restart-*`

use swarmw_model::{DEFAULT_RESTART_DELAY, Duration, RestartCondition, RestartPolicy};

use crate::parse::{positive_duration, uint};

/// What happens when a task ends.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct RestartFlags {
    /// Restart when condition is met ("none", "on-failure", "any") (default "any")
    #[arg(long, value_name = "string", value_parser = condition)]
    restart_condition: Option<RestartCondition>,
    /// Delay between restart attempts (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    restart_delay: Option<Duration>,
    /// Maximum number of restarts before giving up
    #[arg(long, value_name = "uint", value_parser = uint)]
    restart_max_attempts: Option<u64>,
    /// Window used to evaluate the restart policy (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    restart_window: Option<Duration>,
}

fn condition(text: &str) -> Result<RestartCondition, String> {
    match text {
        "none" => Ok(RestartCondition::None),
        "on-failure" => Ok(RestartCondition::OnFailure),
        "any" => Ok(RestartCondition::Any),
        _ => Err(format!("invalid RestartCondition: {text:?}")),
    }
}

// === impl RestartFlags ===

impl RestartFlags {
    pub(super) fn apply(&self, policy: &mut Option<RestartPolicy>) {
        if *self == Self::default() {
            return;
        }
        let policy = policy.get_or_insert_with(|| RestartPolicy {
            delay: Some(DEFAULT_RESTART_DELAY),
            max_attempts: Some(0),
            ..RestartPolicy::default()
        });
        if let Some(condition) = self.restart_condition {
            policy.condition = condition;
        }
        policy.delay = self.restart_delay.or(policy.delay);
        policy.max_attempts = self.restart_max_attempts.or(policy.max_attempts);
        policy.window = self.restart_window.or(policy.window);
    }
}
