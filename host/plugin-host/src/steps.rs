//! Calls of update policies that serve, for whoever tries out another version beside
//! one.

use std::sync::OnceLock;

use swarmw_model::PluginId;
use swarmw_orchestrator::{RolloutFacts, StepOutcome, TargetInfo, UpdateFailure, View};

/// A call by a rollout, and what the policy in charge answered.
#[derive(Clone, Debug)]
pub struct Step {
    /// The plugin.
    pub plugin: PluginId,
    /// The version that was called.
    pub version: String,
    /// Which rollout.
    pub rollout: RolloutFacts,
    /// What was asked.
    pub call: StepCall,
    /// What it was told.
    pub view: View,
    /// What it answered.
    pub outcome: Result<StepOutcome, UpdateFailure>,
}

/// Which of a policy's functions was called.
#[derive(Clone, Debug)]
pub enum StepCall {
    /// The first of a rollout.
    Begin {
        /// As the policy asked for.
        targets: Vec<TargetInfo>,
    },
    /// A later one.
    Step {
        /// What the policy kept.
        state: Vec<u8>,
    },
}

/// Told the plugin's id and, when it wants it, the step.
type Listener = Box<dyn Fn(PluginId, &dyn Fn() -> Step) + Send + Sync>;

/// Who is told.
#[derive(Default)]
pub struct Steps(OnceLock<Listener>);

// === impl Steps ===

impl Steps {
    /// Tells this one from now on; the first listener stays.
    pub fn listen(&self, listener: impl Fn(PluginId, &dyn Fn() -> Step) + Send + Sync + 'static) {
        // A second listener has no use: a host has one daemon.
        let _ = self.0.set(Box::new(listener));
    }

    /// Tells it.
    pub fn tell(&self, plugin: PluginId, step: impl Fn() -> Step) {
        if let Some(listener) = self.0.get() {
            listener(plugin, &step);
        }
    }
}
