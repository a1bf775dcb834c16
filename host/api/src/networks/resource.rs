//! A network of the cluster in Docker's two shapes: `NetworkResource` of `/networks`, and
//! what stands in a task.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use swarmw_model::{
    Network, NetworkAttachment, NetworkId, NetworkNews, NodeId, OVERLAY, Pool, ResolutionMode,
    Service, Task, TaskState,
};
use swarmw_state::State as Cluster;

use crate::tasks;

/// The option by which Docker tells a network's VXLAN identifiers.
const VXLANS: &str = "com.docker.network.driver.overlay.vxlanid_list";
/// Characters of a node's id among the peers.
const PEER_NAME: usize = 12;
/// What Docker writes for an address that there is not.
const NO_ADDRESS: &str = "<nil>";

/// Docker's `NetworkResource`, its fields in Docker's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) created: String,
    pub(super) scope: String,
    pub(super) driver: String,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    pub(super) ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<Peer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<BTreeMap<String, OnNetwork>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    driver: String,
    options: Option<BTreeMap<String, String>>,
    config: Vec<Subnet>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Subnet {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    ip_range: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    gateway: String,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigFrom {
    network: String,
}

/// A container of this node, as its engine has it on the shadow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

/// A node that the network reaches to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Peer {
    name: String,
    #[serde(rename = "IP")]
    ip: String,
}

/// A service on the network; the one without a name is of the containers that no service
/// made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OnNetwork {
    #[serde(rename = "VIP")]
    vip: String,
    ports: Vec<String>,
    /// Docker's mark of the service in its load balancer, of which there is none here.
    #[serde(rename = "LocalLBIndex")]
    local_lb_index: u32,
    tasks: Vec<OfService>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OfService {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    #[serde(rename = "EndpointIP")]
    endpoint_ip: String,
    info: BTreeMap<String, String>,
}

// === impl Resource ===

impl Resource {
    /// A network as all its users see it.
    pub(super) fn of(network: &Network) -> Self {
        let spec = &network.spec;
        Self {
            name: spec.name.clone(),
            id: network.id.to_string(),
            created: network.created_at.to_string(),
            scope: "swarm".to_owned(),
            driver: spec.driver.name.clone(),
            enable_ipv4: true,
            enable_ipv6: spec.enable_ipv6,
            ipam: Ipam {
                driver: "default".to_owned(),
                options: (!spec.ipam.options.is_empty()).then(|| spec.ipam.options.clone()),
                config: network.pools.iter().map(Subnet::of).collect(),
            },
            internal: spec.internal,
            attachable: spec.attachable,
            ingress: spec.ingress,
            options: options(network),
            labels: spec.labels.clone(),
            ..Self::default()
        }
    }

    /// The same with its services and nodes.
    pub(super) fn verbose(state: &Cluster, network: &Network) -> Self {
        let mut nodes = BTreeSet::new();
        let mut shown_services = BTreeMap::new();
        for service in services(state, network) {
            let tasks: Vec<_> = state
                .tasks_of_service(service.id)
                .filter(|task| task.status.state == TaskState::Running)
                .filter_map(|task| Some((task, on(&task.attachments, network.id)?)))
                .collect();
            nodes.extend(tasks.iter().filter_map(|(task, _)| task.node_id));
            let shown = OnNetwork::of(state, service, vip(service, network.id), &tasks);
            shown_services.insert(service.spec.name.clone(), shown);
        }
        let alone = containers(state, network.id, &mut nodes);
        if !alone.is_empty() {
            let shown = OnNetwork { vip: NO_ADDRESS.into(), tasks: alone, ..OnNetwork::default() };
            shown_services.insert(String::new(), shown);
        }
        let peers = nodes.into_iter().map(|node| Peer::of(node, address_of(state, node)));
        Self { peers: Some(peers.collect()), services: Some(shown_services), ..Self::of(network) }
    }

