//! What the log has been told: the same is not said again, however often it is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use swarmw_engine_driver::EndpointId as EngineEndpointId;
use swarmw_model::AttachmentId;

/// What was said last, by what it was about.
pub(super) struct About<K>(Mutex<BTreeMap<K, String>>);

/// All that is tried again and again.
#[derive(Default)]
pub(super) struct Said {
    /// Of the kernel as a whole.
    pub(super) kernel: About<()>,
    /// Sentences about what somebody did to it.
    pub(super) drifts: About<String>,
    /// Of containers' routes.
    pub(super) routes: About<EngineEndpointId>,
    /// Of names in sandboxes.
    pub(super) names: About<PathBuf>,
    /// Of what the leader is to be told.
    pub(super) leader: About<AttachmentId>,
    /// Of the file with what was heard of networks.
    pub(super) file: About<()>,
}

// === impl About ===

impl<K: Ord> About<K> {
    /// Whether something else, or nothing, was said of it last.
    pub(super) fn is_news(&self, about: K, what: impl ToString) -> bool {
        let what = what.to_string();
        self.lock().insert(about, what.clone()).is_none_or(|last| last != what)
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

#[cfg(test)]
mod tests {
    use super::*;

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
