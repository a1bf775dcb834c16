//! Why a plugin gave no answer.

use std::sync::Arc;

use swarmw_orchestrator::UpdateFailure;
use swarmw_scheduler::PolicyFailure;

use crate::volumes::VolumeFailure;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The component is being compiled.
    NotYet,
    /// It is not called, for this: `is disabled: …`.
    NotCalled(String),
    /// It was called, and did this: `compile trapped: …`.
    Fault(String),
}

// === impl NoAnswer ===

impl NoAnswer {
    /// For the scheduler.
    pub fn of_policy(self, plugin: &Arc<str>) -> PolicyFailure {
        let plugin = Arc::clone(plugin);
        match self {
            Self::NotYet => PolicyFailure::NotYet { plugin },
            Self::NotCalled(why) => PolicyFailure::NotCalled { plugin, why },
            Self::Fault(message) => PolicyFailure::Broken { plugin, message },
        }
    }

    /// For the updater.
    pub fn of_update(self, plugin: &Arc<str>) -> UpdateFailure {
        let plugin = Arc::clone(plugin);
        match self {
            Self::NotYet => UpdateFailure::NotYet { plugin },
            Self::NotCalled(why) => UpdateFailure::NotCalled { plugin, why },
            Self::Fault(message) => UpdateFailure::Broken { plugin, message },
        }
    }

    /// For whoever has a volume.
    pub fn of_volume(self, plugin: &Arc<str>) -> VolumeFailure {
        let plugin = Arc::clone(plugin);
        match self {
            Self::NotYet => VolumeFailure::NotYet { plugin },
            Self::NotCalled(why) => VolumeFailure::NotCalled { plugin, why },
            Self::Fault(message) => VolumeFailure::Broken { plugin, message },
        }
    }
}
