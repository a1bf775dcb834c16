//! A service's update settings, with Swarm's defaults filled in.

use swarmw_model::{Duration, Service, UpdateConfig};

use crate::{Order, Policy};

/// The settings that drive an update, or a rollback.
pub(crate) fn policy(service: &Service, rolling_back: bool) -> Policy {
    let spec = &service.spec;
    let block = if rolling_back { &spec.rollback_config } else { &spec.update_config };
    let defaults = UpdateConfig::swarm_default();
    let config = block.clone().unwrap_or_else(|| defaults.clone());
    let or_default = |text: String, default: &str| match text.is_empty() {
        true => default.to_owned(),
        false => text,
    };
    let monitor = if config.monitor.as_nanos() > 0 { config.monitor } else { defaults.monitor };
    Policy {
        failure_action: or_default(config.failure_action, &defaults.failure_action),
        parallelism: config.parallelism,
        delay_ms: millis(config.delay),
        monitor_ms: millis(monitor),
        max_failure_ratio: config.max_failure_ratio,
        order: match config.order.as_str() {
            "start-first" => Order::StartFirst,
            _ => Order::StopFirst,
        },
        options: spec.policy_options(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(0)
}
