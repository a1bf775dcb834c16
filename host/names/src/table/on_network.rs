//! What is known on one network.

use std::net::IpAddr;

use imbl::{HashMap, OrdSet};
use swarmw_model::{EndpointId, NetworkAttachment, NetworkEndpoint, NetworkSpec, ServiceId};

use super::{Name, insert, lower, remove};

/// One network's names and addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct OnNetwork {
    /// The network's own name, once told.
    pub(super) name: Option<Name>,
    /// The routing mesh's: nobody is found there, or every service with a published port
    /// would find all the others.
    pub(super) ingress: bool,
    pub(super) services: HashMap<ServiceId, ServiceHere>,
    /// Services by their further names.
    pub(super) aliases: HashMap<Name, OrdSet<ServiceId>>,
    /// Tasks and containers by names of their own.
    pub(super) owners: HashMap<Name, OrdSet<EndpointId>>,
    /// A set, since news may say who has an address before who had it.
    pub(super) addresses: HashMap<IpAddr, OrdSet<Holder>>,
}

/// A service on the network.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceHere {
    /// The service's own description says that it is here; else only its tasks are.
    pub(super) told: bool,
    pub(super) virtual_ips: Vec<IpAddr>,
    /// Its tasks here.
    tasks: usize,
    /// The addresses of those that serve.
    pub(super) serving: OrdSet<(IpAddr, EndpointId)>,
}

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Service(ServiceId),
    Endpoint(EndpointId),
}

// === impl OnNetwork ===

impl OnNetwork {
    /// What the network itself is, or that it is no longer told of.
    pub(super) fn told(&mut self, spec: Option<&NetworkSpec>) {
        self.name = spec.map(|spec| lower(&spec.name));
        self.ingress = spec.is_some_and(|spec| spec.ingress);
    }

    pub(super) fn put(&mut self, endpoint: &NetworkEndpoint, on: &NetworkAttachment) {
        for name in &endpoint.names {
            insert(&mut self.owners, &lower(name), endpoint.id);
        }
        for address in &on.addresses {
            insert(&mut self.addresses, &address.addr(), Holder::Endpoint(endpoint.id));
        }
        let Some(service) = endpoint.service else { return };
        self.service(service, |here| {
            here.tasks += 1;
            let serving = on.addresses.iter().filter(|_| endpoint.serves);
            here.serving.extend(serving.map(|address| (address.addr(), endpoint.id)));
        });
    }

    pub(super) fn remove(&mut self, endpoint: &NetworkEndpoint, on: &NetworkAttachment) {
        for name in &endpoint.names {
            remove(&mut self.owners, &lower(name), endpoint.id);
        }
        for address in &on.addresses {
            remove(&mut self.addresses, &address.addr(), Holder::Endpoint(endpoint.id));
        }
        let Some(service) = endpoint.service else { return };
        self.service(service, |here| {
            here.tasks = here.tasks.saturating_sub(1);
            for address in &on.addresses {
                here.serving.remove(&(address.addr(), endpoint.id));
            }
        });
    }

    /// Changes what is known of a service here; one that is not here is forgotten.
    pub(super) fn service(&mut self, id: ServiceId, change: impl FnOnce(&mut ServiceHere)) {
        let here = self.services.entry(id).or_default();
        change(here);
        if !here.told && here.tasks == 0 {
            self.services.remove(&id);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.services.is_empty()
            && self.owners.is_empty()
            && self.addresses.is_empty()
    }
}
