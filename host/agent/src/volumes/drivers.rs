//! The components that drive volumes: the leader says which there are, and each is
//! fetched and compiled when a task on this node first needs it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use swarmw_model::{ClusterVolume, Payload, Plugin, PluginClaim, VolumeScope, VolumeSecret};
use swarmw_plugin_host::volumes::{Measure, NamedVolume, Node, Scope, VolumeFailure};
use swarmw_plugin_host::{Compiler, PluginHost};
use swarmw_proto::wire;
use tokio::sync::watch;
use tracing::warn;

use super::action::Action;
use super::check::{Phase, Powers, check};
use super::planner::{NoPlan, Planner};
use super::record::{SIZE, size_of};
use super::wanted::Wanted;
use crate::images::Images;
use crate::secrets::{Memory, Vault};

/// In the node's folder: which drivers there are.
const DRIVERS: &str = "drivers";
/// Before a component that could not be fetched, or that failed, is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The volume drivers that the cluster has.
pub(crate) struct Drivers {
    pub(crate) setup: Setup,
    known: watch::Sender<Known>,
    host: OnceLock<PluginHost>,
    loaded: tokio::sync::Mutex<Vec<(Plugin, Bytes)>>,
}

/// What the leader last said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The cluster's volume drivers.
    pub(crate) drivers: Vec<Plugin>,
    /// Its volumes.
    pub(crate) volumes: Vec<ClusterVolume>,
}

/// What drivers work with on this node.
pub(crate) struct Setup {
    /// The node's own: remembers which there are, as tasks go on without managers.
    pub(crate) folder: PathBuf,
    /// This binary, for child processes.
    pub(crate) exe: PathBuf,
    pub(crate) compiler: Compiler,
    pub(crate) images: Images,
    pub(crate) hostname: String,
    /// Programs that the node's admin allows, and where they are.
    pub(crate) helpers: BTreeMap<String, PathBuf>,
    /// Whether the node has an engine.
    pub(crate) engine: bool,
    /// What the leader gave.
    pub(crate) vault: Arc<Vault>,
    /// For secrets that are files.
    pub(crate) memory: Arc<Memory>,
}

// === impl Drivers ===

impl Drivers {
    /// Those that the node last heard of.
    pub(crate) fn open(setup: Setup) -> Self {
        let bytes = std::fs::read(setup.folder.join(DRIVERS)).unwrap_or_default();
        let known = wire::decode(&bytes).unwrap_or_default();
        Self {
            setup,
            known: watch::Sender::new(known),
            host: OnceLock::new(),
            loaded: tokio::sync::Mutex::default(),
        }
    }

    /// The leader's word: these there are, and no others.
    pub(crate) fn learn(&self, known: Known) {
        let file = self.setup.folder.join(DRIVERS);
        let new = file.with_extension("new");
        let written =
            std::fs::write(&new, wire::encode(&known)).and_then(|()| std::fs::rename(new, file));
        if let Err(error) = written {
            warn!(%error, "the volume drivers could not be written down");
        }
        self.known.send_replace(known);
    }

