//! The cluster itself: its settings, its certificate authority, its join tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{
    Base64, ClusterId, Duration, HostAccess, Refusal, RefusalKind, Time, UnlockKey, Version,
};

/// What an operator wants of the cluster; absent parts have Swarm's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterSpec {
    /// Always `default`.
    pub name: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// History of tasks.
    #[serde(deserialize_with = "null_as_default")]
    pub orchestration: OrchestrationConfig,
    /// The log.
    #[serde(deserialize_with = "null_as_default")]
    pub raft: RaftConfig,
    /// Failure detection.
    #[serde(deserialize_with = "null_as_default")]
    pub dispatcher: DispatcherConfig,
    /// Certificates.
    #[serde(rename = "CAConfig", deserialize_with = "null_as_default")]
    pub ca: CaConfig,
    /// What managers keep on disk.
    #[serde(
        rename = "EncryptionConfig",
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub encryption: EncryptionConfig,
    /// What Docker has no field for. A write that lacks it keeps the stored one, and an
    /// explicit empty one clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarmw: Option<ClusterOptions>,
}

/// Settings of the cluster that Docker has no field for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ClusterOptions {
    /// What containers of services may have of their nodes.
    #[serde(deserialize_with = "null_as_default")]
    pub host_access: BTreeSet<HostAccess>,
    /// From which nodes the containers of all tasks are reached.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub tasks_from: TasksFrom,
}

/// From which nodes the containers of all tasks are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TasksFrom {
    /// From managers. Others reach the tasks on themselves.
    #[default]
    Managers,
    /// From every node of the cluster.
    Nodes,
}

/// History of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OrchestrationConfig {
    /// Tasks kept per slot, the live one included; negative keeps all.
    pub task_history_retention_limit: i64,
}

/// The Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftConfig {
    /// Entries between two snapshots.
    pub snapshot_interval: u64,
    /// Old snapshots kept.
    pub keep_old_snapshots: u64,
    /// Entries kept behind a snapshot for managers that lag.
    pub log_entries_for_slow_followers: u64,
    /// Docker's ticks before an election. Shown for its clients; swarmw elects
    /// by its own, shorter clock.
    pub election_tick: i64,
    /// Docker's ticks between heartbeats. Shown for its clients.
    pub heartbeat_tick: i64,
}

/// Failure detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DispatcherConfig {
    /// Between an agent's heartbeats; three missed ones make a node `down`.
    pub heartbeat_period: Duration,
}

/// Certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CaConfig {
    /// Life of a node's certificate; at least an hour.
    pub node_cert_expiry: Duration,
}

/// What managers keep on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EncryptionConfig {
    /// Whether a manager that starts needs the unlock key before it can read its own files.
    pub auto_lock_managers: bool,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cluster {
    /// Its id, also the organization in its certificates.
    #[serde(rename = "ID")]
    pub id: ClusterId,
    /// For optimistic updates.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What is wanted.
    pub spec: ClusterSpec,
    /// Certificate authority.
    pub root_ca: RootCa,
    /// What lets a node join.
    pub join_tokens: JoinTokens,
    /// What unlocks managers; there exactly while they lock themselves. Never leaves the
    /// managers but by `GET /swarm/unlockkey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlock_key: Option<UnlockKey>,
    /// Common names of removed nodes and when their last certificate ends: they
    /// are turned away until then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub removed_nodes: BTreeMap<String, Time>,
    /// What every manager can read: raised by the leader when all can do more.
    #[serde(default)]
    pub feature_level: u32,
    /// Where networks that name no subnet get one, and how long its prefix is; set when
    /// the cluster is founded.
    #[serde(default)]
    pub address_pools: AddressPools,
    /// The UDP port of VXLAN between nodes; set when the cluster is founded.
    #[serde(default = "default_data_path_port")]
    pub data_path_port: u16,
}

/// Where networks that name no subnet get one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddressPools {
    /// Each is cut into subnets.
    pub pools: Vec<IpNet>,
    /// Length of a subnet's prefix.
    pub subnet_size: u8,
}

/// Docker's UDP port for VXLAN.
pub const DATA_PATH_PORT: u16 = 4789;

fn default_data_path_port() -> u16 {
    DATA_PATH_PORT
}

/// The cluster's certificate authority. Never leaves the managers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootCa {
    /// The root certificate, in PEM.
    pub certificate: String,
    /// Its private key, PKCS#8 in PEM.
    pub key: Base64,
}

/// What lets a node join, by the role it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JoinTokens {
    /// Joins as a worker.
    pub worker: String,
    /// Joins as a manager.
    pub manager: String,
}

