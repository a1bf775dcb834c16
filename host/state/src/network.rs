//! The tables of networks and of containers that joined one, with who has which address.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use imbl::{HashMap, OrdSet};
use ipnet::IpNet;
use swarmw_model::{
    Attachment, AttachmentId, Network, NetworkId, NodeId, Refusal, RefusalKind, ResolutionMode,
    Service, ServiceId, ServiceSpec, Task, TaskId,
};

use crate::State;

/// Identifiers of VXLAN networks, as Swarm's: the first…
pub const VNI_FIRST: u32 = 4_096;
/// …and the last.
pub const VNI_LAST: u32 = (1 << 24) - 1;
/// The most containers of one node that join networks by themselves.
pub const ATTACHMENTS_OF_NODE_MAX: usize = 4_096;

/// Who has an address on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A service: a virtual address.
    Service(ServiceId),
    /// A task that has not ended.
    Task(TaskId),
    /// A container that no service made.
    Attachment(AttachmentId),
}

// === impl State ===

impl State {
    /// A network.
    pub fn network(&self, id: NetworkId) -> Option<&Arc<Network>> {
        self.networks.get(&id)
    }

    /// All networks by id.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// A network; also one that was removed while tasks on it were on their way to end.
    pub fn any_network(&self, id: NetworkId) -> Option<&Arc<Network>> {
        self.networks.get(&id).or_else(|| self.going.get(&id))
    }

    /// All networks that have subnets: also those that were removed while tasks on them
    /// were on their way to end.
    pub fn networks_with_subnets(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values().chain(self.going.values())
    }

    /// A network by its name, whatever the letter case.
    pub fn network_named(&self, name: &str) -> Option<&Arc<Network>> {
        self.networks.get(self.network_names.get(&name.to_lowercase())?)
    }

    /// The network of the routing mesh.
    pub fn ingress(&self) -> Option<NetworkId> {
        self.networks.values().find(|network| network.spec.ingress).map(|network| network.id)
    }

    /// Whether a network is that of the routing mesh, or was until it was removed.
    pub fn is_ingress(&self, id: NetworkId) -> bool {
        self.any_network(id).is_some_and(|network| network.spec.ingress)
    }

    /// The network that has a VXLAN identifier.
    pub fn vni_holder(&self, vni: u32) -> Option<NetworkId> {
        self.vnis.get(&vni).copied()
    }

    /// VXLAN identifiers in use, in order.
    pub fn vnis(&self) -> impl Iterator<Item = u32> {
        self.vnis.keys().copied()
    }

    /// Who has an address.
    pub fn address_holder(&self, network: NetworkId, address: IpAddr) -> Option<Holder> {
        self.addresses.get(&(network, address)).copied()
    }

    /// The addresses in use on a network, and who has them.
    pub fn addresses(&self, network: NetworkId) -> impl Iterator<Item = (IpAddr, Holder)> {
        let from = (network, IpAddr::from([0; 4]));
        let to = (network, IpAddr::from([u8::MAX; 16]));
        self.addresses.range(from..=to).map(|((_, address), holder)| (*address, *holder))
    }

    /// How many addresses are in use of the range of a network's subnet.
    pub fn addresses_within(&self, network: NetworkId, subnet: IpNet) -> u64 {
        self.taken_in.get(&(network, subnet)).copied().unwrap_or_default()
    }

    /// The services whose tasks join a network, or are on it yet, by id.
    pub fn services_of_network(&self, network: NetworkId) -> impl Iterator<Item = &Arc<Service>> {
        let ids = self.services_of_network.get(&network);
        ids.into_iter().flatten().filter_map(|id| self.services.get(id))
    }

    /// A container that joined a network.
    pub fn attachment(&self, id: AttachmentId) -> Option<&Arc<Attachment>> {
        self.attachments.get(&id)
    }

    /// All containers that joined networks, by id.
    pub fn attachments(&self) -> impl Iterator<Item = &Arc<Attachment>> {
        self.attachments.values()
    }

    /// The containers on a node that joined networks.
    pub fn attachments_of_node(&self, node: NodeId) -> impl Iterator<Item = &Arc<Attachment>> {
        let ids = self.attachments_of_node.get(&node);
        ids.into_iter().flatten().filter_map(|id| self.attachments.get(id))
    }

    /// The node that has a number.
    pub fn node_numbered(&self, number: u16) -> Option<NodeId> {
        self.node_numbers.get(&number).copied()
    }

    /// Refuses another container of a node that has joined networks with too many.
    ///
    /// # Errors
    /// How many they may be.
    pub fn may_attach(&self, node: NodeId) -> Result<(), Refusal> {
        let count = self.attachments_of_node.get(&node).map_or(0, OrdSet::len);
        if count < ATTACHMENTS_OF_NODE_MAX {
            return Ok(());
        }
        Err(Refusal::rpc(
            RefusalKind::FailedPrecondition,
            format!(
                "{count} containers of node {node} have joined networks of the cluster, and \
                 {ATTACHMENTS_OF_NODE_MAX} is the most: remove some"
            ),
        ))
    }

