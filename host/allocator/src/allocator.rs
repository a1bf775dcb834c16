//! What the leader remembers between ticks, and what a tick gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_model::{
    Network, NetworkAttachment, NetworkId, Node, NodeId, Service, ServiceId, Task, TaskId,
    TaskSpec, TaskStatus, Time, VirtualIp,
};
use swarmw_state::{Change, Event, State, TaskChange};

use crate::addresses::{Addresses, families};
use crate::ports::{FIRST_PORT, LAST_PORT, Ports, is_unset};
use crate::resting::Resting;

/// Services that want something, and those that could not be given it.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    /// To be looked at.
    dirty: BTreeSet<ServiceId>,
    /// All are.
    all: bool,
    /// Left without something; looked at again when something is freed.
    unserved: BTreeMap<ServiceId, Lack>,
    resting: Resting,
}

/// Why new tasks of a service must wait, if they must.
#[derive(Clone, Debug, Default)]
struct Lack {
    /// It has no published port.
    port: Option<Arc<str>>,
    /// It has no virtual address on a network that its tasks join.
    address: Option<Arc<str>>,
}

/// A service that could not be given what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The service.
    pub service: ServiceId,
    /// Why, for people.
    pub reason: String,
}

/// What became of tasks that had a node and get no address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// There are some.
    pub any: bool,
    /// Those of them that say the same as before, about which nothing is left to be written.
    pub told_before: Vec<TaskId>,
    /// Why others, which have their nodes, got none on the network of the routing mesh.
    pub off_mesh: Option<Arc<str>>,
}

// === impl Allocator ===

