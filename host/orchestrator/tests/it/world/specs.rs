//! Specs, and their edits.

use std::sync::Arc;

use swarmw_model::*;

/// A service of some replicas.
pub fn replicated(image: &str, replicas: u64) -> ServiceSpec {
    ServiceSpec {
        name: "web".to_owned(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec { image: image.to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
        ..Default::default()
    }
}

/// A service with one task on each node.
pub fn global(image: &str) -> ServiceSpec {
    ServiceSpec { mode: ServiceMode::Global(Global {}), ..replicated(image, 0) }
}

/// What a spec's tasks are, to be edited.
pub fn template(spec: &mut ServiceSpec) -> &mut TaskSpec {
    Arc::make_mut(&mut spec.task_template)
}

/// Another image.
pub fn image(spec: &mut ServiceSpec, image: &str) {
    let container = template(spec).container_spec.get_or_insert_default();
    container.image = image.to_owned();
}

/// Other constraints.
pub fn constrain(spec: &mut ServiceSpec, constraints: &[&str]) {
    let placement = template(spec).placement.get_or_insert_default();
    placement.constraints = constraints.iter().map(|c| (*c).to_owned()).collect();
}

/// Update settings to be edited, from Swarm's defaults.
pub fn updating(spec: &mut ServiceSpec) -> &mut UpdateConfig {
    spec.update_config.get_or_insert_with(UpdateConfig::swarm_default)
}

/// Rollback settings to be edited, from Swarm's defaults.
pub fn rolling_back(spec: &mut ServiceSpec) -> &mut UpdateConfig {
    spec.rollback_config.get_or_insert_with(UpdateConfig::swarm_default)
}

/// The restart policy, to be edited.
pub fn restarting(spec: &mut ServiceSpec) -> &mut RestartPolicy {
    template(spec).restart_policy.get_or_insert_default()
}
