//! Services that tests create.

use std::sync::Arc;

use swarmw_model::{
    ContainerSpec, Duration, Replicated, RestartCondition, RestartPolicy, ServiceMode, ServiceSpec,
    TaskSpec, UpdateConfig,
};

/// A service of so many replicas of an image.
pub fn replicated(name: &str, image: &str, replicas: u64) -> ServiceSpec {
    let container = ContainerSpec { image: image.into(), ..Default::default() };
    ServiceSpec {
        name: name.into(),
        task_template: Arc::new(TaskSpec { container_spec: Some(container), ..Default::default() }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
        ..Default::default()
    }
}

/// Restarts of tasks that fail: this long after, so often within a window.
pub fn on_failure(delay: Duration, most: u64, window: Duration) -> RestartPolicy {
    RestartPolicy {
        condition: RestartCondition::OnFailure,
        delay: Some(delay),
        max_attempts: Some(most),
        window: Some(window),
    }
}

/// One task at a time, with a delay between them, each watched for a while.
pub fn update(delay: Duration, monitor: Duration) -> UpdateConfig {
    UpdateConfig { parallelism: 1, delay, monitor, ..UpdateConfig::swarm_default() }
}
