//! What the daemon answers, as far as a command reads it. Fields that are absent
//! have their defaults, so other daemons of the same API can be read too.

use serde::{Deserialize, Serialize};
use swarmw_model::{
    ClusterSpec, Endpoint, JobStatus, JoinTokens, ManagerStatus, NodeDescription, NodeSpec,
    NodeStatus, Platform, ServiceSpec, TaskSpec, TaskState, TaskStatus, Time, TlsInfo,
    UpdateStatus, Version,
};

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Node {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) version: Version,
    pub(crate) created_at: Time,
    pub(crate) spec: NodeSpec,
    pub(crate) description: NodeDescription,
    pub(crate) status: NodeStatus,
    pub(crate) manager_status: Option<ManagerStatus>,
}

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Service {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) version: Version,
    pub(crate) spec: ServiceSpec,
    pub(crate) endpoint: Endpoint,
    pub(crate) update_status: Option<UpdateStatus>,
    pub(crate) job_status: Option<JobStatus>,
    pub(crate) service_status: Option<ServiceStatus>,
}

/// How many tasks of a service run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ServiceStatus {
    pub(crate) running_tasks: u64,
    pub(crate) desired_tasks: u64,
    pub(crate) completed_tasks: u64,
}

/// A task.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Task {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) created_at: Time,
    pub(crate) spec: TaskSpec,
    #[serde(rename = "ServiceID")]
    pub(crate) service_id: String,
    pub(crate) slot: u64,
    #[serde(rename = "NodeID")]
    pub(crate) node_id: String,
    pub(crate) status: TaskStatus,
    pub(crate) desired_state: TaskState,
    pub(crate) job_iteration: Option<Version>,
}

/// The cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Swarm {
    pub(crate) version: Version,
    pub(crate) spec: ClusterSpec,
    pub(crate) join_tokens: JoinTokens,
}

/// What unlocks managers; empty where they do not lock themselves.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UnlockKey {
    pub(crate) unlock_key: String,
}

/// What a node says of its daemon.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Info {
    pub(crate) swarm: SwarmInfo,
}

/// The node's part in a cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SwarmInfo {
    #[serde(rename = "NodeID")]
    pub(crate) node_id: String,
    pub(crate) local_node_state: String,
    pub(crate) control_available: bool,
    pub(crate) cluster: Option<ClusterInfo>,
}

/// The cluster as `/info` shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ClusterInfo {
    #[serde(rename = "TLSInfo")]
    pub(crate) tls_info: TlsInfo,
}

/// A service was created.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Created {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) warnings: Option<Vec<String>>,
}

/// A service was updated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Updated {
    pub(crate) warnings: Option<Vec<String>>,
}

/// What a registry says of an image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Distribution {
    pub(crate) descriptor: Descriptor,
    pub(crate) platforms: Option<Vec<DistributionPlatform>>,
}

/// An image's digest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Descriptor {
    pub(crate) digest: String,
}

/// A platform as OCI writes it, in lower case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DistributionPlatform {
    pub(crate) architecture: String,
    pub(crate) os: String,
}

/// A blob was stored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct StoredBlob {
    pub(crate) digest: String,
}

/// What `swarm init` posts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InitRequest {
    pub(crate) listen_addr: String,
    pub(crate) advertise_addr: String,
    pub(crate) data_path_addr: String,
    pub(crate) data_path_port: u32,
    pub(crate) default_addr_pool: Vec<ipnet::IpNet>,
    pub(crate) subnet_size: u32,
    pub(crate) availability: String,
    pub(crate) force_new_cluster: bool,
    pub(crate) auto_lock_managers: bool,
    pub(crate) spec: serde_json::Value,
}

/// What `swarm join` posts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JoinRequest {
    pub(crate) listen_addr: String,
    pub(crate) advertise_addr: String,
    pub(crate) data_path_addr: String,
    pub(crate) remote_addrs: Vec<String>,
    pub(crate) join_token: String,
    pub(crate) availability: String,
}

// === impl DistributionPlatform ===

impl From<DistributionPlatform> for Platform {
    /// 32-bit ARM has variants that nodes do not tell apart: any node may try.
    fn from(platform: DistributionPlatform) -> Self {
        let architecture = match platform.architecture.to_lowercase().as_str() {
            "arm" => String::new(),
            _ => platform.architecture,
        };
        Self { architecture, os: platform.os }
    }
}
