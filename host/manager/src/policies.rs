//! Answers the orchestrator's question with the scheduler's masks.

use swarmw_model::{NodeId, ServiceSpec};
use swarmw_orchestrator::Fits;
use swarmw_plugin_host::PluginHost;
use swarmw_scheduler::Scheduler;
use swarmw_state::State;

/// The scheduler, asked whether a node satisfies a service's constraints.
pub(crate) struct SchedulerFits<'a> {
    pub(crate) scheduler: &'a mut Scheduler,
    pub(crate) policies: PluginHost,
}

// === impl SchedulerFits ===

impl Fits for SchedulerFits<'_> {
    /// A constraint whose plugin fails keeps running tasks where they are: only
    /// new placements fail closed.
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        self.scheduler.satisfies(state, spec, node, &mut self.policies).unwrap_or(true)
    }
}
