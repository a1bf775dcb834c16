//! Networks of the cluster, on this node.
//!
//! The leader says who has which address ([`Known`]); the engine says which of its
//! containers are on them ([`Memory`]); `desire.rs` makes of both what the kernel should
//! have, and [`Networks`] has it made so, again and again: when either changes, when a task
//! has ended, and every [`keep::LOOK_EVERY`], whatever somebody did to the kernel meanwhile. No
//! manager is needed for any of it, but for addresses of containers that no service made.

mod addresses;
mod attach;
mod caught;
mod desire;
mod doctor;
mod heard;
mod keep;
mod known;
mod leader;
mod members;
mod naming;
#[cfg(test)]
mod needs_root;
mod published;
mod said;
mod sandboxes;
mod tidy;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmw_ambient::Ambient;
use swarmw_engine_driver::{Driver, Endpoint, Memory, Refused, SOCKET, Serving};
use swarmw_model::{Network, NetworkId, NetworkNews, NodeId, Pool, Refusal, RefusalKind, TaskId};
use swarmw_names::{Counts, Resolver};
use swarmw_overlay::{Applied, Overlay, Settings};
use tokio::net::TcpStream;
use tokio::sync::{RwLock, watch};
use tracing::warn;

use crate::docker::{Engine, Shadows};
use crate::forward::Forward;
use crate::repairs::Repairs;
use crate::store::Store;
use addresses::Given;
use caught::Catcher;
use desire::veth;
use said::Said;
use sandboxes::Sandboxes;
use tidy::{Found, Routed};

pub(crate) use desire::serves;
pub(crate) use heard::Heard;
pub(crate) use known::Known;
pub(crate) use leader::Leader;
pub(crate) use published::{KernelPorts, Listed, leave_to_user_space};
pub use view::NetworkView;

/// Letters of the node's id in the name of the router's namespace.
const NODE_LETTERS: usize = 12;
/// In the agent's folder: what the engine has told.
const FOLDER: &str = "engine-networks";

/// Networks of the cluster on this node. Clones are the same.
#[derive(Clone)]
pub(crate) struct Networks(Arc<Shared>);

struct Shared {
    node: NodeId,
    store: Store,
    memory: Arc<Memory>,
    engine: Arc<Engine>,
    shadows: Arc<Shadows>,
    leader: Leader,
    heard: Heard,
    ended: watch::Receiver<BTreeSet<TaskId>>,
    /// Held while the engine's networks are told what was heard.
    telling: Mutex<()>,
    sandboxes: Sandboxes,
    /// Held while all of them are looked at.
    sandboxes_turn: tokio::sync::Mutex<()>,
    given: Given,
    /// Connections of containers to components.
    caught: Catcher,
    routed: Mutex<Routed>,
    /// Held while somebody tidies up.
    found: tokio::sync::Mutex<Found>,
    /// None once the node has left.
    overlay: RwLock<Option<Overlay>>,
    /// The node is about to.
    leaving: AtomicBool,
    /// Counts what there is to do…
    wanted: watch::Sender<u64>,
    /// …and up to where it is done.
    done: watch::Sender<Done>,
    said: Said,
    repairs: Repairs,
}

/// Up to where the kernel was last made what it should be.
struct Done {
    number: u64,
    /// What came of it, or why nothing did.
    outcome: Result<Applied, String>,
}

/// Where the node's engine finds the driver of overlay networks.
///
/// # Errors
///
/// This node can have none, and why.
pub async fn network_driver() -> Result<PathBuf, String> {
    let able = Overlay::able(&Settings::new("")).await;
    able.map(|()| SOCKET.into()).map_err(|error| error.to_string())
}

/// What networks on a node are made of.
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    pub(crate) shadows: Arc<Shadows>,
    pub(crate) leader: Leader,
    pub(crate) heard: Heard,
    pub(crate) forward: Forward,
    pub(crate) repairs: Repairs,
    pub(crate) ambient: Ambient,
}

// === impl Networks ===

impl Networks {
    /// Goes on with what the node had. The engine may ask from now on, and before it does
    /// anything else: an engine that starts asks for its networks first.
    pub(crate) async fn begin(parts: Parts, socket: &Path) -> std::io::Result<(Self, Serving)> {
        let letters: String = parts.node.to_string().chars().take(NODE_LETTERS).collect();
        Self::begin_in(Settings::new(format!("swarmw-{letters}")), parts, socket).await
    }

