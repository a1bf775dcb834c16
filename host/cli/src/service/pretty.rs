//! `service inspect --pretty`

use std::fmt::{self, Write as _};

use swarmw_model::{
    ContainerOptions, ContainerSpec, DataReference, Driver, HealthCheck, IngressSource, MountKind,
    OPTION_LABEL, ResourceRequirements, ServiceMode, TaskSpec, UpdateConfig, UpdateState,
    UpdateStatus,
};

use crate::client::Service;
use crate::table::{ago, bytes_size};

/// A service for people, after a blank line. Words stand where Docker puts them,
/// tabs included; its networks by their names.
pub(super) fn service(service: &Service, networks: &[String]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, service, networks);
    out
}

fn write(out: &mut String, service: &Service, networks: &[String]) -> fmt::Result {
    let spec = &service.spec;
    writeln!(out, "\nID:\t\t{}\nName:\t\t{}", service.id, spec.name)?;
    if !spec.labels.is_empty() {
        writeln!(out, "Labels:")?;
    }
    for (key, value) in &spec.labels {
        match value.as_str() {
            "" => writeln!(out, " {key}")?,
            value => writeln!(out, " {key}={value}")?,
        }
    }
    match spec.mode {
        ServiceMode::Global(_) => writeln!(out, "Service Mode:\tGlobal")?,
        ServiceMode::Replicated(_) => {
            let replicas = spec.replicas().unwrap_or(1);
            writeln!(out, "Service Mode:\tReplicated\n Replicas:\t{replicas}")?;
        }
        // Docker's client leaves the mode of a job empty.
        ServiceMode::ReplicatedJob(ref job) => {
            let (in_all, at_a_time) = (job.completions(), job.at_a_time());
            writeln!(
                out,
                "Service Mode:\tReplicated Job\n Completions:\t{in_all}\n \
                 Concurrent:\t{at_a_time}"
            )?;
        }
        ServiceMode::GlobalJob(_) => writeln!(out, "Service Mode:\tGlobal Job")?,
    }
    if let Some(status) = &service.job_status {
        let (iteration, begun) = (status.job_iteration.index, ago(status.last_execution));
        writeln!(out, "JobStatus:\n Iteration:\t{iteration}\n Started:\t{begun}")?;
    }
    if let Some(status) = &service.update_status {
        update_status(out, status)?;
    }
    placement(out, service)?;
    if let Some(config) = &spec.update_config {
        rollout(out, "UpdateConfig:", "Update order:      ", config)?;
    }
    if let Some(config) = &spec.rollback_config {
        rollout(out, "RollbackConfig:", "Rollback order:    ", config)?;
    }
    let task = &spec.task_template;
    if let Some(container) = &task.container_spec {
        container_spec(out, container)?;
    }
    container_options(out, &spec.container_options())?;
    if let Some(driver) = &task.log_driver {
        log_driver(out, driver)?;
    }
    if let Some(resources) = &task.resources {
        resource_requirements(out, resources)?;
    }
    if !networks.is_empty() {
        // A blank stands before each, and behind the last.
        writeln!(out, "Networks: {} ", networks.join(" "))?;
    }
    endpoint(out, service)?;
    if let Some(check) = health_check(task) {
        health(out, check)?;
    }
    writeln!(out)
}

fn update_status(out: &mut String, status: &UpdateStatus) -> fmt::Result {
    writeln!(out, "UpdateStatus:\n State:\t\t{}", status.state.as_str())?;
    if !status.started_at.is_zero() {
        writeln!(out, " Started:\t{}", ago(status.started_at))?;
    }
    if let (UpdateState::Completed, Some(at)) = (status.state, status.completed_at) {
        writeln!(out, " Completed:\t{}", ago(at))?;
    }
    writeln!(out, " Message:\t{}", status.message)
}

fn placement(out: &mut String, service: &Service) -> fmt::Result {
    let spec = &service.spec;
    writeln!(out, "Placement:")?;
    let constraints = spec.task_template.constraints();
    if !constraints.is_empty() {
        writeln!(out, " Constraints:\t[{}]", constraints.join(" "))?;
    }
    let preferences: Vec<_> = spec
        .preferences()
        .into_iter()
        .map(|preference| format!("{}={}", preference.name, preference.argument))
        .collect();
    if !preferences.is_empty() {
        writeln!(out, " Preferences:   [{}]", preferences.join(" "))?;
    }
    let most = spec.task_template.placement.as_ref().map_or(0, |placement| placement.max_replicas);
    if most > 0 {
        writeln!(out, " Max Replicas Per Node:   {most}")?;
    }
    let options = spec.policy_options();
    if !options.is_empty() {
        writeln!(out, "Policy Options:")?;
    }
    for (path, value) in options {
        match path.strip_prefix(OPTION_LABEL) {
            Some(name) => writeln!(out, " {name}={value} (by a label)")?,
            None => writeln!(out, " {path}={value}")?,
        }
    }
    Ok(())
}

