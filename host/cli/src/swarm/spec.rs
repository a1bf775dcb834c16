//! Settings of the cluster that `init` and `update` take.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use swarmw_model::{ClusterSpec, Duration, HostAccess, TasksFrom};

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
    /// From which nodes exec, attach, logs and cp reach the containers of all tasks: managers, or
    /// nodes for workers too (default managers)
    #[arg(long, value_name = "string", value_parser = tasks_from)]
    tasks_from: Option<TasksFrom>,
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
            spec.swarmw.get_or_insert_default().host_access.clone_from(access);
        }
        if let Some(limit) = self.task_history_limit {
            spec.orchestration.task_history_retention_limit = limit;
        }
        if let Some(from) = self.tasks_from {
            spec.swarmw.get_or_insert_default().tasks_from = from;
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
        set("Swarmw", "TasksFrom", self.tasks_from.map(|from| json!(from)));
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

fn tasks_from(text: &str) -> Result<TasksFrom, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use swarmw_model::ClusterOptions;

    use super::*;

    #[test]
    fn only_what_was_given_is_sent() {
        let flags = SpecFlags {
            dispatcher_heartbeat: Some(Duration::from_secs(1)),
            task_history_limit: Some(2),
            host_access: Some(host_access("pid,device").expect("a list")),
            tasks_from: Some(TasksFrom::Nodes),
            ..SpecFlags::default()
        };
        assert_eq!(
            flags.to_json(),
            json!({"Dispatcher": {"HeartbeatPeriod": 1_000_000_000},
                   "Orchestration": {"TaskHistoryRetentionLimit": 2},
                   "Swarmw": {"HostAccess": ["device", "pid"], "TasksFrom": "nodes"}})
        );
        let mut spec = ClusterSpec::default();
        flags.apply(&mut spec);
        let sent: ClusterSpec = serde_json::from_value(flags.to_json()).expect("a spec");
        assert_eq!(spec, sent);
        assert_eq!(host_access("none"), Ok(HostAccessList::default()));
        assert!(host_access("device,root").is_err());
    }

    #[test]
    fn what_containers_may_have_and_where_tasks_are_reached_from_keep_each_other() {
        let access = SpecFlags {
            host_access: Some(host_access("pid").expect("a list")),
            ..SpecFlags::default()
        };
        let from = |word| SpecFlags {
            tasks_from: Some(tasks_from(word).expect("a word")),
            ..SpecFlags::default()
        };
        let mut spec = ClusterSpec::default();
        from("nodes").apply(&mut spec);
        access.apply(&mut spec);
        let both =
            ClusterOptions { host_access: [HostAccess::Pid].into(), tasks_from: TasksFrom::Nodes };
        assert_eq!(spec.swarmw.as_ref(), Some(&both));
        from("managers").apply(&mut spec);
        assert_eq!(
            (spec.host_access(), spec.tasks_from()),
            (both.host_access, TasksFrom::Managers)
        );
        assert!(tasks_from("all").is_err());
    }
}
