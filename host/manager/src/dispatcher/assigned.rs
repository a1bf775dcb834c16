//! What a node is told of a task. Pure.

use std::sync::Arc;

use swarmw_model::{Assignment, NetworkId, Task};
use swarmw_state::State;

/// A task as its node is told of it, once it has one. A network that each node has is told
/// by its name, which is what the node's engine knows it by; of its id no news will come.
pub(super) fn assigned(state: &State, task: &Task) -> Option<Assignment> {
    let mut assigned = task.assignment()?;
    let of_the_node = |target: &str| {
        let id: NetworkId = target.parse().ok()?;
        let network = state.network(id).filter(|network| !network.is_overlay())?;
        Some(network.spec.name.clone())
    };
    let names: Vec<_> = task.spec.networks.iter().map(|on| of_the_node(&on.target)).collect();
    if names.iter().any(Option::is_some) {
        let networks = &mut Arc::make_mut(&mut assigned.spec).networks;
        for (network, name) in networks.iter_mut().zip(names) {
            network.target = name.unwrap_or_else(|| std::mem::take(&mut network.target));
        }
    }
    Some(assigned)
}
