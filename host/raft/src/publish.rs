//! Telling subscribers what changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use swarmw_model::Time;
use swarmw_state::{Event, History, Missed, State};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

/// Batches that a slow subscriber may lag behind before it is told to start over.
const BATCHES_KEPT: usize = 1_024;

/// The latest state, and who wants to know of changes.
#[derive(Clone)]
pub(crate) struct Publisher {
    state: Arc<ArcSwap<State>>,
    batches: broadcast::Sender<Batch>,
    history: Arc<Mutex<History>>,
    applied: watch::Sender<u64>,
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

/// Changes from any entry of the log on, as far as they are kept: since the last snapshot at
/// the start of this manager, and within the bounds of [`History`].
#[derive(Clone, Debug)]
pub struct Past {
    state: Arc<ArcSwap<State>>,
    history: Arc<Mutex<History>>,
    applied: watch::Receiver<u64>,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn new(state: State) -> Self {
        let index = state.index();
        Self {
            state: Arc::new(ArcSwap::from_pointee(state)),
            batches: broadcast::Sender::new(BATCHES_KEPT),
            history: Arc::new(Mutex::new(History::after(index))),
            applied: watch::Sender::new(index),
        }
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription(self.batches.subscribe())
    }

    pub(crate) fn past(&self) -> Past {
        Past {
            state: self.state.clone(),
            history: self.history.clone(),
            applied: self.applied.subscribe(),
        }
    }

    /// What each entry changed, and when it was proposed. The state comes first: who hears
    /// of a change sees it.
    pub(crate) fn publish(&self, state: State, entries: Vec<(u64, Time, Vec<Event>)>) {
        let index = state.index();
        self.state.store(Arc::new(state));
        {
            let mut history = locked(&self.history);
            for (index, at, events) in &entries {
                history.push(*index, *at, events);
            }
            history.reach(index);
        }
        self.applied.send_replace(index);
        let events: Vec<_> = entries.into_iter().flat_map(|(_, _, events)| events).collect();
        if !events.is_empty() {
            // Without subscribers there is nobody to tell.
            let _ = self.batches.send(Batch { index, events: events.into() });
        }
    }

    /// Another state altogether: everybody starts over.
    pub(crate) fn replace(&self, state: State) {
        let index = state.index();
        self.state.store(Arc::new(state));
        *locked(&self.history) = History::after(index);
        self.applied.send_replace(index);
        for _ in 0..=BATCHES_KEPT {
            let _ = self.batches.send(Batch { index, events: Arc::new([]) });
        }
    }
}

/// Nothing that is done under the lock leaves a history in pieces.
fn locked(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Past ===

impl Past {
    /// What came after the entry `index`, at most about so many changes at once.
    pub fn since(&self, index: u64, most: usize) -> Missed {
        locked(&self.history).since(index, most)
    }

    /// A state that holds at least what was told.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Returns once an entry after `index` is applied; `false` when Raft has stopped.
    pub async fn reaches_more_than(&self, index: u64) -> bool {
        self.applied.clone().wait_for(|applied| *applied > index).await.is_ok()
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
