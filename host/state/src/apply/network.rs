//! Networks: made, grown, removed; who may have which address; nodes' numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_model::{
    Attachment, AttachmentId, Driver, Id, IngressSource, Network, NetworkAttachment, NetworkId,
    NetworkSpec, NodeId, OVERLAY, POOLS_MAX, PREDEFINED, Pool, Refusal, RefusalKind, Service,
    ServiceSpec, Task, TaskId, TaskSpec, Time, UpdateState, Version, validate,
};

use super::{Context, Step, Stop};
use crate::NETWORKS_LEVEL;
use crate::network::of_attachment;
use crate::{Dropped, Event, Holder, State, VNI_FIRST, VNI_LAST};

/// The networks that each node has from the beginning.
const OF_EACH_NODE: [&str; 2] = ["bridge", "host"];
/// The name of the first network of the routing mesh.
const INGRESS: &str = "ingress";
/// Labels of networks that the cluster makes itself tell their ids apart.
const ID_SALT: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834;

impl State {
    pub(super) fn create_network(&mut self, network: &Network, context: &mut Context<'_>) -> Step {
        self.networks_are_known()?;
        network.spec.validate()?;
        let name = &network.spec.name;
        if self.network_named(name).is_some() || self.any_network(network.id).is_some() {
            let message = format!("network with name {name} already exists");
            return Err(Refusal::plain(RefusalKind::AlreadyExists, message).into());
        }
        if let Some(there) = self.ingress().filter(|_| network.spec.ingress) {
            let message = format!("ingress network ({there}) is already present");
            return Err(Refusal::rpc(RefusalKind::AlreadyExists, message).into());
        }
        let asked = network.spec.pools()?;
        for pool in &network.pools {
            let Some((subnet, other)) = self.overlapping(pool) else { continue };
            if asked.iter().all(|asked| asked.subnet != pool.subnet) {
                return Err(Dropped::Changed.into());
            }
            let message = format!(
                "invalid pool request: Pool overlaps with other one on this address space: {} \
                 and {subnet} of network {other}",
                pool.subnet
            );
            return Err(Refusal::plain(RefusalKind::PermissionDenied, message).into());
        }
        let vni_is_free =
            (VNI_FIRST..=VNI_LAST).contains(&network.vni) && !self.vnis.contains_key(&network.vni);
        if network.pools.is_empty() || overlap_each_other(&network.pools) || !vni_is_free {
            return Err(Dropped::Changed.into());
        }
        self.put_network(network, context)
    }

    pub(super) fn remove_network(&mut self, id: NetworkId, context: &mut Context<'_>) -> Step {
        let network = self.networks.get(&id).cloned();
        let network = network.ok_or_else(|| Refusal::not_found("network", id))?;
        let refuse = |why: String| Stop::from(Refusal::rpc(RefusalKind::FailedPrecondition, why));
        if network.is_predefined() {
            let name = &network.spec.name;
            return Err(refuse(format!(
                "{name} ({id}) is a pre-defined network and cannot be removed"
            )));
        }
        let names = |spec: &ServiceSpec| spec.task_template.network_ids().any(|on| on == id);
        if let Some(service) = self.services_of_network(id).find(|s| names(&s.spec)) {
            return Err(refuse(format!("network {id} is in use by service {}", service.id)));
        }
        let may_return = |service: &&Arc<Service>| {
            let updates = service.update_status.as_ref().is_some_and(|status| {
                matches!(status.state, UpdateState::Updating | UpdateState::Paused)
            });
            updates && service.previous_spec.as_ref().is_some_and(names)
        };
        if let Some(service) = self.services.values().find(may_return) {
            return Err(refuse(format!(
                "network {id} is in use by service {}: its update may be rolled back to it",
                service.id
            )));
        }
        if network.spec.ingress
            && let Some(service) = self.services.values().find(|s| s.spec.publishes())
        {
            return Err(refuse(format!(
                "ingress network cannot be removed because service {} depends on it",
                service.id
            )));
        }
        // Services that only have an address there were asked for above; tasks that are told
        // to stop do not keep it, nor do those whose service publishes nothing any more.
        let stays = |task: &Arc<Task>| task.is_wanted() && !network.spec.ingress;
        let user = self.addresses(id).find_map(|(_, holder)| match holder {
            Holder::Task(task) => {
                self.tasks.get(&task).filter(|task| stays(task)).map(|task| task.id.to_string())
            }
            Holder::Attachment(attachment) => Some(attachment.to_string()),
            Holder::Service(_) => None,
        });
        if let Some(task) = user {
            return Err(refuse(format!("network {id} is in use by task {task}")));
        }
        self.networks.remove(&id);
        self.network_names.remove(&network.spec.name.to_lowercase());
        // Until nobody has an address on it, nobody else has its subnets or its identifier.
        self.going.insert(id, network.clone());
        context.events.push(Event::Network { old: Some(network), new: None });
        Ok(None)
    }

