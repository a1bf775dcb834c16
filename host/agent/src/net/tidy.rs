//! What was missed while nobody could be told: the daemon was away when a container ended,
//! no manager was reached when one left its network, a network grew after one joined.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use swarmw_engine_driver::{Endpoint, EndpointId as EngineEndpointId};
use swarmw_model::{AttachmentId, EndpointId, Pool};
use swarmw_overlay::extend;
use tokio::time::Instant;
use tracing::info;

use super::Networks;
use crate::docker::Standing;

/// What is missing for so long is gone: looks may be close to each other.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What looks found, for the next.
#[derive(Default)]
pub(super) struct Found {
    /// Endpoints that the engine does not know.
    unknown: Missing<EngineEndpointId>,
    /// Containers with an address from the leader that are on no network here.
    absent: Missing<AttachmentId>,
}

/// What is not there, and since when.
struct Missing<K>(BTreeMap<K, Instant>);

/// The subnets that each container has routes to.
pub(super) type Routed = BTreeMap<EngineEndpointId, Vec<Pool>>;

// === impl Missing ===

impl<K: Ord + Clone> Missing<K> {
    /// These are missing now; those that have been for long enough.
    fn gone(&mut self, missing: BTreeSet<K>, now: Instant) -> Vec<K> {
        self.0.retain(|key, _| missing.contains(key));
        for key in missing {
            self.0.entry(key).or_insert(now);
        }
        let long = self.0.iter().filter(|(_, since)| now.duration_since(**since) >= PATIENCE);
        long.map(|(key, _)| key.clone()).collect()
    }
}

impl<K> Default for Missing<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

// === impl Networks ===

impl Networks {
    /// Tidies up after what was missed. Asks the engine, which may itself be waiting for
    /// the loop that keeps the kernel, in a call to its driver: so not from that loop. One
    /// look at a time.
    pub(super) async fn tidy(self) {
        let Ok(mut found) = self.0.found.try_lock() else { return };
        // One that is away says nothing of what it has.
        let is_up = matches!(*self.0.engine.standing().borrow(), Standing::Up(_));
        if is_up {
            self.remove_idle_shadows().await;
            self.forget_lost_endpoints(&mut found).await;
        }
        self.give_up_lost_attachments(&mut found).await;
        self.0.given.tidy(|network, address| self.has(network, address, false));
        if is_up {
            self.name_again().await;
        }
    }

    /// Removes what stands on the engine for networks that nobody here is on any more.
    pub(super) async fn remove_idle_shadows(&self) {
        let needed = self.0.heard.known();
        if let Err(error) = self.0.shadows.keep_only(|id| needed.networks.contains_key(&id)).await {
            info!(%error, "networks of the engine could not be looked through");
        }
    }

    /// Endpoints that the engine has given up while the daemon could not be told.
    async fn forget_lost_endpoints(&self, found: &mut Found) {
        // Asked before the engine is: what it makes meanwhile is none of these.
        let remembered = self.0.memory.endpoints();
        let residents = match self.0.shadows.residents().await {
            Ok(residents) => residents,
            Err(error) => return info!(%error, "containers on networks could not be listed"),
        };
        let there: BTreeSet<_> = residents.into_iter().map(|resident| resident.endpoint).collect();
        let unknown = remembered.iter().map(|endpoint| &endpoint.id);
        let unknown = unknown.filter(|id| !there.contains(&id.to_string())).cloned().collect();
        for id in found.unknown.gone(unknown, Instant::now()) {
            if let Some(endpoint) = remembered.iter().find(|endpoint| endpoint.id == id) {
                info!(endpoint = %id, "its container went while the daemon was away");
                self.forget(endpoint).await;
            }
        }
    }

    async fn forget(&self, endpoint: &Endpoint) {
        if let Err(error) = self.0.memory.forget_endpoint(&endpoint.id) {
            return info!(%error, "an endpoint is not forgotten yet");
        }
        self.left(endpoint).await;
        self.unlink(endpoint).await;
        for address in &endpoint.addresses {
            self.0.given.take_back(endpoint.network, address.addr());
        }
        self.changed();
    }

    /// Containers that left while no manager could be told, and those that were given an
    /// address and never joined.
    async fn give_up_lost_attachments(&self, found: &mut Found) {
        let all = self.0.memory.endpoints();
        let here: BTreeSet<_> =
            all.iter().flat_map(|e| e.addresses.iter().map(|a| (e.network, a.addr()))).collect();
        let known = self.0.heard.known();
        let own = known.endpoints.values().filter(|e| e.node == self.0.node);
        let absent = own.filter(|endpoint| {
            let mut on = endpoint.on.iter();
            !on.any(|on| on.addresses.iter().any(|a| here.contains(&(on.network, a.addr()))))
        });
        let absent = absent.filter_map(|endpoint| match endpoint.id {
            EndpointId::Attachment(id) => Some(id),
            EndpointId::Task(_) => None,
        });
        for id in found.absent.gone(absent.collect(), Instant::now()) {
            self.detach(id).await;
        }
    }

    /// Gives containers the routes to subnets that their networks have got since they
    /// joined.
    pub(super) async fn extend_routes(&self) {
        let joined = self.0.memory.endpoints();
        let known = self.0.heard.known();
        let ids: BTreeSet<_> = joined.iter().map(|endpoint| endpoint.id.clone()).collect();
        self.routed().retain(|id, _| ids.contains(id));
        self.0.said.routes.keep_only(&ids);
        for endpoint in joined {
            let (Some(sandbox), Some(network)) =
                (&endpoint.sandbox, known.networks.get(&endpoint.network))
            else {
                continue;
            };
            if self.routed().get(&endpoint.id) == Some(&network.pools) {
                continue;
            }
            let own: Vec<_> = endpoint.addresses.iter().map(IpNet::addr).collect();
            match extend(sandbox, &network.pools, &own).await {
                Ok(()) => {
                    self.0.said.routes.is_over(&endpoint.id);
                    self.routed().insert(endpoint.id, network.pools.clone());
                }
                // It is being made, or ends.
                Err(error) => {
                    if self.0.said.routes.is_news(endpoint.id, &error) {
                        info!(%error, "a container does not reach all of its network yet");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_gone_after_a_while_however_often_it_is_looked_for() {
        let begun = Instant::now();
        let mut missing = Missing::default();
        for _ in 0..3 {
            assert!(missing.gone([1, 2].into(), begun).is_empty());
        }
        let almost = begun + PATIENCE - Duration::from_millis(1);
        assert!(missing.gone([1].into(), almost).is_empty());
        let late = begun + PATIENCE;
        assert_eq!(missing.gone([1, 2].into(), late), [1], "the other was there meanwhile");
        assert_eq!(missing.gone([1, 2].into(), late + PATIENCE), [1, 2]);
    }
}
