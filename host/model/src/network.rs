//! Networks of the cluster: what an operator asks for, what was allocated, and what
//! tasks and services have on them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{
    AttachmentId, Driver, NetworkId, NodeId, Refusal, ResolutionMode, ServiceId, Time, Version,
};

/// The driver of networks between nodes.
pub const OVERLAY: &str = "overlay";
/// What the driver is called by the engines that it serves.
pub const OVERLAY_DRIVER: &str = "swarmw";

/// The most subnets that a network has: what a node is told of it fits one message, and one
/// network that grows leaves the default pools to the others.
pub const POOLS_MAX: usize = 256;

/// Marks the networks that each node has from the beginning; its value names the driver.
pub const PREDEFINED: &str = "com.docker.swarm.predefined";

/// A network of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: NetworkId,
    /// Index of the last write.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What the operator said.
    pub spec: NetworkSpec,
    /// Its subnets, as allocated: at least one, in the order they were given. A network
    /// that grows gets another one.
    pub pools: Vec<Pool>,
    /// Its VXLAN network identifier; 0 for a network without one (`host`, `bridge`).
    pub vni: u32,
}

/// What an operator says of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSpec {
    /// Unique in the cluster.
    pub name: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `overlay`, or a predefined network of each node; with options.
    pub driver: Driver,
    /// Tasks get an address of IPv6 as well.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// No way out: tasks reach nothing but the network.
    pub internal: bool,
    /// Containers that no service made may join.
    pub attachable: bool,
    /// The one network of the routing mesh.
    pub ingress: bool,
    /// Subnets asked for; none: the cluster's default pools give one.
    pub ipam: Ipam,
}

/// How a network gets its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// `default`, or empty.
    pub driver: String,
    /// Options of the driver.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Subnets.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<IpamConfig>,
}

/// One subnet, in the words of Docker's API: parsed when the network is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    /// `10.1.0.0/16`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// Where tasks' addresses come from: a part of the subnet.
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// The address of the node itself in the network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses that are somebody else's, by name: given to nobody.
    #[serde(
        rename = "AuxiliaryAddresses",
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub auxiliary: BTreeMap<String, String>,
}

/// A subnet of a network, as allocated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pool {
    /// The subnet.
    pub subnet: IpNet,
    /// Where addresses come from: a part of the subnet, or all of it.
    pub range: IpNet,
    /// The address of each node in the network: its tasks' way to the others.
    pub gateway: IpAddr,
    /// Given to nobody.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network that tasks of a service join, as a spec names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAttachmentConfig {
    /// Its id or name; the API stores the id.
    pub target: String,
    /// Further names of the service in this network.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Options for the driver.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
}

/// What a task, or a container that joined, has on one network: an address of each
/// family, with the length of its subnet's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkAttachment {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
}

/// The address of a service on one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualIp {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// With the length of its subnet's prefix.
    pub addr: IpNet,
}

/// A container that no service made, on a network of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attachment {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: AttachmentId,
    /// Index of the last write.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Its node: gone with it.
    #[serde(rename = "NodeID")]
    pub node: NodeId,
    /// Network and addresses.
    pub on: NetworkAttachment,
    /// The engine's id of the container; empty until it has started.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Names that it is found by: the container's, its short id, its aliases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// What a node is told of networks: all of it, or what changed. What does not concern the
/// node's own tasks is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkNews {
    /// This is all; else what it does not mention stays.
    pub complete: bool,
    /// Another part follows at once, which is to be [joined](Self::join) to this one:
    /// nothing is done before the last has come.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more: bool,
    /// The cluster's port for VXLAN; 0: unchanged.
    #[serde(default)]
    pub data_path_port: u16,
    /// Networks with tasks on this node.
    pub networks: Vec<Network>,
    /// No longer.
    pub remove_networks: Vec<NetworkId>,
    /// Nodes, this one included.
    pub peers: Vec<NetworkPeer>,
    /// No longer.
    pub remove_peers: Vec<NodeId>,
    /// Services on these networks.
    pub services: Vec<ServiceOnNetworks>,
    /// No longer.
    pub remove_services: Vec<ServiceId>,
    /// Who has addresses on these networks, here and elsewhere.
    pub endpoints: Vec<NetworkEndpoint>,
    /// No longer.
    pub remove_endpoints: Vec<EndpointId>,
}

