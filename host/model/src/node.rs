//! Nodes: what an operator says of them, what they say of themselves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{NodeId, OVERLAY_DRIVER, Platform, Resources, Time, Version};

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Its id, also the common name of its certificate.
    #[serde(rename = "ID")]
    pub id: NodeId,
    /// For optimistic updates.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What the operator says.
    pub spec: NodeSpec,
    /// What the node says of itself.
    pub description: NodeDescription,
    /// What the leader sees.
    pub status: NodeStatus,
    /// The role its certificate proves, which follows `spec.role`.
    #[serde(rename = "ObservedRole")]
    pub role: NodeRole,
    /// Its seat among the managers, if it has one.
    #[serde(rename = "RaftMember", default, skip_serializing_if = "Option::is_none")]
    pub member: Option<RaftMember>,
    /// What its traffic is told by: hardware address, marks, routing tables are made of
    /// it. From 1; no other node has it at the same time. 0 before
    /// [`crate::FEATURE_LEVEL`] 2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub number: u16,
}

/// What the operator says of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeSpec {
    /// A name of the operator's; unused, as in Docker.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels for placement.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// The role wanted.
    pub role: NodeRole,
    /// Whether it takes tasks.
    pub availability: Availability,
}

/// Manager or worker.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Runs tasks.
    #[default]
    Worker,
    /// Holds the state too.
    Manager,
}

/// Whether a node takes tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Yes.
    #[default]
    Active,
    /// No new ones.
    Pause,
    /// None; those it has go elsewhere.
    Drain,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeDescription {
    /// Its host name, or `--node-name`.
    pub hostname: String,
    /// The machine.
    pub platform: Platform,
    /// What there is.
    pub resources: Resources,
    /// The container engine, or swarmw itself where there is none.
    pub engine: EngineDescription,
    /// Of the certificate in use.
    #[serde(rename = "TLSInfo", skip_serializing_if = "Option::is_none")]
    pub tls_info: Option<TlsInfo>,
    /// What its executors run: a task lands only where one of these
    /// [runs](Platform::runs) its image. Not part of Docker's API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Platform>,
    /// Why the node places nothing new for now: its engine is away. Not part of
    /// Docker's API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// Where its agent listens for other nodes: `host:port`. Not part of
    /// Docker's API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_address: String,
    /// Where its VXLAN ends, an IP address; empty: that of [`agent_address`]. Not part of
    /// Docker's API.
    ///
    /// [`agent_address`]: Self::agent_address
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_path_address: String,
    /// The bridge by which its containers are reached has IPv6. Not part of Docker's API.
    #[serde(rename = "GatewayIPv6", skip_serializing_if = "is_default")]
    pub gateway_v6: bool,
    /// Its kernel leads published ports to its tasks, whichever node they are asked of. Not
    /// part of Docker's API.
    #[serde(skip_serializing_if = "is_default")]
    pub kernel_ports: bool,
    /// What its binary can do: see [`crate::FEATURE_LEVEL`]. 1 or absent before there was
    /// another. Not part of Docker's API.
    #[serde(skip_serializing_if = "is_default")]
    pub feature_level: u32,
}

/// The container engine of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineDescription {
    /// Its version.
    pub engine_version: String,
    /// Labels of the daemon.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Plugins of the engine.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<EnginePlugin>,
}

/// The kind of network drivers among an engine's plugins.
pub const NETWORK_PLUGIN: &str = "Network";

/// A plugin of a container engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnginePlugin {
    /// `Volume`, `Network`, `Log`, …; `Network` with the name [`crate::OVERLAY_DRIVER`]:
    /// the node joins containers to overlay networks.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Of the certificate that a node uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TlsInfo {
    /// The root that it trusts, in PEM.
    pub trust_root: String,
    /// DER of the issuer's subject, in base64.
    pub cert_issuer_subject: String,
    /// DER of the issuer's public key, in base64.
    pub cert_issuer_public_key: String,
}

/// What the leader sees of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeStatus {
    /// Where it stands.
    pub state: NodeState,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Where the leader sees it: an IP address.
    pub addr: String,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Not heard of since the leader began to lead.
    #[default]
    Unknown,
    /// Too long silent: its tasks are replaced.
    Down,
    /// Heard of.
    Ready,
    /// Said goodbye.
    Disconnected,
}

/// A manager's seat in Raft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RaftMember {
    /// Never given twice.
    #[serde(rename = "RaftID")]
    pub raft_id: u64,
    /// Where other managers reach it: `host:port`.
    pub addr: String,
}

/// How a manager stands, as the API shows it with its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub struct ManagerStatus {
    /// Whether it leads.
    #[serde(skip_serializing_if = "is_default")]
    pub leader: bool,
    /// Whether the leader hears it.
    pub reachability: Reachability,
    /// Where other managers reach it.
    pub addr: String,
}

/// Whether the leader hears a manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// Not known.
    #[default]
    Unknown,
    /// No.
    Unreachable,
    /// Yes.
    Reachable,
}

// === impl NodeDescription ===

impl NodeDescription {
    /// Whether it joins containers to overlay networks.
    pub fn joins_networks(&self) -> bool {
        self.engine.plugins.iter().any(|p| p.kind == NETWORK_PLUGIN && p.name == OVERLAY_DRIVER)
    }
}

// === impl Node ===

impl Node {
    /// Whether it may be given new tasks.
    pub fn takes_tasks(&self) -> bool {
        self.status.state == NodeState::Ready
            && self.spec.availability == Availability::Active
            && self.description.trouble.is_empty()
    }

    /// What people call it: its host name, or its id as long as it has not said it.
    pub fn called(&self) -> Cow<'_, str> {
        match self.description.hostname.as_str() {
            "" => self.id.to_string().into(),
            name => name.into(),
        }
    }

    /// The value of an attribute by which placement may tell nodes apart, such as
    /// `node.labels.rack` or `engine.version`; `None` where the node has none. The
    /// letter case of names does not count, that of label keys does.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(key) = after_prefix(name, "node.labels.") {
            return self.spec.labels.get(key).map(Into::into);
        }
        if let Some(key) = after_prefix(name, "engine.labels.") {
            return self.description.engine.labels.get(key).map(Into::into);
        }
        let description = &self.description;
        let text = match name.to_ascii_lowercase().as_str() {
            "node.id" => return Some(self.id.to_string().into()),
            "node.hostname" => description.hostname.as_str(),
            "node.role" => self.role.as_str(),
            "node.ip" => self.status.addr.as_str(),
            "node.platform.os" => description.platform.os.as_str(),
            "node.platform.arch" => description.platform.architecture.as_str(),
            "engine.version" => description.engine.engine_version.as_str(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text.into())
    }
}

/// What follows a prefix, whose letter case does not count.
fn after_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &name[prefix.len()..])
}

macro_rules! words {
    ($($type:ident { $($variant:ident => $word:literal),* $(,)? })*) => {$(
        impl $type {
            /// The word in the API, in lower case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

words! {
    NodeRole { Worker => "worker", Manager => "manager" }
    Availability { Active => "active", Pause => "pause", Drain => "drain" }
    NodeState { Unknown => "unknown", Down => "down", Ready => "ready", Disconnected => "disconnected" }
    Reachability { Unknown => "unknown", Unreachable => "unreachable", Reachable => "reachable" }
}
