//! Services and task templates as they are answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use swarmw_model::{
    DEFAULT_MONITOR, DEFAULT_RESTART_DELAY, DEFAULT_STOP_GRACE_PERIOD, DnsConfig, Duration,
    Endpoint, NodeState, Service, ServiceMode, ServiceSpec, TaskSpec, TaskState, UpdateConfig,
    Version,
};
use swarmw_state::State;

/// A service as it is answered: without registry credentials, with the words that
/// our types leave out because they are defaults, and `with_defaults` for what the
/// operator left open too.
pub(crate) fn shown(service: &Service, with_defaults: bool) -> Value {
    let Service {
        id,
        version,
        created_at,
        updated_at,
        spec,
        previous_spec,
        endpoint,
        update_status,
        job_status,
        spec_version,
        previous_spec_version,
    } = service;
    let mut shown = Map::new();
    let mut set = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    set("ID", json!(id));
    set("Version", json!(version));
    set("CreatedAt", json!(created_at));
    set("UpdatedAt", json!(updated_at));
    set("Spec", shown_spec(spec, with_defaults));
    if let Some(previous) = previous_spec {
        set("PreviousSpec", shown_spec(previous, with_defaults));
    }
    set("Endpoint", shown_endpoint(endpoint, spec));
    if let Some(status) = update_status {
        set("UpdateStatus", json!(status));
    }
    if let Some(status) = job_status {
        set("JobStatus", json!(status));
    }
    set("SpecVersion", json!(spec_version));
    if *previous_spec_version != Version::default() {
        set("PreviousSpecVersion", json!(previous_spec_version));
    }
    Value::Object(shown)
}

fn shown_endpoint(endpoint: &Endpoint, of: &ServiceSpec) -> Value {
    let mut value = json!(endpoint);
    if let Some(fields) = value.as_object_mut() {
        // What only the cluster itself asks of a service that leaves a network.
        fields.remove("Leaving");
    }
    // Docker's is empty where nothing was asked.
    if let Some(spec) = value.get_mut("Spec").filter(|_| of.endpoint_spec.is_some()) {
        set_absent(spec, "Mode", json!("vip"));
    }
    value
}

fn shown_spec(spec: &ServiceSpec, with_defaults: bool) -> Value {
    let mut value = match with_defaults {
        true => {
            let mut spec = spec.clone();
            insert_defaults(&mut spec);
            json!(spec)
        }
        false => json!(spec),
    };
    if let Some(template) = value.get_mut("TaskTemplate") {
        finish_template(template);
    }
    if let Some(endpoint) = value.get_mut("EndpointSpec") {
        set_absent(endpoint, "Mode", json!("vip"));
    }
    value
}

/// A task's or service's template as it is answered.
pub(crate) fn shown_template(template: &TaskSpec) -> Value {
    let mut value = json!(template);
    finish_template(&mut value);
    value
}

/// Makes of a template as it is stored one as it is answered: without registry credentials.
fn finish_template(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.remove("RegistryAuth");
        map.remove("ContainerOptions");
    }
    if let Some(policy) = value.get_mut("RestartPolicy") {
        set_absent(policy, "Condition", json!("any"));
        set_absent(policy, "MaxAttempts", json!(0));
    }
    let Some(container) = value.get_mut("ContainerSpec") else { return };
    if let Some(privileges) = container.get_mut("Privileges") {
        set_absent(privileges, "CredentialSpec", Value::Null);
        set_absent(privileges, "SELinuxContext", Value::Null);
    }
    for mount in container.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        set_absent(mount, "Type", json!("volume"));
    }
}

fn set_absent(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.entry(key).or_insert(value);
    }
}

/// What Swarm does where the operator left it open.
fn insert_defaults(spec: &mut ServiceSpec) {
    let task = Arc::make_mut(&mut spec.task_template);
    if let Some(container) = &mut task.container_spec {
        container.stop_grace_period.get_or_insert(DEFAULT_STOP_GRACE_PERIOD);
        container.dns.get_or_insert_with(DnsConfig::default);
    }
    task.resources.get_or_insert_default();
    task.placement.get_or_insert_default();
    let restart = task.restart_policy.get_or_insert_default();
    restart.delay.get_or_insert(DEFAULT_RESTART_DELAY);
    restart.max_attempts.get_or_insert(0);
    for config in [&mut spec.update_config, &mut spec.rollback_config] {
        // A client may write back what it reads, and a job with one is refused.
        if spec.mode.is_job() {
            break;
        }
        let config = config.get_or_insert_with(UpdateConfig::swarm_default);
        if config.failure_action.is_empty() {
            "pause".clone_into(&mut config.failure_action);
        }
        if config.order.is_empty() {
            "stop-first".clone_into(&mut config.order);
        }
        if config.monitor == Duration::ZERO {
            config.monitor = DEFAULT_MONITOR;
        }
    }
}

/// How many tasks of a service run and should, and of a job's present time, in how many
/// slots one has ended well: `ServiceStatus`. Tasks on nodes that are down still say that
/// they run; they are not counted.
pub(crate) fn status(state: &State, service: &Service) -> Value {
    let mut running = 0;
    let mut wanted = 0;
    let mut completed = BTreeSet::new();
    let iteration = service.job_status.map(|status| status.job_iteration);
    for task in state.tasks_of_service(service.id).filter(|t| t.job_iteration == iteration) {
        let down = task
            .node_id
            .and_then(|node| state.node(node))
            .is_none_or(|node| node.status.state == NodeState::Down);
        if task.status.state == TaskState::Running && !down {
            running += 1;
        }
        if task.is_wanted() && (iteration.is_none() || !task.status.state.is_terminal()) {
            wanted += 1;
        }
        if iteration.is_some() && task.status.state == TaskState::Complete {
            completed.insert(task.slot());
        }
    }
    let desired = match &service.spec.mode {
        ServiceMode::Replicated(_) => service.spec.replicas().unwrap_or(wanted),
        // Swarm's: how many may run at a time, however many are left.
        ServiceMode::ReplicatedJob(job) => job.at_a_time(),
        ServiceMode::Global(_) | ServiceMode::GlobalJob(_) => wanted,
    };
    let mut status = Map::new();
    status.insert("RunningTasks".to_owned(), json!(running));
    status.insert("DesiredTasks".to_owned(), json!(desired));
    status.insert("CompletedTasks".to_owned(), json!(completed.len()));
    Value::Object(status)
}
