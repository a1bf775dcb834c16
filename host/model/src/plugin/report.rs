//! What an operator is told before a plugin changes, and while one is in shadow.

use serde::{Deserialize, Serialize};

use super::{Plugin, PluginGrant, PluginUse};
use crate::Time;

/// What would become of a component that was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginReport {
    /// The plugin as it would stand.
    pub plugin: Plugin,
    /// The plugin as it stands, where there is one of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Plugin>,
    /// Powers that want the operator's consent.
    pub wanted: Vec<PluginGrant>,
    /// What it would mean for tasks, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Comparison>,
}

/// A plugin as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginView {
    /// As stored.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// Names of the services that need it.
    pub services: Vec<String>,
    /// Powers of its candidate that want the operator's consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<PluginGrant>,
    /// What it did on the leader.
    #[serde(rename = "Use", default, skip_serializing_if = "Option::is_none")]
    pub used: Option<PluginUse>,
    /// What its candidate says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowReport>,
}

/// How a plugin in shadow did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShadowReport {
    /// Digest of the release in shadow.
    pub digest: String,
    /// Since when this leader compares.
    pub since: Time,
    /// How often both were compared.
    pub comparisons: u64,
    /// Comparisons in which they differed.
    pub differing: u64,
    /// The last comparison.
    pub last: Comparison,
    /// The last one in which they differed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_differing: Option<(Time, Comparison)>,
    /// Calls of an update policy, by rollouts under way, that both answered.
    #[serde(default)]
    pub steps: u64,
    /// Those that they answered otherwise.
    #[serde(default)]
    pub steps_differing: u64,
    /// The last of them, at most [`COMPARISON_MAX`].
    #[serde(default)]
    pub step_differences: Vec<Difference>,
}

/// The cluster under the plugins as they are beside the cluster under a change of
/// them. Lists are cut at [`COMPARISON_MAX`]; the counts are whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Comparison {
    /// Services that ask something of the plugin.
    pub services: usize,
    /// Verdicts compared: one per constraint of these services and node.
    pub verdicts: usize,
    /// Verdicts that differ, or cannot be had.
    pub differing: usize,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// Running tasks whose node would no longer satisfy their service.
    pub violated: usize,
    /// The first of them.
    pub violations: Vec<Violation>,
    /// Services whose tasks, placed anew, would stand elsewhere.
    pub moved: Vec<Move>,
}

/// The most entries of each list of a [`Comparison`].
pub const COMPARISON_MAX: usize = 100;

/// One verdict that differs, or an answer that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Difference {
    /// The service.
    pub service: String,
    /// The constraint, preference or failure action; of a rollout, which call.
    pub text: String,
    /// The node, for a verdict.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// As it is.
    pub now: String,
    /// As it would be.
    pub then: String,
}

/// A running task whose node would no longer do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Violation {
    /// The task's name, such as `web.3`.
    pub task: String,
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its node's host name.
    pub node: String,
    /// The constraint that the node would not pass.
    pub constraint: String,
}

/// A service whose tasks would stand elsewhere, were they placed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Move {
    /// The service.
    pub service: String,
    /// Its tasks.
    pub tasks: usize,
    /// Those that would stand on another node.
    pub moved: usize,
    /// Those that would find no node.
    pub waiting: usize,
}

// === impl Comparison ===

impl Comparison {
    /// Whether the change would make a difference.
    pub fn differs(&self) -> bool {
        self.differing > 0 || self.violated > 0 || !self.moved.is_empty()
    }
}
