//! Networks of the cluster, on this node.
//!
//! The leader says who has which address ([`Known`]); the engine says which of its
//! containers are on them ([`Memory`]); `desire.rs` makes of both what the kernel should
//! have, and [`Networks`] has it made so, again and again: when either changes, when a task
//! has ended, and every [`LOOK_EVERY`], whatever somebody did to the kernel meanwhile. No
//! manager is needed for any of it, but for addresses of containers that no service made.

mod attach;
mod desire;
mod known;
mod leader;
mod naming;
mod sandboxes;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use swarmw_ambient::Ambient;
use swarmw_engine_driver::{Driver, Memory, Serving};
use swarmw_model::{Network, NetworkId, NetworkNews, NodeId, Refusal, RefusalKind, TaskId};
use swarmw_names::{Resolver, Table};
use swarmw_overlay::{Overlay, Settings};
use tokio::sync::{RwLock, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::docker::{Engine, Shadows};
use crate::store::Store;
use desire::{Here, desired, serves};
use sandboxes::Sandboxes;

pub(crate) use known::Known;
pub(crate) use leader::Leader;

/// Between two looks at what the kernel has: what somebody removed is back within twice
/// this.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Before what failed is tried again.
const RETRY: Duration = Duration::from_secs(2);
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
    /// Parts of the leader's word that have come so far.
    part: Mutex<Option<NetworkNews>>,
    known: watch::Sender<Arc<Known>>,
    ended: watch::Receiver<BTreeSet<TaskId>>,
    names: Arc<ArcSwap<Table>>,
    sandboxes: Sandboxes,
    /// None once the node has left.
    overlay: RwLock<Option<Overlay>>,
    /// Counts what there is to do…
    wanted: watch::Sender<u64>,
    /// …and up to where it is done.
    done: watch::Sender<u64>,
}

/// What networks on a node are made of.
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    pub(crate) shadows: Arc<Shadows>,
    pub(crate) leader: Leader,
    pub(crate) ended: watch::Receiver<BTreeSet<TaskId>>,
    pub(crate) ambient: Ambient,
}

// === impl Networks ===

impl Networks {
    /// Goes on with what the node had. The engine may ask from now on, and before it does
    /// anything else: an engine that starts asks for its networks first.
    pub(crate) async fn begin(parts: Parts, socket: &Path) -> std::io::Result<(Self, Serving)> {
        let memory = Arc::new(Memory::open(parts.store.folder().join(FOLDER))?);
        let known = Arc::new(parts.store.networks());
        let names = Arc::new(ArcSwap::from_pointee(names_of(&known)));
        let letters: String = parts.node.to_string().chars().take(NODE_LETTERS).collect();
        let settings = Settings::new(format!("swarmw-{letters}"));
        let overlay = Overlay::open(settings).await.map_err(std::io::Error::other)?;
        let networks = Self(Arc::new(Shared {
            node: parts.node,
            store: parts.store,
            memory: memory.clone(),
            engine: parts.engine,
            shadows: parts.shadows,
            leader: parts.leader,
            part: Mutex::default(),
            known: watch::Sender::new(known),
            ended: parts.ended,
            sandboxes: Sandboxes::new(Resolver::new(names.clone(), parts.ambient)),
            names,
            overlay: RwLock::new(Some(overlay)),
            wanted: watch::Sender::new(1),
            done: watch::Sender::new(0),
        }));
        networks.0.shadows.tell(networks.0.known.borrow().networks.clone());
        let driver = Driver::new(Arc::new(networks.clone()), memory);
        let serving = driver.serve(socket).await.map_err(std::io::Error::other)?;
        Ok((networks, serving))
    }

    /// What the leader says. What it says in parts counts when the last one is here: until
    /// then everything stays as it was.
    pub(crate) fn learn(&self, news: NetworkNews) {
        let news = {
            let mut part = self.0.part.lock().unwrap_or_else(PoisonError::into_inner);
            let all = match part.take() {
                // A whole word that begins anew takes the place of one that broke off.
                Some(mut begun) if !news.complete => {
                    begun.join(news);
                    begun
                }
                _ => news,
            };
            if all.more {
                *part = Some(all);
                return;
            }
            all
        };
        self.take_in(news);
    }

