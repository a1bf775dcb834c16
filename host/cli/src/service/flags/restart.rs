//! `--restart-*`

use swarmw_model::{DEFAULT_RESTART_DELAY, Duration, RestartCondition, RestartPolicy};

use crate::failure::Failure;
use crate::parse::{duration, uint};

/// What happens when a task ends.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct RestartFlags {
    /// Restart when condition is met ("none", "on-failure", "any") (default "any")
    #[arg(long, value_name = "string")]
    restart_condition: Option<String>,
    /// Delay between restart attempts (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    restart_delay: Option<Duration>,
    /// Maximum number of restarts before giving up
    #[arg(long, value_name = "uint", value_parser = uint)]
    restart_max_attempts: Option<u64>,
    /// Window used to evaluate the restart policy (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = duration)]
    restart_window: Option<Duration>,
}

/// Not a flag's own check: for Docker a wrong one is no bad command line, but a spec
/// that is refused.
fn condition(text: &str) -> Result<RestartCondition, Failure> {
    match text.to_lowercase().as_str() {
        "none" => Ok(RestartCondition::None),
        "on-failure" => Ok(RestartCondition::OnFailure),
        "any" => Ok(RestartCondition::Any),
        _ => Err(Failure::new(format!("invalid RestartCondition: {text:?}"))),
    }
}

// === impl RestartFlags ===

impl RestartFlags {
    pub(super) fn apply(&self, policy: &mut Option<RestartPolicy>) -> Result<(), Failure> {
        if *self == Self::default() {
            return Ok(());
        }
        let policy = policy.get_or_insert_with(|| RestartPolicy {
            delay: Some(DEFAULT_RESTART_DELAY),
            max_attempts: Some(0),
            ..RestartPolicy::default()
        });
        if let Some(text) = &self.restart_condition {
            policy.condition = condition(text)?;
        }
        policy.delay = self.restart_delay.or(policy.delay);
        policy.max_attempts = self.restart_max_attempts.or(policy.max_attempts);
        policy.window = self.restart_window.or(policy.window);
        Ok(())
    }
}