/// A node, as others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkPeer {
    /// The node.
    pub node: NodeId,
    /// See [`crate::Node::number`].
    pub number: u16,
    /// Where its VXLAN ends.
    pub address: IpAddr,
    /// For people.
    pub hostname: String,
}

/// A service, as tasks of other services find it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceOnNetworks {
    /// The service.
    pub id: ServiceId,
    /// Its name.
    pub name: String,
    /// Whether its name is its virtual address or those of its tasks.
    pub mode: ResolutionMode,
    /// Its addresses.
    pub virtual_ips: Vec<VirtualIp>,
    /// Further names, by network.
    pub aliases: Vec<(NetworkId, Vec<String>)>,
}

/// Who has addresses on networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndpointId {
    /// A task.
    Task(crate::TaskId),
    /// A container that joined.
    Attachment(AttachmentId),
}

/// A task or a container with addresses on networks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkEndpoint {
    /// Who.
    pub id: EndpointId,
    /// The task's service.
    pub service: Option<ServiceId>,
    /// Names of its own: the task's, or the container's and its aliases.
    pub names: Vec<String>,
    /// Where it is.
    pub node: NodeId,
    /// What it has on the networks that concern the node.
    pub on: Vec<NetworkAttachment>,
    /// It is found by its service's name: it runs, is healthy, and is not told to stop.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serves: bool,
}

// === impl Network ===

impl Network {
    /// Whether its tasks are joined by swarmw, and not by a network that each node has.
    pub fn is_overlay(&self) -> bool {
        self.spec.driver.name == OVERLAY
    }

    /// Whether each node has it from the beginning.
    pub fn is_predefined(&self) -> bool {
        self.spec.labels.contains_key(PREDEFINED)
    }

    /// The greatest packet of the machines' own network, where the operator says it.
    pub fn underlay_mtu(&self) -> Option<u32> {
        // What was stored before it was read may be anything.
        crate::validate::mtu(&self.spec).ok().flatten()
    }

    /// The pool of an address.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.contains(&address))
    }
}

// === impl NetworkSpec ===

impl NetworkSpec {
    /// Refuses what no network of a cluster can be; see [`crate::validate::network`].
    ///
    /// # Errors
    /// What is wrong, in Swarm's words where it has some.
    pub fn validate(&self) -> Result<(), Refusal> {
        crate::validate::network(self)
    }

    /// The subnets that it names, in its order.
    ///
    /// # Errors
    /// One of them is none.
    pub fn pools(&self) -> Result<Vec<Pool>, Refusal> {
        crate::validate::pools(self)
    }
}

// === impl NetworkNews ===

impl NetworkNews {
    /// Takes in the part that follows.
    pub fn join(&mut self, next: Self) {
        self.more = next.more;
        self.networks.extend(next.networks);
        self.remove_networks.extend(next.remove_networks);
        self.peers.extend(next.peers);
        self.remove_peers.extend(next.remove_peers);
        self.services.extend(next.services);
        self.remove_services.extend(next.remove_services);
        self.endpoints.extend(next.endpoints);
        self.remove_endpoints.extend(next.remove_endpoints);
    }
}

// === impl Pool ===

impl Pool {
    /// All of a subnet, with its first address as the gateway; `None` where there is no
    /// room for a task.
    pub fn of(subnet: IpNet) -> Option<Self> {
        let gateway = subnet.hosts().find(|host| *host != subnet.network())?;
        let pool = Self { subnet, range: subnet, gateway, auxiliary: BTreeMap::new() };
        (subnet.prefix_len() <= subnet.max_prefix_len() - 2).then_some(pool)
    }

    /// Whether an address is one that is given to a task, a service or a container when
    /// none is asked for.
    pub fn gives(&self, address: IpAddr) -> bool {
        self.range.contains(&address) && self.may_give(address)
    }

    /// Whether an address may be given to somebody who asks for it.
    pub fn may_give(&self, address: IpAddr) -> bool {
        self.subnet.contains(&address)
            && address != self.gateway
            && address != self.subnet.network()
            && (address.is_ipv6() || address != self.subnet.broadcast())
            && self.auxiliary.values().all(|taken| *taken != address)
    }
}
