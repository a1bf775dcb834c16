//! Networks of the cluster on the node's engine: each has a *shadow* there, a network of
//! the engine's own whose driver is this daemon.
//!
//! An engine fixes a network's subnets when it is made, and containers name addresses in
//! them, while a network of the cluster grows. So a shadow has one subnet of each family,
//! the widest there is, and the driver answers every request for an address with the
//! cluster's subnet: an address of any subnet fits, today's and tomorrow's.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::Network as EngineNetwork;
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptions, ListNetworksOptions,
};
use swarmw_model::{Network, NetworkId};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tracing::{debug, info};

use super::engine::Engine;
use super::failure::Failure;
use super::shadow::{create_request, fits, name_on_engine, shadow, without_prefix};
use crate::executor::TaskError;

/// Networks of the cluster, as this node was told of them, and their shadows on its engine.
pub struct Shadows {
    pub(super) engine: Arc<Engine>,
    pub(super) told: watch::Sender<BTreeMap<NetworkId, Network>>,
    /// When each shadow was last promised to somebody, by the engine's id. Shadows are made
    /// one at a time: an engine makes two of one name without a word.
    named: Mutex<HashMap<String, Instant>>,
    grace: Duration,
}

/// A shadow that was promised to somebody is not removed for so long: the engine knows that
/// it is used when the container is made.
const GRACE: Duration = Duration::from_secs(60);

/// A network of the engine that stands for one of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The engine's id of it.
    pub id: String,
    /// Its name on the engine: the network's own, but where that is taken.
    pub name: String,
    /// The network of the cluster.
    pub network: NetworkId,
}

/// A running container on a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// The network of the cluster.
    pub network: NetworkId,
    /// The engine's id of the container's place on it.
    pub endpoint: String,
    /// The engine's id of the container.
    pub container: String,
}

/// What became of a shadow that should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// There is none any more.
    Gone,
    /// A container has it.
    InUse,
}

// === impl Shadows ===

impl Shadows {
    /// Nothing is known yet.
    pub(crate) fn new(engine: Arc<Engine>) -> Arc<Self> {
        Self::with_grace(engine, GRACE)
    }

    pub(super) fn with_grace(engine: Arc<Engine>, grace: Duration) -> Arc<Self> {
        let (told, named) = (watch::Sender::default(), Mutex::default());
        Arc::new(Self { engine, told, named, grace })
    }

    /// All networks of this node's tasks, predefined ones included.
    pub fn tell(&self, networks: BTreeMap<NetworkId, Network>) {
        self.told.send_replace(networks);
    }

    /// The shadow of a network, made where there is none.
    ///
    /// # Errors
    /// The engine is away, or refuses.
    pub async fn ensure(&self, network: &Network) -> Result<Shadow, TaskError> {
        // Whoever only looks for one waits for nobody: all tasks of a node may, at a time
        // when their engine is away.
        if let Some(shadow) = usable(&self.all().await?, network) {
            return Ok(shadow);
        }
        let _turn = self.named.lock().await;
        self.find_or_make(network).await
    }

    /// As [`Shadows::ensure`], for a container that no task's network speaks for: the shadow
    /// stays for a while, whoever needs it.
    ///
    /// # Errors
    /// The engine is away, or refuses.
    pub async fn promise(&self, network: &Network) -> Result<Shadow, TaskError> {
        let mut named = self.named.lock().await;
        let shadow = self.find_or_make(network).await?;
        named.insert(shadow.id.clone(), Instant::now());
        Ok(shadow)
    }

    async fn find_or_make(&self, network: &Network) -> Result<Shadow, TaskError> {
        let all = self.all().await?;
        if let Some(shadow) = usable(&all, network) {
            return Ok(shadow);
        }
        for misfit in all.iter().filter_map(shadow).filter(|s| s.network == network.id) {
            info!(shadow = misfit.id, "a network of the engine is made anew");
            self.delete(&misfit.id).await?;
        }
        Ok(self.make(network, &all).await?)
    }

    async fn make(&self, network: &Network, all: &[EngineNetwork]) -> Result<Shadow, Failure> {
        let is_taken = |name: &str| all.iter().any(|seen| seen.name.as_deref() == Some(name));
        let name = name_on_engine(network, is_taken);
        let request = &create_request(network, &name);
        let made = self
            .engine
            .call(move |docker: Docker| async move { docker.create_network(request.clone()).await })
            .await?;
        debug!(network = %network.id, name, "made a network of the engine");
        Ok(Shadow { id: made.id, name, network: network.id })
    }

