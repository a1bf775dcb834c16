//! Who led in which term: never two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use swarmw_manager::Manager;
use swarmw_model::NodeId;

/// The leaders seen so far.
#[derive(Clone, Default)]
pub(crate) struct Terms(Arc<Mutex<BTreeMap<u64, NodeId>>>);

// === impl Terms ===

impl Terms {
    /// Follows one manager until it stops.
    pub(crate) fn follow(&self, manager: &Manager, node: NodeId) {
        let terms = self.clone();
        let mut role = manager.watch_role();
        tokio::spawn(async move {
            loop {
                let now = role.borrow_and_update().clone();
                if now.leading {
                    terms.leads(now.term, node);
                }
                if role.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn leads(&self, term: u64, node: NodeId) {
        let mut terms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = *terms.entry(term).or_insert(node);
        // Told by `check`, for a panic here is a panic of a task that nobody awaits.
        if leader != node {
            terms.insert(u64::MAX, node);
        }
    }

    /// # Panics
    /// Two led in one term.
    pub(crate) fn check(&self) {
        let terms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!terms.contains_key(&u64::MAX), "two leaders in one term: {terms:?}");
    }

    /// How many terms had a leader.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
