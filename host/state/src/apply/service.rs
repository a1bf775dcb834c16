//! Services: specs, versions, ports.

use std::collections::BTreeSet;
use std::mem::discriminant;
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_model::{
    ContainerOptions, Endpoint, EndpointSpec, HostAccess, Id, ImageReference, JobStatus,
    NetworkAttachmentConfig, NetworkId, PortConfig, PortProtocol, PublishMode, Refusal,
    RefusalKind, ResolutionMode, Service, ServiceFacts, ServiceId, ServiceSpec, SwarmwOptions,
    TaskSpec, TaskState, UpdateState, UpdateStatus, Version, VirtualIp,
};

use super::{Context, Step, Stop};
use crate::network::networks_with_address;
use crate::{Dropped, Event, Holder, State};

/// Where nodes talk to each other, if their operators name no other port.
const NODE_PORT: u16 = 2377;

impl State {
    pub(super) fn create_service(
        &mut self,
        id: ServiceId,
        spec: &ServiceSpec,
        context: &mut Context<'_>,
    ) -> Step {
        if self.service_named(&spec.name).is_some() || self.services.contains_key(&id) {
            return Err(Refusal::rpc(
                RefusalKind::AlreadyExists,
                format!(
                    "name conflicts with an existing object: service {} already exists",
                    spec.name
                ),
            )
            .into());
        }
        self.check_level(spec)?;
        self.check_host_access(spec, None)?;
        self.check_ports(id, spec)?;
        self.check_data(spec)?;
        self.check_networks(spec)?;
        let mut spec = spec.clone();
        spec.settle_networks();
        clear_if_empty(&mut spec.swarmw);
        spec.settle_options();
        let first = JobStatus { job_iteration: Version::default(), last_execution: context.at };
        let service = Arc::new(Service {
            id,
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            endpoint: endpoint_of(&spec, &Endpoint::default(), self.ingress(), Vec::new()),
            job_status: spec.mode.is_job().then_some(first),
            spec,
            previous_spec: None,
            update_status: None,
            spec_version: context.version,
            previous_spec_version: Version::default(),
        });
        self.index_service(&service);
        self.services.insert(id, service.clone());
        context.events.push(Event::Service { old: None, new: Some(service) });
        Ok(Some(Id::from_bits(id.bits())))
    }

    pub(super) fn update_service(
        &mut self,
        id: ServiceId,
        version: Version,
        spec: &ServiceSpec,
        context: &mut Context<'_>,
    ) -> Step {
        let old =
            self.services.get(&id).cloned().ok_or_else(|| Refusal::not_found("service", id))?;
        if old.version != version {
            return Err(Refusal::out_of_sequence().into());
        }
        if old.spec.name != spec.name {
            return Err(unimplemented("renaming services is not supported"));
        }
        if discriminant(&old.spec.mode) != discriminant(&spec.mode) {
            return Err(unimplemented("service mode change is not allowed"));
        }
        self.check_level(spec)?;
        self.check_ports(id, spec)?;
        self.check_data(spec)?;
        self.check_networks(spec)?;
        let mut spec = spec.clone();
        spec.settle_networks();
        // Clients that do not know the object post a spec without it.
        if spec.swarmw.is_none() {
            spec.swarmw.clone_from(&old.spec.swarmw);
        }
        clear_if_empty(&mut spec.swarmw);
        self.check_host_access(&spec, Some(&old.spec))?;
        spec.settle_options();
        share_template(&mut spec, &old);
        let replaces_tasks = replaces_tasks(&old.spec, &spec);
        // An update that changes nothing is how operators resume a paused one.
        let resumes = replaces_tasks
            || old.spec == spec
            || old.spec.update_config != spec.update_config
            || old.spec.rollback_config != spec.rollback_config;
        let (ingress, leaving) = (self.ingress(), self.left_by(&old, &spec));
        self.edit_service(id, context, |service| {
            service.endpoint = endpoint_of(&spec, &service.endpoint, ingress, leaving);
            service.previous_spec = Some(std::mem::replace(&mut service.spec, spec));
            service.previous_spec_version = service.spec_version;
            if replaces_tasks || service.job_status.is_some() {
                service.spec_version = service.version;
            }
            begin_again(service);
            // Swarm clears the status at each write, so that a mere scale resumes
            // a paused update. Here it stays paused until something about the
            // update itself is changed.
            let paused = service.update_status.as_ref().is_some_and(|s| {
                matches!(s.state, UpdateState::Paused | UpdateState::RollbackPaused)
            });
            if resumes || !paused {
                service.update_status = None;
            }
        })
    }