    /// Forgets what the last task that ended has kept: names and addresses of its service
    /// on networks that this has left, and networks that were removed.
    pub(super) fn let_networks_go(&mut self, context: &mut Context<'_>) {
        for id in self.leaving.iter().copied().collect::<Vec<_>>() {
            self.leave_networks(id, context);
        }
        if self.going.is_empty() {
            return;
        }
        let free = |network: &&Arc<Network>| self.addresses(network.id).next().is_none();
        for network in self.going.values().filter(free).cloned().collect::<Vec<_>>() {
            self.going.remove(&network.id);
            self.vnis.remove(&network.vni);
        }
    }

    pub(super) fn grow_network(
        &mut self,
        id: NetworkId,
        version: Version,
        pools: &[Pool],
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.networks.get(&id).cloned().ok_or(Dropped::Gone)?;
        let taken = pools.iter().any(|pool| self.overlapping(pool).is_some());
        let room = POOLS_MAX.saturating_sub(old.pools.len());
        let fits = old.is_overlay() && (1..=room).contains(&pools.len());
        if old.version != version || taken || !fits || overlap_each_other(pools) {
            return Err(Dropped::Changed.into());
        }
        let mut network = Network::clone(&old);
        network.pools.extend_from_slice(pools);
        network.version = context.version;
        network.updated_at = context.at;
        let network = Arc::new(network);
        self.networks.insert(id, network.clone());
        context.events.push(Event::Network { old: Some(old), new: Some(network) });
        Ok(None)
    }

    pub(super) fn add_attachment(
        &mut self,
        attachment: &Attachment,
        context: &mut Context<'_>,
    ) -> Step {
        self.networks_are_known()?;
        let on = &attachment.on;
        let network = self.networks.get(&on.network);
        let network = network.ok_or_else(|| Refusal::not_found("network", on.network))?;
        if !network.spec.attachable {
            let message = format!("network {} not manually attachable", network.spec.name);
            return Err(Refusal::rpc(RefusalKind::PermissionDenied, message).into());
        }
        if !self.nodes.contains_key(&attachment.node) {
            return Err(Dropped::Gone.into());
        }
        self.may_attach(attachment.node)?;
        let id = attachment.id;
        let fits = self.may_have(Holder::Attachment(id), of_attachment(attachment));
        if self.attachments.contains_key(&id) || on.addresses.is_empty() || !fits {
            return Err(Dropped::Changed.into());
        }
        let made = Arc::new(Attachment {
            version: context.version,
            created_at: context.at,
            ..attachment.clone()
        });
        self.index_attachment(&made);
        self.attachments.insert(id, made.clone());
        context.events.push(Event::Attachment { old: None, new: Some(made) });
        Ok(Some(Id::from_bits(id.bits())))
    }

    pub(super) fn name_attachment(
        &mut self,
        id: AttachmentId,
        container: &str,
        names: &[String],
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.attachments.get(&id).cloned().ok_or(Dropped::Gone)?;
        if old.container == container && old.names == names {
            return Err(Dropped::Stale.into());
        }
        let new = Arc::new(Attachment {
            version: context.version,
            container: container.to_owned(),
            names: names.to_vec(),
            ..Attachment::clone(&old)
        });
        self.attachments.insert(id, new.clone());
        context.events.push(Event::Attachment { old: Some(old), new: Some(new) });
        Ok(None)
    }

