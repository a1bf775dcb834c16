//! `--update-*`, `--rollback-*`

use swarmw_model::{Duration, UpdateConfig};

use crate::parse::{duration, float, uint};

/// How an update replaces tasks.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct UpdateFlags {
    /// Delay between updates (ns|us|ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    update_delay: Option<Duration>,
    /// Update policy by name: "pause", "continue", "rollback", or a plugin's (default "pause")
    #[arg(long, value_name = "string")]
    update_failure_action: Option<String>,
    /// Failure rate to tolerate during an update (default 0)
    #[arg(long, value_name = "float", value_parser = float)]
    update_max_failure_ratio: Option<f64>,
    /// Duration after each task update to monitor for failure (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    update_monitor: Option<Duration>,
    /// Update order ("start-first", "stop-first") (default "stop-first")
    #[arg(long, value_name = "string")]
    update_order: Option<String>,
    /// Maximum number of tasks updated simultaneously (0 to update all at once) (default 1)
    #[arg(long, value_name = "uint", value_parser = uint)]
    update_parallelism: Option<u64>,
}

/// How a rollback replaces tasks.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct RollbackFlags {
    /// Delay between task rollbacks (ns|us|ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    rollback_delay: Option<Duration>,
    /// Action on rollback failure ("pause", "continue") (default "pause")
    #[arg(long, value_name = "string")]
    rollback_failure_action: Option<String>,
    /// Failure rate to tolerate during a rollback (default 0)
    #[arg(long, value_name = "float", value_parser = float)]
    rollback_max_failure_ratio: Option<f64>,
    /// Duration after each task rollback to monitor for failure (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    rollback_monitor: Option<Duration>,
    /// Rollback order ("start-first", "stop-first") (default "stop-first")
    #[arg(long, value_name = "string")]
    rollback_order: Option<String>,
    /// Maximum number of tasks rolled back simultaneously (0 to roll back all at once) (default 1)
    #[arg(long, value_name = "uint", value_parser = uint)]
    rollback_parallelism: Option<u64>,
}

/// Either of the two.
#[derive(Clone, PartialEq, Default)]
struct Rollout {
    delay: Option<Duration>,
    failure_action: Option<String>,
    max_failure_ratio: Option<f64>,
    monitor: Option<Duration>,
    order: Option<String>,
    parallelism: Option<u64>,
}

// === impl UpdateFlags ===

impl UpdateFlags {
    pub(super) fn apply(&self, config: &mut Option<UpdateConfig>) {
        let given = self.clone();
        Rollout {
            delay: given.update_delay,
            failure_action: given.update_failure_action,
            max_failure_ratio: given.update_max_failure_ratio,
            monitor: given.update_monitor,
            order: given.update_order,
            parallelism: given.update_parallelism,
        }
        .apply(config);
    }
}

// === impl RollbackFlags ===

impl RollbackFlags {
    pub(super) fn apply(&self, config: &mut Option<UpdateConfig>) {
        let given = self.clone();
        Rollout {
            delay: given.rollback_delay,
            failure_action: given.rollback_failure_action,
            max_failure_ratio: given.rollback_max_failure_ratio,
            monitor: given.rollback_monitor,
            order: given.rollback_order,
            parallelism: given.rollback_parallelism,
        }
        .apply(config);
    }
}

// === impl Rollout ===

impl Rollout {
    /// One flag given makes a whole block, with Swarm's defaults for the others.
    fn apply(self, config: &mut Option<UpdateConfig>) {
        if self == Self::default() {
            return;
        }
        let config = config.get_or_insert_with(UpdateConfig::swarm_default);
        config.delay = self.delay.unwrap_or(config.delay);
        config.monitor = self.monitor.unwrap_or(config.monitor);
        config.parallelism = self.parallelism.unwrap_or(config.parallelism);
        config.max_failure_ratio = self.max_failure_ratio.unwrap_or(config.max_failure_ratio);
        if let Some(action) = self.failure_action {
            config.failure_action = action;
        }
        if let Some(order) = self.order {
            config.order = order;
        }
    }
}