    pub(super) fn rollback_service(
        &mut self,
        id: ServiceId,
        version: Option<Version>,
        message: &str,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.services.get(&id).ok_or_else(|| Refusal::not_found("service", id))?;
        if version.is_some_and(|read| read != old.version) {
            return Err(Refusal::out_of_sequence().into());
        }
        let Some(mut previous) = old.previous_spec.clone() else {
            return Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                format!("service {id} does not have a previous spec"),
            )
            .into());
        };
        if self.rollbacks_keep_credentials() {
            keep_credentials(&mut previous, &old.spec);
        }
        self.check_ports(id, &previous)?;
        let by_operator = version.is_some();
        // A policy's word counts all the same: what is missing is told by the tasks.
        if by_operator {
            self.check_data(&previous)?;
            self.check_networks(&previous)?;
            self.check_host_access(&previous, Some(&old.spec))?;
        }
        // A policy decided on an update that was under way. If the operator has
        // written since, his word counts.
        let updating = |s: &UpdateStatus| s.state == UpdateState::Updating;
        if !by_operator && !old.update_status.as_ref().is_some_and(updating) {
            return Err(Dropped::Changed.into());
        }
        let status = UpdateStatus {
            state: UpdateState::RollbackStarted,
            started_at: context.at,
            completed_at: None,
            message: message.to_owned(),
        };
        let (ingress, leaving) = (self.ingress(), self.left_by(old, &previous));
        self.edit_service(id, context, |service| {
            service.endpoint = endpoint_of(&previous, &service.endpoint, ingress, leaving);
            let left = std::mem::replace(&mut service.spec, previous);
            std::mem::swap(&mut service.spec_version, &mut service.previous_spec_version);
            // An operator may go forth and back; a policy's rollback leaves
            // nothing to return to.
            service.previous_spec = by_operator.then_some(left);
            if !by_operator {
                service.previous_spec_version = Version::default();
            }
            service.update_status = Some(status);
            if service.job_status.is_some() {
                // The tasks of an earlier time do not count, whatever their spec was; and
                // there is no rollout that would end.
                service.spec_version = service.version;
                service.update_status = None;
            }
            begin_again(service);
        })
    }

    pub(super) fn remove_service(&mut self, id: ServiceId, context: &mut Context<'_>) -> Step {
        let old = self.services.remove(&id).ok_or_else(|| Refusal::not_found("service", id))?;
        self.unindex_service(&old);
        self.rollouts.remove(&id);
        let tasks: Vec<_> = self.tasks_of_service(id).map(|t| t.id).collect();
        context.events.push(Event::Service { old: Some(old), new: None });
        for task in tasks {
            self.edit_task(task, context, |t| t.desired_state = TaskState::Remove)?;
        }
        Ok(None)
    }

    pub(super) fn set_endpoint(
        &mut self,
        id: ServiceId,
        version: Version,
        ports: &[PortConfig],
        virtual_ips: Option<&[VirtualIp]>,
        context: &mut Context<'_>,
    ) -> Step {
        let Some(old) = self.services.get(&id) else {
            return Err(Dropped::Gone.into());
        };
        let taken = |p: &&PortConfig| {
            p.publish_mode == PublishMode::Ingress
                && self.ports.get(&(p.protocol, p.published_port)).is_some_and(|h| *h != id)
        };
        let on = self.networks_with_address(&old.spec);
        let unfit = virtual_ips.is_some_and(|ips| {
            // It keeps those that it has on networks that it is about to leave.
            let has =
                |ip: &&VirtualIp| keeps(&old.endpoint, ip) && old.endpoint.virtual_ips.contains(ip);
            let new: Vec<_> = ips.iter().filter(|ip| !has(ip)).collect();
            new.iter().any(|ip| !on.contains(&ip.network))
                || !self.may_have(Holder::Service(id), new.into_iter().map(of))
        });
        if old.version != version || ports.iter().any(|p| taken(&p)) || unfit {
            return Err(Dropped::Changed.into());
        }
        self.edit_service(id, context, |service| {
            service.endpoint.ports = ports.to_vec();
            if let Some(ips) = virtual_ips {
                service.endpoint.virtual_ips = ips.to_vec();
            }
        })
    }

    pub(super) fn set_update_status(
        &mut self,
        id: ServiceId,
        spec_version: Version,
        status: Option<&UpdateStatus>,
        context: &mut Context<'_>,
    ) -> Step {
        let Some(old) = self.services.get(&id) else {
            return Err(Dropped::Gone.into());
        };
        if old.spec_version != spec_version {
            return Err(Dropped::Changed.into());
        }
        if old.update_status.as_ref() == status {
            return Err(Dropped::Stale.into());
        }
        self.edit_service(id, context, |service| service.update_status = status.cloned())
    }

    /// Refuses what a manager does not know.
    fn check_level(&self, spec: &ServiceSpec) -> Result<(), Stop> {
        if spec.mode.is_job() {
            self.jobs_are_known()?;
        }
        if !spec.task_template.reserved_generic().is_empty() {
            self.generic_resources_are_known()?;
        }
        if spec.container_options() != ContainerOptions::default() {
            self.host_access_is_known()?;
        }
        Ok(())
    }

    /// Refuses access to nodes that the operator has not allowed. What the service had
    /// `before` it keeps: to take it away is an update of the service.
    fn check_host_access(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Stop> {
        let had = before.map(ServiceSpec::container_options).unwrap_or_default();
        let asked = spec.container_options().host_access(&had);
        let allowed = self.cluster.as_ref().map(|c| c.spec.host_access()).unwrap_or_default();
        HostAccess::check(&asked, &allowed)?;
        Ok(())
    }

    /// Refuses ports that another service publishes on every node, and ports for
    /// every node that another service publishes on its own. Two services that
    /// publish a port on their nodes are kept apart by the scheduler. What nodes talk to
    /// each other by is published by nobody.
    fn check_ports(&self, id: ServiceId, spec: &ServiceSpec) -> Result<(), Stop> {
        let wanted = spec.endpoint_spec.iter().flat_map(|e| &e.ports);
        for port in wanted.filter(|p| p.published_port != 0) {
            self.check_port_of_nodes(id, port)?;
            let holder = self.ports.get(&(port.protocol, port.published_port));
            if let Some(holder) = holder.filter(|h| **h != id) {
                return Err(self.port_in_use(port, *holder, "an ingress port").into());
            }
            if port.publish_mode == PublishMode::Ingress
                && let Some(holder) = self.host_port_holder(id, port)
            {
                return Err(self.port_in_use(port, holder, "a host-published port").into());
            }
        }
        Ok(())
    }

    /// Refuses a port that the nodes need for themselves. A service that was given it by an
    /// older swarmw keeps it: to take it away is an update of the service.
    fn check_port_of_nodes(&self, id: ServiceId, port: &PortConfig) -> Result<(), Stop> {
        let data_path = self.cluster.as_ref().map(|cluster| cluster.data_path_port);
        let what = match (port.protocol, port.published_port) {
            (PortProtocol::Udp, number) if Some(number) == data_path => "containers' traffic",
            (PortProtocol::Tcp, NODE_PORT) => "what nodes say to each other",
            _ => return Ok(()),
        };
        let (number, protocol) = (port.published_port, port.protocol);
        let same = |p: &PortConfig| (p.protocol, p.published_port) == (protocol, number);
        let has_it = self.services.get(&id).is_some_and(|s| s.endpoint.ports.iter().any(same));
        if has_it || !self.ports_of_nodes_are_refused() {
            return Ok(());
        }
        Err(Refusal::rpc(
            RefusalKind::InvalidArgument,
            format!(
                "port '{number}' is already in use by the cluster: {number}/{protocol} between \
                 nodes is {what}; publish another port"
            ),
        )
        .into())
    }

    fn host_port_holder(&self, but: ServiceId, port: &PortConfig) -> Option<ServiceId> {
        let same = |p: &PortConfig| {
            p.publish_mode == PublishMode::Host
                && (p.protocol, p.published_port) == (port.protocol, port.published_port)
        };
        let mut others = self.services.values().filter(|s| s.id != but);
        others.find(|s| s.endpoint.ports.iter().any(same)).map(|s| s.id)
    }

    fn port_in_use(&self, port: &PortConfig, holder: ServiceId, how: &str) -> Refusal {
        let name = self.services.get(&holder).map_or("", |s| s.spec.name.as_str());
        let number = port.published_port;
        Refusal::rpc(
            RefusalKind::InvalidArgument,
            format!("port '{number}' is already in use by service '{name}' ({holder}) as {how}"),
        )
    }

    /// The networks that a service leaves, or has left, on which its tasks are yet.
    fn left_by(&self, service: &Service, next: &ServiceSpec) -> Vec<NetworkAttachmentConfig> {
        let stays: BTreeSet<_> = next.task_template.network_ids().collect();
        let known = service.spec.task_template.networks.iter().chain(&service.endpoint.leaving);
        let left = known.filter(|network| {
            let id = network.target.parse().ok();
            id.is_some_and(|id| !stays.contains(&id) && self.has_tasks_on(service.id, id))
        });
        left.cloned().collect()
    }

    /// Takes from a service what it has kept on networks where its last task has ended. Its
    /// version stays: an operator who reads it now has not missed anybody's write.
    pub(super) fn leave_networks(&mut self, id: ServiceId, context: &mut Context<'_>) {
        let Some(old) = self.services.get(&id).cloned() else { return };
        let gone = |network: &NetworkAttachmentConfig| {
            let on: Option<NetworkId> = network.target.parse().ok();
            on.is_none_or(|on| !self.has_tasks_on(id, on))
        };
        let gone: Vec<_> = old.endpoint.leaving.iter().filter(|n| gone(n)).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let ids: BTreeSet<NetworkId> = gone.iter().filter_map(|n| n.target.parse().ok()).collect();
        self.unindex_service(&old);
        let mut service = Service::clone(&old);
        service.endpoint.leaving.retain(|network| !gone.contains(network));
        service.endpoint.virtual_ips.retain(|ip| !ids.contains(&ip.network));
        self.put_service(old, service, context);
    }

    pub(super) fn edit_service(
        &mut self,
        id: ServiceId,
        context: &mut Context<'_>,
        edit: impl FnOnce(&mut Service),
    ) -> Step {
        let Some(old) = self.services.get(&id).cloned() else {
            return Err(Dropped::Gone.into());
        };
        self.unindex_service(&old);
        let mut service = Service::clone(&old);
        service.version = context.version;
        service.updated_at = context.at;
        edit(&mut service);
        self.put_service(old, service, context);
        Ok(None)
    }

    fn put_service(&mut self, old: Arc<Service>, new: Service, context: &mut Context<'_>) {
        let service = Arc::new(new);
        self.index_service(&service);
        self.services.insert(service.id, service.clone());
        context.events.push(Event::Service { old: Some(old), new: Some(service) });
    }

    pub(crate) fn index_service(&mut self, service: &Arc<Service>) {
        self.service_names.insert(service.spec.name.to_lowercase(), service.id);
        for port in &service.endpoint.ports {
            if port.publish_mode == PublishMode::Ingress && port.published_port != 0 {
                self.ports.insert((port.protocol, port.published_port), service.id);
            }
        }
        for network in networks_of(service) {
            self.services_of_network.entry(network).or_default().insert(service.id);
        }
        if !service.endpoint.leaving.is_empty() {
            self.leaving.insert(service.id);
        }
        self.hold(Holder::Service(service.id), service.endpoint.virtual_ips.iter().map(of));
        let facts = ServiceFacts {
            name: service.spec.name.clone(),
            labels: service.spec.labels.clone(),
            ports: service.endpoint.ports.clone(),
            endpoint_mode: service.endpoint.spec.mode,
        };
        if self.facts.get(&service.id).is_none_or(|known| **known != facts) {
            self.facts.insert(service.id, Arc::new(facts));
        }
    }

    fn unindex_service(&mut self, service: &Service) {
        self.service_names.remove(&service.spec.name.to_lowercase());
        for port in &service.endpoint.ports {
            let key = (port.protocol, port.published_port);
            if self.ports.get(&key) == Some(&service.id) {
                self.ports.remove(&key);
            }
        }
        self.leaving.remove(&service.id);
        for network in networks_of(service) {
            let left = self.services_of_network.get_mut(&network).is_some_and(|services| {
                services.remove(&service.id);
                services.is_empty()
            });
            if left {
                self.services_of_network.remove(&network);
            }
        }
        self.let_go(Holder::Service(service.id), service.endpoint.virtual_ips.iter().map(of));
        if !self.services.contains_key(&service.id) {
            self.facts.remove(&service.id);
        }
    }
}

