//! A service's spec.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use swarmw_model::{
    ContainerSpec, DnsConfig, Driver, EndpointSpec, GenericResource, Global, GlobalJob,
    HealthCheck, Limit, Placement, PlacementPreference, Platform, Replicated, ReplicatedJob,
    ResolutionMode, ResourceRequirements, Resources, RestartCondition, RestartPolicy, ServiceMode,
    ServiceSpec, SpreadOver, SwarmwOptions, TaskSpec, Ulimit, UpdateConfig,
};

use super::{
    IMAGE_LABEL, PLATFORM_LABEL, Refused, StackService, access, data, dependency_label, mounts,
    networks, scoped, with_namespace,
};
use crate::amounts;
use crate::project::{self, Deploy, Project, Service};
use crate::read::absolute;

const ALL: &str = "ALL";
const RESET: &str = "RESET";

/// What a service of a file becomes.
pub(super) fn spec(
    project: &Project,
    service: &Service,
    namespace: &str,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<StackService, Refused> {
    if let Some((at, why)) = service.impossible.first() {
        return Err(Refused { at: Some(at.clone()), message: (*why).to_owned() });
    }
    if service.image.is_empty() {
        return Err("has no image: a cluster does not build".into());
    }
    let access = access::of(service, read)?;
    let mut container = container(project, service, namespace)?;
    container.privileges = Some(access.privileges(container.privileges));
    let deploy = &service.deploy;
    let mut labels = with_namespace(namespace, &deploy.labels);
    labels.insert(IMAGE_LABEL.to_owned(), service.image.clone());
    if !service.platform.is_empty() {
        labels.insert(PLATFORM_LABEL.to_owned(), service.platform.clone());
    }
    for (name, dependency) in &service.depends_on {
        if dependency.is_long {
            labels.insert(dependency_label(name), dependency.condition.as_str().to_owned());
        }
    }
    let spec = ServiceSpec {
        name: scoped(namespace, &service.name, ""),
        labels,
        mode: mode(deploy)?,
        endpoint_spec: Some(endpoint(service)?),
        update_config: deploy.update_config.as_ref().map(rollout),
        rollback_config: deploy.rollback_config.as_ref().map(rollout),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(container),
            resources: Some(resources(deploy)?),
            restart_policy: restart(service)?,
            placement: Some(placement(service)?),
            networks: networks::attachments(project, service, namespace)?,
            log_driver: service.logging.as_ref().map(|logging| Driver {
                name: logging.driver.clone(),
                options: logging.options.clone(),
            }),
            ..TaskSpec::default()
        }),
        swarmw: access
            .options
            .map(|container| SwarmwOptions { container, ..SwarmwOptions::default() }),
        ..ServiceSpec::default()
    };
    Ok(StackService { key: service.name.clone(), spec, depends_on: service.depends_on.clone() })
}

fn container(
    project: &Project,
    service: &Service,
    namespace: &str,
) -> Result<ContainerSpec, Refused> {
    let (capability_add, capability_drop) = capabilities(&service.cap_add, &service.cap_drop);
    let has_dns =
        !service.dns.is_empty() || !service.dns_search.is_empty() || !service.dns_opt.is_empty();
    Ok(ContainerSpec {
        image: image(service),
        labels: with_namespace(namespace, &service.labels),
        command: service.entrypoint.clone(),
        args: service.command.clone(),
        hostname: service.hostname.clone(),
        env: environment(service),
        dir: service.working_dir.clone(),
        user: service.user.clone(),
        groups: service.group_add.clone(),
        privileges: Some(data::privileges(project, &service.credential_spec, namespace)?),
        init: service.init,
        stop_signal: service.stop_signal.clone(),
        tty: service.tty,
        open_stdin: service.stdin_open,
        read_only: service.read_only,
        mounts: mounts::mounts(project, service, namespace)?,
        stop_grace_period: service.stop_grace_period,
        health_check: service.health_check.as_ref().map(health),
        hosts: service.extra_hosts.iter().filter_map(|text| host(text)).collect(),
        dns: has_dns.then(|| DnsConfig {
            nameservers: service.dns.clone(),
            search: service.dns_search.clone(),
            options: service.dns_opt.clone(),
        }),
        secrets: data::secrets(project, service, namespace)?,
        configs: data::configs(project, service, namespace)?,
        isolation: service.isolation.clone(),
        sysctls: service.sysctls.clone(),
        capability_add,
        capability_drop,
        ulimits: service.ulimits.iter().map(|(name, limits)| ulimit(name, *limits)).collect(),
        oom_score_adj: service.oom_score_adj,
    })
}

