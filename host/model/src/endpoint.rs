//! Published ports: what a service asks for and what it got.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{NetworkAttachmentConfig, NetworkPeer, NodeId, TaskId, VirtualIp};

/// How clients find a service's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSpec {
    /// One virtual address, or the tasks' own by name.
    pub mode: ResolutionMode,
    /// Ports wanted.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

/// How a service's name resolves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolutionMode {
    /// One virtual address before all tasks.
    #[default]
    Vip,
    /// The addresses of the tasks.
    Dnsrr,
}

/// One published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortConfig {
    /// A label of the user's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Transport.
    pub protocol: PortProtocol,
    /// The port inside the task.
    pub target_port: u16,
    /// The port outside; 0 before one was chosen from 30000–32767.
    #[serde(skip_serializing_if = "is_default")]
    pub published_port: u16,
    /// On every node, or on the task's own.
    pub publish_mode: PublishMode,
}

/// Transport of a published port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Where a published port listens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// On every node, forwarding to any running task.
    #[default]
    Ingress,
    /// On the task's node, straight to the task.
    Host,
}

/// A service's endpoint as the allocator left it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Endpoint {
    /// What was asked.
    pub spec: EndpointSpec,
    /// The ports with their published numbers.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
    /// One address per network of the service, and per family of the network.
    #[serde(
        rename = "VirtualIPs",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub virtual_ips: Vec<VirtualIp>,
    /// Networks that the spec names no more, and the service's tasks are on yet: it keeps
    /// its names and addresses there until the last of them has ended. Not part of Docker's
    /// API.
    #[serde(
        rename = "Leaving",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub leaving: Vec<NetworkAttachmentConfig>,
}

/// A published ingress port and the running tasks that serve it: what each node
/// needs to forward traffic. Not part of Docker's API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Transport.
    pub protocol: PortProtocol,
    /// The port that every node listens on.
    pub published: u16,
    /// The port inside the tasks, but for those that say otherwise.
    pub target: u16,
    /// Tasks that take new connections.
    pub backends: Vec<Backend>,
    /// Tasks that take no new ones and have not ended: connections that they have go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<Backend>,
    /// Tasks see the node that a connection came by as the client: [`IngressSource::Node`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub snat: bool,
}

/// One task behind a published port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// The task.
    pub task: TaskId,
    /// Its node.
    pub node: NodeId,
    /// Where that node's agent listens: `host:port`.
    pub address: String,
    /// The task's address on the network of the routing mesh: kernels lead to it. None: it
    /// is served in user space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ipv4Addr>,
    /// The number of its node, see [`crate::Node::number`]; 0: not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub number: u16,
    /// Where that node's VXLAN ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path: Option<IpAddr>,
    /// It is reached by IPv6 as well.
    #[serde(default, skip_serializing_if = "is_default")]
    pub v6: bool,
    /// The port inside this task, if it was made when that was another; 0: the port's own,
    /// see [`PublishedPort::target_of`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub target: u16,
}

/// What a node's kernel needs for published ports beside the list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// The VXLAN network identifier of the routing mesh.
    pub vni: u32,
    /// The cluster's port for VXLAN.
    pub data_path_port: u16,
    /// What the node itself is to the others; none as long as it has no number, or no
    /// address is known.
    pub own: Option<NetworkPeer>,
    /// Tasks that have not ended, of services that are gone or publish no ports any more:
    /// connections that they have go on. At most [`Ingress::LEAVING_MAX`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<Backend>,
}

/// Whom tasks see as the client of a connection to a published port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IngressSource {
    /// The client itself.
    #[default]
    Client,
    /// The node that it connected to: for tasks whose answers would not find their way.
    Node,
}

// === impl Ingress ===

impl Ingress {
    /// Connections of tasks beyond so many end when their service goes: a node is told of all
    /// in one message.
    pub const LEAVING_MAX: usize = 5_000;
}

// === impl PublishedPort ===

impl PublishedPort {
    /// The port inside one of its tasks.
    pub fn target_of(&self, backend: &Backend) -> u16 {
        if backend.target == 0 { self.target } else { backend.target }
    }
}

// === impl PortProtocol ===

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

// === impl IngressSource ===

impl fmt::Display for IngressSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Node => "node",
        })
    }
}

// === impl PublishMode ===

impl fmt::Display for PublishMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Host => "host",
        })
    }
}
