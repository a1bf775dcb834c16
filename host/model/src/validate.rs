//! What a spec must satisfy before it becomes state, with Swarm's words for each
//! fault. Pure checks of one object: what needs the other objects (unique names,
//! free ports) is decided where the state changes.

mod component;
mod network;

use std::collections::BTreeSet;

pub use network::{address_pools, data_path_port, network, overlap};
pub(crate) use network::{mtu, pools};

use crate::{
    ClusterSpec, Duration, GenericResource, ImageReference, MountKind, Privileges, PublishMode,
    Refusal, RefusalKind, ResolutionMode, ServiceMode, ServiceSpec, UpdateConfig, references,
    template,
};

/// Longest name of a service.
pub const NAME_MAX: usize = 63;
/// Least CPU that can be reserved or limited: 0.001.
pub const CPU_MIN: i64 = 1_000_000;
/// Least memory that can be reserved or limited: 4 MiB.
pub const MEMORY_MIN: i64 = 4 << 20;

fn rpc(message: impl Into<String>) -> Refusal {
    Refusal::rpc(RefusalKind::InvalidArgument, message)
}

/// A service's name: letters and digits, with `-` and `_` between them.
pub fn service_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(rpc("name must be provided"));
    }
    let bytes = name.as_bytes();
    let ends_well = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric);
    if !ends_well || !bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
        return Err(rpc("name must be valid as a DNS name component"));
    }
    if name.len() > NAME_MAX {
        return Err(rpc("name must be 63 characters or fewer"));
    }
    Ok(())
}

/// Everything about a service's spec that can be told without the rest of the
/// cluster and without asking plugins.
pub fn service(spec: &ServiceSpec) -> Result<(), Refusal> {
    service_name(&spec.name)?;
    if spec.task_template.plugin_spec.is_some() {
        return Err(Refusal::plain(
            RefusalKind::Unimplemented,
            "engine plugins as services are not supported by swarmw",
        ));
    }
    let runtime = spec.task_template.runtime.as_str();
    if !matches!(runtime, "" | "container" | "plugin" | "attachment") {
        return Err(Refusal::invalid("unsupported runtime"));
    }
    let Some(container) = spec.container() else {
        return Err(Refusal::invalid("mismatched Runtime and *Spec fields"));
    };
    if !matches!(runtime, "" | "container") {
        return Err(Refusal::invalid("mismatched Runtime and *Spec fields"));
    }
    if container.image.is_empty() {
        return Err(rpc("ContainerSpec: image reference must be provided"));
    }
    if !ImageReference::parse(&container.image).is_valid() {
        return Err(rpc(format!(
            "ContainerSpec: {:?} is not a valid repository/tag",
            container.image
        )));
    }
    Privileges::read(container.privileges.as_ref())?;
    component::component(spec)?;
    spec.container_options().check()?;
    resources(spec)?;
    restart(spec)?;
    job(spec)?;
    if let Some(update) = &spec.update_config {
        update_config("update", update)?;
    }
    if let Some(rollback) = &spec.rollback_config {
        update_config("rollback", rollback)?;
        if !matches!(rollback.failure_action.as_str(), "" | "pause" | "continue") {
            return Err(Refusal::invalid(format!(
                "unrecognized rollback failure action {}: pause and continue exist",
                rollback.failure_action
            )));
        }
    }
    mounts(spec)?;
    references::check(container)?;
    health(spec)?;
    templates(spec)?;
    networks(spec)?;
    endpoint(spec)
}

/// What a job may say: it is begun anew by an update, so there is nothing to configure.
fn job(spec: &ServiceSpec) -> Result<(), Refusal> {
    if spec.mode.is_job() && spec.update_config.is_some() {
        return Err(rpc("Jobs may not have an update config"));
    }
    let ServiceMode::ReplicatedJob(job) = &spec.mode else { return Ok(()) };
    // Swarm takes it, and the job waits for ever.
    if job.at_a_time() == 0 && job.total_completions != Some(0) {
        return Err(rpc(
            "Maximum concurrent jobs must be at least 1: with 0 the job would never be done",
        ));
    }
    // Swarm's words, of a number that a client got by casting one below zero.
    let negative = |number: u64| i64::try_from(number).is_err();
    if negative(job.at_a_time()) {
        return Err(rpc("Maximum concurrent jobs must not be negative"));
    }
    if negative(job.completions()) {
        return Err(rpc("Total completed jobs must not be negative"));
    }
    Ok(())
}

