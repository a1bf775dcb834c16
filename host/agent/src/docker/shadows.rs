//! Networks of the cluster on the node's engine: each has a *shadow* there, a network of
//! the engine's own whose driver is this daemon.
//!
//! An engine fixes a network's subnets when it is made, and containers name addresses in
//! them, while a network of the cluster grows. So a shadow has one subnet of each family,
//! the widest there is, and the driver answers every request for an address with the
//! cluster's subnet: an address of any subnet fits, today's and tomorrow's.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{Network as EngineNetwork, NetworkDisconnectRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptions, ListNetworksOptions,
};
use imbl::OrdMap;
use swarmw_engine_driver::Memory;
use swarmw_model::{Network, NetworkId, NetworkNews, TaskId};
use swarmw_overlay::Local;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tracing::{debug, info};

use super::engine::Engine;
use super::failure::Failure;
use super::gateway::{self, Bridged, OnBridge};
use super::shadow::{
    create_request, fits, known_to_driver, name_on_engine, shadow, without_prefix,
};
use crate::executor::TaskError;

/// Networks of the cluster, as this node was told of them, and their shadows on its engine.
pub struct Shadows {
    pub(super) engine: Arc<Engine>,
    pub(super) told: watch::Sender<OrdMap<NetworkId, Network>>,
    /// When each shadow was last promised to somebody, by the engine's id. Shadows are made
    /// one at a time: an engine makes two of one name without a word.
    named: Mutex<HashMap<String, Instant>>,
    grace: Duration,
    /// Whether this node joins networks: it has a driver, or will.
    joins: AtomicBool,
    /// What the engine has told the driver.
    memory: OnceLock<Arc<Memory>>,
    /// Tasks with addresses of the cluster, while their containers run.
    bridged: watch::Sender<Bridged>,
    /// Those of them that the kernel leads published ports to; none: it leads to nobody.
    led_to: watch::Sender<Option<BTreeSet<TaskId>>>,
}

/// A shadow that was promised to somebody is not removed for so long: the engine knows that
/// it is used when the container is made.
const GRACE: Duration = Duration::from_secs(60);

