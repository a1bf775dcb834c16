//! What Compose files say, once they are read, merged and filled in. Absent texts are
//! empty, as in Docker's own model of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value as Json;
pub(crate) use swarmw_model::Duration;
use swarmw_model::PortConfig;

use crate::trouble::Position;

/// Keys `x-…`.
pub(crate) type Extras = BTreeMap<String, Json>;

/// All files of a stack as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    /// `name:`; only current files have it.
    pub(crate) name: String,
    /// `version:`; empty where no file has it.
    pub(crate) version: String,
    /// By name.
    pub(crate) services: BTreeMap<String, Service>,
    /// By name.
    pub(crate) networks: BTreeMap<String, Network>,
    /// By name.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// By name.
    pub(crate) secrets: BTreeMap<String, FileObject>,
    /// By name.
    pub(crate) configs: BTreeMap<String, FileObject>,
    /// Where each model is that the files describe, by its name.
    pub(crate) models: BTreeMap<String, Position>,
    /// The user's own keys.
    pub(crate) extras: Extras,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Service {
    pub at: Position,
    pub name: String,
    pub build: Option<Json>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cgroupns_mode: String,
    pub cgroup_parent: String,
    pub command: Vec<String>,
    pub configs: Vec<FileReference>,
    pub container_name: String,
    pub credential_spec: CredentialSpec,
    pub depends_on: BTreeMap<String, Dependency>,
    pub deploy: Deploy,
    pub devices: Vec<String>,
    pub dns: Vec<String>,
    pub dns_opt: Vec<String>,
    pub dns_search: Vec<String>,
    pub domain_name: String,
    pub entrypoint: Vec<String>,
    pub environment: BTreeMap<String, Option<String>>,
    pub env_file: Vec<String>,
    pub expose: Vec<String>,
    pub external_links: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub group_add: Vec<String>,
    pub hostname: String,
    pub health_check: Option<HealthCheck>,
    pub image: String,
    pub init: Option<bool>,
    pub ipc: String,
    pub isolation: String,
    pub labels: BTreeMap<String, String>,
    pub links: Vec<String>,
    pub logging: Option<Logging>,
    pub mac_address: String,
    /// Where it asks for what it cannot have here, and why not.
    pub impossible: Vec<(Position, &'static str)>,
    pub network_mode: String,
    pub networks: BTreeMap<String, Option<ServiceNetwork>>,
    pub oom_score_adj: i64,
    pub pid: String,
    pub platform: String,
    pub ports: Vec<Port>,
    pub privileged: bool,
    pub profiles: Vec<String>,
    pub read_only: bool,
    pub restart: String,
    pub secrets: Vec<FileReference>,
    pub security_opt: Vec<String>,
    pub shm_size: String,
    pub stdin_open: bool,
    pub stop_grace_period: Option<Duration>,
    pub stop_signal: String,
    pub sysctls: BTreeMap<String, String>,
    pub tmpfs: Vec<String>,
    pub tty: bool,
    pub ulimits: BTreeMap<String, Limits>,
    pub user: String,
    pub userns_mode: String,
    pub volumes: Vec<Mount>,
    pub working_dir: String,
    /// Keys that a cluster has no use for and that are kept for `stack config`.
    pub unused: Extras,
    pub extras: Extras,
}

/// A service that is to be there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What must be true of it.
    pub condition: Condition,
    /// It may be missing.
    pub required: bool,
    /// The file says the condition.
    pub is_long: bool,
}

/// What must be true of a service before one that depends on it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// It runs.
    #[default]
    Started,
    /// It runs, and its health check says that it is well.
    Healthy,
    /// Its tasks have ended without error.
    Completed,
}

/// `deploy:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Deploy {
    pub mode: String,
    pub replicas: Option<u64>,
    pub labels: BTreeMap<String, String>,
    pub update_config: Option<Rollout>,
    pub rollback_config: Option<Rollout>,
    pub limits: Option<Resources>,
    pub reservations: Option<Resources>,
    /// Where it reserves devices.
    pub devices: Option<Position>,
    pub restart_policy: Option<Restart>,
    pub constraints: Vec<String>,
    pub preferences: Vec<String>,
    pub max_replicas_per_node: u64,
    pub endpoint_mode: String,
}

/// `update_config:` and `rollback_config:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rollout {
    pub parallelism: Option<u64>,
    pub delay: Duration,
    pub failure_action: String,
    pub monitor: Duration,
    pub max_failure_ratio: f64,
    pub order: String,
}