/// A number as Go writes it for people: small ones with an exponent of two digits.
fn in_go(number: f64) -> String {
    let with_exponent = format!("{number:e}");
    match with_exponent.split_once("e-") {
        Some((digits, exponent)) if number.abs() < 1e-4 => format!("{digits}e-{exponent:0>2}"),
        _ => number.to_string(),
    }
}

fn resources(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(wanted) = &spec.task_template.resources else {
        return Ok(());
    };
    let limits = wanted.limits.as_ref().map(|l| (l.nano_cpus, l.memory_bytes));
    let reserved = wanted.reservations.as_ref().map(|r| (r.nano_cpus, r.memory_bytes));
    for (cpus, memory) in limits.into_iter().chain(reserved) {
        if cpus != 0 && cpus < CPU_MIN {
            let cpus = in_go(cpus as f64 / 1e9);
            return Err(rpc(format!("invalid cpu value {cpus}: Must be at least 0.001")));
        }
        if memory != 0 && memory < MEMORY_MIN {
            return Err(rpc(format!("invalid memory value {memory}: Must be at least 4MiB")));
        }
    }
    for asked in wanted.reservations.iter().flat_map(|r| &r.generic_resources) {
        match asked {
            GenericResource::Discrete { count: 0.., kind } if !kind.is_empty() => {}
            GenericResource::Discrete { .. } | GenericResource::Named { .. } => {
                let kind = asked.kind();
                return Err(rpc(format!(
                    "invalid argument for resource {kind}: ask for a number of a kind"
                )));
            }
        }
    }
    if wanted.limits.as_ref().is_some_and(|l| l.pids < 0) {
        return Err(rpc("invalid pids limit: must be 0 or more"));
    }
    Ok(())
}

fn restart(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(policy) = &spec.task_template.restart_policy else {
        return Ok(());
    };
    for (name, value) in [("restart-delay", policy.delay), ("restart-window", policy.window)] {
        if value.is_some_and(Duration::is_negative) {
            return Err(rpc(format!("TaskSpec: {name} cannot be negative")));
        }
    }
    Ok(())
}

fn update_config(which: &str, config: &UpdateConfig) -> Result<(), Refusal> {
    if config.delay.is_negative() {
        return Err(rpc(format!("TaskSpec: {which}-delay cannot be negative")));
    }
    if config.monitor.is_negative() {
        return Err(rpc(format!("TaskSpec: {which}-monitor cannot be negative")));
    }
    if !(0.0..=1.0).contains(&config.max_failure_ratio) {
        return Err(rpc(format!(
            "TaskSpec: {which}-maxfailureratio cannot be less than 0 or bigger than 1"
        )));
    }
    if !matches!(config.order.as_str(), "" | "stop-first" | "start-first") {
        return Err(Refusal::invalid(format!("unrecognized update order {}", config.order)));
    }
    Ok(())
}

fn mounts(spec: &ServiceSpec) -> Result<(), Refusal> {
    let mut targets = BTreeSet::new();
    for mount in spec.container().iter().flat_map(|c| &c.mounts) {
        if mount.target.is_empty() {
            return Err(rpc("ContainerSpec: mount target is required"));
        }
        if !targets.insert(mount.target.as_str()) {
            return Err(rpc(format!("ContainerSpec: duplicate mount point: {}", mount.target)));
        }
        if mount.kind == MountKind::Bind && mount.source.is_empty() {
            return Err(rpc("ContainerSpec: bind mount source is required"));
        }
    }
    Ok(())
}

/// Templates name what there is; what they stand for, the nodes know. They are tried
/// with the values that Swarm tries them with, in its order.
fn templates(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(container) = spec.container() else {
        return Ok(());
    };
    let sample = template::Context::sample();
    let fault = |text: &str| template::expand(text, &sample).err();
    for variable in &container.env {
        if let Err(error) = template::expand_variable(variable, &sample) {
            return Err(rpc(format!("expanding env failed: expanding env {variable:?}: {error}")));
        }
    }
    for mount in &container.mounts {
        let failed = |what: String, error| {
            rpc(format!("expanding mounts failed: expanding {what}: {error}"))
        };
        for (part, text) in [("source", &mount.source), ("target", &mount.target)] {
            if let Some(error) = fault(text) {
                return Err(failed(format!("mount {part} {text:?}"), error));
            }
        }
        let options = mount.volume_options.as_ref();
        let driver = options.and_then(|options| options.driver_config.as_ref());
        for (what, map) in [
            ("volume labels", options.map(|options| &options.labels)),
            ("volume driver config", driver.map(|driver| &driver.options)),
        ] {
            for (key, value) in map.into_iter().flatten() {
                if let Some(error) = fault(value) {
                    let what = format!("{what}: expanding map entry {key:?}={value:?}");
                    return Err(failed(what, error));
                }
            }
        }
    }
    match fault(&container.hostname) {
        Some(error) => Err(rpc(format!("expanding hostname failed: {error}"))),
        None => Ok(()),
    }
}

