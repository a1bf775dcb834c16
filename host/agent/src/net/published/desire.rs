//! What the kernel should have of published ports, from what the leader said and what is
//! here. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use imbl::OrdMap;
use ipnet::Ipv4Net;
use swarmw_model::{
    Backend, Ingress, NetworkAttachment, NodeId, PortProtocol, PublishedPort, TaskId,
};
use swarmw_overlay::{DesiredPorts, Local, PublishedEnds, Remote};

use super::super::Known;
use crate::docker::{Bridged, GATEWAY_BRIDGE, OnBridge};

/// What the leader says of published ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// All of them.
    pub(crate) ports: Vec<PublishedPort>,
    /// None: there is no routing mesh, or the leader knows none between kernels.
    pub(crate) ingress: Option<Ingress>,
}

/// What there is on the node itself, and what it knows of others.
pub(in crate::net) struct Here<'a> {
    /// The node.
    pub(in crate::net) node: NodeId,
    /// Nodes, on one that serves: connections come by each. Networks of tasks here.
    pub(in crate::net) known: &'a Known,
    /// Tasks here, and where their containers are on the bridge.
    pub(in crate::net) bridged: &'a Bridged,
    /// Tasks of the node that have ended, whether the leader has heard of it or not.
    pub(in crate::net) ended: &'a BTreeSet<TaskId>,
    /// Ports that another process of the machine has.
    pub(in crate::net) refused: &'a BTreeSet<(PortProtocol, u16)>,
    /// Addresses that are the machine's own: nobody else is led to there.
    pub(in crate::net) taken: &'a [Ipv4Net],
}

/// Nothing, before the leader has said what the node is to the others.
pub(in crate::net) fn desired(listed: &Listed, here: &Here<'_>) -> DesiredPorts {
    let Some(ingress) = &listed.ingress else { return nothing() };
    let Some(own) = &ingress.own else { return nothing() };
    let mut desired = DesiredPorts {
        node: here.node,
        number: own.number,
        address: own.address,
        port: ingress.data_path_port,
        vni: ingress.vni,
        here: locals(listed, here),
        ..nothing()
    };
    for peer in here.known.peers.values().filter(|peer| peer.node != here.node) {
        desired.peers.insert(peer.number, peer.address);
    }
    for backend in backends(listed).filter(|backend| backend.node != here.node) {
        let Some(address) = backend.data_path.filter(|_| backend.number > 0) else { continue };
        desired.peers.insert(backend.number, address);
        if let Some(task) = backend.ingress.filter(|task| !is_taken(task, here)) {
            let remote = Remote { node: backend.number, v4: true, v6: backend.v6 };
            desired.elsewhere.insert(task, remote);
        }
    }
    desired.nodes = other_addresses(listed, here, &desired);
    for port in &listed.ports {
        // Who has a port keeps it: the daemon itself, for one, or who lets operators in.
        if here.refused.contains(&(port.protocol, port.published)) {
            continue;
        }
        if let Some(ends) = ends(port, here, &desired) {
            desired.ports.insert((port.protocol, port.published), ends);
        }
    }
    desired
}

/// A port as the kernel serves it; none: it is left to user space, as there is somebody whom
/// the kernel does not lead to. It would be unfair to lead to some only. What nobody serves
/// the kernel refuses, whatever the machine's firewall says of its own ports.
fn ends(port: &PublishedPort, here: &Here<'_>, desired: &DesiredPorts) -> Option<PublishedEnds> {
    let has_ended =
        |backend: &Backend| backend.node == here.node && here.ended.contains(&backend.task);
    let serving = port.backends.iter().filter(|backend| !has_ended(backend));
    let reached =
        serving.map(|backend| Some((reached(backend, here, desired)?, port.target_of(backend))));
    let backends: BTreeSet<_> = reached.collect::<Option<_>>()?;
    // There is a listener, for what kernels do not lead to: [::1] for one.
    let user_space = !backends.is_empty();
    Some(PublishedEnds { backends, snat: port.snat, user_space })
}