/// Every write of a job's spec has it done once more.
fn begin_again(service: &mut Service) {
    if let Some(status) = &mut service.job_status {
        status.job_iteration.index += 1;
        status.last_execution = service.updated_at;
    }
}

/// Whether tasks of `old` must be replaced, or at least looked at, for `new`.
fn replaces_tasks(old: &ServiceSpec, new: &ServiceSpec) -> bool {
    old.task_template != new.task_template
        || old.endpoint_spec != new.endpoint_spec
        || old.swarmw != new.swarmw
}

/// A spec that comes back takes the credentials of the one that goes: its own may have ended
/// since, and the image that it had is to be pulled again. Those for another registry are of
/// no use to it.
fn keep_credentials(restored: &mut ServiceSpec, left: &ServiceSpec) {
    let (had, newest) = (&restored.task_template, &left.task_template);
    let domain = |template: &TaskSpec| ImageReference::parse(template.image()).domain().to_owned();
    let is_newer = !newest.registry_auth.is_empty() && newest.registry_auth != had.registry_auth;
    if is_newer && domain(had) == domain(newest) {
        let auth = newest.registry_auth.clone();
        Arc::make_mut(&mut restored.task_template).registry_auth = auth;
    }
}

/// Keeps one copy of a template that did not change.
fn share_template(spec: &mut ServiceSpec, old: &Service) {
    let known = [Some(&old.spec), old.previous_spec.as_ref()];
    if let Some(same) = known.into_iter().flatten().find(|s| s.task_template == spec.task_template)
    {
        spec.task_template = same.task_template.clone();
    }
}