    /// What the leader last said, and what it will say.
    pub(crate) fn known(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Whether a component drives volumes of this driver.
    pub(crate) fn claim(&self, driver: &str) -> bool {
        self.of(driver).is_some()
    }

    fn of(&self, driver: &str) -> Option<Plugin> {
        let names =
            |claim: &PluginClaim| matches!(claim, PluginClaim::Name(name) if name == driver);
        let known = self.known.borrow();
        known.drivers.iter().find(|p| p.release.metadata.claims.iter().any(names)).cloned()
    }

    /// The driver's component, loaded.
    async fn ready(&self, driver: &str) -> Result<(PluginHost, Plugin), NoPlan> {
        let plugin = self
            .of(driver)
            .ok_or_else(|| NoPlan::Failed(format!("no volume driver is called {driver}")))?;
        let same = |a: &Plugin, b: &Plugin| a.id == b.id && a.version == b.version;
        let mut loaded = self.loaded.lock().await;
        let host = self.host.get_or_init(|| PluginHost::new(self.setup.compiler.clone()));
        if loaded.iter().any(|(there, _)| same(there, &plugin)) {
            return Ok((host.pin(), plugin));
        }
        let digest = &plugin.release.blob.digest;
        let bytes = self.setup.images.component(digest).await.map_err(|why| {
            NoPlan::Retry(RETRY, format!("the volume driver {} is not here: {why}", plugin.name))
        })?;
        let known = self.known.borrow().drivers.clone();
        let mut next = loaded.clone();
        next.retain(|(there, _)| there.id != plugin.id && known.iter().any(|k| same(there, k)));
        next.push((plugin.clone(), bytes));
        loaded.clone_from(&next);
        let setting = host.clone();
        let failures = tokio::task::spawn_blocking(move || setting.set_plugins(next)).await;
        let failures = failures.map_err(|panic| NoPlan::Failed(panic.to_string()))?;
        match failures.into_iter().find(|(name, _)| **name == *plugin.name) {
            None => Ok((host.pin(), plugin)),
            Some((name, why)) => {
                loaded.retain(|(there, _)| there.id != plugin.id);
                Err(NoPlan::Failed(format!("the volume driver {name} does not load: {why}")))
            }
        }
    }

    /// Whether a component takes the volume, and where its data will be; `None` where no
    /// component drives it.
    pub(crate) async fn scope(&self, volume: &Wanted) -> Result<Option<VolumeScope>, NoPlan> {
        if !self.claim(&volume.driver) {
            return Ok(None);
        }
        let (host, _) = self.ready(&volume.driver).await?;
        let named = named(volume);
        let checked = tokio::task::spawn_blocking(move || host.volume_check(&named)).await;
        match checked.map_err(|panic| NoPlan::Failed(panic.to_string()))? {
            Ok(Scope::Local) => Ok(Some(VolumeScope::Local)),
            Ok(Scope::Cluster) => Ok(Some(VolumeScope::Cluster)),
            Err(failure) => Err(NoPlan::Failed(failure.to_string())),
        }
    }

    async fn do_plan(&self, phase: Phase, volume: &Wanted) -> Result<Vec<Action>, NoPlan> {
        let (host, plugin) = self.ready(&volume.driver).await?;
        let named = named(volume);
        let node = self.node();
        let planned = tokio::task::spawn_blocking(move || match phase {
            Phase::Create => host.volume_plan_create(&named, &node),
            Phase::Mount => host.volume_plan_mount(&named, &node, false),
            Phase::Remove => host.volume_plan_remove(&named, &node),
            Phase::Expand(size) => host.volume_expand(&named, &node, size),
        });
        let steps = match planned.await.map_err(|panic| NoPlan::Failed(panic.to_string()))? {
            Ok(steps) => steps,
            Err(VolumeFailure::Retry { plugin, after_ms }) => {
                let why = format!("volume driver {plugin} is not ready");
                return Err(NoPlan::Retry(Duration::from_millis(after_ms.into()), why));
            }
            Err(
                failure @ (VolumeFailure::Broken { .. }
                | VolumeFailure::NotCalled { .. }
                | VolumeFailure::NotYet { .. }),
            ) => return Err(NoPlan::Retry(RETRY, failure.to_string())),
            Err(failure) => return Err(NoPlan::Failed(failure.to_string())),
        };
        let powers = Powers {
            granted: &plugin.release.granted,
            helpers: &self.setup.helpers,
            engine: self.setup.engine,
        };
        check(steps, phase, volume, &powers)
            .map_err(|denied| NoPlan::Failed(format!("plugin {}: {denied}", plugin.name)))
    }

    async fn do_measure(&self, volume: &Wanted) -> Result<Measure, NoPlan> {
        let (host, _) = self.ready(&volume.driver).await?;
        let named = named(volume);
        let node = self.node();
        let asked = tokio::task::spawn_blocking(move || host.volume_usage(&named, &node)).await;
        asked
            .map_err(|panic| NoPlan::Failed(panic.to_string()))?
            .map_err(|failure| NoPlan::Failed(failure.to_string()))
    }

    fn node(&self) -> Node {
        Node { hostname: self.setup.hostname.clone(), engine: self.setup.engine }
    }
}

fn named(volume: &Wanted) -> NamedVolume {
    NamedVolume {
        driver: volume.driver.clone(),
        name: volume.name.clone(),
        options: volume.options.clone(),
    }
}

impl Planner for Drivers {
    fn plan<'a>(
        &'a self,
        phase: Phase,
        volume: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Action>, NoPlan>> {
        self.do_plan(phase, volume).boxed()
    }

    fn measure<'a>(&'a self, volume: &'a Wanted) -> BoxFuture<'a, Result<Measure, NoPlan>> {
        self.do_measure(volume).boxed()
    }

    fn size(&self, volume: &Wanted) -> Option<u64> {
        size_of(&volume.options).or_else(|| {
            let plugin = self.of(&volume.driver)?;
            let spec = plugin.release.metadata.options.iter().find(|spec| spec.name == SIZE)?;
            size_of(&[(SIZE.to_owned(), spec.default.clone()?)].into())
        })
    }

    fn secrets(&self, volume: &Wanted) -> BTreeMap<String, Payload> {
        let found = |secret: &VolumeSecret| {
            Some((secret.key.clone(), self.setup.vault.for_volume(secret.id)?))
        };
        volume.secrets.iter().filter_map(found).collect()
    }
}