fn rollout(out: &mut String, title: &str, order: &str, config: &UpdateConfig) -> fmt::Result {
    writeln!(out, "{title}\n Parallelism:\t{}", config.parallelism)?;
    if config.delay.as_nanos() != 0 {
        writeln!(out, " Delay:\t\t{}", config.delay)?;
    }
    writeln!(out, " On failure:\t{}", config.failure_action)?;
    if config.monitor.as_nanos() != 0 {
        writeln!(out, " Monitoring Period: {}", config.monitor)?;
    }
    writeln!(out, " Max failure ratio: {}", config.max_failure_ratio)?;
    writeln!(out, " {order}{}", config.order)
}

fn container_spec(out: &mut String, container: &ContainerSpec) -> fmt::Result {
    writeln!(out, "ContainerSpec:\n Image:\t\t{}", container.image)?;
    // Each word has a blank behind it, the last too.
    let words = |words: &[String]| -> String { words.iter().map(|w| format!("{w} ")).collect() };
    if !container.args.is_empty() {
        writeln!(out, " Args:\t\t{}", words(&container.args))?;
    }
    if !container.env.is_empty() {
        writeln!(out, " Env:\t\t{}", words(&container.env))?;
    }
    if !container.dir.is_empty() {
        writeln!(out, " Dir:\t\t{}", container.dir)?;
    }
    if let Some(init) = container.init {
        writeln!(out, " Init:\t\t{init}")?;
    }
    if !container.user.is_empty() {
        writeln!(out, " User: {}", container.user)?;
    }
    let (add, drop) = (&container.capability_add, &container.capability_drop);
    if !add.is_empty() || !drop.is_empty() {
        writeln!(out, "Capabilities:")?;
    }
    for (title, list) in [("Add", add), ("Drop", drop)] {
        if !list.is_empty() {
            writeln!(out, " {title}: {}", list.join(", "))?;
        }
    }
    if !container.sysctls.is_empty() {
        writeln!(out, "SysCtls:")?;
    }
    for (key, value) in &container.sysctls {
        writeln!(out, " {key}: {value}")?;
    }
    if !container.ulimits.is_empty() {
        writeln!(out, "Ulimits:")?;
    }
    for limit in &container.ulimits {
        writeln!(out, " {}: {}:{}", limit.name, limit.soft, limit.hard)?;
    }
    if !container.mounts.is_empty() {
        writeln!(out, "Mounts:")?;
    }
    for mount in &container.mounts {
        let kind = match mount.kind {
            MountKind::Volume => "volume",
            MountKind::Bind => "bind",
            MountKind::Tmpfs => "tmpfs",
        };
        writeln!(out, " Target:\t{}", mount.target)?;
        writeln!(out, "  Source:\t{}", mount.source)?;
        writeln!(out, "  ReadOnly:\t{}", mount.read_only)?;
        writeln!(out, "  Type:\t\t{kind}")?;
    }
    references(out, "Configs:", &container.configs)?;
    references(out, "Secrets:", &container.secrets)
}

/// What Docker's services do not have.
fn container_options(out: &mut String, options: &ContainerOptions) -> fmt::Result {
    if *options == ContainerOptions::default() {
        return Ok(());
    }
    writeln!(out, "Container Options:")?;
    if options.privileged {
        writeln!(out, " Privileged:\ttrue")?;
    }
    for device in &options.devices {
        writeln!(out, " Device:\t{device}")?;
    }
    for option in &options.security_opt {
        writeln!(out, " Security:\t{option}")?;
    }
    if options.shm_size != 0 {
        writeln!(out, " Shm Size:\t{}", bytes_size(options.shm_size))?;
    }
    for (title, mode) in [("IPC", &options.ipc_mode), ("PID", &options.pid_mode)] {
        if !mode.is_empty() {
            writeln!(out, " {title}:\t\t{mode}")?;
        }
    }
    Ok(())
}