/// The endpoint before the allocator has seen it: explicit ports as asked, and
/// unset ones as they were while name, protocol and target stay; virtual addresses as
/// they were on the networks that stay, and on those that it is `leaving`.
fn endpoint_of(
    spec: &ServiceSpec,
    before: &Endpoint,
    ingress: Option<NetworkId>,
    leaving: Vec<NetworkAttachmentConfig>,
) -> Endpoint {
    let wanted: EndpointSpec = spec.endpoint_spec.clone().unwrap_or_default();
    let ports = wanted
        .ports
        .iter()
        .map(|port| {
            let same = |b: &&PortConfig| {
                b.name == port.name
                    && b.protocol == port.protocol
                    && b.target_port == port.target_port
                    && b.publish_mode == port.publish_mode
            };
            match before.ports.iter().find(same) {
                Some(kept) if port.published_port == 0 => kept.clone(),
                _ => port.clone(),
            }
        })
        .collect();
    let on = networks_with_address(spec, ingress);
    let mut endpoint = Endpoint { spec: wanted, ports, virtual_ips: Vec::new(), leaving };
    let kept = |ip: &&VirtualIp| on.contains(&ip.network) || keeps(&endpoint, ip);
    endpoint.virtual_ips = before.virtual_ips.iter().filter(kept).copied().collect();
    endpoint
}

/// Whether a virtual address is one on a network that the service is about to leave.
fn keeps(endpoint: &Endpoint, ip: &VirtualIp) -> bool {
    let id = ip.network.to_string();
    endpoint.spec.mode == ResolutionMode::Vip
        && endpoint.leaving.iter().any(|network| network.target == id)
}

/// The networks that a service's tasks join, or are on yet.
fn networks_of(service: &Service) -> impl Iterator<Item = NetworkId> {
    let leaving = service.endpoint.leaving.iter().filter_map(|network| network.target.parse().ok());
    service.spec.task_template.network_ids().chain(leaving)
}

fn of(ip: &VirtualIp) -> (NetworkId, IpNet) {
    (ip.network, ip.addr)
}

fn clear_if_empty(options: &mut Option<SwarmwOptions>) {
    if options.as_ref().is_some_and(|o| *o == SwarmwOptions::default()) {
        *options = None;
    }
}

fn unimplemented(message: &str) -> Stop {
    Refusal::rpc(RefusalKind::Unimplemented, message).into()
}
