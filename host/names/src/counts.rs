//! What a node's resolver did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::forward::Unanswered;

/// Queries that do not get through are warned of once in so long.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What a node's resolver did since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries answered here, those that are malformed among them.
    pub answered: u64,
    /// Queries that an engine's resolver answered.
    pub forwarded: u64,
    /// Queries that an engine's resolver did not answer.
    pub failed: u64,
    /// Queries that were not forwarded, since too many were already.
    pub refused: u64,
}

/// Counts as they grow.
#[derive(Default)]
pub(crate) struct Tally {
    answered: AtomicU64,
    forwarded: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            answered: read(&self.answered),
            forwarded: read(&self.forwarded),
            failed: read(&self.failed),
            refused: read(&self.refused),
        }
    }

    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn forwarded(&self) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unanswered(&self, why: &Unanswered) {
        match why {
            Unanswered::SandboxBusy | Unanswered::NodeBusy => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                if self.warns_now() {
                    warn!(reason = %why, "queries of containers are refused");
                }
            }
            Unanswered::Silent | Unanswered::Failed(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                debug!(reason = %why, "a query gets no answer");
            }
        }
    }

    fn warns_now(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let due = warned.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if due {
            *warned = Some(Instant::now());
        }
        due
    }
}