    /// The networks on which a service has a virtual address: those that its tasks join,
    /// and that of the routing mesh where it publishes ports there.
    pub fn networks_with_address(&self, spec: &ServiceSpec) -> BTreeSet<NetworkId> {
        let overlay = |id: &NetworkId| self.networks.get(id).is_some_and(|n| n.is_overlay());
        networks_with_address(spec, self.ingress()).into_iter().filter(overlay).collect()
    }

    /// Notes who has these addresses.
    pub(crate) fn hold(
        &mut self,
        holder: Holder,
        addresses: impl Iterator<Item = (NetworkId, IpNet)>,
    ) {
        for (network, net) in addresses {
            let before = self.addresses.insert((network, net.addr()), holder);
            if before.is_none()
                && let Some(subnet) = self.range_of(network, net.addr())
            {
                *self.taken_in.entry((network, subnet)).or_default() += 1;
            }
        }
    }

    /// These addresses are free again, if this holder had them.
    pub(crate) fn let_go(
        &mut self,
        holder: Holder,
        addresses: impl Iterator<Item = (NetworkId, IpNet)>,
    ) {
        for (network, net) in addresses {
            let key = (network, net.addr());
            if self.addresses.get(&key) == Some(&holder) {
                self.addresses.remove(&key);
                if let Some(subnet) = self.range_of(network, net.addr()) {
                    one_less(&mut self.taken_in, (network, subnet));
                }
            }
        }
    }

    /// The subnet of whose range an address is.
    fn range_of(&self, network: NetworkId, address: IpAddr) -> Option<IpNet> {
        let pool = self.any_network(network)?.pool_of(address)?;
        pool.range.contains(&address).then_some(pool.subnet)
    }

    /// Notes a task's addresses, which are its own until it has ended.
    pub(crate) fn hold_task(&mut self, task: &Task) {
        if !task.status.state.is_terminal() {
            self.hold(Holder::Task(task.id), of_task(task));
            for on in &task.attachments {
                *self.tasks_on.entry((task.service_id, on.network)).or_default() += 1;
            }
        }
    }

    pub(crate) fn let_go_of_task(&mut self, task: &Task) {
        if !task.status.state.is_terminal() {
            self.let_go(Holder::Task(task.id), of_task(task));
            for on in &task.attachments {
                one_less(&mut self.tasks_on, (task.service_id, on.network));
            }
        }
    }

    /// Whether tasks of a service have addresses on a network.
    pub(crate) fn has_tasks_on(&self, service: ServiceId, network: NetworkId) -> bool {
        self.tasks_on.contains_key(&(service, network))
    }

    pub(crate) fn index_network(&mut self, network: &Network) {
        self.network_names.insert(network.spec.name.to_lowercase(), network.id);
        if network.vni != 0 {
            self.vnis.insert(network.vni, network.id);
        }
    }

    pub(crate) fn index_attachment(&mut self, attachment: &Attachment) {
        self.attachments_of_node.entry(attachment.node).or_default().insert(attachment.id);
        self.hold(Holder::Attachment(attachment.id), of_attachment(attachment));
    }

    /// Rebuilds what is known of networks; addresses of services are there already.
    pub(crate) fn reindex_networks(&mut self) {
        self.network_names.clear();
        self.vnis.clear();
        self.attachments_of_node.clear();
        for network in self.networks.values().cloned().collect::<Vec<_>>() {
            self.index_network(&network);
        }
        // Their names are free.
        self.vnis.extend(self.going.values().map(|network| (network.vni, network.id)));
        for attachment in self.attachments.values().cloned().collect::<Vec<_>>() {
            self.index_attachment(&attachment);
        }
        let with_address = self.tasks.values().filter(|task| !task.attachments.is_empty());
        for task in with_address.cloned().collect::<Vec<_>>() {
            self.hold_task(&task);
        }
        let numbered = self.nodes.values().filter(|node| node.number > 0);
        self.node_numbers = numbered.map(|node| (node.number, node.id)).collect();
    }
}

/// The networks on which a service would have a virtual address if all of them were
/// overlays.
pub(crate) fn networks_with_address(
    spec: &ServiceSpec,
    ingress: Option<NetworkId>,
) -> BTreeSet<NetworkId> {
    let endpoint = spec.endpoint_spec.as_ref();
    if endpoint.is_some_and(|endpoint| endpoint.mode == ResolutionMode::Dnsrr) {
        return BTreeSet::new();
    }
    let mut networks: BTreeSet<_> = spec.task_template.network_ids().collect();
    networks.extend(ingress.filter(|_| spec.publishes()));
    networks
}

/// One less of what is counted; nothing is kept of what there is none of.
fn one_less<K: Clone + Eq + std::hash::Hash>(counts: &mut HashMap<K, u64>, key: K) {
    match counts.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(&key)),
    }
}

fn of_task(task: &Task) -> impl Iterator<Item = (NetworkId, IpNet)> {
    task.attachments.iter().flat_map(|on| on.addresses.iter().map(|net| (on.network, *net)))
}

pub(crate) fn of_attachment(
    attachment: &Attachment,
) -> impl Iterator<Item = (NetworkId, IpNet)> + use<> {
    let on = attachment.on.clone();
    on.addresses.into_iter().map(move |net| (on.network, net))
}