impl Allocator {
    /// A new leader's: it looks at everything once.
    pub fn new() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Notes what may have changed.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Service { old, new } => {
                let gives_up = |old: &Arc<Service>| {
                    new.as_ref().is_none_or(|new| {
                        let (had, has) = (&old.endpoint, &new.endpoint);
                        had.ports.iter().any(|port| !has.ports.contains(port))
                            || had.virtual_ips.iter().any(|ip| !has.virtual_ips.contains(ip))
                    })
                };
                if let Some(old) = old.as_ref().filter(|old| gives_up(old)) {
                    let has = new.as_ref().map(|new| &new.endpoint.virtual_ips[..]);
                    let gone = |ip: &&VirtualIp| !has.unwrap_or_default().contains(ip);
                    for ip in old.endpoint.virtual_ips.iter().filter(gone) {
                        self.resting.free_one((ip.network, ip.addr.addr()));
                    }
                    self.freed();
                }
                match (old, new) {
                    (_, Some(new)) => drop(self.dirty.insert(new.id)),
                    (Some(old), None) => drop(self.unserved.remove(&old.id)),
                    (None, None) => {}
                }
            }
            Event::Task { old: Some(old), new } => {
                let had = !old.attachments.is_empty() && !old.status.state.is_terminal();
                let ended = |new: &Arc<Task>| new.status.state.is_terminal();
                if had && new.as_ref().is_none_or(ended) {
                    old.attachments.iter().for_each(|on| self.resting.free(on));
                    self.freed();
                }
            }
            Event::Network { old, new } => {
                // Services that publish ports have an address on it.
                self.all |= old.is_none() && new.as_ref().is_some_and(|new| new.spec.ingress);
                self.freed();
            }
            Event::Attachment { old, new: None } => {
                old.iter().for_each(|old| self.resting.free(&old.on));
                self.freed();
            }
            Event::Attachment { .. }
            | Event::Task { .. }
            | Event::Cluster
            | Event::Node { .. }
            | Event::Plugin { .. }
            | Event::Volume { .. }
            | Event::Secret { .. }
            | Event::Config { .. } => {}
        }
    }

    fn freed(&mut self) {
        self.dirty.extend(self.unserved.keys());
    }

    /// Addresses for a tick at this time: what was freed less than ten seconds ago is given
    /// where a network has nothing else.
    pub fn addresses<'a>(&mut self, state: &'a State, now: Time) -> Addresses<'a> {
        Addresses::with_rest(state, self.resting.at(now))
    }

    /// Chooses a published port for every ingress port that has none, and a virtual
    /// address for every network where a service is to have one.
    pub fn services(&mut self, addresses: &mut Addresses<'_>) -> (Vec<Change>, Vec<Failure>) {
        let state = addresses.state();
        let mut dirty = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.all) {
            dirty.extend(state.services().map(|service| service.id));
        }
        let (mut changes, mut failures) = (Vec::new(), Vec::new());
        let mut taken: Option<Ports> = None;
        for id in dirty {
            self.unserved.remove(&id);
            let Some(service) = state.service(id) else { continue };
            let mut ports = service.endpoint.ports.clone();
            if ports.iter().any(is_unset) {
                let taken = taken.get_or_insert_with(|| Ports::of(state));
                let enough;
                (ports, enough) = taken.give(service);
                if !enough {
                    let reason = format!("no free port from {FIRST_PORT} to {LAST_PORT}");
                    let lack = Lack { port: Some(reason.as_str().into()), address: None };
                    self.unserved.insert(id, lack);
                    failures.push(Failure { service: id, reason });
                }
            }
            let (virtual_ips, missed) = virtual_ips(service, addresses);
            for (network, why) in missed {
                // Nothing that a task does needs the address on the routing mesh.
                let joins = service.spec.task_template.network_ids().any(|id| id == network);
                let waits = joins.then(|| why.clone());
                let lack = self.unserved.entry(id).or_default();
                lack.address = lack.address.take().or(waits);
                failures.push(Failure { service: id, reason: why.to_string() });
            }
            let before = &service.endpoint.virtual_ips;
            let same = virtual_ips.len() == before.len()
                && virtual_ips.iter().all(|ip| before.contains(ip));
            if !same || ports != service.endpoint.ports {
                changes.push(Change::SetEndpoint {
                    service: id,
                    version: service.version,
                    ports,
                    virtual_ips: (!same).then_some(virtual_ips),
                });
                // What was chosen may be taken on the way, and nothing tells.
                self.dirty.insert(id);
            }
        }
        (changes, failures)
    }

    /// Whether there are addresses for so many tasks of a service.
    ///
    /// # Errors
    /// For how many there are, and why for no more.
    pub fn enough(
        &self,
        addresses: &mut Addresses<'_>,
        service: ServiceId,
        spec: &TaskSpec,
        wanted: usize,
    ) -> Result<(), (usize, Arc<str>)> {
        match self.waits_for(service, spec.network_ids().next().is_some()) {
            Some(why) => Err((0, why.clone())),
            None => addresses.enough(spec.network_ids(), wanted),
        }
    }

    /// Why a task of a service, which joins networks or none, gets no node yet.
    fn waits_for(&self, service: ServiceId, joins: bool) -> Option<&Arc<str>> {
        let lack = self.unserved.get(&service)?;
        lack.port.as_ref().or(lack.address.as_ref().filter(|_| joins))
    }

    /// Gives addresses to the tasks that these changes give nodes to. A task for which
    /// there is none gets no node either, and says why; but for the address of the routing
    /// mesh, without which it is served in user space.
    pub fn tasks(
        &self,
        addresses: &mut Addresses<'_>,
        changes: &mut Vec<Change>,
        now: Time,
    ) -> TakenBack {
        let state = addresses.state();
        let mut taken_back = TakenBack::default();
        let mut keep = |change: &mut Change| match change {
            Change::CreateTask(new) => {
                let Some(node) = new.node else { return true };
                let Some(service) = state.service(new.service) else { return true };
                let spec = &service.spec.task_template;
                match self.give(addresses, service.id, spec, new.id, node, &mut taken_back) {
                    Ok(attachments) => new.attachments = attachments,
                    Err(why) => {
                        taken_back.any = true;
                        new.node = None;
                        new.error = why;
                    }
                }
                true
            }
            Change::Task(change) => {
                let Some(node) = change.assign else { return true };
                let Some(task) = state.task(change.id) else { return true };
                match self.give(
                    addresses,
                    task.service_id,
                    &task.spec,
                    task.id,
                    node,
                    &mut taken_back,
                ) {
                    Ok(attachments) => change.attachments = attachments,
                    Err(why) => {
                        taken_back.any = true;
                        change.assign = None;
                        if change.status.is_none() && task.status.error != why {
                            let status = task.status.clone();
                            change.status =
                                Some(TaskStatus { timestamp: now, error: why, ..status });
                        }
                    }
                }
                let nothing = *change == TaskChange::of(change.id);
                if nothing {
                    taken_back.told_before.push(change.id);
                }
                !nothing
            }
            _ => true,
        };
        changes.retain_mut(|change| keep(change));
        taken_back
    }

    /// What a task has on networks: its address on that of the routing mesh first, if it is
    /// to have one and one is free.
    fn give(
        &self,
        addresses: &mut Addresses<'_>,
        service: ServiceId,
        spec: &TaskSpec,
        task: TaskId,
        node: NodeId,
        taken_back: &mut TakenBack,
    ) -> Result<Vec<NetworkAttachment>, Arc<str>> {
        let mut networks = spec.network_ids().peekable();
        let joins = networks.peek().is_some();
        if let Some(why) = self.waits_for(service, joins) {
            return Err(why.clone());
        }
        let others = if joins { addresses.give(networks, task.bits())? } else { Vec::new() };
        let mesh = mesh(addresses.state(), service, spec, node);
        let first = match mesh.map(|network| addresses.give_ingress(network, task.bits())) {
            Some(Ok(first)) => Some(first),
            Some(Err(why)) => {
                taken_back.off_mesh = Some(why);
                None
            }
            None => None,
        };
        Ok(first.into_iter().chain(others).collect())
    }
}