/// The image. A component's file is looked for where the Compose file is, as all files.
fn image(service: &Service) -> String {
    match service.image.starts_with('.') && service.image.ends_with(".wasm") {
        true => {
            let path = absolute(&service.at.file.folder, &service.image);
            path.to_string_lossy().into_owned()
        }
        false => service.image.clone(),
    }
}

/// A name without a value takes the image's variable away.
fn environment(service: &Service) -> Vec<String> {
    let mut all: Vec<_> = service
        .environment
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect();
    all.sort();
    all
}

/// `host:address` as the line of the hosts file that it becomes.
fn host(text: &str) -> Option<String> {
    let (host, address) = text.split_once(':')?;
    Some(format!("{} {host}", address.trim_start_matches('[').trim_end_matches(']')))
}

fn ulimit(name: &str, limits: project::Limits) -> Ulimit {
    let (soft, hard) = match limits.single {
        Some(single) => (single, single),
        None => (limits.soft, limits.hard),
    };
    Ulimit { name: name.to_owned(), soft, hard }
}

/// Full spellings, sorted; where one is both added and dropped, adding wins, and all of
/// them says it for each.
fn capabilities(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let set = |list: &[String]| -> BTreeSet<String> {
        list.iter().map(|text| capability(text)).filter(|word| word != RESET).collect()
    };
    let (mut add, mut drop) = (set(add), set(drop));
    for list in [&mut add, &mut drop] {
        if list.contains(ALL) {
            list.retain(|word| word == ALL);
        }
    }
    drop.retain(|word| !add.contains(word));
    (add.into_iter().collect(), drop.into_iter().collect())
}

fn capability(text: &str) -> String {
    let upper = text.trim().to_uppercase();
    match upper.as_str() {
        ALL | RESET => upper,
        word if word.starts_with("CAP_") => upper,
        word => format!("CAP_{word}"),
    }
}

fn health(health: &project::HealthCheck) -> HealthCheck {
    if health.disable {
        return HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() };
    }
    HealthCheck {
        test: health.test.clone(),
        interval: health.interval.unwrap_or_default(),
        timeout: health.timeout.unwrap_or_default(),
        start_period: health.start_period.unwrap_or_default(),
        start_interval: health.start_interval.unwrap_or_default(),
        retries: health.retries.map_or(0, |n| i64::try_from(n).unwrap_or(i64::MAX)),
    }
}

fn mode(deploy: &Deploy) -> Result<ServiceMode, Refused> {
    match deploy.mode.as_str() {
        "" | "replicated" => Ok(ServiceMode::Replicated(Replicated { replicas: deploy.replicas })),
        "global" | "global-job" if deploy.replicas.is_some() => {
            Err("replicas can only be used with replicated or replicated-job mode".into())
        }
        "global" => Ok(ServiceMode::Global(Global {})),
        "replicated-job" | "global-job" if deploy.update_config.is_some() => {
            Err("update configuration is not supported for jobs".into())
        }
        "replicated-job" => Ok(ServiceMode::ReplicatedJob(ReplicatedJob {
            max_concurrent: deploy.replicas,
            total_completions: deploy.replicas,
        })),
        "global-job" => Ok(ServiceMode::GlobalJob(GlobalJob {})),
        mode => Err(format!("unknown mode: {mode}").into()),
    }
}

fn endpoint(service: &Service) -> Result<EndpointSpec, Refused> {
    let mode = match service.deploy.endpoint_mode.to_lowercase().as_str() {
        "" | "vip" => ResolutionMode::Vip,
        "dnsrr" => ResolutionMode::Dnsrr,
        mode => return Err(format!("invalid resolution mode: {mode:?}").into()),
    };
    let mut ports: Vec<_> = service.ports.iter().map(|port| port.config.clone()).collect();
    ports.sort_by_key(|port| {
        (port.published_port, port.target_port, port.protocol, port.publish_mode)
    });
    Ok(EndpointSpec { mode, ports })
}

