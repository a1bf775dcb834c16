//! Rolling updates: how a service asks for them, how far one has come.

use serde::{Deserialize, Serialize};

use crate::json::is_default;
use crate::{Duration, Time};

/// How tasks are replaced, in an update or in a rollback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateConfig {
    /// Tasks replaced at a time; 0 for all at once.
    pub parallelism: u64,
    /// Between one replacement and the next of the same worker.
    #[serde(skip_serializing_if = "is_default")]
    pub delay: Duration,
    /// The update policy, by a name that a plugin claims; empty for `pause`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure_action: String,
    /// How long a new task is watched for failure.
    #[serde(skip_serializing_if = "is_default")]
    pub monitor: Duration,
    /// Share of failed tasks, 0 to 1, above which the failure action is taken.
    pub max_failure_ratio: f64,
    /// Stop the old task first, or start the new one first; empty for `stop-first`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order: String,
}

/// How far the last update or rollback of a service has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateStatus {
    /// Where it stands.
    pub state: UpdateState,
    /// When it began.
    pub started_at: Time,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// Where an update stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    /// Going on.
    Updating,
    /// Stopped by its policy until the operator acts.
    Paused,
    /// Done.
    Completed,
    /// Going back to the spec before.
    RollbackStarted,
    /// A rollback stopped by its policy.
    RollbackPaused,
    /// A rollback done.
    RollbackCompleted,
}

/// Swarm's default time to watch a new task.
pub const DEFAULT_MONITOR: Duration = Duration::from_secs(5);

// === impl UpdateState ===

impl UpdateState {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Updating => "updating",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::RollbackStarted => "rollback_started",
            Self::RollbackPaused => "rollback_paused",
            Self::RollbackCompleted => "rollback_completed",
        }
    }
}

// === impl UpdateConfig ===

impl UpdateConfig {
    /// Swarm's defaults for an absent block.
    pub fn swarm_default() -> Self {
        Self {
            parallelism: 1,
            delay: Duration::ZERO,
            failure_action: "pause".to_owned(),
            monitor: DEFAULT_MONITOR,
            max_failure_ratio: 0.0,
            order: "stop-first".to_owned(),
        }
    }
}
