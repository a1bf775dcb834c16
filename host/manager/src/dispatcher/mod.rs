//! Agents and the leader: sessions, assignments, statuses, published ports.
//!
//! Each agent holds one stream to the leader. What it is to be told is kept as
//! marks ("this task has changed"), not as a queue of messages: a slow agent costs
//! one mark per task, and is told the present state when it gets round to it.

mod address;
mod assigned;
mod given;
mod inbox;
mod liveness;
mod networks;
mod ports;
mod session;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmw_model::NodeId;
use tokio::sync::watch as tokio_watch;
use tokio_util::sync::CancellationToken;

use crate::logs::LogBroker;
use crate::propose::Proposer;
use inbox::Inbox;
use liveness::Liveness;
use ports::Published;

pub(crate) use networks::should_have_heard;
pub(crate) use session::{SessionStream, open};

/// The leader's side of all sessions; lives as long as the leadership.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Shared>);

struct Shared {
    log: Proposer,
    sessions: Mutex<HashMap<NodeId, Session>>,
    liveness: Mutex<Liveness>,
    heard: tokio::sync::Notify,
    ports: tokio_watch::Sender<Arc<Published>>,
    logs: LogBroker,
    cancel: CancellationToken,
}

/// One agent's session, as others see it.
struct Session {
    /// Tells this session from an earlier one of the same node.
    number: u64,
    inbox: Arc<Inbox>,
    /// Ends it: a newer session of the node has begun.
    end: CancellationToken,
}

// === impl Dispatcher ===

impl Dispatcher {
    pub(crate) fn new(log: Proposer, logs: LogBroker, cancel: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            log,
            sessions: Mutex::default(),
            liveness: Mutex::default(),
            heard: tokio::sync::Notify::new(),
            ports: tokio_watch::channel(Arc::default()).0,
            logs,
            cancel,
        }))
    }

    /// Runs until the leadership ends: routes changes to sessions, and calls nodes
    /// down that are silent for too long.
    pub(crate) async fn run(self) {
        tokio::join!(watch::route(self.clone()), watch::watch_silence(self));
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<NodeId, Session>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.0.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a node for log lines; `false` when it has no session.
    pub(crate) fn ask_logs(&self, node: NodeId, wanted: swarmw_proto::pb::LogsWanted) -> bool {
        match self.sessions().get(&node) {
            Some(session) => {
                session.inbox.ask_logs(wanted);
                true
            }
            None => false,
        }
    }
}
