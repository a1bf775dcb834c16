//! What the updater asks of update policies, in the shapes of `wit/deps/update`,
//! which documents each field.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{NOT_YET, Problem, ServiceId, TaskId, Time};
use swarmw_state::TargetState;

/// Answers for the update policies of the cluster.
pub trait UpdatePolicies {
    /// The component that claims this failure action now; `None` where none does.
    fn component(&self, failure_action: &str) -> Option<Component>;

    /// What `begin` should be told besides.
    fn check(&mut self, policy: &Policy) -> Result<Needs, UpdateFailure>;

    /// The first call of a rollout.
    fn begin(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure>;

    /// Whether the component of this digest can be called.
    fn has(&self, component: &str) -> bool;

    /// What a component makes of the bytes that version `writer` of its plugin wrote,
    /// before it takes over from that one.
    fn migrate(
        &mut self,
        component: &str,
        writer: &str,
        state: &[u8],
    ) -> Result<Vec<u8>, UpdateFailure>;

    /// A later call. `component` is the digest of the one in charge.
    fn step(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure>;
}

/// A component that drives updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Its content.
    pub digest: Arc<str>,
    /// Its own version.
    pub version: Arc<str>,
    /// Whether it takes over the rollouts that an earlier release began.
    pub adopts: bool,
}

/// Why a policy gave no outcome; the text is for people. Pauses the update, but for
/// [`UpdateFailure::NotYet`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateFailure {
    /// The policy refuses what the operator typed.
    #[error("{}", problems.first().map_or("refused", |p| p.message.as_str()))]
    Refused {
        /// At least one.
        problems: Vec<Problem>,
    },
    /// The policy answered with an error, twice trapped or missed its deadline,
    /// or is not there any more.
    #[error("update policy {plugin}: {message}")]
    Broken {
        /// The plugin.
        plugin: Arc<str>,
        /// What went wrong.
        message: String,
    },
    /// The policy is not called.
    #[error("update policy {plugin} {why}")]
    NotCalled {
        /// The plugin.
        plugin: Arc<str>,
        /// Why, after its name: `is disabled: …`.
        why: String,
    },
    /// The policy is being compiled: the update waits for it.
    #[error("update policy {plugin} {NOT_YET}")]
    NotYet {
        /// The plugin.
        plugin: Arc<str>,
    },
}

/// The settings that a policy works by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// As typed, one of the names claimed.
    pub failure_action: String,
    /// 0 for all at once.
    pub parallelism: u64,
    /// Milliseconds.
    pub delay_ms: u64,
    /// Milliseconds.
    pub monitor_ms: u64,
    /// 0 to 1.
    pub max_failure_ratio: f64,
    /// What a `replace` uses unless it says otherwise.
    pub order: Order,
    /// The operator's options of plugins, as typed.
    pub options: BTreeMap<String, String>,
}

/// What a policy wants to be told at `begin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The list of targets.
    pub targets: bool,
    /// The node column whose value is each target's group.
    pub group_by: Option<String>,
}

/// Fixed for one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutFacts {
    /// The service's id.
    pub service_id: String,
    /// The service's name.
    pub service_name: String,
    /// The policy's settings.
    pub policy: Policy,
    /// Whether it goes back to an older spec.
    pub rolling_back: bool,
    /// Targets out of date at the start.
    pub total: u32,
    /// When it began.
    pub started_at: Time,
}

/// A target, for policies that want to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetInfo {
    /// Slot number or node id.
    pub id: String,
    /// Such as `web.3`.
    pub name: String,
    /// Host name of its node; empty when unassigned.
    pub node: String,
    /// Empty unless asked for.
    pub group: String,
}

/// All that a policy may know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// 1 for `begin`.
    pub seq: u64,
    /// The leader's clock; never goes back within a rollout.
    pub now: Time,
    /// After the moves in `changed`.
    pub counts: Counts,
    /// Moves since the last view.
    pub changed: Vec<Move>,
    /// Tasks that ended since the last view.
    pub ended: Vec<EndedTask>,
    /// Answers to `observe` since the last view.
    pub answers: Vec<Answer>,
}

/// Targets by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Run an older spec, or nothing yet.
    pub outdated: u32,
    /// Ordered, not run yet.
    pub replacing: u32,
    /// Run the new spec.
    pub running: u32,
    /// Ordered, but no task of the new spec runs.
    pub down: u32,
    /// Left the service.
    pub gone: u32,
}

/// One move of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its index.
    pub target: u32,
    /// Before.
    pub was: TargetState,
    /// After.
    pub now: TargetState,
    /// When the leader learnt of it.
    pub at: Time,
}

/// A task of the new spec that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTask {
    /// Its target.
    pub target: u32,
    /// The task.
    pub task: TaskId,
    /// Made by the restart of an earlier one.
    pub restarted: bool,
    /// The cluster ended it.
    pub ordered: bool,
    /// When it first ran, if it did.
    pub ran: Option<Time>,
    /// When it ended.
    pub ended: Time,
    /// Its exit code, if it had one.
    pub exit_code: Option<i32>,
}

/// An `observe` come back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The query's id.
    pub id: String,
    /// When.
    pub at: Time,
    /// A number, or why there is none.
    pub value: Result<f64, String>,
}

/// What a policy wants to be told, for whoever can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The service whose rollout asks.
    pub service: ServiceId,
    /// Comes back in the answer.
    pub id: String,
    /// Where.
    pub url: String,
    /// JSON pointer to the number.
    pub pointer: String,
    /// Milliseconds.
    pub timeout_ms: u32,
    /// With the id, which query an answer is of.
    pub asked_at: Time,
}

/// Which of a target's two tasks goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Stop the old, then start the new.
    #[default]
    StopFirst,
    /// Start the new, then stop the old.
    StartFirst,
}

/// What a policy wants done; see `action` in `wit/deps/update`.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Replace these targets now.
    Replace {
        /// Their indexes.
        targets: Vec<u32>,
        /// Which task goes first.
        order: Order,
    },
    /// Replace the next outdated ones.
    ReplaceNext {
        /// How many.
        count: u32,
        /// Which task goes first.
        order: Order,
    },
    /// Call again at this time at the latest.
    WakeAt(Time),
    /// Query a number over HTTP.
    Observe {
        /// Comes back in the answer.
        id: String,
        /// Where.
        url: String,
        /// JSON pointer to the number.
        pointer: String,
        /// Milliseconds.
        timeout_ms: u32,
    },
    /// Progress, for people.
    Report(String),
    /// Stop here until the operator acts.
    Pause(String),
    /// Return to an older spec.
    RollbackTo {
        /// A spec version; `None` for the one before.
        version: Option<u64>,
        /// Becomes the status message.
        reason: String,
    },
    /// Done.
    Complete,
}

/// An accepted outcome: within the bounds of `wit/`, as the host has checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOutcome {
    /// The policy's own bytes, at most 64 KiB.
    pub state: Vec<u8>,
    /// In order, at most 1,000.
    pub actions: Vec<Action>,
}