    /// All shadows.
    ///
    /// # Errors
    /// The engine is away, or refuses.
    pub async fn shadows(&self) -> Result<Vec<Shadow>, TaskError> {
        Ok(self.all().await?.iter().filter_map(shadow).collect())
    }

    /// Removes the shadows of networks that are not needed, but those that a container has,
    /// even if it does not run: it could not start without, and those that somebody is about
    /// to make a container on. An engine that is away has nobody to remove them for.
    ///
    /// # Errors
    /// The engine refuses for another reason.
    pub async fn keep_only(&self, needed: impl Fn(NetworkId) -> bool) -> Result<(), TaskError> {
        if !self.engine.is_answering() {
            return Ok(());
        }
        // Another time, where one is made at this moment.
        let Ok(mut named) = self.named.try_lock() else { return Ok(()) };
        named.retain(|_, at| at.elapsed() < self.grace);
        for shadow in self.shadows().await? {
            if needed(shadow.network) || named.contains_key(&shadow.id) {
                continue;
            }
            if self.remove(&shadow).await? == Removal::Gone {
                debug!(network = %shadow.network, name = shadow.name, "removed a network of the engine");
            }
        }
        Ok(())
    }

    async fn remove(&self, shadow: &Shadow) -> Result<Removal, Failure> {
        match self.has_containers(shadow).await? {
            true => Ok(Removal::InUse),
            false => self.delete(&shadow.id).await,
        }
    }

    /// All running containers on shadows.
    ///
    /// # Errors
    /// The engine is away, or refuses.
    pub async fn residents(&self) -> Result<Vec<Resident>, TaskError> {
        let mut residents = Vec::new();
        for shadow in self.shadows().await? {
            let containers = match self.containers_on(&shadow.id).await {
                Err(failure) if failure.is_not_found() => continue,
                containers => containers?,
            };
            residents.extend(containers.into_iter().map(|(container, (endpoint, _))| Resident {
                network: shadow.network,
                endpoint,
                container,
            }));
        }
        Ok(residents)
    }

    async fn all(&self) -> Result<Vec<EngineNetwork>, Failure> {
        let list =
            |docker: Docker| async move { docker.list_networks(None::<ListNetworksOptions>).await };
        self.engine.call(list).await
    }

    /// Running containers on a network of the engine: the endpoint's id, and the address.
    pub(super) async fn containers_on(
        &self,
        network: &str,
    ) -> Result<HashMap<String, (String, Option<IpAddr>)>, Failure> {
        let inspect = move |docker: Docker| async move {
            docker.inspect_network(network, None::<InspectNetworkOptions>).await
        };
        let seen = self.engine.call(inspect).await?;
        let containers = seen.containers.unwrap_or_default().into_iter();
        Ok(containers
            .map(|(container, endpoint)| {
                let address = endpoint.ipv4_address.as_deref().and_then(without_prefix);
                (container, (endpoint.endpoint_id.unwrap_or_default(), address))
            })
            .collect())
    }

    async fn has_containers(&self, shadow: &Shadow) -> Result<bool, Failure> {
        // One that never ran has it by name only.
        let names = vec![shadow.id.clone(), shadow.name.clone()];
        let options = &ListContainersOptions {
            all: true,
            limit: Some(1),
            filters: Some(HashMap::from([("network".to_owned(), names)])),
            ..Default::default()
        };
        let list = move |docker: Docker| async move {
            docker.list_containers(Some(options.clone())).await
        };
        Ok(!self.engine.call(list).await?.is_empty())
    }

    async fn delete(&self, id: &str) -> Result<Removal, Failure> {
        let remove = move |docker: Docker| async move { docker.remove_network(id).await };
        match self.engine.call(remove).await {
            Ok(()) => Ok(Removal::Gone),
            Err(failure) if failure.is_not_found() => Ok(Removal::Gone),
            Err(failure) if failure.is_in_use() => Ok(Removal::InUse),
            Err(failure) => Err(failure),
        }
    }
}

impl std::fmt::Debug for Shadows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadows").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// The shadow of a network, among all networks of the engine.
fn usable(all: &[EngineNetwork], network: &Network) -> Option<Shadow> {
    let fitting = all.iter().filter(|seen| fits(seen, network));
    fitting.filter_map(shadow).find(|shadow| shadow.network == network.id)
}