/// Raised when the state or the log learns something that older binaries cannot read.
/// 2: networks. 3: jobs. 4: generic resources, access to nodes, versions of secrets and
/// configs. 5: managers that lock themselves, registry credentials that outlive a rollback,
/// ports of the nodes' own that no service may publish. 6: tasks that are reached from nodes
/// that are no managers.
pub const FEATURE_LEVEL: u32 = 6;

// === impl ClusterSpec and its parts ===

impl ClusterSpec {
    /// What containers of services may have of their nodes.
    pub fn host_access(&self) -> BTreeSet<HostAccess> {
        self.swarmw.as_ref().map(|options| options.host_access.clone()).unwrap_or_default()
    }

    /// From which nodes the containers of all tasks are reached.
    pub fn tasks_from(&self) -> TasksFrom {
        self.swarmw.as_ref().map(|options| options.tasks_from).unwrap_or_default()
    }
}

impl TasksFrom {
    /// All there are.
    const ALL: [Self; 2] = [Self::Managers, Self::Nodes];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Managers => "managers",
            Self::Nodes => "nodes",
        }
    }

    /// Refuses a node that is no manager and asks for tasks on others.
    ///
    /// # Errors
    /// Managers alone may, and the command with which an operator changes that.
    pub fn check(self) -> Result<(), Refusal> {
        match self {
            Self::Nodes => Ok(()),
            Self::Managers => Err(Refusal::plain(
                RefusalKind::PermissionDenied,
                "this node is no manager, and reaches the tasks on itself alone; ask a manager, or \
                 allow it on one: swarmw swarm update --tasks-from nodes",
            )),
        }
    }
}

impl fmt::Display for TasksFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TasksFrom {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|from| from.as_str() == word).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|from| from.as_str()).collect();
            format!("tasks are reached from no {word:?}: {} exist", all.join(", "))
        })
    }
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            labels: BTreeMap::new(),
            orchestration: OrchestrationConfig::default(),
            raft: RaftConfig::default(),
            dispatcher: DispatcherConfig::default(),
            ca: CaConfig::default(),
            encryption: EncryptionConfig::default(),
            swarmw: None,
        }
    }
}

impl Default for AddressPools {
    /// Docker's: 10.0.0.0/8 in subnets of 24 bits.
    fn default() -> Self {
        let ten = Ipv4Net::new_assert([10, 0, 0, 0].into(), 8);
        Self { pools: vec![IpNet::V4(ten)], subnet_size: 24 }
    }
}

impl Default for OrchestrationConfig {
    fn default() -> Self {
        Self { task_history_retention_limit: 5 }
    }
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            snapshot_interval: 10_000,
            keep_old_snapshots: 0,
            log_entries_for_slow_followers: 500,
            election_tick: 10,
            heartbeat_tick: 1,
        }
    }
}

impl Default for DispatcherConfig {
    fn default() -> Self {
        Self { heartbeat_period: Duration::from_secs(5) }
    }
}

impl Default for CaConfig {
    fn default() -> Self {
        Self { node_cert_expiry: Duration::from_secs(90 * 24 * 3600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tasks_are_reached_from_is_written_where_it_is_not_the_usual() {
        let json = |options: &ClusterOptions| serde_json::to_string(options).expect("JSON");
        assert_eq!(json(&ClusterOptions::default()), r#"{"HostAccess":[]}"#);
        let from_nodes = ClusterOptions { tasks_from: TasksFrom::Nodes, ..Default::default() };
        assert_eq!(json(&from_nodes), r#"{"HostAccess":[],"TasksFrom":"nodes"}"#);
        for text in ["{}", r#"{"TasksFrom":null}"#, r#"{"TasksFrom":"managers"}"#] {
            let read: ClusterOptions = serde_json::from_str(text).expect("options");
            assert_eq!(read, ClusterOptions::default(), "{text}");
        }
        assert!(serde_json::from_str::<ClusterOptions>(r#"{"TasksFrom":"all"}"#).is_err());
    }

    #[test]
    fn who_may_not_is_told_who_allows_it_and_how() {
        assert_eq!("nodes".parse::<TasksFrom>(), Ok(TasksFrom::Nodes));
        assert_eq!(TasksFrom::Nodes.check(), Ok(()));
        let why = TasksFrom::default().check().expect_err("refused");
        assert_eq!(why.kind, RefusalKind::PermissionDenied);
        assert!(why.message.ends_with("swarmw swarm update --tasks-from nodes"), "{why}");
        assert_eq!(
            "all".parse::<TasksFrom>().unwrap_err(),
            "tasks are reached from no \"all\": managers, nodes exist"
        );
    }
}