/// How long a task that runs waits for its node's kernel.
const KERNEL_PATIENCE: Duration = Duration::from_secs(3);

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
    pub(crate) fn new(engine: Arc<Engine>, joins: bool) -> Arc<Self> {
        Self::with_grace(engine, joins, GRACE)
    }

    pub(super) fn with_grace(engine: Arc<Engine>, joins: bool, grace: Duration) -> Arc<Self> {
        let (told, named) = (watch::Sender::default(), Mutex::default());
        let joins = AtomicBool::new(joins);
        let (bridged, led_to) = Default::default();
        let memory = OnceLock::new();
        Arc::new(Self { engine, told, named, grace, joins, memory, bridged, led_to })
    }

    /// There is no driver after all.
    pub(crate) fn join_none(&self) {
        self.joins.store(false, Ordering::Relaxed);
    }

    pub(super) fn joins(&self) -> bool {
        self.joins.load(Ordering::Relaxed)
    }

    /// Follows where containers of tasks are on the engine's bridge.
    pub(crate) fn bridged(&self) -> watch::Receiver<Bridged> {
        self.bridged.subscribe()
    }

    /// A task's container runs, and is there.
    pub(super) fn is_bridged(&self, task: TaskId, on: OnBridge) {
        self.bridged.send_if_modified(|bridged| {
            let before = bridged.insert(task, on.clone());
            before.as_ref() != Some(&on)
        });
    }

    /// The kernel leads to these.
    pub(crate) fn lead_to(&self, tasks: BTreeSet<TaskId>) {
        self.led_to.send_if_modified(|before| {
            let is_news = before.as_ref() != Some(&tasks);
            *before = Some(tasks);
            is_news
        });
    }

    /// Returns when the kernel leads to a task, if it leads to any: other nodes send
    /// connections as soon as they hear that it runs.
    pub(super) async fn is_led_to(&self, task: TaskId) {
        let mut led_to = self.led_to.subscribe();
        let led = led_to.wait_for(|led_to| led_to.as_ref().is_none_or(|all| all.contains(&task)));
        // Where the kernel refuses, its log says why, and connections are what suffers.
        let _ = tokio::time::timeout(KERNEL_PATIENCE, led).await;
    }

    /// It was looked for again.
    pub(super) fn is_found_on_bridge(&self, task: TaskId, local: Local) {
        self.bridged.send_if_modified(|bridged| match bridged.get_mut(&task) {
            Some(on) if on.local != local => {
                on.local = local;
                true
            }
            _ => false,
        });
    }

    /// It has ended.
    pub(super) fn is_bridged_no_more(&self, task: TaskId) {
        self.bridged.send_if_modified(|bridged| bridged.remove(&task).is_some());
    }

    /// All networks of this node's tasks, predefined ones included.
    pub fn tell(&self, networks: OrdMap<NetworkId, Network>) {
        self.told.send_replace(networks);
    }

    /// The leader's word, on a node where nobody else listens to it.
    pub(super) fn hear(&self, news: &NetworkNews) {
        self.told.send_modify(|told| {
            if news.complete {
                told.clear();
            }
            news.remove_networks.iter().for_each(|id| drop(told.remove(id)));
            told.extend(news.networks.iter().map(|network| (network.id, network.clone())));
        });
    }

    /// A driver serves them from now on, and remembers what the engine says.
    pub(crate) fn serve(&self, memory: Arc<Memory>) {
        // The first one stays: a node has one driver.
        let _ = self.memory.set(memory);
    }

    /// Has the driver know all shadows of the engine: it says of each network once that it
    /// makes it, perhaps to a driver whose folder is lost.
    ///
    /// # Errors
    /// The engine is away, or the driver's folder cannot be written.
    pub(crate) async fn acquaint(&self) -> Result<(), TaskError> {
        self.all()
            .await?
            .iter()
            .filter(|seen| shadow(seen).is_some())
            .try_for_each(|seen| self.learn(seen))
    }

    fn learn(&self, seen: &EngineNetwork) -> Result<(), TaskError> {
        let (Some(memory), Some(known)) = (self.memory.get(), known_to_driver(seen)) else {
            return Ok(());
        };
        if memory.network(&known.id).is_some() {
            return Ok(());
        }
        info!(shadow = %known.id, "a network of the engine is taken up");
        memory.learn_network(&known).map_err(|error| {
            TaskError(format!("network {} could not be written down: {error}", known.network))
        })
    }

    /// The shadow of a network, made where there is none.
    ///
    /// # Errors
    /// The engine is away, or refuses.
    pub async fn ensure(&self, network: &Network) -> Result<Shadow, TaskError> {
        // Whoever only looks for one waits for nobody: all tasks of a node may, at a time
        // when their engine is away.
        if let Some(shadow) = self.usable(&self.all().await?, network)? {
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
        if let Some(shadow) = self.usable(&all, network)? {
            return Ok(shadow);
        }
        for misfit in all.iter().filter_map(shadow).filter(|s| s.network == network.id) {
            info!(shadow = misfit.id, "a network of the engine is made anew");
            self.delete(&misfit.id).await?;
        }
        Ok(self.make(network, &all).await?)
    }

    /// The shadow of a network, among all networks of the engine, known to the driver.
    fn usable(
        &self,
        all: &[EngineNetwork],
        network: &Network,
    ) -> Result<Option<Shadow>, TaskError> {
        let mut fitting = all.iter().filter(|seen| fits(seen, network));
        let found = fitting.find_map(|seen| {
            shadow(seen).filter(|shadow| shadow.network == network.id).map(|shadow| (seen, shadow))
        });
        let Some((seen, shadow)) = found else { return Ok(None) };
        self.learn(seen)?;
        Ok(Some(shadow))
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

    /// Removes all shadows, from under running containers too: the node leaves. An engine
    /// that is away has them until it is asked again.
    ///
    /// # Errors
    /// The first thing that the engine refused; the others are gone.
    pub(crate) async fn remove_all(&self) -> Result<(), TaskError> {
        self.remove_those(|_| true).await
    }

    /// As [`Shadows::remove_all`], of some networks.
    ///
    /// # Errors
    /// The first thing that the engine refused; the others are gone.
    pub(super) async fn remove_those(
        &self,
        go: impl Fn(NetworkId) -> bool,
    ) -> Result<(), TaskError> {
        if !self.engine.is_answering() {
            return Ok(());
        }
        let _turn = self.named.lock().await;
        let mut outcome = Ok(());
        for shadow in self.shadows().await?.into_iter().filter(|shadow| go(shadow.network)) {
            let removed = self.remove_from_under(&shadow).await;
            outcome = outcome.and(removed.map_err(TaskError::from));
        }
        outcome
    }

    async fn remove_from_under(&self, shadow: &Shadow) -> Result<(), Failure> {
        let id = &shadow.id;
        let containers = match self.containers_on(id).await {
            Err(failure) if failure.is_not_found() => return Ok(()),
            containers => containers?,
        };
        for container in containers.into_keys() {
            let request = &NetworkDisconnectRequest { container, force: Some(true) };
            let disconnect = move |docker: Docker| async move {
                docker.disconnect_network(id, request.clone()).await
            };
            match self.engine.call(disconnect).await {
                Err(failure) if !failure.is_not_found() => return Err(failure),
                _ => {}
            }
        }
        self.delete(id).await.map(drop)
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

    /// Running containers on a network of the engine: the endpoint's id, and the addresses.
    pub(super) async fn containers_on(
        &self,
        network: &str,
    ) -> Result<HashMap<String, (String, Local)>, Failure> {
        let inspect = move |docker: Docker| async move {
            docker.inspect_network(network, None::<InspectNetworkOptions>).await
        };
        let seen = self.engine.call(inspect).await?;
        let containers = seen.containers.unwrap_or_default().into_iter();
        Ok(containers
            .map(|(container, endpoint)| {
                let address = |text: Option<&String>| text.and_then(|text| without_prefix(text));
                let v4 = address(endpoint.ipv4_address.as_ref());
                let local = gateway::local(v4, address(endpoint.ipv6_address.as_ref()));
                (container, (endpoint.endpoint_id.unwrap_or_default(), local))
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
