//! The networks that a service names.

use std::sync::Arc;

use swarmw_model::{Network, Refusal, RefusalKind, ServiceSpec};
use swarmw_state::{Lookup, State};

use crate::api::Host;
use crate::networks;
use crate::reply::Reply;

/// Puts ids where a spec names networks, and all of them in the template.
pub(super) async fn resolve(host: &Host, state: &State, spec: &mut ServiceSpec) -> Reply<()> {
    spec.settle_networks();
    if spec.task_template.networks.is_empty() {
        return Ok(());
    }
    for wanted in &mut Arc::make_mut(&mut spec.task_template).networks {
        let network = match Network::find(state, &wanted.target) {
            Ok(network) => network,
            Err(_) if networks::engine_has(host, &wanted.target).await => {
                return Err(of_one_node(&wanted.target).into());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        wanted.target = network.id.to_string();
    }
    Ok(())
}

fn of_one_node(name: &str) -> Refusal {
    Refusal::plain(
        RefusalKind::PermissionDenied,
        format!(
            "The network {name} cannot be used with services. Only networks scoped to the swarm \
             can be used, such as those created with the overlay driver."
        ),
    )
}