fn health(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(check) = spec.container().and_then(|c| c.health_check.as_ref()) else {
        return Ok(());
    };
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != Duration::ZERO && value < Duration::from_millis(1) {
            return Err(rpc(format!(
                "ContainerSpec: {name} in HealthConfig cannot be less than 1ms"
            )));
        }
    }
    if check.retries < 0 {
        return Err(rpc("ContainerSpec: Retries in HealthConfig cannot be negative"));
    }
    Ok(())
}

fn networks(spec: &ServiceSpec) -> Result<(), Refusal> {
    let mut targets = BTreeSet::new();
    for network in spec.networks_wanted() {
        if network.target.is_empty() {
            return Err(rpc("TaskSpec: a network's target must be provided"));
        }
        if !targets.insert(network.target.as_str()) {
            return Err(rpc(format!("TaskSpec: duplicate network: {}", network.target)));
        }
    }
    Ok(())
}

fn endpoint(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(endpoint) = &spec.endpoint_spec else {
        return Ok(());
    };
    let mut taken = BTreeSet::new();
    for port in &endpoint.ports {
        if port.target_port == 0 {
            return Err(rpc("EndpointSpec: target port must be set"));
        }
        let ingress = port.publish_mode == PublishMode::Ingress;
        if ingress && endpoint.mode == ResolutionMode::Dnsrr {
            return Err(rpc(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
            ));
        }
        if port.published_port != 0 && !taken.insert((port.protocol, port.published_port)) {
            return Err(rpc("EndpointSpec: duplicate published ports provided"));
        }
    }
    Ok(())
}

