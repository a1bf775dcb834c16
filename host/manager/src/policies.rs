//! One plugin host for the leader's tick and for the API's questions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmw_model::{NodeId, Preference, ServiceSpec};
use swarmw_orchestrator::{
    Component, Fits, Needs, Policy, RolloutFacts, StepOutcome, TargetInfo, UpdateFailure,
    UpdatePolicies, View,
};
use swarmw_plugin_host::PluginHost;
use swarmw_scheduler::{
    Allocation, Class, CompiledPreference, Constraint, Policies, PolicyFailure, Questions,
    RawOptions, Scheduler, Tuples,
};
use swarmw_state::State;

/// A plugin host shared by the tick and the API. Calls take turns; each has a
/// deadline of its own inside the host, so a turn is short.
#[derive(Clone)]
pub(crate) struct SharedPolicies(Arc<Mutex<PluginHost>>);

/// Answers the orchestrator's question with the scheduler's masks.
pub(crate) struct SchedulerFits<'a> {
    pub(crate) scheduler: &'a mut Scheduler,
    pub(crate) policies: SharedPolicies,
}

// === impl SharedPolicies ===

impl SharedPolicies {
    pub(crate) fn new(host: PluginHost) -> Self {
        Self(Arc::new(Mutex::new(host)))
    }

    /// The host. A panic elsewhere does not lock everyone out: the host drops what
    /// a failed call left behind.
    pub(crate) fn host(&self) -> MutexGuard<'_, PluginHost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Policies for SharedPolicies {
    fn generation(&self) -> u64 {
        self.host().generation()
    }

    fn constraint(
        &mut self,
        expression: &str,
        options: &RawOptions,
    ) -> Result<Arc<Constraint>, PolicyFailure> {
        self.host().constraint(expression, options)
    }

    fn test(
        &mut self,
        constraint: &Constraint,
        batch: &Tuples,
    ) -> Result<Vec<bool>, PolicyFailure> {
        self.host().test(constraint, batch)
    }

    fn preference(
        &mut self,
        preference: &Preference,
        options: &RawOptions,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure> {
        self.host().preference(preference, options)
    }

    fn classify(
        &mut self,
        preference: &CompiledPreference,
        batch: &Tuples,
    ) -> Result<Vec<Class>, PolicyFailure> {
        self.host().classify(preference, batch)
    }

    fn allocate(
        &mut self,
        preference: &CompiledPreference,
        questions: &Questions,
    ) -> Result<Allocation, PolicyFailure> {
        self.host().allocate(preference, questions)
    }
}

impl UpdatePolicies for SharedPolicies {
    fn component(&self, failure_action: &str) -> Option<Component> {
        self.host().component(failure_action)
    }

    fn check(&mut self, policy: &Policy) -> Result<Needs, UpdateFailure> {
        self.host().check(policy)
    }

    fn begin(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        self.host().begin(component, rollout, targets, view)
    }

    fn step(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        self.host().step(component, rollout, state, view)
    }
}

// === impl SchedulerFits ===

impl Fits for SchedulerFits<'_> {
    /// A constraint whose plugin fails keeps running tasks where they are: only
    /// new placements fail closed.
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        self.scheduler.satisfies(state, spec, node, &mut self.policies).unwrap_or(true)
    }
}