/// `limits:` and `reservations:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Resources {
    /// As written.
    pub cpus: String,
    /// Bytes; 0 for none.
    pub memory: i64,
    /// Of limits alone; 0 for none.
    pub pids: i64,
    /// Of reservations alone: kinds and how many of each.
    pub generic: Vec<(String, i64)>,
}

/// `restart_policy:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Restart {
    pub condition: String,
    pub delay: Option<Duration>,
    pub max_attempts: Option<u64>,
    pub window: Option<Duration>,
}

/// `healthcheck:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HealthCheck {
    pub test: Vec<String>,
    pub timeout: Option<Duration>,
    pub interval: Option<Duration>,
    pub retries: Option<u64>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub disable: bool,
}

/// `logging:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Logging {
    pub driver: String,
    pub options: BTreeMap<String, String>,
}

/// `credential_spec:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CredentialSpec {
    pub config: String,
    pub file: String,
    pub registry: String,
}

/// A limit of `ulimits:`
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// One number for both.
    pub single: Option<i64>,
    /// The soft limit.
    pub soft: i64,
    /// The hard limit.
    pub hard: i64,
}

/// A network that a service joins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceNetwork {
    pub aliases: Vec<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub ipv4_address: String,
    pub ipv6_address: String,
}

/// A port of a service. In the long form what is not said stays so.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Port {
    /// Both numbers; the rest only where the file says it.
    pub config: PortConfig,
    /// `ingress`, `host`, or empty.
    pub mode: String,
    /// `tcp`, `udp`, `sctp`, or empty.
    pub protocol: String,
}

/// A secret or config that a service gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileReference {
    pub at: Position,
    pub source: String,
    pub target: String,
    pub uid: String,
    pub gid: String,
    pub mode: Option<u32>,
}

/// A mount of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mount {
    pub at: Position,
    pub kind: String,
    pub source: String,
    pub target: String,
    pub read_only: bool,
    pub consistency: String,
    pub bind: Option<BindOptions>,
    pub volume: Option<VolumeOptions>,
    pub tmpfs: Option<TmpfsOptions>,
    /// Options of other kinds of mounts, by the word of the kind.
    pub other: Extras,
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BindOptions {
    pub propagation: String,
    pub create_host_path: Option<bool>,
    pub recursive: String,
}

/// Options of a volume's mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VolumeOptions {
    pub no_copy: bool,
    pub subpath: String,
    pub labels: BTreeMap<String, String>,
}

/// Options of a file system in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TmpfsOptions {
    pub size: i64,
    pub mode: u32,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Network {
    pub at: Position,
    pub name: String,
    pub driver: String,
    pub driver_opts: BTreeMap<String, String>,
    pub ipam: Ipam,
    pub external: bool,
    pub internal: bool,
    pub attachable: bool,
    pub enable_ipv4: Option<bool>,
    pub enable_ipv6: Option<bool>,
    pub labels: BTreeMap<String, String>,
    pub extras: Extras,
}

/// `ipam:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ipam {
    pub driver: String,
    pub config: Vec<Subnet>,
    pub options: BTreeMap<String, String>,
}

/// One of `ipam.config:`
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subnet {
    pub subnet: String,
    pub ip_range: String,
    pub gateway: String,
    pub aux_addresses: BTreeMap<String, String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Volume {
    pub at: Position,
    pub name: String,
    pub driver: String,
    pub driver_opts: BTreeMap<String, String>,
    pub external: bool,
    pub labels: BTreeMap<String, String>,
    pub extras: Extras,
}

/// A secret or a config.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileObject {
    pub at: Position,
    pub name: String,
    /// Where its bytes come from; `None` for external ones and those of a driver.
    pub content: Option<Content>,
    pub external: bool,
    pub labels: BTreeMap<String, String>,
    pub driver: String,
    pub driver_opts: BTreeMap<String, String>,
    pub template_driver: String,
    pub extras: Extras,
}

/// Where the bytes of a secret or config come from.
#[derive(Clone, PartialEq)]
pub(crate) enum Content {
    /// A file.
    File(PathBuf),
    /// A variable of the client's, and its value.
    Environment(String, String),
    /// The file itself.
    Inline(String),
}

// === impl Condition ===

impl Condition {
    /// As the files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }
}

// === impl Content ===

/// Shows no value: it may be a secret.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(name, _) => f.debug_tuple("Environment").field(name).finish(),
            Self::Inline(text) => write!(f, "Inline(<{} bytes>)", text.len()),
        }
    }
}
