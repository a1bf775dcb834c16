//! What the log has been told: the same is not said again, however often it is tried.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarmw_engine_driver::EndpointId as EngineEndpointId;
use swarmw_model::AttachmentId;
use swarmw_overlay::Veth;
use tokio::time::Instant;

use crate::repairs::Repairs;

/// Mended things that are kept…
const MENDED_MAX: usize = 32;
/// …and for how long.
const MENDED_KEPT: Duration = Duration::from_secs(600);

/// What was said last, by what it was about.
pub(super) struct About<K>(Mutex<BTreeMap<K, String>>);

/// All that is tried again and again.
#[derive(Default)]
pub(super) struct Said {
    /// Of the kernel as a whole.
    pub(super) kernel: About<()>,
    /// Sentences about what somebody did to it.
    pub(super) drifts: About<String>,
    /// Of containers' links that are missing.
    pub(super) links: About<Veth>,
    /// Of containers' routes.
    pub(super) routes: About<EngineEndpointId>,
    /// Of names in sandboxes.
    pub(super) names: About<PathBuf>,
    /// Of what the leader is to be told.
    pub(super) leader: About<AttachmentId>,
    /// What somebody did to all this, and is made good.
    pub(super) mended: Mended,
}

/// What was made good lately, for whoever asks how the node is: it happened all the same.
#[derive(Default)]
pub(super) struct Mended {
    lately: Mutex<VecDeque<(Instant, String)>>,
    repairs: Repairs,
}

// === impl About ===

impl<K: Ord> About<K> {
    /// Whether something else, or nothing, was said of it last.
    pub(super) fn is_news(&self, about: K, what: impl ToString) -> bool {
        let what = what.to_string();
        self.lock().insert(about, what.clone()).is_none_or(|last| last != what)
    }

    /// What was said of it last, unless all is well with it.
    pub(super) fn last(&self, about: &K) -> Option<String> {
        self.lock().get(about).cloned()
    }

    /// All is well with it; whether something else was said last.
    pub(super) fn is_over(&self, about: &K) -> bool {
        self.lock().remove(about).is_some()
    }

    /// Nothing is kept of others.
    pub(super) fn keep_only(&self, these: &BTreeSet<K>) {
        self.lock().retain(|about, _| these.contains(about));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for About<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

// === impl Said ===

impl Said {
    pub(super) fn new(repairs: Repairs) -> Self {
        Self { mended: Mended::new(repairs), ..Self::default() }
    }
}

// === impl Mended ===

impl Mended {
    pub(super) fn new(repairs: Repairs) -> Self {
        Self { lately: Mutex::default(), repairs }
    }

    /// The oldest makes room; who listens hears it.
    pub(super) fn add(&self, what: impl ToString) {
        let what = what.to_string();
        self.repairs.tell(what.clone());
        let mut mended = self.lock();
        if mended.len() == MENDED_MAX {
            mended.pop_front();
        }
        mended.push_back((Instant::now(), what));
    }

    /// In sentences, the oldest first.
    pub(super) fn told(&self) -> Vec<String> {
        let mut mended = self.lock();
        mended.retain(|(at, _)| at.elapsed() < MENDED_KEPT);
        let told = mended
            .iter()
            .map(|(at, what)| format!("mended {} s ago: {what}", at.elapsed().as_secs()));
        told.collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, String)>> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_mended_is_told_for_a_while_and_the_oldest_makes_room() {
        let mended = Mended::default();
        (0..MENDED_MAX + 1).for_each(|n| mended.add(format!("rule {n}")));
        tokio::time::advance(Duration::from_secs(3)).await;
        let told = mended.told();
        assert_eq!((told.len(), told[0].as_str()), (MENDED_MAX, "mended 3 s ago: rule 1"));
        tokio::time::advance(MENDED_KEPT).await;
        assert!(mended.told().is_empty());
    }

    #[test]
    fn the_same_is_said_once_until_it_changes_or_is_over() {
        let said = About::default();
        assert!(said.is_news(1, "away"));
        assert!(!said.is_news(1, "away"));
        assert!(said.is_news(2, "away"), "of another");
        assert!(said.is_news(1, "refused"));
        assert!(said.is_over(&1) && !said.is_over(&1));
        assert!(said.is_news(1, "refused"));
        said.keep_only(&[2].into());
        assert!(said.is_news(1, "refused") && !said.is_news(2, "away"));
    }
}
