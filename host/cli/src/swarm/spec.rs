//! Settings of the cluster that `init` and `update` take.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use swarmw_model::{ClusterOptions, ClusterSpec, Duration, HostAccess};

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
    /// What containers of services may have of their nodes: some of device, ipc, pid, privileged,
    /// security-opt; or none (default none)
    #[arg(long, value_name = "list", value_parser = host_access)]
    host_access: Option<HostAccessList>,
    /// Number of additional Raft snapshots to retain
    #[arg(long, value_name = "uint", value_parser = uint)]
    max_snapshots: Option<u64>,
    /// Number of log entries between Raft snapshots (default 10000)
    #[arg(long, value_name = "uint", value_parser = uint)]
    snapshot_interval: Option<u64>,
    /// Task history retention limit (default 5)
    #[arg(long, value_name = "int", value_parser = int)]
    task_history_limit: Option<i64>,
}

// === impl SpecFlags ===

impl SpecFlags {
    /// Changes what was given.
    pub(crate) fn apply(&self, spec: &mut ClusterSpec) {
        if let Some(expiry) = self.cert_expiry {
            spec.ca.node_cert_expiry = expiry;
        }
        if let Some(period) = self.dispatcher_heartbeat {
            spec.dispatcher.heartbeat_period = period;
        }
        if let Some(kept) = self.max_snapshots {
            spec.raft.keep_old_snapshots = kept;
        }
        if let Some(interval) = self.snapshot_interval {
            spec.raft.snapshot_interval = interval;
        }
        if let Some(HostAccessList(access)) = &self.host_access {
            spec.swarmw = Some(ClusterOptions { host_access: access.clone() });
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
        set("Raft", "KeepOldSnapshots", self.max_snapshots.map(Value::from));
        set("Raft", "SnapshotInterval", self.snapshot_interval.map(Value::from));
        set("Orchestration", "TaskHistoryRetentionLimit", self.task_history_limit.map(Value::from));
        set("Swarmw", "HostAccess", self.host_access.as_ref().map(|list| json!(list.0)));
        spec
    }
}

/// All kinds that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostAccessList(BTreeSet<HostAccess>);

fn host_access(text: &str) -> Result<HostAccessList, String> {
    match text {
        "" | "none" => Ok(HostAccessList::default()),
        words => words
            .split(',')
            .map(|word| word.trim().parse())
            .collect::<Result<_, _>>()
            .map(HostAccessList),
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
            host_access: Some(host_access("pid,device").expect("a list")),
            ..SpecFlags::default()
        };
        assert_eq!(
            flags.to_json(),
            json!({"Dispatcher": {"HeartbeatPeriod": 1_000_000_000},
                   "Orchestration": {"TaskHistoryRetentionLimit": 2},
                   "Swarmw": {"HostAccess": ["device", "pid"]}})
        );
        let mut spec = ClusterSpec::default();
        flags.apply(&mut spec);
        let sent: ClusterSpec = serde_json::from_value(flags.to_json()).expect("a spec");
        assert_eq!(spec, sent);
        assert_eq!(host_access("none"), Ok(HostAccessList::default()));
        assert!(host_access("device,root").is_err());
    }
}