    /// A network as a node knows it that somebody of it is on, with the nodes that it
    /// reaches to. Of the routing mesh, which is on every node, none is told.
    pub(super) fn heard(network: &Network, news: &NetworkNews) -> Self {
        let is_on = |node: NodeId| {
            let mut there = news.endpoints.iter().filter(|endpoint| endpoint.node == node);
            there.any(|endpoint| on(&endpoint.on, network.id).is_some())
        };
        let peers = || {
            let peers = news.peers.iter().filter(|peer| is_on(peer.node));
            peers.map(|peer| Peer::of(peer.node, peer.address.to_string())).collect::<Vec<_>>()
        };
        Self { peers: (!network.spec.ingress).then(peers), ..Self::of(network) }
    }

    /// Turns what an engine says of a shadow into what it stands for, as far as that can
    /// be told: the engine knows none of its subnets.
    pub(super) fn stand_for(&mut self, id: &str, option: &str) {
        // Where the engine has a network of its own of this name.
        if let Some(name) = self.name.strip_suffix(&format!(".{id}")) {
            self.name = name.to_owned();
        }
        id.clone_into(&mut self.id);
        self.scope = "swarm".to_owned();
        self.driver = OVERLAY.to_owned();
        self.enable_ipv4 = true;
        self.ipam = Ipam { driver: "default".to_owned(), ..Ipam::default() };
        self.options.remove(option);
        self.labels.remove(option);
    }

    /// Whether it is one that swarmw joins tasks to, and not one that each node has.
    pub(super) fn is_overlay(&self) -> bool {
        self.driver == OVERLAY
    }

    /// Whether a reference may name it.
    pub(super) fn answers_to(&self, reference: &str) -> bool {
        !reference.is_empty() && (self.name == reference || self.id.starts_with(reference))
    }
}

fn options(network: &Network) -> BTreeMap<String, String> {
    let mut options = network.spec.driver.options.clone();
    if network.vni != 0 {
        options.insert(VXLANS.to_owned(), network.vni.to_string());
    }
    options
}

/// What somebody has on one network.
fn on(all: &[NetworkAttachment], network: NetworkId) -> Option<&NetworkAttachment> {
    all.iter().find(|attachment| attachment.network == network)
}

/// The address that Docker would show: of IPv4, where there is one.
fn first(addresses: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied()
}

/// The services on a network; on that of the routing mesh those that have an address there.
fn services<'s>(state: &'s Cluster, network: &Network) -> Vec<&'s Arc<Service>> {
    match network.spec.ingress {
        false => state.services_of_network(network.id).collect(),
        true => state.services().filter(|service| vip(service, network.id).is_some()).collect(),
    }
}

fn vip(service: &Service, network: NetworkId) -> Option<IpAddr> {
    let virtual_ips = service.endpoint.virtual_ips.iter();
    first(virtual_ips.filter(|vip| vip.network == network).map(|vip| vip.addr.addr()))
}

fn address_of(state: &Cluster, node: NodeId) -> String {
    let Some(node) = state.node(node) else { return String::new() };
    match node.description.data_path_address.as_str() {
        "" => node.status.addr.clone(),
        address => address.to_owned(),
    }
}

/// Containers that no service made.
fn containers(state: &Cluster, network: NetworkId, nodes: &mut BTreeSet<NodeId>) -> Vec<OfService> {
    let mut alone = Vec::new();
    for attachment in state.attachments().filter(|a| a.on.network == network) {
        nodes.insert(attachment.node);
        alone.push(OfService::of(
            attachment.names.first().unwrap_or(&attachment.container).clone(),
            attachment.id.to_string(),
            &attachment.on,
            address_of(state, attachment.node),
        ));
    }
    alone
}

// === impl Subnet ===

impl Subnet {
    fn of(pool: &Pool) -> Self {
        let range = (pool.range != pool.subnet).then(|| pool.range.to_string());
        let auxiliary = pool.auxiliary.iter().map(|(name, ip)| (name.clone(), ip.to_string()));
        Self {
            subnet: pool.subnet.to_string(),
            ip_range: range.unwrap_or_default(),
            gateway: pool.gateway.to_string(),
            auxiliary: auxiliary.collect(),
        }
    }
}

