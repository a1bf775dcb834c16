//! The way of components to the networks of their services, and of others to components:
//! in user space, as a component has no interface that a kernel could lead to.
//!
//! ```text
//!  component's process ── socket in the task's folder ── daemon ─┬─ component here: loopback
//!                                                                ├─ container here: the router
//!                                                                └─ tunnel ── the other node's
//!                                                                             daemon, the same
//! ```
//!
//! - `door.rs`: each component that is on networks has a socket in its task's folder. What
//!   comes by it is that task's, on its networks. It is there again when a daemon that was
//!   started again finds the task, which looks for it for a while.
//! - `target.rs`: where an address leads, by what the leader said: to one task or container,
//!   or for a virtual address to those that serve, in turn. Pure.
//! - `caught.rs`: what containers here connect to components, wherever those are: the node's
//!   router hands it over.
//! - `dial.rs`: a connection to one of them. The agent of its node makes the last step, and
//!   only to an address that somebody of its own has.
//!
//! Connections are made before a component hears of them, so what it hears of one that
//! failed is why. A component sees names and addresses of its own networks and of no others;
//! others see, as the client, the gateway of the network, or of a component's process the
//! loopback address.
//!
//! # Bounds
//!
//! A task has [`CONNECTIONS_MAX`] connections at a time, the node's tunnels from others
//! [`ARRIVING_MAX`], its containers [`CAUGHT_MAX`] to components; a connection is made within [`DIAL_DEADLINE`], and one task of a service
//! is waited for no longer than [`ONE_DEADLINE`].

mod caught;
mod dial;
mod door;
mod target;
mod wire;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swarmw_ambient::Ambient;
use swarmw_model::{NodeId, TaskId};
use swarmw_proto::Channels;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::net::{Heard, Networks};
use crate::worker::Worker;
use target::Turns;

pub(crate) use door::short;
pub(crate) use wire::{Answer, Ask, DOOR, Failure, get, put};

/// Connections of one task at a time, in each direction of who begins.
pub(crate) const CONNECTIONS_MAX: usize = 1_000;
/// Connections at a time that other nodes' agents make to components and containers here.
const ARRIVING_MAX: usize = 10_000;
/// Connections at a time of this node's containers to components.
const CAUGHT_MAX: usize = 10_000;
/// From the wish for a connection to its answer.
pub(crate) const DIAL_DEADLINE: Duration = Duration::from_secs(15);
/// Before the next task of a service is tried.
const ONE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a question waits for an agent that is about to begin.
const BEGIN_PATIENCE: Duration = Duration::from_secs(5);

/// The way of components to networks. Clones are the same.
#[derive(Clone)]
pub(crate) struct Forward(Arc<Shared>);

struct Shared {
    /// None before the agent has begun, and after its end.
    parts: watch::Sender<Option<Arc<Parts>>>,
    doors: Mutex<HashMap<TaskId, CancellationToken>>,
    turns: Mutex<Turns>,
    arriving: Arc<Semaphore>,
    caught: Arc<Semaphore>,
    reached: AtomicU64,
    failed: AtomicU64,
}

/// What it works with.
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) heard: Heard,
    pub(crate) worker: Worker,
    pub(crate) channels: Channels,
    /// None: this node's kernel joins no containers.
    pub(crate) networks: Option<Networks>,
    pub(crate) ambient: Ambient,
}

/// What became of connections over networks that went through this node's daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Those that were made.
    pub reached: u64,
    /// Those that were not.
    pub failed: u64,
}

// === impl Forward ===

impl Forward {
    /// Without anything to work with yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            parts: watch::Sender::new(None),
            doors: Mutex::default(),
            turns: Mutex::default(),
            arriving: Arc::new(Semaphore::new(ARRIVING_MAX)),
            caught: Arc::new(Semaphore::new(CAUGHT_MAX)),
            reached: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    /// What asked before now is answered now.
    pub(crate) fn begin(&self, parts: Parts) {
        self.0.parts.send_replace(Some(Arc::new(parts)));
    }

    /// Ends all connections and takes no others.
    pub(crate) fn end(&self) {
        self.0.parts.send_replace(None);
        let doors = std::mem::take(&mut *self.doors());
        doors.into_values().for_each(|door| door.cancel());
    }

    /// What became of connections.
    pub(crate) fn counts(&self) -> Forwarded {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Forwarded { reached: of(&self.0.reached), failed: of(&self.0.failed) }
    }

    fn count(&self, is_reached: bool) {
        let count = if is_reached { &self.0.reached } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is to work with, as soon as the agent has begun.
    async fn parts(&self) -> Option<Arc<Parts>> {
        let mut parts = self.0.parts.subscribe();
        let begun = tokio::time::timeout(BEGIN_PATIENCE, parts.wait_for(Option::is_some)).await;
        begun.ok()?.ok()?.clone()
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, CancellationToken>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
