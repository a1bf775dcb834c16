//! Whether a node still holds tasks.

use swarmw_model::{Availability, NodeState, Task};
use swarmw_state::State;

/// How a task's node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// The task may stay; or it has no node yet.
    Firm,
    /// The operator empties the node.
    Drained,
    /// The node is down or gone.
    Lost,
}

/// How a task's node stands. Unknown and paused nodes keep their tasks.
pub(crate) fn ground(state: &State, task: &Task) -> Ground {
    let Some(id) = task.node_id else { return Ground::Firm };
    match state.node(id) {
        None => Ground::Lost,
        Some(node) if node.status.state == NodeState::Down => Ground::Lost,
        Some(node) if node.spec.availability == Availability::Drain => Ground::Drained,
        Some(_) => Ground::Firm,
    }
}
