//! The cluster itself: its settings, its certificate authority, its join tokens.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{Base64, ClusterId, Duration, HostAccess, Time, UnlockKey, Version};

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
/// ports of the nodes' own that no service may publish.
pub const FEATURE_LEVEL: u32 = 5;

// === impl ClusterSpec and its parts ===

impl ClusterSpec {
    /// What containers of services may have of their nodes.
    pub fn host_access(&self) -> BTreeSet<HostAccess> {
        self.swarmw.as_ref().map(|options| options.host_access.clone()).unwrap_or_default()
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
