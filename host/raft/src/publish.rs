//! Telling subscribers what changed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use swarmw_state::{Event, State};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Batches that a slow subscriber may lag behind before it is told to start over.
const BATCHES_KEPT: usize = 1_024;

/// The latest state, and who wants to know of changes.
#[derive(Clone)]
pub(crate) struct Publisher {
    state: Arc<ArcSwap<State>>,
    batches: broadcast::Sender<Batch>,
}

/// What one round of applying changed.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Index of the last entry in it.
    pub index: u64,
    /// In order.
    pub events: Arc<[Event]>,
}

/// What a subscriber receives.
#[derive(Clone, Debug)]
pub enum Received {
    /// The next changes.
    Batch(Batch),
    /// Changes were missed: look at the whole state again.
    Lagged,
}

/// Changes from the moment of subscribing on.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Batch>);

// === impl Publisher ===

impl Publisher {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Arc::new(ArcSwap::from_pointee(state)),
            batches: broadcast::Sender::new(BATCHES_KEPT),
        }
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription(self.batches.subscribe())
    }

    /// The state comes first: who hears of a change sees it.
    pub(crate) fn publish(&self, state: State, events: Vec<Event>) {
        let index = state.index();
        self.state.store(Arc::new(state));
        if !events.is_empty() {
            // Without subscribers there is nobody to tell.
            let _ = self.batches.send(Batch { index, events: events.into() });
        }
    }

    /// Another state altogether: everybody starts over.
    pub(crate) fn replace(&self, state: State) {
        let index = state.index();
        self.state.store(Arc::new(state));
        for _ in 0..=BATCHES_KEPT {
            let _ = self.batches.send(Batch { index, events: Arc::new([]) });
        }
    }
}

// === impl Subscription ===

impl Subscription {
    /// Waits for the next changes; `None` when Raft has stopped.
    pub async fn next(&mut self) -> Option<Received> {
        match self.0.recv().await {
            Ok(batch) => Some(Received::Batch(batch)),
            Err(RecvError::Lagged(_)) => Some(Received::Lagged),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next changes, if there are any already.
    pub fn try_next(&mut self) -> Option<Received> {
        match self.0.try_recv() {
            Ok(batch) => Some(Received::Batch(batch)),
            Err(TryRecvError::Lagged(_)) => Some(Received::Lagged),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
