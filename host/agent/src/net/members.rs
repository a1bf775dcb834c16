//! Who is on each network, kept beside what is known of all networks.

use std::collections::{BTreeMap, BTreeSet};

use swarmw_model::{EndpointId, NetworkEndpoint, NetworkId, ServiceId, ServiceOnNetworks};

use super::known::{Known, differing};

/// Who is on each network, as one [`Known`] says.
#[derive(Debug, Default)]
pub(super) struct Members {
    endpoints: BTreeMap<NetworkId, BTreeSet<EndpointId>>,
    /// Services with virtual addresses.
    services: BTreeMap<NetworkId, BTreeSet<ServiceId>>,
}

// === impl Members ===

impl Members {
    pub(super) fn of(known: &Known) -> Self {
        let mut members = Self::default();
        members.follow(&Known::default(), known);
        members
    }

    /// Goes on from what was known to what is; the networks of which something differs.
    pub(super) fn follow(&mut self, before: &Known, after: &Known) -> BTreeSet<NetworkId> {
        let mut touched = BTreeSet::new();
        for (was, is) in differing(&before.networks, &after.networks) {
            touched.extend(was.or(is).map(|network| network.id));
        }
        for (was, is) in differing(&before.endpoints, &after.endpoints) {
            for (endpoint, network) in was.into_iter().flat_map(places) {
                leave(&mut self.endpoints, network, &endpoint);
                touched.insert(network);
            }
            for (endpoint, network) in is.into_iter().flat_map(places) {
                self.endpoints.entry(network).or_default().insert(endpoint);
                touched.insert(network);
            }
        }
        for (was, is) in differing(&before.services, &after.services) {
            for (service, network) in was.into_iter().flat_map(virtuals) {
                leave(&mut self.services, network, &service);
                touched.insert(network);
            }
            for (service, network) in is.into_iter().flat_map(virtuals) {
                self.services.entry(network).or_default().insert(service);
                touched.insert(network);
            }
        }
        touched
    }

    /// Who has addresses on a network.
    pub(super) fn endpoints<'a>(
        &'a self,
        network: NetworkId,
        known: &'a Known,
    ) -> impl Iterator<Item = &'a NetworkEndpoint> {
        let all = self.endpoints.get(&network).into_iter().flatten();
        all.filter_map(|endpoint| known.endpoints.get(endpoint))
    }

    /// Services with virtual addresses on a network.
    pub(super) fn services<'a>(
        &'a self,
        network: NetworkId,
        known: &'a Known,
    ) -> impl Iterator<Item = &'a ServiceOnNetworks> {
        let all = self.services.get(&network).into_iter().flatten();
        all.filter_map(|service| known.services.get(service))
    }
}

fn places(endpoint: &NetworkEndpoint) -> impl Iterator<Item = (EndpointId, NetworkId)> {
    endpoint.on.iter().map(move |on| (endpoint.id, on.network))
}

fn virtuals(service: &ServiceOnNetworks) -> impl Iterator<Item = (ServiceId, NetworkId)> {
    service.virtual_ips.iter().map(move |on| (service.id, on.network))
}

fn leave<T: Ord>(all: &mut BTreeMap<NetworkId, BTreeSet<T>>, network: NetworkId, who: &T) {
    if let Some(members) = all.get_mut(&network) {
        members.remove(who);
        if members.is_empty() {
            all.remove(&network);
        }
    }
}