/// The network of the routing mesh, if published ports can lead to a task by its node's
/// kernel: the service has some, and the node connects the task's container to the bridge
/// that they lead to. Containers on networks of the engine's own are not there, nor those
/// that no network leads out of.
fn mesh(state: &State, service: ServiceId, spec: &TaskSpec, node: NodeId) -> Option<NetworkId> {
    let joins = |node: &Arc<Node>| node.number > 0 && node.description.joins_networks();
    let overlay = |target: &str| {
        let network = state.network(target.parse().ok()?)?;
        network.is_overlay().then_some(network)
    };
    let on: Option<Vec<_>> = spec.networks.iter().map(|on| overlay(&on.target)).collect();
    let leads_out =
        |on: &Vec<&Arc<Network>>| on.is_empty() || on.iter().any(|network| !network.spec.internal);
    let meets = state.service(service).is_some_and(|service| service.spec.publishes())
        && !spec.is_component()
        && on.is_some_and(|on| leads_out(&on))
        && state.node(node).is_some_and(joins);
    state.ingress().filter(|_| meets)
}

/// The virtual addresses of a service, with what it has kept; and the networks where there
/// is none for it.
fn virtual_ips(
    service: &Service,
    addresses: &mut Addresses<'_>,
) -> (Vec<VirtualIp>, Vec<(NetworkId, Arc<str>)>) {
    let state = addresses.state();
    let (mut all, mut missed) = (Vec::new(), Vec::new());
    let wanted = state.networks_with_address(&service.spec);
    for network in wanted.iter().filter_map(|id| state.network(*id)) {
        let had: Vec<IpNet> = service
            .endpoint
            .virtual_ips
            .iter()
            .filter(|ip| ip.network == network.id)
            .map(|ip| ip.addr)
            .collect();
        for v4 in families(network) {
            let kept = had.iter().find(|net| net.addr().is_ipv4() == v4).copied();
            let found = match kept {
                Some(kept) => Ok(kept),
                None => addresses.give_one(network, v4, service.id.bits()),
            };
            match found {
                Ok(addr) => all.push(VirtualIp { network: network.id, addr }),
                Err(why) => missed.push((network.id, why)),
            }
        }
    }
    // What it has left it keeps until `apply` takes it.
    let left = |ip: &&VirtualIp| !wanted.contains(&ip.network);
    all.extend(service.endpoint.virtual_ips.iter().filter(left));
    (all, missed)
}