    pub(super) fn take_in(&self, mut news: NetworkNews) {
        {
            // What ended here serves no more, even if the leader has not heard of it.
            let ended = self.0.ended.borrow();
            for endpoint in &mut news.endpoints {
                endpoint.serves = serves(endpoint, self.0.node, &ended);
            }
        }
        self.0.names.rcu(|table| {
            let mut table = Table::clone(table);
            table.apply(&news);
            table
        });
        self.0.known.send_modify(|known| Arc::make_mut(known).learn(news));
        self.0.shadows.tell(self.0.known.borrow().networks.clone());
        self.changed();
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

    /// Removes what stands on the engine for networks that nobody here is on any more.
    async fn remove_idle_shadows(self) {
        let needed = self.0.known.borrow().clone();
        if let Err(error) = self.0.shadows.keep_only(|id| needed.networks.contains_key(&id)).await {
            info!(%error, "networks of the engine could not be looked through");
        }
    }

    /// Keeps the kernel as it should be, until cancelled.
    pub(crate) async fn keep(self, cancel: CancellationToken) {
        let shared = &*self.0;
        let mut wanted = shared.wanted.subscribe();
        let mut ended = shared.ended.clone();
        self.resume().await;
        let mut look = Instant::now() + LOOK_EVERY;
        let mut networks = BTreeSet::new();
        loop {
            let number = *wanted.borrow_and_update();
            let before = std::mem::replace(&mut networks, self.networks());
            if before.difference(&networks).next().is_some() {
                // The engine may be waiting for this loop, in a call to its driver.
                tokio::spawn(self.clone().remove_idle_shadows());
            }
            let made = self.make_it_so().await;
            shared.done.send_replace(number);
            let retry = match made {
                Ok(()) => look,
                Err(error) => {
                    warn!(%error, "overlay networks are not as they should be");
                    Instant::now() + RETRY
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = wanted.changed() => {}
                Ok(()) = ended.changed() => self.drop_ended(&ended.borrow_and_update().clone()),
                () = tokio::time::sleep_until(retry.min(look)) => {}
            }
            // Not put off by changes, however many there are.
            if look <= Instant::now() {
                self.repair().await;
                // The engine may be waiting for this loop, in a call to its driver.
                tokio::spawn(self.clone().remove_idle_shadows());
                self.give_up_lost_attachments().await;
                look = Instant::now() + LOOK_EVERY;
            }
        }
    }

    /// Removes everything from the kernel: the node leaves its cluster.
    pub(crate) async fn leave(&self) {
        self.0.sandboxes.clear();
        if let Some(overlay) = self.0.overlay.write().await.take()
            && let Err(error) = overlay.close().await
        {
            warn!(%error, "something is left of the overlay networks");
        }
    }

    fn networks(&self) -> BTreeSet<NetworkId> {
        self.0.known.borrow().networks.keys().copied().collect()
    }

    /// Something is to be done.
    fn changed(&self) {
        self.0.wanted.send_modify(|number| *number += 1);
    }

    /// Returns when everything that was known when this was called is in the kernel, or
    /// could not be brought there.
    async fn settled(&self) {
        self.changed();
        let number = *self.0.wanted.borrow();
        // The sender lives as long as this.
        let _ = self.0.done.subscribe().wait_for(|done| *done >= number).await;
    }

    /// What was there before the daemon started again: the router, and sandboxes whose
    /// resolvers died with it.
    async fn resume(&self) {
        for endpoint in self.0.memory.endpoints() {
            if let Some(sandbox) = &endpoint.sandbox
                && let Err(error) = self.serve_names(sandbox).await
            {
                // Its container ended while nobody could say so.
                info!(%error, "a sandbox is not there any more");
            }
        }
    }

    async fn make_it_so(&self) -> swarmw_overlay::Result<()> {
        let known = self.0.known.borrow().clone();
        if let Err(error) = self.0.store.put_networks(&known) {
            warn!(%error, "what was heard of networks could not be written down");
        }
        let joined = self.0.memory.endpoints();
        let ended = self.0.ended.borrow().clone();
        let here = Here { node: self.0.node, joined: &joined, ended: &ended };
        let Some(desired) = desired(&known, &here) else { return Ok(()) };
        match &*self.0.overlay.read().await {
            Some(overlay) => overlay.apply(desired).await.map(drop),
            None => Ok(()),
        }
    }

    /// Puts back what somebody took from the kernel.
    async fn repair(&self) {
        let overlay = self.0.overlay.read().await;
        let Some(overlay) = &*overlay else { return };
        match overlay.repair().await {
            Ok((drifts, _)) => {
                for drift in drifts {
                    warn!(%drift, "repaired an overlay network");
                }
            }
            Err(error) => warn!(%error, "overlay networks could not be looked at"),
        }
    }

    /// Tasks of this node that have ended are found by nobody any more.
    fn drop_ended(&self, ended: &BTreeSet<TaskId>) {
        let known = self.0.known.borrow().clone();
        let mut gone: Vec<_> = known.endpoints.values().filter(|e| e.serves).cloned().collect();
        gone.retain(|endpoint| !serves(endpoint, self.0.node, ended));
        if gone.is_empty() {
            return;
        }
        gone.iter_mut().for_each(|endpoint| endpoint.serves = false);
        self.take_in(NetworkNews { endpoints: gone, ..NetworkNews::default() });
    }
}

fn names_of(known: &Known) -> Table {
    let mut table = Table::default();
    table.apply(&known.as_news());
    table
}