fn rollout(rollout: &project::Rollout) -> UpdateConfig {
    UpdateConfig {
        parallelism: rollout.parallelism.unwrap_or(1),
        delay: rollout.delay,
        failure_action: rollout.failure_action.clone(),
        monitor: rollout.monitor,
        max_failure_ratio: rollout.max_failure_ratio,
        order: rollout.order.clone(),
    }
}

fn resources(deploy: &Deploy) -> Result<ResourceRequirements, Refused> {
    let cpus = |text: &str| match text {
        "" => Ok(0),
        text => amounts::cpus(text),
    };
    let mut all = ResourceRequirements::default();
    if let Some(limits) = &deploy.limits {
        all.limits = Some(Limit {
            nano_cpus: cpus(&limits.cpus)?,
            memory_bytes: limits.memory,
            pids: limits.pids,
        });
    }
    if let Some(reserved) = &deploy.reservations {
        let generic = reserved
            .generic
            .iter()
            .map(|(kind, count)| GenericResource::Discrete { kind: kind.clone(), count: *count });
        all.reservations = Some(Resources {
            nano_cpus: cpus(&reserved.cpus)?,
            memory_bytes: reserved.memory,
            generic_resources: generic.collect(),
        });
    }
    Ok(all)
}

/// What `deploy` says, else what `restart` does in the words of a single engine.
fn restart(service: &Service) -> Result<Option<RestartPolicy>, Refused> {
    let Some(policy) = &service.deploy.restart_policy else {
        return old_restart(&service.restart);
    };
    let condition = match policy.condition.as_str() {
        "" | "any" => RestartCondition::Any,
        "none" => RestartCondition::None,
        "on-failure" => RestartCondition::OnFailure,
        word => return Err(format!("invalid restart condition: {word:?}").into()),
    };
    Ok(Some(RestartPolicy {
        condition,
        delay: policy.delay,
        max_attempts: policy.max_attempts,
        window: policy.window,
    }))
}

fn old_restart(text: &str) -> Result<Option<RestartPolicy>, Refused> {
    let (word, times) = match text.split_once(':') {
        Some((word, times)) => (
            word,
            times.parse::<u64>().map_err(|_| {
                Refused::from(
                    "invalid restart policy format: maximum retry count must be an integer",
                )
            })?,
        ),
        None => (text, 0),
    };
    let condition = match word {
        "" | "no" => return Ok(None),
        "always" | "unless-stopped" => RestartCondition::Any,
        "on-failure" => RestartCondition::OnFailure,
        word => {
            return Err(format!(
                "invalid restart policy: unknown policy '{word}' (must be one of 'no', 'always', 'on-failure', or 'unless-stopped')"
            )
            .into());
        }
    };
    let max_attempts = Some(times).filter(|times| *times > 0);
    Ok(Some(RestartPolicy { condition, max_attempts, ..RestartPolicy::default() }))
}

fn placement(service: &Service) -> Result<Placement, Refused> {
    let deploy = &service.deploy;
    let preference = |spread: &String| PlacementPreference {
        spread: Some(SpreadOver { spread_descriptor: spread.clone() }),
    };
    Ok(Placement {
        constraints: deploy.constraints.clone(),
        preferences: deploy.preferences.iter().map(preference).collect(),
        max_replicas: deploy.max_replicas_per_node,
        platforms: platform(&service.platform)?.into_iter().collect(),
    })
}

/// `OS[/ARCHITECTURE[/VARIANT]]`. Nodes do not tell their variants.
fn platform(text: &str) -> Result<Option<Platform>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    let parts: Vec<_> = text.split('/').collect();
    let (os, architecture) = match parts[..] {
        _ if parts.contains(&"") => ("", ""),
        [os] => (os, ""),
        [os, architecture] | [os, architecture, _] => (os, architecture),
        _ => ("", ""),
    };
    if os.is_empty() {
        return Err(format!("invalid platform: {text:?}: want OS/ARCHITECTURE").into());
    }
    Ok(Some(Platform { os: os.to_owned(), architecture: architecture.to_owned() }))
}
