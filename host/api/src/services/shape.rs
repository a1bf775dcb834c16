//! Services and task templates as they are answered. A list may have thousands: what an
//! answer has is lent by the stored objects, and written as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use swarmw_model::{
    ContainerSpec, DEFAULT_MONITOR, DEFAULT_RESTART_DELAY, DEFAULT_STOP_GRACE_PERIOD, DnsConfig,
    Driver, Duration, Endpoint, EndpointSpec, JobStatus, NetworkAttachmentConfig, NodeState,
    Placement, PortConfig, ResourceRequirements, RestartCondition, RestartPolicy, Service,
    ServiceId, ServiceMode, ServiceSpec, SwarmwOptions, TaskSpec, TaskState, Time, UpdateConfig,
    UpdateStatus, Version, VirtualIp,
};
use swarmw_state::State;

use crate::reply;
use crate::since;
use crate::version::ApiVersion;

/// Adds a service to a text, as this version of the API has it.
pub(crate) fn write(
    text: &mut Vec<u8>,
    service: &Service,
    status: Option<Status>,
    version: ApiVersion,
) {
    let shown = Shown { service_status: status, ..Shown::of(service) };
    if since::has_whole_services(version) {
        return reply::write(text, &shown);
    }
    let mut value = json!(shown);
    since::tell_service(version, &mut value);
    reply::write(text, &value);
}

/// A service as it is answered.
pub(crate) fn shown(service: &Service) -> Value {
    json!(Shown::of(service))
}

/// A service as it is answered, with what Swarm does where the operator left it open.
pub(crate) fn shown_with_defaults(service: &Service) -> Value {
    let mut service = service.clone();
    insert_defaults(&mut service.spec);
    service.previous_spec.iter_mut().for_each(insert_defaults);
    shown(&service)
}

/// A service as it is answered: without registry credentials, and with the words that our
/// types leave out because they are defaults.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'s> {
    #[serde(rename = "ID")]
    id: ServiceId,
    version: Version,
    created_at: Time,
    updated_at: Time,
    spec: ShownSpec<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_spec: Option<ShownSpec<'s>>,
    endpoint: ShownEndpoint<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_status: Option<&'s UpdateStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_status: Option<JobStatus>,
    spec_version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_spec_version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_status: Option<Status>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownSpec<'s> {
    name: &'s str,
    labels: &'s BTreeMap<String, String>,
    task_template: ShownTemplate<'s>,
    mode: &'s ServiceMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_config: Option<&'s UpdateConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback_config: Option<&'s UpdateConfig>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    networks: &'s [NetworkAttachmentConfig],
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_spec: Option<&'s EndpointSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swarmw: Option<&'s SwarmwOptions>,
}