// === impl Peer ===

impl Peer {
    fn of(node: NodeId, ip: String) -> Self {
        Self { name: node.to_string()[..PEER_NAME].to_owned(), ip }
    }
}

// === impl OnNetwork ===

impl OnNetwork {
    fn of(
        state: &Cluster,
        service: &Service,
        vip: Option<IpAddr>,
        tasks: &[(&Arc<Task>, &NetworkAttachment)],
    ) -> Self {
        let vip_mode = service.endpoint.spec.mode == ResolutionMode::Vip;
        let ports =
            service.endpoint.ports.iter().map(|port| {
                format!("Target: {}, Publish: {}", port.target_port, port.published_port)
            });
        Self {
            vip: match vip.filter(|_| vip_mode) {
                Some(vip) => vip.to_string(),
                None => NO_ADDRESS.to_owned(),
            },
            ports: ports.collect(),
            local_lb_index: 0,
            tasks: tasks
                .iter()
                .map(|(task, attachment)| {
                    let host = task.node_id.map(|node| address_of(state, node));
                    let (name, id) = (tasks::name(task), task.id.to_string());
                    OfService::of(name, id, attachment, host.unwrap_or_default())
                })
                .collect(),
        }
    }
}

// === impl OfService ===

impl OfService {
    fn of(name: String, endpoint_id: String, on: &NetworkAttachment, host: String) -> Self {
        let address = first(on.addresses.iter().map(|net| net.addr()));
        Self {
            name,
            endpoint_id,
            endpoint_ip: address.map(|ip| ip.to_string()).unwrap_or_default(),
            info: [("Host IP".to_owned(), host)].into(),
        }
    }
}

/// A network that a task is on, as Swarm's tasks show it.
pub(crate) fn in_a_task(state: &Cluster, network: NetworkId) -> Value {
    match state.any_network(network) {
        Some(network) => whole(network),
        // It went after the task had ended.
        None => json!({"ID": network}),
    }
}

fn whole(network: &Network) -> Value {
    let spec = &network.spec;
    let driver = |options: &BTreeMap<String, String>| {
        let mut driver = json!({"Name": spec.driver.name});
        if !options.is_empty() {
            driver["Options"] = json!(options);
        }
        driver
    };
    let asked: Vec<Value> = spec
        .ipam
        .config
        .iter()
        .map(|config| subnet(&config.subnet, &config.ip_range, &config.gateway))
        .collect();
    let given: Vec<Value> = network
        .pools
        .iter()
        .map(Subnet::of)
        .map(|pool| subnet(&pool.subnet, &pool.ip_range, &pool.gateway))
        .collect();
    let mut shown_spec = json!({
        "Name": spec.name,
        "Labels": spec.labels,
        "DriverConfiguration": driver(&spec.driver.options),
        "IPAMOptions": {"Driver": {"Name": "default"}, "Configs": asked},
        "Scope": "swarm",
    });
    for (field, on) in [
        ("IPv6Enabled", spec.enable_ipv6),
        ("Internal", spec.internal),
        ("Attachable", spec.attachable),
        ("Ingress", spec.ingress),
    ] {
        if on {
            shown_spec[field] = json!(true);
        }
    }
    json!({
        "ID": network.id,
        "Version": network.version,
        "CreatedAt": network.created_at,
        "UpdatedAt": network.updated_at,
        "Spec": shown_spec,
        "DriverState": driver(&options(network)),
        "IPAMOptions": {"Driver": {"Name": "default"}, "Configs": given},
    })
}

fn subnet(subnet: &str, range: &str, gateway: &str) -> Value {
    let parts = [("Subnet", subnet), ("Range", range), ("Gateway", gateway)];
    let said = parts.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(field, text)| (field.to_owned(), json!(text))).collect()
}