/// A cluster's spec.
pub fn cluster(spec: &ClusterSpec) -> Result<(), Refusal> {
    if spec.name != "default" {
        return Err(Refusal::invalid(
            "invalid swarm spec: the name of the swarm must be \"default\"",
        ));
    }
    if spec.ca.node_cert_expiry < Duration::from_secs(3600) {
        return Err(rpc("minimum certificate expiry time is: 1h0m0s"));
    }
    if spec.raft.keep_old_snapshots != 0 {
        return Err(Refusal::plain(
            RefusalKind::Unimplemented,
            format!(
                "{} old Raft snapshots are not kept by this version of swarmw, which has the last \
                 one alone: set 0 (--max-snapshots 0)",
                spec.raft.keep_old_snapshots
            ),
        ));
    }
    if spec.dispatcher.heartbeat_period <= Duration::ZERO {
        return Err(rpc("heartbeat time period cannot be a negative duration"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_swarms_rule() {
        for good in ["web", "Web-1", "a_b--c", "1"] {
            assert!(service_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-web", "web-", "we b", "ä", "a.b"] {
            assert!(service_name(bad).is_err(), "{bad}");
        }
        assert_eq!(
            service_name(&"a".repeat(64)).unwrap_err().to_string(),
            "rpc error: code = InvalidArgument desc = name must be 63 characters or fewer"
        );
    }

    #[test]
    fn images_and_templates_are_read_before_they_become_state() {
        for (container, want) in [
            (r#"{"Image":"nginx"}"#, ""),
            (r#"{"Image":"My App.wasm@sha256:ab"}"#, ""),
            (r#"{"Image":""}"#, "ContainerSpec: image reference must be provided"),
            (r#"{"Image":"BAD@"}"#, r#"ContainerSpec: "BAD@" is not a valid repository/tag"#),
            (
                r#"{"Image":"x","Hostname":"{{.Service.Name}}-{{.Task.Slot}}","Env":["A={{.Node.ID}}"]}"#,
                "",
            ),
            (
                r#"{"Image":"x","Hostname":"{{.Foo}}"}"#,
                r#"expanding hostname failed: template: expansion:1:2: executing "expansion" at <.Foo>: can't evaluate field Foo in type *template.Context"#,
            ),
            (
                r#"{"Image":"x","Env":["A={{.Foo}}"]}"#,
                r#"expanding env failed: expanding env "A={{.Foo}}": template: expansion:1:2: executing "expansion" at <.Foo>: can't evaluate field Foo in type *template.Context"#,
            ),
            (
                r#"{"Image":"x","Mounts":[{"Source":"{{.Foo}}","Target":"/x"}]}"#,
                r#"expanding mounts failed: expanding mount source "{{.Foo}}": template: expansion:1:2: executing "expansion" at <.Foo>: can't evaluate field Foo in type *template.Context"#,
            ),
        ] {
            let spec = format!(r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{container}}}}}"#);
            let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).err().map(|refusal| refusal.to_string()).unwrap_or_default();
            let said = said.trim_start_matches("rpc error: code = InvalidArgument desc = ");
            assert_eq!(said, want, "{container}");
        }
    }

    #[test]
    fn rollouts_are_refused_in_swarms_words() {
        for (field, config, want) in [
            ("UpdateConfig", r#"{"Delay":-1}"#, "TaskSpec: update-delay cannot be negative"),
            ("UpdateConfig", r#"{"Monitor":-1}"#, "TaskSpec: update-monitor cannot be negative"),
            (
                "UpdateConfig",
                r#"{"MaxFailureRatio":1.5}"#,
                "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
            ),
            ("UpdateConfig", r#"{"Order":"foo"}"#, "unrecognized update order foo"),
            ("RollbackConfig", r#"{"Delay":-1}"#, "TaskSpec: rollback-delay cannot be negative"),
        ] {
            let spec = format!(
                r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"x"}}}},"{field}":{config}}}"#
            );
            let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).expect_err(want).to_string();
            let said = said.trim_start_matches("rpc error: code = InvalidArgument desc = ");
            assert_eq!(said, want);
        }
    }

    #[test]
    fn ports_that_cannot_be_are_refused_in_swarms_words() {
        for (endpoint, want) in [
            (r#"{"Ports":[{"TargetPort":53},{"TargetPort":53,"Protocol":"udp"}]}"#, ""),
            (
                r#"{"Ports":[{"TargetPort":53,"PublishedPort":53},{"TargetPort":53,"PublishedPort":53,"Protocol":"udp"}]}"#,
                "",
            ),
            (r#"{"Ports":[{"PublishedPort":80}]}"#, "EndpointSpec: target port must be set"),
            (
                r#"{"Ports":[{"TargetPort":80,"PublishedPort":80},{"TargetPort":81,"PublishedPort":80}]}"#,
                "EndpointSpec: duplicate published ports provided",
            ),
            (
                r#"{"Mode":"dnsrr","Ports":[{"TargetPort":80,"PublishedPort":80}]}"#,
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
            ),
            (r#"{"Mode":"dnsrr","Ports":[{"TargetPort":80,"PublishMode":"host"}]}"#, ""),
        ] {
            let spec = format!(
                r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"x"}}}},"EndpointSpec":{endpoint}}}"#
            );
            let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).err().map(|refusal| refusal.to_string()).unwrap_or_default();
            let said = said.trim_start_matches("rpc error: code = InvalidArgument desc = ");
            assert_eq!(said, want, "{endpoint}");
        }
    }

    #[test]
    fn jobs_are_begun_anew_and_never_updated() {
        for (rest, want) in [
            (r#""Mode":{"GlobalJob":{}}"#, ""),
            (r#""Mode":{"GlobalJob":{}},"RollbackConfig":{}"#, ""),
            (r#""Mode":{"GlobalJob":{}},"UpdateConfig":{}"#, "Jobs may not have an update config"),
            (
                r#""Mode":{"ReplicatedJob":{}},"UpdateConfig":{"Delay":-1}"#,
                "Jobs may not have an update config",
            ),
            (
                r#""Mode":{"ReplicatedJob":{"MaxConcurrent":18446744073709551615}}"#,
                "Maximum concurrent jobs must not be negative",
            ),
            (
                r#""Mode":{"ReplicatedJob":{"MaxConcurrent":0,"TotalCompletions":3}}"#,
                "Maximum concurrent jobs must be at least 1: with 0 the job would never be done",
            ),
            (
                r#""Mode":{"ReplicatedJob":{"MaxConcurrent":0}}"#,
                "Maximum concurrent jobs must be at least 1: with 0 the job would never be done",
            ),
            (r#""Mode":{"ReplicatedJob":{"MaxConcurrent":0,"TotalCompletions":0}}"#, ""),
            (
                r#""Mode":{"ReplicatedJob":{"TotalCompletions":18446744073709551615}}"#,
                "Total completed jobs must not be negative",
            ),
        ] {
            let spec = format!(
                r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"x"}}}},{rest}}}"#
            );
            let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).err().map(|refusal| refusal.to_string()).unwrap_or_default();
            let said = said.trim_start_matches("rpc error: code = InvalidArgument desc = ");
            assert_eq!(said, want, "{rest}");
        }
    }

    #[test]
    fn generic_resources_are_asked_for_by_number() {
        for (asked, fits) in [
            (r#"{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}}"#, true),
            (r#"{"DiscreteResourceSpec":{"Kind":"gpu","Value":0}}"#, true),
            (r#"{"DiscreteResourceSpec":{"Kind":"gpu","Value":-1}}"#, false),
            (r#"{"DiscreteResourceSpec":{"Kind":"","Value":1}}"#, false),
            (r#"{"NamedResourceSpec":{"Kind":"gpu","Value":"a"}}"#, false),
        ] {
            let spec = format!(
                r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"x"}},
                    "Resources":{{"Reservations":{{"GenericResources":[{asked}]}}}}}}}}"#
            );
            let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).err().map(|refusal| refusal.to_string());
            assert_eq!(said.is_none(), fits, "{asked}: {said:?}");
            let words = "invalid argument for resource ";
            assert!(said.is_none_or(|said| said.contains(words)), "{asked}");
        }
    }

    #[test]
    fn what_containers_have_of_their_nodes_is_read_before_it_becomes_state() {
        for (image, container, swarmw, want) in [
            ("x", r#"{"NoNewPrivileges":true,"SELinuxContext":null}"#, "{}", ""),
            ("x", "null", r#"{"Container":{"Privileged":true}}"#, ""),
            ("x", r#"{"Seccomp":{"Mode":"mine"}}"#, "{}", "unknown seccomp mode"),
            ("x", "null", r#"{"Container":{"PidMode":"container:a"}}"#, "invalid PID mode"),
            (
                "x.wasm@sha256:ab",
                "null",
                r#"{"Container":{"ShmSize":1}}"#,
                "a component has no devices",
            ),
            ("x.wasm@sha256:ab", "null", "{}", ""),
        ] {
            let spec = format!(
                r#"{{"Name":"a","Swarmw":{swarmw},"TaskTemplate":{{"ContainerSpec":
                    {{"Image":"{image}","Privileges":{container}}}}}}}"#
            );
            let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).err().map(|refusal| refusal.to_string()).unwrap_or_default();
            let right = if want.is_empty() { said.is_empty() } else { said.contains(want) };
            assert!(right, "{image} {container} {swarmw}: {said}");
        }
    }

    #[test]
    fn a_network_is_joined_once_wherever_it_is_named() {
        for (networks, want) in [
            (r#""TaskTemplate":{"Networks":[{"Target":"n"},{"Target":"m","Aliases":null}],"#, ""),
            (r#""Networks":[{"Target":"n"}],"TaskTemplate":{"Networks":[{"Target":"n"}],"#, ""),
            (
                r#""TaskTemplate":{"Networks":[{"Target":"n"},{"Target":"n"}],"#,
                "TaskSpec: duplicate network: n",
            ),
            (
                r#""Networks":[{"Target":"n"},{"Target":"n"}],"TaskTemplate":{"#,
                "TaskSpec: duplicate network: n",
            ),
            (r#""TaskTemplate":{"Networks":[{}],"#, "target must be provided"),
            (r#""TaskTemplate":{"Networks":[{"Target":"n","DriverOpts":{"a":"b"}}],"#, ""),
        ] {
            let spec = format!(r#"{{"Name":"a",{networks}"ContainerSpec":{{"Image":"x"}}}}}}"#);
            let mut spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
            let said = service(&spec).err().map(|refusal| refusal.to_string()).unwrap_or_default();
            let right = if want.is_empty() { said.is_empty() } else { said.contains(want) };
            assert!(right, "{networks}: {said}");
            spec.settle_networks();
            assert!(spec.networks.is_empty() && !spec.task_template.networks.is_empty());
        }
    }
}