fn references<R: DataReference>(out: &mut String, title: &str, all: &[R]) -> fmt::Result {
    if !all.is_empty() {
        writeln!(out, "{title}")?;
    }
    for reference in all {
        let target = reference.file().map_or("", |file| &file.name);
        writeln!(out, " Target:\t{target}\n  Source:\t{}", reference.name())?;
    }
    Ok(())
}

fn log_driver(out: &mut String, driver: &Driver) -> fmt::Result {
    writeln!(out, "Log Driver:\n Name:\t\t{}", driver.name)?;
    if !driver.options.is_empty() {
        writeln!(out, " LogOpts:")?;
    }
    for (key, value) in &driver.options {
        writeln!(out, "  {key}:       {value}")?;
    }
    Ok(())
}

fn resource_requirements(out: &mut String, resources: &ResourceRequirements) -> fmt::Result {
    writeln!(out, "Resources:")?;
    let reserved = resources.reservations.as_ref();
    let generic = reserved.map_or(&[][..], |r| &r.generic_resources);
    let reserved = reserved.map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes));
    let limited = resources.limits.as_ref().map_or((0, 0), |l| (l.nano_cpus, l.memory_bytes));
    for (title, (cpus, memory), generic) in
        [("Reservations", reserved, generic), ("Limits", limited, &[])]
    {
        if cpus > 0 || memory > 0 || !generic.is_empty() {
            writeln!(out, " {title}:")?;
        }
        if cpus > 0 {
            writeln!(out, "  CPU:\t\t{}", cpus as f64 / 1e9)?;
        }
        if memory > 0 {
            writeln!(out, "  Memory:\t{}", bytes_size(memory))?;
        }
        // Docker's client leaves them out.
        if !generic.is_empty() {
            let words: Vec<_> = generic.iter().map(ToString::to_string).collect();
            writeln!(out, "  Generic:\t{}", words.join(", "))?;
        }
    }
    Ok(())
}

fn endpoint(out: &mut String, service: &Service) -> fmt::Result {
    let mode = match service.spec.endpoint_spec.as_ref().map(|e| e.mode) {
        Some(swarmw_model::ResolutionMode::Dnsrr) => "dnsrr",
        _ => "vip",
    };
    writeln!(out, "Endpoint Mode:\t{mode}")?;
    let ports = &service.endpoint.ports;
    if !ports.is_empty() {
        writeln!(out, "Ports:")?;
    }
    for (index, port) in ports.iter().enumerate() {
        writeln!(out, " PublishedPort = {}", port.published_port)?;
        writeln!(out, "  Protocol = {}", port.protocol)?;
        writeln!(out, "  TargetPort = {}", port.target_port)?;
        // Docker's last one has a blank behind it.
        let end = if index + 1 == ports.len() { " " } else { "" };
        writeln!(out, "  PublishMode = {}{end}", port.publish_mode)?;
    }
    let source = service.spec.ingress_source();
    if source != IngressSource::default() {
        writeln!(out, "Ingress Source:\t{source}")?;
    }
    Ok(())
}

fn health_check(task: &TaskSpec) -> Option<&HealthCheck> {
    task.container_spec.as_ref()?.health_check.as_ref()
}