/// A task's or service's template as it is answered: without registry credentials, and
/// without the options that the service's spec has.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShownTemplate<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    container_spec: Option<ShownContainer<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_spec: Option<&'t Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'t ResourceRequirements>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<ShownRestarts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<&'t Placement>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    networks: &'t [NetworkAttachmentConfig],
    #[serde(skip_serializing_if = "Option::is_none")]
    log_driver: Option<&'t Driver>,
    force_update: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    runtime: &'t str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownContainer<'t> {
    AsStored(&'t ContainerSpec),
    /// Few have privileges: Docker names those that were not asked for as well.
    WithPrivileges(Value),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownRestarts {
    condition: RestartCondition,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<Duration>,
    /// 0 for no limit, where ours has none.
    max_attempts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Duration>,
}

/// An endpoint, without what only the cluster itself asks of a service that leaves a network.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownEndpoint<'s> {
    spec: AskedEndpoint<'s>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ports: &'s [PortConfig],
    #[serde(rename = "VirtualIPs", skip_serializing_if = "<[_]>::is_empty")]
    virtual_ips: &'s [VirtualIp],
}

/// What was asked of an endpoint. Docker's is empty where nothing was.
#[derive(Serialize)]
#[serde(untagged)]
enum AskedEndpoint<'s> {
    This(&'s EndpointSpec),
    Nothing {},
}

/// How many tasks of a service run and should, and of a job's present time, in how many
/// slots one has ended well: `ServiceStatus`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Status {
    running_tasks: u64,
    desired_tasks: u64,
    completed_tasks: usize,
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

// === impl Shown ===

impl<'s> Shown<'s> {
    fn of(service: &'s Service) -> Self {
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
        let has_previous = *previous_spec_version != Version::default();
        Self {
            id: *id,
            version: *version,
            created_at: *created_at,
            updated_at: *updated_at,
            spec: ShownSpec::of(spec),
            previous_spec: previous_spec.as_ref().map(ShownSpec::of),
            endpoint: ShownEndpoint::of(endpoint, spec),
            update_status: update_status.as_ref(),
            job_status: *job_status,
            spec_version: *spec_version,
            previous_spec_version: has_previous.then_some(*previous_spec_version),
            service_status: None,
        }
    }
}

// === impl ShownSpec ===

impl<'s> ShownSpec<'s> {
    fn of(spec: &'s ServiceSpec) -> Self {
        let ServiceSpec {
            name,
            labels,
            task_template,
            mode,
            update_config,
            rollback_config,
            networks,
            endpoint_spec,
            swarmw,
        } = spec;
        Self {
            name,
            labels,
            task_template: ShownTemplate::of(task_template),
            mode,
            update_config: update_config.as_ref(),
            rollback_config: rollback_config.as_ref(),
            networks,
            endpoint_spec: endpoint_spec.as_ref(),
            swarmw: swarmw.as_ref(),
        }
    }
}

// === impl ShownTemplate ===

impl<'t> ShownTemplate<'t> {
    pub(crate) fn of(template: &'t TaskSpec) -> Self {
        let TaskSpec {
            container_spec,
            plugin_spec,
            resources,
            restart_policy,
            placement,
            networks,
            log_driver,
            force_update,
            runtime,
            registry_auth: _,
            options: _,
        } = template;
        Self {
            container_spec: container_spec.as_ref().map(ShownContainer::of),
            plugin_spec: plugin_spec.as_ref(),
            resources: resources.as_ref(),
            restart_policy: restart_policy.as_ref().map(ShownRestarts::of),
            placement: placement.as_ref(),
            networks,
            log_driver: log_driver.as_ref(),
            force_update: *force_update,
            runtime,
        }
    }
}

// === impl ShownContainer ===

impl<'t> ShownContainer<'t> {
    fn of(container: &'t ContainerSpec) -> Self {
        if container.privileges.is_none() {
            return Self::AsStored(container);
        }
        let mut value = json!(container);
        if let Some(privileges) = value.get_mut("Privileges").and_then(Value::as_object_mut) {
            for key in ["CredentialSpec", "SELinuxContext"] {
                privileges.entry(key).or_insert(Value::Null);
            }
        }
        Self::WithPrivileges(value)
    }
}

// === impl ShownRestarts ===

impl ShownRestarts {
    fn of(policy: &RestartPolicy) -> Self {
        let RestartPolicy { condition, delay, max_attempts, window } = *policy;
        Self { condition, delay, max_attempts: max_attempts.unwrap_or(0), window }
    }
}

// === impl ShownEndpoint ===

impl<'s> ShownEndpoint<'s> {
    fn of(endpoint: &'s Endpoint, of: &ServiceSpec) -> Self {
        let Endpoint { spec, ports, virtual_ips, leaving: _ } = endpoint;
        let spec = match of.endpoint_spec {
            Some(_) => AskedEndpoint::This(spec),
            None => AskedEndpoint::Nothing {},
        };
        Self { spec, ports, virtual_ips }
    }
}

// === impl Status ===

impl Status {
    /// Tasks on nodes that are down still say that they run; they are not counted.
    pub(crate) fn of(service: &Service, state: &State) -> Self {
        let (mut running_tasks, mut wanted) = (0, 0);
        let mut completed = BTreeSet::new();
        let iteration = service.job_status.map(|status| status.job_iteration);
        for task in state.tasks_of_service(service.id).filter(|t| t.job_iteration == iteration) {
            let down = task
                .node_id
                .and_then(|node| state.node(node))
                .is_none_or(|node| node.status.state == NodeState::Down);
            if task.status.state == TaskState::Running && !down {
                running_tasks += 1;
            }
            if task.is_wanted() && (iteration.is_none() || !task.status.state.is_terminal()) {
                wanted += 1;
            }
            if iteration.is_some() && task.status.state == TaskState::Complete {
                completed.insert(task.slot());
            }
        }
        let desired_tasks = match &service.spec.mode {
            ServiceMode::Replicated(_) => service.spec.replicas().unwrap_or(wanted),
            // Swarm's: how many may run at a time, however many are left.
            ServiceMode::ReplicatedJob(job) => job.at_a_time(),
            ServiceMode::Global(_) | ServiceMode::GlobalJob(_) => wanted,
        };
        Self { running_tasks, desired_tasks, completed_tasks: completed.len() }
    }
}
