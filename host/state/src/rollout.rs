//! An update under way, as the update policy's reducer left it.
//!
//! The policy is a component (see `wit/deps/update`). The leader calls it; what
//! it answers enters the log as one [`RolloutStep`] together with the task
//! changes that carry out its actions. A new leader goes on from here.

use std::sync::Arc;

use imbl::Vector;
use serde::{Deserialize, Serialize};
use swarmw_model::{Base64, ServiceId, Slot, TaskId, Time, Version};

/// A rolling update or rollback under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The service.
    pub service: ServiceId,
    /// The spec version it brings the service to.
    pub spec_version: Version,
    /// Whether it goes back to an older spec.
    pub rolling_back: bool,
    /// Digest of the component in charge, which a later upgrade does not change.
    pub component: Arc<str>,
    /// The component's own version, for its `migrate`.
    pub writer: Arc<str>,
    /// Number of the last accepted outcome, from 1.
    pub seq: u64,
    /// When it began.
    pub started_at: Time,
    /// When the policy was last called; its clock never goes back.
    pub called_at: Time,
    /// The policy's own bytes.
    pub state: Base64,
    /// When it wants to be called at the latest.
    pub wake_at: Option<Time>,
    /// Targets out of date at the start, and what the policy was last told of each.
    pub targets: Vector<(Slot, TargetState)>,
    /// Tasks of this very spec that the targets had had before it began, as where a
    /// service goes back and forth: none of this rollout's doing.
    pub before: imbl::OrdSet<TaskId>,
    /// When each new task first ran, by the leader's clock.
    pub ran: imbl::OrdMap<TaskId, Time>,
    /// Every task that ended is told once: those told so far.
    pub told_ended: imbl::OrdSet<TaskId>,
}

/// Where a target of a rollout stands; see `target-state` in `wit/deps/update`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TargetState {
    /// Runs an older spec, or nothing yet.
    Outdated,
    /// Ordered; the task made for it has not run yet.
    Replacing,
    /// A task of the new spec runs.
    Running,
    /// Ordered, but no task of the new spec runs.
    Down,
    /// Left the service.
    Gone,
}

/// A target's new state, as told to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMove {
    /// Index into [`Rollout::targets`].
    pub target: u32,
    /// The state told.
    pub now: TargetState,
}

/// A component that took over a rollout, with what its `migrate` made of the bytes of
/// the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TakenOver {
    /// Its digest.
    pub component: Arc<str>,
    /// Its own version.
    pub writer: Arc<str>,
}

/// One accepted outcome of an update policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RolloutStep {
    /// The first: `begin` was called.
    Begin(Rollout),
    /// `step` was called; dropped unless `seq` is the next one.
    Next {
        /// The service.
        service: ServiceId,
        /// The spec version of the rollout.
        spec_version: Version,
        /// One more than the last.
        seq: u64,
        /// When the policy was called.
        called_at: Time,
        /// The policy's own bytes.
        state: Base64,
        /// When it wants to be called at the latest.
        wake_at: Option<Time>,
        /// What it was told.
        moves: Vec<TargetMove>,
        /// Tasks that ran for the first time, and when.
        ran: Vec<(TaskId, Time)>,
        /// Tasks whose end it was told.
        ended: Vec<TaskId>,
        /// The component that was called, where it took over from another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken_over: Option<TakenOver>,
    },
    /// The rollout is over: complete, paused, or handed to a rollback.
    End {
        /// The service.
        service: ServiceId,
        /// The spec version of the rollout.
        spec_version: Version,
    },
}

// === impl RolloutStep ===

impl RolloutStep {
    /// About how many bytes it takes in the log.
    pub fn weight(&self) -> usize {
        match self {
            Self::Begin(rollout) => {
                256 + rollout.state.0.len() + (rollout.targets.len() + rollout.before.len()) * 40
            }
            Self::Next { state, moves, ran, ended, .. } => {
                128 + state.0.len() + (moves.len() + ran.len() + ended.len()) * 24
            }
            Self::End { .. } => 64,
        }
    }

    /// The service it is about.
    pub fn service(&self) -> ServiceId {
        match self {
            Self::Begin(rollout) => rollout.service,
            Self::Next { service, .. } | Self::End { service, .. } => *service,
        }
    }
}