/// Why the kernel does not serve a port, in a sentence.
pub(super) fn why_in_user_space(
    port: &PublishedPort,
    listed: &Listed,
    here: &Here<'_>,
    desired: &DesiredPorts,
) -> String {
    if listed.ingress.as_ref().is_none_or(|ingress| ingress.own.is_none()) {
        return "the leader has not said what this node is to the others' kernels".to_owned();
    }
    if here.refused.contains(&(port.protocol, port.published)) {
        return "another process of the machine has it, and keeps it".to_owned();
    }
    let has_ended =
        |backend: &Backend| backend.node == here.node && here.ended.contains(&backend.task);
    let mut serving = port.backends.iter().filter(|backend| !has_ended(backend));
    let Some(left) = serving.find(|backend| reached(backend, here, desired).is_none()) else {
        return "no task serves it".to_owned();
    };
    let hostname = here.known.peers.get(&left.node).map(|peer| peer.hostname.clone());
    let node = hostname.filter(|name| !name.is_empty()).unwrap_or_else(|| left.node.to_string());
    let why = if left.ingress.is_none() {
        "no kernel leads to it: a component, on host or bridge, older than the service's ports, \
         made while no address was free on the ingress network, or on a node without root, \
         nftables or engine, with --publish-addr, or behind an address that is translated"
    } else if left.node == here.node {
        "its container has no address on docker_gwbridge that is known"
    } else if let Some(task) = left.ingress.filter(|task| is_taken(task, here)) {
        return format!(
            "of task {} on {node}: {task} is an address of this machine itself",
            left.task
        );
    } else if left.number == 0 || !desired.peers.contains_key(&left.number) {
        "the address of its node's data path is not known"
    } else {
        "the address of its node's data path is of another family than this node's"
    };
    format!("of task {} on {node}: {why}", left.task)
}

/// Whether a task's address is the machine's own. The kernel keeps what is for the machine.
fn is_taken(task: &Ipv4Addr, here: &Here<'_>) -> bool {
    here.taken.iter().any(|net| net.contains(task))
}

/// A task's ingress address, if the kernel leads there.
fn reached(backend: &Backend, here: &Here<'_>, desired: &DesiredPorts) -> Option<Ipv4Addr> {
    let task = backend.ingress?;
    let leads = match backend.node == here.node {
        true => desired.here.get(&task).is_some_and(|on| on.v4.is_some() || on.v6.is_some()),
        false => {
            desired.elsewhere.get(&task)?;
            let peer = desired.peers.get(&backend.number).filter(|_| backend.number > 0);
            peer.is_some_and(|address| address.is_ipv4() == desired.address.is_ipv4())
        }
    };
    leads.then_some(task)
}

/// Ingress addresses of tasks here: by their own attachments, as other nodes may hear of a
/// task before this one does that it serves; and by the list.
fn locals(listed: &Listed, here: &Here<'_>) -> BTreeMap<Ipv4Addr, Local> {
    let alive = here.bridged.iter().filter(|(task, _)| !here.ended.contains(task));
    let attached = alive.filter_map(|(_, on): (_, &OnBridge)| {
        let mut attachments = on.attachments.iter();
        Some((attachments.find_map(|on| on_mesh(on, here.known))?, on.local))
    });
    let own = backends(listed).filter(|backend| backend.node == here.node);
    let told = own
        .filter(|backend| !here.ended.contains(&backend.task))
        .filter_map(|backend| Some((backend.ingress?, here.bridged.get(&backend.task)?.local)));
    attached.chain(told).collect()
}

fn on_mesh(on: &NetworkAttachment, known: &Known) -> Option<Ipv4Addr> {
    known.networks.get(&on.network).filter(|network| network.spec.ingress)?;
    on.addresses.iter().find_map(|net| match net.addr() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// Where nodes' agents are, where that is not where their VXLAN ends: a node that is a client
/// has either address.
fn other_addresses(
    listed: &Listed,
    here: &Here<'_>,
    desired: &DesiredPorts,
) -> BTreeMap<IpAddr, u16> {
    let others = backends(listed).filter(|backend| backend.node != here.node);
    let agents = others.filter_map(|backend| {
        let agent: SocketAddr = backend.address.parse().ok()?;
        Some((agent.ip(), backend.number))
    });
    agents
        .filter(|(agent, number)| desired.peers.get(number).is_some_and(|end| end != agent))
        .collect()
}

/// All tasks that have connections by published ports.
fn backends(listed: &Listed) -> impl Iterator<Item = &Backend> {
    let of_ports = listed.ports.iter().flat_map(|port| port.backends.iter().chain(&port.leaving));
    of_ports.chain(listed.ingress.iter().flat_map(|ingress| &ingress.leaving))
}

fn nothing() -> DesiredPorts {
    DesiredPorts {
        node: NodeId::default(),
        number: 0,
        address: Ipv4Addr::UNSPECIFIED.into(),
        port: 0,
        vni: 0,
        bridge: GATEWAY_BRIDGE.to_owned(),
        peers: BTreeMap::new(),
        nodes: BTreeMap::new(),
        here: BTreeMap::new(),
        elsewhere: OrdMap::new(),
        ports: OrdMap::new(),
    }
}

#[cfg(test)]
mod tests;