    /// As [`Self::begin`], with the router where the settings say.
    async fn begin_in(
        settings: Settings,
        parts: Parts,
        socket: &Path,
    ) -> std::io::Result<(Self, Serving)> {
        let memory = Arc::new(Memory::open(parts.store.folder().join(FOLDER))?);
        let overlay = Overlay::open(settings).await.map_err(std::io::Error::other)?;
        let networks = Self(Arc::new(Shared {
            node: parts.node,
            store: parts.store,
            memory: memory.clone(),
            engine: parts.engine,
            shadows: parts.shadows,
            leader: parts.leader,
            ended: parts.heard.ended(),
            sandboxes: Sandboxes::new(Resolver::new(parts.heard.names(), parts.ambient)),
            heard: parts.heard,
            telling: Mutex::default(),
            sandboxes_turn: Default::default(),
            given: Given::default(),
            caught: Catcher::new(parts.forward),
            routed: Mutex::default(),
            found: Default::default(),
            overlay: RwLock::new(Some(overlay)),
            leaving: AtomicBool::new(false),
            wanted: watch::Sender::new(1),
            done: watch::Sender::new(Done { number: 0, outcome: Ok(Applied::default()) }),
            said: Said::new(parts.repairs.clone()),
            repairs: parts.repairs,
        }));
        networks.0.shadows.serve(memory.clone());
        networks.tell_shadows();
        let driver = Driver::new(Arc::new(networks.clone()), memory);
        let serving = driver.serve(socket).await.map_err(std::io::Error::other)?;
        Ok((networks, serving))
    }

    /// What the leader says.
    pub(crate) fn learn(&self, news: NetworkNews) {
        if self.0.heard.learn(news) {
            self.has_heard();
        }
    }

    pub(super) fn take_in(&self, news: NetworkNews) {
        self.0.heard.take_in(news);
        self.has_heard();
    }

    fn has_heard(&self) {
        self.tell_shadows();
        self.changed();
    }

    fn tell_shadows(&self) {
        // Whoever comes later tells what is known later.
        let _telling = self.0.telling.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.shadows.tell(self.0.heard.known().networks.clone());
    }

    /// A network, as the leader knows it.
    pub(crate) async fn find(&self, network: &str) -> Result<Option<Network>, Refusal> {
        let found = self.0.leader.find(network).await;
        found.map_err(|why| Refusal::plain(RefusalKind::Unavailable, why))
    }

    /// The engine's id of what stands for a network, for a container that is about to be
    /// made.
    pub(crate) async fn shadow(&self, network: &Network) -> Result<String, Refusal> {
        let shadow = self.0.shadows.promise(network).await;
        let shadow = shadow.map_err(|why| Refusal::plain(RefusalKind::Unavailable, why.0))?;
        Ok(shadow.id)
    }

    /// Removes what stands for networks on the engine, which asks its driver meanwhile:
    /// containers that no service made lose their networks before the node does.
    pub(crate) async fn remove_shadows(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
        if let Err(error) = self.0.shadows.remove_all().await {
            warn!(%error, "networks of the cluster are left on the engine");
        }
    }

    /// Removes everything from the kernel: the node leaves its cluster.
    pub(crate) async fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
        self.0.sandboxes.clear();
        if let Some(overlay) = self.0.overlay.write().await.take()
            && let Err(error) = overlay.close().await
        {
            warn!(%error, "something is left of the overlay networks");
        }
    }

    /// A connection to a container of this node, from the gateway of its network.
    pub(crate) async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = match &*self.0.overlay.read().await {
            Some(overlay) => overlay.socket(to.is_ipv4()).await.map_err(io::Error::other)?,
            None => None,
        };
        let socket = socket.ok_or(io::ErrorKind::HostUnreachable)?;
        socket.connect(to).await
    }

    /// What became of containers' questions for names.
    pub(crate) fn name_queries(&self) -> Counts {
        self.0.sandboxes.counts()
    }

    fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    fn subnets(&self) -> BTreeMap<NetworkId, Vec<Pool>> {
        let known = self.0.heard.known();
        known.networks.values().map(|network| (network.id, network.pools.clone())).collect()
    }

    fn routed(&self) -> MutexGuard<'_, Routed> {
        self.0.routed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be done.
    fn changed(&self) {
        self.0.wanted.send_modify(|number| *number += 1);
    }

    /// Returns when everything that was known when this was called is in the kernel.
    ///
    /// # Errors
    /// It could not be brought there, as far as it concerns an endpoint.
    async fn settled(&self, endpoint: &Endpoint) -> Result<(), Refused> {
        self.changed();
        let number = *self.0.wanted.borrow();
        let mut done = self.0.done.subscribe();
        let done = done.wait_for(|done| done.number >= number).await;
        // The sender lives as long as this.
        let Ok(done) = done else { return Ok(()) };
        match &done.outcome {
            Err(why) => Err(Refused::new(why.as_str())),
            Ok(applied) => match applied.failure_of(endpoint.network, &veth(&endpoint.id)) {
                Some(why) => Err(Refused::new(why)),
                None => Ok(()),
            },
        }
    }

    /// Tasks of this node that have ended are found by nobody any more.
    fn drop_ended(&self, ended: &BTreeSet<TaskId>) {
        if self.0.heard.drop_ended(ended) {
            self.has_heard();
        }
    }
}