fn health(out: &mut String, check: &HealthCheck) -> fmt::Result {
    writeln!(out, " Healthcheck:")?;
    writeln!(out, "  Interval = {}", check.interval)?;
    writeln!(out, "  Retries = {}", check.retries)?;
    writeln!(out, "  StartPeriod =\t{}", check.start_period)?;
    writeln!(out, "  Timeout =\t{}", check.timeout)?;
    if let Some((last, words)) = check.test.split_last() {
        writeln!(out, "  Tests:")?;
        for word in words {
            writeln!(out, "\t Test = {word}")?;
        }
        writeln!(out, "\t Test = {last} ")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_tutorials_service_reads_as_dockers() {
        let service = serde_json::from_value(json!({
            "ID": "0u6a4s31ybk7yw2wyvtikmu50",
            "Spec": {"Name": "redis", "Labels": {"a": "b"}, "Mode": {"Replicated": {"Replicas": 3}},
                "TaskTemplate": {"ContainerSpec": {"Image": "redis:3.0.6", "Args": ["--port", "1"], "Init": false},
                    "Resources": {"Limits": {"MemoryBytes": 67108864}}, "Placement": {"Constraints": ["node.role==worker", "a==b"],
                    "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.rack"}}]}},
                "UpdateConfig": {"Parallelism": 1, "Delay": 10000000000i64, "FailureAction": "pause", "Monitor": 5000000000i64, "Order": "stop-first"},
                "EndpointSpec": {"Mode": "vip"}},
            "Endpoint": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}]},
            "UpdateStatus": {"State": "paused", "StartedAt": "0001-01-01T00:00:00Z", "Message": "update paused due to failure"}
        }))
        .expect("a service");
        assert_eq!(
            super::service(&service, &[]),
            "\nID:\t\t0u6a4s31ybk7yw2wyvtikmu50\nName:\t\tredis\nLabels:\n a=b\n\
             Service Mode:\tReplicated\n Replicas:\t3\n\
             UpdateStatus:\n State:\t\tpaused\n Message:\tupdate paused due to failure\n\
             Placement:\n Constraints:\t[node.role==worker a==b]\n Preferences:   [spread=node.labels.rack]\n\
             UpdateConfig:\n Parallelism:\t1\n Delay:\t\t10s\n On failure:\tpause\n\
             \x20Monitoring Period: 5s\n Max failure ratio: 0\n Update order:      stop-first\n\
             ContainerSpec:\n Image:\t\tredis:3.0.6\n Args:\t\t--port 1 \n Init:\t\tfalse\n\
             Resources:\n Limits:\n  Memory:\t64MiB\nEndpoint Mode:\tvip\n\
             Ports:\n PublishedPort = 8080\n  Protocol = tcp\n  TargetPort = 80\n  PublishMode = ingress \n\n"
        );
    }

    #[test]
    fn a_job_says_how_many_and_which_time_it_is() {
        let service = serde_json::from_value(json!({
            "ID": "s", "Spec": {"Name": "count",
                "Mode": {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}}},
            "JobStatus": {"JobIteration": {"Index": 3}, "LastExecution": "2026-11-20T00:00:00Z"},
        }))
        .expect("a service");
        let text = super::service(&service, &[]);
        let want = "Service Mode:\tReplicated Job\n Completions:\t5\n Concurrent:\t2\n\
                    JobStatus:\n Iteration:\t3\n Started:\t";
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn what_containers_have_of_their_nodes_is_shown() {
        let service = serde_json::from_value(json!({
            "ID": "s", "Spec": {"Name": "kvm", "Swarmw": {"Container": {
                "Devices": [{"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm", "CgroupPermissions": "rw"}],
                "ShmSize": 67108864, "PidMode": "host"}}},
        }))
        .expect("a service");
        let text = super::service(&service, &[]);
        let want = "Container Options:\n Device:\t/dev/kvm:/dev/kvm:rw\n Shm Size:\t64MiB\n PID:\t\thost\n";
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn generic_resources_stand_with_what_is_reserved() {
        let service = serde_json::from_value(json!({
            "ID": "s", "Spec": {"Name": "train", "TaskTemplate": {"Resources": {"Reservations": {
                "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]}}}},
        }))
        .expect("a service");
        let text = super::service(&service, &[]);
        assert!(text.contains("Resources:\n Reservations:\n  Generic:\tgpu=2\n"), "{text}");
    }

    #[test]
    fn the_rest_of_a_container_reads_as_dockers() {
        let service = serde_json::from_value(json!({
            "ID": "0u6a4s31ybk7yw2wyvtikmu50",
            "Spec": {"Name": "web", "Mode": {"Global": {}},
                "TaskTemplate": {"ContainerSpec": {"Image": "x:1", "User": "me",
                    "CapabilityAdd": ["CAP_NET_ADMIN"], "CapabilityDrop": ["ALL"],
                    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000}}}},
        }))
        .expect("a service");
        assert_eq!(
            super::service(&service, &["web10".to_owned(), "ingress".to_owned()]),
            "\nID:\t\t0u6a4s31ybk7yw2wyvtikmu50\nName:\t\tweb\nService Mode:\tGlobal\nPlacement:\n\
             ContainerSpec:\n Image:\t\tx:1\n User: me\n\
             Capabilities:\n Add: CAP_NET_ADMIN\n Drop: ALL\nNetworks: web10 ingress \nEndpoint Mode:\tvip\n\
             \x20Healthcheck:\n  Interval = 1s\n  Retries = 0\n  StartPeriod =\t0s\n  Timeout =\t0s\n\
             \x20 Tests:\n\t Test = CMD-SHELL\n\t Test = true \n\n"
        );
    }
}
