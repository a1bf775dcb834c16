//! What a task runs: Docker's container spec.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{is_default, null_as_default};
use crate::{ConfigReference, Duration, Mount, SecretReference};

/// What a task runs. For a Wasm task the same fields hold, as far as a component
/// has a use for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerSpec {
    /// The image, or a Wasm component (see [`crate::ImageReference`]).
    pub image: String,
    /// Labels of the container, not of the service.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Replaces the image's entry point.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments to the entry point.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Host name inside the task.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// `KEY=VALUE`, or `KEY`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dir: String,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Additional groups.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Windows and Linux security settings, kept as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Value>,
    /// Run an init inside the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Signal that asks the task to stop; empty for the image's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// A terminal.
    #[serde(rename = "TTY", skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Standard input stays open.
    #[serde(skip_serializing_if = "is_default")]
    pub open_stdin: bool,
    /// Read-only root file system.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Mounts.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Time from the stop signal to SIGKILL; absent for 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// How to tell whether the task is healthy.
    #[serde(rename = "Healthcheck", skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Lines of the hosts file, `IP HOST`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Name resolution.
    #[serde(rename = "DNSConfig", skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsConfig>,
    /// Secrets given to the task.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretReference>,
    /// Configs given to the task.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<ConfigReference>,
    /// Windows isolation; `default` on Linux.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Kernel settings of the task's namespaces.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities beyond the engine's default.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub capability_add: Vec<String>,
    /// Capabilities taken away.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub capability_drop: Vec<String>,
    /// Resource limits of processes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// −1000 to 1000: who dies first when memory runs out.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_score_adj: i64,
}

/// A health check, as in a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`; empty for the image's.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between checks; 0 inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub interval: Duration,
    /// For one check; 0 inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: Duration,
    /// Start-up time during which failures do not count; 0 inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub start_period: Duration,
    /// Between checks during the start period; 0 inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub start_interval: Duration,
    /// Failures in a row that make a task unhealthy; 0 inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: i64,
}

/// Name resolution inside a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsConfig {
    /// Addresses of resolvers.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Search domains.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// A resource limit of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// The hard limit.
    pub hard: i64,
    /// The soft limit.
    pub soft: i64,
}

/// Swarm's time from the stop signal to SIGKILL.
pub const DEFAULT_STOP_GRACE_PERIOD: Duration = Duration::from_secs(10);