    pub(super) fn remove_attachment(
        &mut self,
        id: AttachmentId,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.attachments.remove(&id).ok_or(Dropped::Gone)?;
        self.let_go(Holder::Attachment(id), of_attachment(&old));
        let left = self.attachments_of_node.get_mut(&old.node).is_some_and(|attachments| {
            attachments.remove(&id);
            attachments.is_empty()
        });
        if left {
            self.attachments_of_node.remove(&old.node);
        }
        context.events.push(Event::Attachment { old: Some(old), new: None });
        Ok(None)
    }

    /// The networks that a cluster has from the beginning: that of the routing mesh, and
    /// those of each node. Their ids follow from the cluster's.
    pub(super) fn begin_networks(&mut self, context: &mut Context<'_>) -> Step {
        let Some(cluster) = self.cluster.clone() else { return Err(Dropped::Gone.into()) };
        let id = |n: u32| {
            let bits = cluster.id.bits().rotate_left(41 * n) ^ ID_SALT.wrapping_mul(n.into());
            NetworkId::from_bits(bits)
        };
        let named = |name: &str, driver: &str| NetworkSpec {
            name: name.to_owned(),
            driver: Driver { name: driver.to_owned(), ..Driver::default() },
            ..NetworkSpec::default()
        };
        let blank = |n: u32, spec: NetworkSpec| Network {
            id: id(n),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec,
            pools: Vec::new(),
            vni: 0,
        };
        for (n, name) in (2..).zip(OF_EACH_NODE) {
            let mut spec = named(name, name);
            spec.labels.insert(PREDEFINED.to_owned(), name.to_owned());
            self.put_network(&blank(n, spec), context)?;
        }
        let first = cluster
            .address_pools
            .pools
            .first()
            .and_then(|base| base.subnets(cluster.address_pools.subnet_size).ok()?.next());
        let Some(pool) = first.and_then(Pool::of) else { return Ok(None) };
        let spec = NetworkSpec { ingress: true, ..named(INGRESS, OVERLAY) };
        let network = Network { pools: vec![pool], vni: VNI_FIRST, ..blank(1, spec) };
        self.put_network(&network, context)
    }

    fn put_network(&mut self, network: &Network, context: &mut Context<'_>) -> Step {
        let made = Arc::new(Network {
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            ..network.clone()
        });
        self.index_network(&made);
        self.networks.insert(made.id, made.clone());
        context.events.push(Event::Network { old: None, new: Some(made) });
        Ok(Some(Id::from_bits(network.id.bits())))
    }

    /// The first subnet that has an address in common with a pool, and its network's name.
    fn overlapping(&self, pool: &Pool) -> Option<(IpNet, String)> {
        self.networks_with_subnets().find_map(|network| {
            let other =
                network.pools.iter().find(|o| validate::overlap(&o.subnet, &pool.subnet))?;
            Some((other.subnet, network.spec.name.clone()))
        })
    }

    /// Refuses a spec that names a network that is not there, or that nobody may name.
    pub(super) fn check_networks(&self, spec: &ServiceSpec) -> Result<(), Stop> {
        let wanted = spec.networks_wanted();
        // A manager that does not know networks knows no sources either.
        if !wanted.is_empty() || spec.ingress_source() != IngressSource::default() {
            self.networks_are_known()?;
        }
        for network in wanted {
            let target = &network.target;
            let found = target.parse().ok().and_then(|id: NetworkId| self.networks.get(&id));
            let found = found.ok_or_else(|| Refusal::not_found("network", target))?;
            let name = &found.spec.name;
            if found.spec.ingress {
                let message = format!(
                    "Service cannot be explicitly attached to the ingress network {name:?}"
                );
                return Err(Refusal::rpc(RefusalKind::InvalidArgument, message).into());
            }
            if found.spec.driver.name == "host" && wanted.len() > 1 {
                let message = format!("tasks on the network {name} can be on no other one");
                return Err(Refusal::rpc(RefusalKind::InvalidArgument, message).into());
            }
        }
        if self.has_networks() && spec.publishes() && self.ingress().is_none() {
            let message = "service needs ingress network, but no ingress network is present";
            return Err(Refusal::rpc(RefusalKind::FailedPrecondition, message).into());
        }
        Ok(())
    }

