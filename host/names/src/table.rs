//! What a node knows of names.

mod answer;
mod on_network;

use std::sync::Arc;

use imbl::{HashMap, OrdSet};
use swarmw_model::{
    EndpointId, NetworkEndpoint, NetworkId, NetworkNews, ServiceId, ServiceOnNetworks,
};

use on_network::{Holder, OnNetwork};

pub use answer::{LIST_TTL, VIRTUAL_IP_TTL};

/// A name, in lower case.
type Name = Arc<str>;

/// Who is called what on each network.
///
/// A clone costs nothing and shares what does not change: whoever keeps the table clones
/// it, applies the news to the clone, and swaps it in. A change costs by what changed, not
/// by what there is.
#[derive(Clone, Debug, Default)]
pub struct Table {
    networks: HashMap<NetworkId, OnNetwork>,
    services: HashMap<ServiceId, Arc<ServiceOnNetworks>>,
    endpoints: HashMap<EndpointId, Arc<NetworkEndpoint>>,
    /// Services by their own name, on whatever network.
    named: HashMap<Name, OrdSet<ServiceId>>,
}

// === impl Table ===

impl Table {
    /// Follows what a node is told. News may come in any order: tasks before their
    /// service, either before the network.
    pub fn apply(&mut self, news: &NetworkNews) {
        if news.complete {
            *self = Self::default();
        }
        for id in &news.remove_networks {
            self.on(*id, |network| network.told(None));
        }
        for id in &news.remove_services {
            self.remove_service(*id);
        }
        for id in &news.remove_endpoints {
            self.remove_endpoint(*id);
        }
        for network in &news.networks {
            self.on(network.id, |on| on.told(Some(&network.spec)));
        }
        for service in &news.services {
            self.put_service(service);
        }
        for endpoint in &news.endpoints {
            self.put_endpoint(endpoint);
        }
    }

    fn put_service(&mut self, service: &ServiceOnNetworks) {
        if self.services.get(&service.id).is_some_and(|known| **known == *service) {
            return;
        }
        self.remove_service(service.id);
        insert(&mut self.named, &lower(&service.name), service.id);
        for (network, aliases) in &service.aliases {
            self.on(*network, |on| {
                on.service(service.id, |here| here.told = true);
                aliases.iter().for_each(|alias| insert(&mut on.aliases, &lower(alias), service.id));
            });
        }
        for vip in &service.virtual_ips {
            self.on(vip.network, |on| {
                on.service(service.id, |here| {
                    here.told = true;
                    here.virtual_ips.push(vip.addr.addr());
                });
                insert(&mut on.addresses, &vip.addr.addr(), Holder::Service(service.id));
            });
        }
        self.services.insert(service.id, Arc::new(service.clone()));
    }

    fn remove_service(&mut self, id: ServiceId) {
        let Some(service) = self.services.remove(&id) else { return };
        remove(&mut self.named, &lower(&service.name), id);
        for (network, aliases) in &service.aliases {
            self.on(*network, |on| {
                aliases.iter().for_each(|alias| remove(&mut on.aliases, &lower(alias), id));
                on.service(id, |here| here.told = false);
            });
        }
        for vip in &service.virtual_ips {
            self.on(vip.network, |on| {
                on.service(id, |here| {
                    here.told = false;
                    here.virtual_ips.clear();
                });
                remove(&mut on.addresses, &vip.addr.addr(), Holder::Service(id));
            });
        }
    }

    fn put_endpoint(&mut self, endpoint: &NetworkEndpoint) {
        if self.endpoints.get(&endpoint.id).is_some_and(|known| **known == *endpoint) {
            return;
        }
        self.remove_endpoint(endpoint.id);
        for attachment in &endpoint.on {
            self.on(attachment.network, |on| on.put(endpoint, attachment));
        }
        self.endpoints.insert(endpoint.id, Arc::new(endpoint.clone()));
    }

    fn remove_endpoint(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.remove(&id) else { return };
        for attachment in &endpoint.on {
            self.on(attachment.network, |on| on.remove(&endpoint, attachment));
        }
    }

    /// Changes what is known of one network; one of which nothing is known is forgotten.
    fn on(&mut self, network: NetworkId, change: impl FnOnce(&mut OnNetwork)) {
        let on = self.networks.entry(network).or_default();
        change(on);
        if on.is_empty() {
            self.networks.remove(&network);
        }
    }
}

fn lower(name: &str) -> Name {
    name.to_ascii_lowercase().into()
}

fn insert<K, V>(map: &mut HashMap<K, OrdSet<V>>, key: &K, value: V)
where
    K: Clone + Eq + std::hash::Hash,
    V: Clone + Ord,
{
    map.entry(key.clone()).or_default().insert(value);
}

/// Takes a value from a set, and an empty set from the map.
fn remove<K, V>(map: &mut HashMap<K, OrdSet<V>>, key: &K, value: V)
where
    K: Clone + Eq + std::hash::Hash,
    V: Clone + Ord,
{
    let Some(set) = map.get_mut(key) else { return };
    set.remove(&value);
    if set.is_empty() {
        map.remove(key);
    }
}
