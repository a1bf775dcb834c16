//! Settings of the cluster that `init` and `update` take.

use serde_json::{Value, json};
use swarmw_model::{ClusterSpec, Duration};

use crate::parse::{int, positive_duration, uint};

/// Settings of the cluster; what is absent stays as it is.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(args_override_self = true)]
pub struct SpecFlags {
    /// Validity period for node certificates (ns|us|ms|s|m|h) (default 2160h0m0s)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    cert_expiry: Option<Duration>,
    /// Dispatcher heartbeat period (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    dispatcher_heartbeat: Option<Duration>,
    /// Number of log entries between Raft snapshots (default 10000)
    #[arg(long, value_name = "uint", value_parser = uint)]
    snapshot_interval: Option<u64>,
    /// Task history retention limit (default 5)
    #[arg(long, value_name = "int", value_parser = int)]
    task_history_limit: Option<i64>,
}

// === impl SpecFlags ===

impl SpecFlags {
    /// Whether nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes what was given.
    pub(crate) fn apply(&self, spec: &mut ClusterSpec) {
        if let Some(expiry) = self.cert_expiry {
            spec.ca.node_cert_expiry = expiry;
        }
        if let Some(period) = self.dispatcher_heartbeat {
            spec.dispatcher.heartbeat_period = period;
        }
        if let Some(interval) = self.snapshot_interval {
            spec.raft.snapshot_interval = interval;
        }
        if let Some(limit) = self.task_history_limit {
            spec.orchestration.task_history_retention_limit = limit;
        }
    }

    /// A spec of only what was given: the daemon fills in the rest.
    pub(crate) fn to_json(&self) -> Value {
        let mut spec = json!({});
        let mut set = |part: &str, field: &str, value: Option<Value>| {
            if let Some(value) = value {
                spec[part][field] = value;
            }
        };
        let nanos = |span: Option<Duration>| span.map(|span| json!(span));
        set("CAConfig", "NodeCertExpiry", nanos(self.cert_expiry));
        set("Dispatcher", "HeartbeatPeriod", nanos(self.dispatcher_heartbeat));
        set("Raft", "SnapshotInterval", self.snapshot_interval.map(Value::from));
        set("Orchestration", "TaskHistoryRetentionLimit", self.task_history_limit.map(Value::from));
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_is_sent() {
        let flags = SpecFlags {
            dispatcher_heartbeat: Some(Duration::from_secs(1)),
            task_history_limit: Some(2),
            ..SpecFlags::default()
        };
        assert_eq!(
            flags.to_json(),
            json!({"Dispatcher": {"HeartbeatPeriod": 1_000_000_000},
                   "Orchestration": {"TaskHistoryRetentionLimit": 2}})
        );
        let mut spec = ClusterSpec::default();
        flags.apply(&mut spec);
        let sent: ClusterSpec = serde_json::from_value(flags.to_json()).expect("a spec");
        assert_eq!(spec, sent);
        assert!(SpecFlags::default().is_empty());
    }
}