    /// Whether a task may have these addresses: free ones, on every overlay of its spec, and,
    /// if it serves published ports, on the network of the routing mesh.
    pub(super) fn addresses_fit(
        &self,
        task: TaskId,
        has_node: bool,
        spec: &TaskSpec,
        attachments: &[NetworkAttachment],
    ) -> bool {
        if attachments.is_empty() && (spec.networks.is_empty() || !has_node) {
            return true;
        }
        let mut wanted = BTreeSet::new();
        for id in spec.network_ids() {
            match self.networks.get(&id) {
                Some(network) if network.is_overlay() => drop(wanted.insert(id)),
                Some(_) => {}
                None => return false,
            }
        }
        let given: BTreeSet<_> = attachments.iter().map(|on| on.network).collect();
        let is_mesh =
            |id: &NetworkId| self.networks.get(id).is_some_and(|network| network.spec.ingress);
        let none_beyond = given.difference(&wanted).all(is_mesh);
        let each = attachments.iter().all(|on| !on.addresses.is_empty());
        let addresses =
            attachments.iter().flat_map(|on| on.addresses.iter().map(|net| (on.network, *net)));
        has_node
            && wanted.is_subset(&given)
            && none_beyond
            && attachments.len() == given.len()
            && each
            && self.may_have(Holder::Task(task), addresses)
    }

    /// Whether these addresses are of their networks' subnets, and nobody else's.
    pub(super) fn may_have(
        &self,
        holder: Holder,
        addresses: impl Iterator<Item = (NetworkId, IpNet)>,
    ) -> bool {
        let mut seen = BTreeSet::new();
        addresses.into_iter().all(|(id, net)| {
            let network = self.networks.get(&id).filter(|network| network.is_overlay());
            let pool = network.and_then(|network| network.pool_of(net.addr()));
            let fits = pool.is_some_and(|pool| {
                pool.subnet.prefix_len() == net.prefix_len() && pool.may_give(net.addr())
            });
            let held = self.addresses.get(&(id, net.addr())).is_some_and(|other| *other != holder);
            fits && !held && seen.insert((id, net.addr()))
        })
    }

    /// The number of a node that joins: the one it has, or the least that is free.
    pub(super) fn number_for(&self, node: NodeId) -> Result<u16, Stop> {
        let present = self.nodes.get(&node).map_or(0, |node| node.number);
        if present > 0 || !self.has_networks() {
            return Ok(present);
        }
        let mut free = 1;
        for taken in self.node_numbers.keys() {
            if *taken != free {
                break;
            }
            let next = free.checked_add(1).ok_or_else(|| {
                let message = format!("a cluster has {} nodes at most", u16::MAX);
                Refusal::rpc(RefusalKind::FailedPrecondition, message)
            })?;
            free = next;
        }
        Ok(free)
    }

    /// Numbers the nodes that joined before there were networks.
    pub(super) fn number_nodes(&mut self, context: &mut Context<'_>) -> Step {
        debug_assert!(self.has_networks(), "level {NETWORKS_LEVEL}");
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            let number = self.number_for(id)?;
            self.edit_node(id, context, |node| node.number = number)?;
        }
        Ok(None)
    }
}

fn overlap_each_other(pools: &[Pool]) -> bool {
    let mut rest = pools;
    while let [first, others @ ..] = rest {
        if others.iter().any(|other| validate::overlap(&first.subnet, &other.subnet)) {
            return true;
        }
        rest = others;
    }
    false
}
