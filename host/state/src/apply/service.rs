//! Services: specs, versions, ports.

use std::mem::discriminant;
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_model::{
    Endpoint, EndpointSpec, Id, NetworkId, PortConfig, PublishMode, Refusal, RefusalKind, Service,
    ServiceFacts, ServiceId, ServiceSpec, SwarmwOptions, TaskState, UpdateState, UpdateStatus,
    Version, VirtualIp,
};

use super::{Context, Step, Stop};
use crate::network::networks_with_address;
use crate::{Dropped, Event, Holder, State};

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
        self.check_ports(id, spec)?;
        self.check_data(spec)?;
        self.check_networks(spec)?;
        let mut spec = spec.clone();
        spec.settle_networks();
        clear_if_empty(&mut spec.swarmw);
        let service = Arc::new(Service {
            id,
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            endpoint: endpoint_of(&spec, &Endpoint::default(), self.ingress()),
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
        share_template(&mut spec, &old);
        let replaces_tasks = replaces_tasks(&old.spec, &spec);
        // An update that changes nothing is how operators resume a paused one.
        let resumes = replaces_tasks
            || old.spec == spec
            || old.spec.update_config != spec.update_config
            || old.spec.rollback_config != spec.rollback_config;
        let ingress = self.ingress();
        self.edit_service(id, context, |service| {
            service.endpoint = endpoint_of(&spec, &service.endpoint, ingress);
            service.previous_spec = Some(std::mem::replace(&mut service.spec, spec));
            service.previous_spec_version = service.spec_version;
            if replaces_tasks {
                service.spec_version = service.version;
            }
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
        let Some(previous) = old.previous_spec.clone() else {
            return Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                format!("service {id} does not have a previous spec"),
            )
            .into());
        };
        self.check_ports(id, &previous)?;
        let by_operator = version.is_some();
        // A policy's word counts all the same: what is missing is told by the tasks.
        if by_operator {
            self.check_data(&previous)?;
            self.check_networks(&previous)?;
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
        let ingress = self.ingress();
        self.edit_service(id, context, |service| {
            service.endpoint = endpoint_of(&previous, &service.endpoint, ingress);
            let left = std::mem::replace(&mut service.spec, previous);
            std::mem::swap(&mut service.spec_version, &mut service.previous_spec_version);
            // An operator may go forth and back; a policy's rollback leaves
            // nothing to return to.
            service.previous_spec = by_operator.then_some(left);
            if !by_operator {
                service.previous_spec_version = Version::default();
            }
            service.update_status = Some(status);
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
            ips.iter().any(|ip| !on.contains(&ip.network))
                || !self.may_have(Holder::Service(id), ips.iter().map(of))
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

    /// Refuses ports that another service publishes on every node, and ports for
    /// every node that another service publishes on its own. Two services that
    /// publish a port on their nodes are kept apart by the scheduler.
    fn check_ports(&self, id: ServiceId, spec: &ServiceSpec) -> Result<(), Stop> {
        let wanted = spec.endpoint_spec.iter().flat_map(|e| &e.ports);
        for port in wanted.filter(|p| p.published_port != 0) {
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

    fn edit_service(
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
        let service = Arc::new(service);
        self.index_service(&service);
        self.services.insert(id, service.clone());
        context.events.push(Event::Service { old: Some(old), new: Some(service) });
        Ok(None)
    }

    pub(crate) fn index_service(&mut self, service: &Arc<Service>) {
        self.service_names.insert(service.spec.name.to_lowercase(), service.id);
        for port in &service.endpoint.ports {
            if port.publish_mode == PublishMode::Ingress && port.published_port != 0 {
                self.ports.insert((port.protocol, port.published_port), service.id);
            }
        }
        for network in service.spec.task_template.network_ids() {
            self.services_of_network.entry(network).or_default().insert(service.id);
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
        for network in service.spec.task_template.network_ids() {
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

/// Whether tasks of `old` must be replaced, or at least looked at, for `new`.
fn replaces_tasks(old: &ServiceSpec, new: &ServiceSpec) -> bool {
    old.task_template != new.task_template
        || old.endpoint_spec != new.endpoint_spec
        || old.swarmw != new.swarmw
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
/// they were on the networks that stay.
fn endpoint_of(spec: &ServiceSpec, before: &Endpoint, ingress: Option<NetworkId>) -> Endpoint {
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
    let virtual_ips = before.virtual_ips.iter().filter(|ip| on.contains(&ip.network)).copied();
    Endpoint { spec: wanted, ports, virtual_ips: virtual_ips.collect() }
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
