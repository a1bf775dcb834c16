//! A task's spec as the engine wants it. Pure.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigLogConfig,
    Mount as EngineMount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
};
use swarmw_model::{
    ApiVersion, Assignment, ContainerSpec, DEFAULT_STOP_GRACE_PERIOD, Device, EngineSocket,
    HealthCheck, Later, Mount, MountKind, Privileges, PublishMode, TaskSpec, VolumeOptions,
    resource_variables,
};

use super::places::{Place, endpoint};
use super::state::key;
use crate::executor::TaskError;
use crate::template::Template;

/// What to make for a task on the node of this name, which gives this for its engine's socket.
pub(super) fn container(
    task: &Assignment,
    node: &str,
    socket: &EngineSocket,
) -> Result<ContainerCreateBody, TaskError> {
    let spec = spec(task)?;
    let template = Template::of(task, node);
    let env = spec.env.iter().map(|entry| template.expand_variable(entry));
    let mut env = env.collect::<Result<Vec<_>, _>>()?;
    env.extend(resource_variables(&task.generic_resources));
    let hostname = template.expand(&spec.hostname)?;
    let exposed: Vec<_> = host_ports(task).map(|p| key(p.target_port, p.protocol)).collect();
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: text(hostname),
        user: text(spec.user.clone()),
        working_dir: text(spec.dir.clone()),
        env: list(env),
        entrypoint: list(spec.command.clone()),
        cmd: list(spec.args.clone()),
        tty: Some(spec.tty),
        open_stdin: Some(spec.open_stdin),
        labels: Some(task.container_labels().into_iter().collect()),
        stop_signal: text(spec.stop_signal.clone()),
        stop_timeout: Some(i64::from(grace_seconds(spec))),
        healthcheck: spec.health_check.as_ref().map(health),
        exposed_ports: list(exposed),
        host_config: Some(host_config(task, spec, &template, socket)?),
        ..Default::default()
    })
}

/// Has the container made in the first of these places, which is all that engines before
/// API 1.44 allow; nowhere in particular: on the engine's own bridge.
pub(super) fn put(body: &mut ContainerCreateBody, places: &[Place]) {
    let Some(first) = places.first() else { return };
    body.host_config.get_or_insert_default().network_mode = Some(first.name().to_owned());
    // A predefined network gives what it gives.
    if let Place::Shadow { name, addresses } = first {
        let endpoints = HashMap::from([(name.clone(), endpoint(addresses))]);
        body.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints) });
    }
}

/// Refuses what the engine is too old for: it would make another container than the task
/// wants, and say nothing.
pub(super) fn check_known(body: &ContainerCreateBody, engine: ApiVersion) -> Result<(), TaskError> {
    let body = serde_json::to_value(body).map_err(|error| TaskError(error.to_string()))?;
    Later::than(engine, "POST", "/containers/create")
        .try_for_each(|later| later.check_body(engine, &body))
        .map_err(|refusal| TaskError(refusal.message))
}

/// The container part of a task's spec.
pub(super) fn spec(task: &Assignment) -> Result<&ContainerSpec, TaskError> {
    let spec = task.spec.container_spec.as_ref();
    spec.ok_or_else(|| TaskError("a task without a container spec".to_owned()))
}

/// The time from the stop signal to SIGKILL, in the engine's whole seconds.
pub(super) fn grace_seconds(spec: &ContainerSpec) -> i32 {
    let grace = spec.stop_grace_period.unwrap_or(DEFAULT_STOP_GRACE_PERIOD);
    i32::try_from(grace.as_millis().max(0).saturating_add(999) / 1000).unwrap_or(i32::MAX)
}

/// Ports that the engine itself publishes.
fn host_ports(task: &Assignment) -> impl Iterator<Item = &swarmw_model::PortConfig> {
    task.service.ports.iter().filter(|port| port.publish_mode == PublishMode::Host)
}

fn host_config(
    task: &Assignment,
    spec: &ContainerSpec,
    template: &Template,
    socket: &EngineSocket,
) -> Result<HostConfig, TaskError> {
    let dns = spec.dns.clone().unwrap_or_default();
    let options = &task.spec.options;
    let mounts = spec.mounts.iter().map(|m| mount(m, template, socket));
    let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    let mut config = HostConfig {
        mounts: list(mounts),
        init: spec.init,
        readonly_rootfs: Some(spec.read_only),
        group_add: list(spec.groups.clone()),
        dns: list(dns.nameservers),
        dns_search: list(dns.search),
        dns_options: list(dns.options),
        extra_hosts: list(extra_hosts(&spec.hosts)),
        cap_add: list(spec.capability_add.clone()),
        cap_drop: list(spec.capability_drop.clone()),
        sysctls: map(&spec.sysctls),
        ulimits: list(spec.ulimits.iter().map(ulimit).collect()),
        oom_score_adj: (spec.oom_score_adj != 0).then_some(spec.oom_score_adj),
        security_opt: list(security(task, spec)?),
        devices: list(options.devices.iter().map(device).collect()),
        privileged: yes(options.privileged),
        shm_size: (options.shm_size != 0).then_some(options.shm_size),
        ipc_mode: text(options.ipc_mode.clone()),
        pid_mode: text(options.pid_mode.clone()),
        port_bindings: bindings(task),
        log_config: task.spec.log_driver.as_ref().map(|driver| HostConfigLogConfig {
            typ: text(driver.name.clone()),
            config: map(&driver.options),
        }),
        ..Default::default()
    };
    resources(&task.spec, &mut config);
    Ok(config)
}

fn resources(spec: &TaskSpec, config: &mut HostConfig) {
    let Some(resources) = &spec.resources else { return };
    let given = |amount: i64| (amount != 0).then_some(amount);
    if let Some(limits) = &resources.limits {
        config.nano_cpus = given(limits.nano_cpus);
        config.memory = given(limits.memory_bytes);
        config.pids_limit = given(limits.pids);
    }
    if let Some(reserved) = &resources.reservations {
        config.memory_reservation = given(reserved.memory_bytes);
    }
    // The engine counts memory and swap together; -1 is no limit.
    config.memory_swap = resources.swap_bytes.map(|swap| match swap {
        -1 => -1,
        swap => config.memory.unwrap_or_default().saturating_add(swap),
    });
    config.memory_swappiness = resources.memory_swappiness;
}

fn bindings(task: &Assignment) -> Option<PortMap> {
    let mut map = PortMap::new();
    for port in host_ports(task) {
        // An unset number is the engine's choice.
        let number = (port.published_port != 0).then(|| port.published_port.to_string());
        let binding = PortBinding { host_ip: None, host_port: number };
        map.entry(key(port.target_port, port.protocol))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    (!map.is_empty()).then_some(map)
}

/// `IP NAME…`, as in a hosts file, becomes `NAME:IP`.
fn extra_hosts(hosts: &[String]) -> Vec<String> {
    let names = |line: &str| -> Vec<String> {
        let mut words = line.split_whitespace();
        let ip = words.next().unwrap_or_default().to_owned();
        words.map(|name| format!("{name}:{ip}")).collect()
    };
    hosts.iter().flat_map(|line| names(line)).collect()
}

fn ulimit(limit: &swarmw_model::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    }
}

fn health(check: &HealthCheck) -> HealthConfig {
    let nanos = |duration: swarmw_model::Duration| Some(duration.as_nanos());
    HealthConfig {
        test: list(check.test.clone()),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: Some(check.retries),
        start_period: nanos(check.start_period),
        // 0 is none: what is said at all is more than engines before API 1.44 know.
        start_interval: nanos(check.start_interval).filter(|n| *n != 0),
    }
}

fn volume_options(
    volume: &VolumeOptions,
    template: &Template,
) -> Result<MountVolumeOptions, TaskError> {
    let expanded = |texts: &BTreeMap<String, String>| {
        let texts = texts.iter().map(|(key, value)| Ok((key.clone(), template.expand(value)?)));
        Ok::<_, TaskError>(map(&texts.collect::<Result<BTreeMap<_, _>, TaskError>>()?))
    };
    let driver_config = match &volume.driver_config {
        None => None,
        Some(driver) => Some(MountVolumeOptionsDriverConfig {
            name: text(driver.name.clone()),
            options: expanded(&driver.options)?,
        }),
    };
    Ok(MountVolumeOptions {
        no_copy: yes(volume.no_copy),
        labels: expanded(&volume.labels)?,
        subpath: text(volume.subpath.clone()),
        driver_config,
    })
}

fn mount(
    mount: &Mount,
    template: &Template,
    socket: &EngineSocket,
) -> Result<EngineMount, TaskError> {
    let mut source = template.expand(&mount.source)?;
    let target = template.expand(&mount.target)?;
    let mut bind_options = match &mount.bind_options {
        None => None,
        Some(bind) => Some(MountBindOptions {
            propagation: match bind.propagation.as_str() {
                "" => None,
                word => Some(word.parse().map_err(|_| {
                    TaskError(format!("invalid propagation mode of mount {target}: {word}"))
                })?),
            },
            non_recursive: yes(bind.non_recursive),
            create_mountpoint: yes(bind.create_mountpoint),
            read_only_non_recursive: yes(bind.read_only_non_recursive),
            read_only_force_recursive: yes(bind.read_only_force_recursive),
        }),
    };
    if mount.kind == MountKind::Bind
        && let Some(instead) = socket.instead_of(&source).map_err(|why| TaskError(why.message))?
    {
        source = instead.source;
        if let Some(propagation) = instead.propagation.and_then(|word| word.parse().ok()) {
            bind_options.get_or_insert_default().propagation = Some(propagation);
        }
    }
    let volume_options = match &mount.volume_options {
        None => None,
        Some(volume) => Some(volume_options(volume, template)?),
    };
    let tmpfs_options = mount.tmpfs_options.as_ref().map(|tmpfs| MountTmpfsOptions {
        size_bytes: (tmpfs.size_bytes != 0).then_some(tmpfs.size_bytes),
        mode: (tmpfs.mode != 0).then_some(i64::from(tmpfs.mode)),
        options: None,
    });
    Ok(EngineMount {
        target: Some(target),
        source: text(source),
        typ: Some(match mount.kind {
            MountKind::Volume => MountType::VOLUME,
            MountKind::Bind => MountType::BIND,
            MountKind::Tmpfs => MountType::TMPFS,
        }),
        read_only: yes(mount.read_only),
        consistency: text(mount.consistency.clone()),
        bind_options,
        volume_options,
        image_options: None,
        tmpfs_options,
    })
}

/// What confines the container less or more than the engine's own.
fn security(task: &Assignment, spec: &ContainerSpec) -> Result<Vec<String>, TaskError> {
    let privileges = Privileges::read(spec.privileges.as_ref());
    let mut options = privileges.map_err(|refusal| TaskError(refusal.message))?.security_options();
    options.extend_from_slice(&task.spec.options.security_opt);
    Ok(options)
}

fn device(device: &Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: text(device.path_on_host.clone()),
        path_in_container: text(device.path_in_container.clone()),
        cgroup_permissions: text(device.cgroup_permissions.clone()),
    }
}

fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn map(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.clone().into_iter().collect())
}

fn yes(flag: bool) -> Option<bool> {
    flag.then_some(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use swarmw_model::{Given, NodeId, PortConfig, ServiceFacts, ServiceId, TaskId, TaskState};

    use super::*;

    /// A task of this spec, in the API's JSON.
    fn task(spec: Value) -> Assignment {
        Assignment {
            id: TaskId::from_bits(1),
            service_id: ServiceId::from_bits(2),
            service: Arc::new(ServiceFacts { name: "web".to_owned(), ..Default::default() }),
            slot: 3,
            node_id: NodeId::from_bits(4),
            spec: Arc::new(serde_json::from_value(spec).expect("a task spec")),
            desired_state: TaskState::Running,
            status: Default::default(),
            job_iteration: None,
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        }
    }

    /// What the engine is asked, as JSON.
    fn asked(spec: Value) -> Value {
        let socket = EngineSocket::default();
        serde_json::to_value(container(&task(spec), "n1", &socket).expect("a container"))
            .expect("JSON")
    }

    #[test]
    fn every_field_of_the_spec_reaches_the_engine() {
        let body = asked(json!({
            "ContainerSpec": {
                "Image": "redis:7", "Labels": {"a": "b"}, "Command": ["redis-server"],
                "Args": ["--port", "1"], "Hostname": "{{.Service.Name}}-{{.Task.Slot}}-{{.Node.Hostname}}",
                "Env": ["SLOT={{.Task.Slot}}", "PLAIN=1"], "Dir": "/data", "User": "1:2",
                "Groups": ["7"], "Init": true, "StopSignal": "SIGINT", "TTY": true,
                "ReadOnly": true, "StopGracePeriod": 1500000000_i64,
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Retries": 2},
                "Hosts": ["10.0.0.1 a b"], "DNSConfig": {"Nameservers": ["1.1.1.1"],
                "Search": ["x"], "Options": ["ndots:1"]},
                "Sysctls": {"net.core.somaxconn": "9"}, "CapabilityAdd": ["CAP_NET_ADMIN"],
                "CapabilityDrop": ["CAP_CHOWN"], "OomScoreAdj": 5,
                "Ulimits": [{"Name": "nofile", "Hard": 9, "Soft": 8}],
                "Privileges": {"NoNewPrivileges": true, "Seccomp": {"Mode": "unconfined"}},
            },
            "Resources": {
                "Limits": {"NanoCPUs": 500, "MemoryBytes": 64, "Pids": 10},
                "Reservations": {"MemoryBytes": 32}, "SwapBytes": 6,
            },
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
        }));

        for (path, want) in [
            ("/Image", json!("redis:7")),
            ("/Entrypoint", json!(["redis-server"])),
            ("/Cmd", json!(["--port", "1"])),
            ("/Hostname", json!("web-3-n1")),
            ("/Env", json!(["SLOT=3", "PLAIN=1"])),
            ("/WorkingDir", json!("/data")),
            ("/User", json!("1:2")),
            ("/StopSignal", json!("SIGINT")),
            ("/StopTimeout", json!(2)),
            ("/Tty", json!(true)),
            ("/Labels/a", json!("b")),
            ("/Labels/com.docker.swarm.service.name", json!("web")),
            ("/Healthcheck/Test", json!(["CMD", "true"])),
            ("/Healthcheck/Retries", json!(2)),
            ("/HostConfig/GroupAdd", json!(["7"])),
            ("/HostConfig/Init", json!(true)),
            ("/HostConfig/ReadonlyRootfs", json!(true)),
            ("/HostConfig/ExtraHosts", json!(["a:10.0.0.1", "b:10.0.0.1"])),
            ("/HostConfig/Dns", json!(["1.1.1.1"])),
            ("/HostConfig/DnsSearch", json!(["x"])),
            ("/HostConfig/DnsOptions", json!(["ndots:1"])),
            ("/HostConfig/Sysctls/net.core.somaxconn", json!("9")),
            ("/HostConfig/CapAdd", json!(["CAP_NET_ADMIN"])),
            ("/HostConfig/CapDrop", json!(["CAP_CHOWN"])),
            ("/HostConfig/Ulimits/0/Hard", json!(9)),
            ("/HostConfig/OomScoreAdj", json!(5)),
            ("/HostConfig/SecurityOpt", json!(["no-new-privileges", "seccomp=unconfined"])),
            ("/HostConfig/NanoCpus", json!(500)),
            ("/HostConfig/Memory", json!(64)),
            ("/HostConfig/MemoryReservation", json!(32)),
            ("/HostConfig/MemorySwap", json!(70)),
            ("/HostConfig/PidsLimit", json!(10)),
            ("/HostConfig/LogConfig/Type", json!("json-file")),
        ] {
            assert_eq!(body.pointer(path), Some(&want), "{path} of {body:#}");
        }
    }

    #[test]
    fn what_the_operator_allows_of_the_node_reaches_the_engine() {
        let body = asked(json!({
            "ContainerSpec": {"Image": "x", "Privileges": {"NoNewPrivileges": true}},
            "ContainerOptions": {
                "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rw"}],
                "Privileged": true, "SecurityOpt": ["apparmor=mine"], "ShmSize": 7,
                "IpcMode": "host", "PidMode": "host",
            },
        }));
        for (path, want) in [
            ("/Devices/0/PathOnHost", json!("/dev/a")),
            ("/Devices/0/PathInContainer", json!("/dev/b")),
            ("/Devices/0/CgroupPermissions", json!("rw")),
            ("/Privileged", json!(true)),
            ("/SecurityOpt", json!(["no-new-privileges", "apparmor=mine"])),
            ("/ShmSize", json!(7)),
            ("/IpcMode", json!("host")),
            ("/PidMode", json!("host")),
        ] {
            assert_eq!(body["HostConfig"].pointer(path), Some(&want), "{path} of {body:#}");
        }
    }

    #[test]
    fn a_task_is_told_what_it_was_given_of_the_nodes_resources() {
        let spec = json!({"ContainerSpec": {"Image": "x", "Env": ["A=1"]}});
        let given = swarmw_model::parse_generic_resources(["gpu=b", "gpu=a", "ssd=2"]);
        let task = Assignment { generic_resources: given.expect("resources"), ..task(spec) };
        let body = container(&task, "n1", &EngineSocket::default()).expect("a container");
        let want = ["A=1", "DOCKER_RESOURCE_GPU=b,a", "DOCKER_RESOURCE_SSD=2"];
        assert_eq!(body.env.expect("variables"), want);
    }

    #[test]
    fn a_task_is_made_on_its_first_network_with_its_addresses_there() {
        let made = |places: &[Place]| {
            let mut body = container(
                &task(json!({"ContainerSpec": {"Image": "x"}})),
                "n1",
                &EngineSocket::default(),
            )
            .expect("a body");
            put(&mut body, places);
            serde_json::to_value(body).expect("JSON")
        };
        let shadow = |name: &str, addresses: &[&str]| Place::Shadow {
            name: name.to_owned(),
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
        };
        let body = made(&[
            shadow("web", &["10.0.1.5/24", "fd00::5/64"]),
            shadow("back", &["10.0.2.5/24"]),
        ]);
        assert_eq!(body["HostConfig"]["NetworkMode"], "web");
        assert_eq!(
            body["NetworkingConfig"]["EndpointsConfig"],
            json!({"web": {"IPAMConfig": {"IPv4Address": "10.0.1.5", "IPv6Address": "fd00::5"}}})
        );

        let body = made(&[Place::Predefined("host".to_owned())]);
        assert_eq!(body["HostConfig"]["NetworkMode"], "host");
        assert!(body.get("NetworkingConfig").is_none(), "{body:#}");

        let body = made(&[]);
        assert!(body["HostConfig"].get("NetworkMode").is_none(), "{body:#}");
    }

    #[test]
    fn mounts_of_all_kinds_reach_the_engine() {
        let body = asked(json!({"ContainerSpec": {"Image": "x", "Mounts": [
            {"Type": "bind", "Source": "/{{.Task.Slot}}", "Target": "/b", "ReadOnly": true,
             "BindOptions": {"Propagation": "rslave"}},
            {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"NoCopy": true,
             "Labels": {"k": "w{{.Task.Slot}}"}, "DriverConfig": {"Name": "nfs", "Options": {"o": "{{.Task.Slot}}p"}}}},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 7, "Mode": 448}},
        ]}}));
        let mounts = &body["HostConfig"]["Mounts"];
        for (path, want) in [
            ("/0/Type", json!("bind")),
            ("/0/Source", json!("/3")),
            ("/0/ReadOnly", json!(true)),
            ("/0/BindOptions/Propagation", json!("rslave")),
            ("/1/VolumeOptions/NoCopy", json!(true)),
            ("/1/VolumeOptions/Labels/k", json!("w3")),
            ("/1/VolumeOptions/DriverConfig/Name", json!("nfs")),
            ("/1/VolumeOptions/DriverConfig/Options/o", json!("3p")),
            ("/2/TmpfsOptions/SizeBytes", json!(7)),
            ("/2/TmpfsOptions/Mode", json!(448)),
        ] {
            assert_eq!(mounts.pointer(path), Some(&want), "{path} of {mounts:#}");
        }
    }

    #[test]
    fn a_task_that_wants_what_its_engine_is_too_old_for_is_told_so_by_name() {
        let mount = |options: Value| {
            let mut mount = json!({"Type": "volume", "Source": "v", "Target": "/d"});
            if options.get("BindOptions").is_some() {
                mount = json!({"Type": "bind", "Source": "/s", "Target": "/d"});
            }
            let all = mount.as_object_mut().expect("an object");
            all.extend(options.as_object().cloned().expect("an object"));
            json!({"Image": "x", "Mounts": [mount]})
        };
        let health = json!({"Image": "x", "Healthcheck":
            {"Test": ["CMD", "true"], "StartInterval": 1_000_000_000}});
        for (spec, name, minor) in [
            (health, "Healthcheck.StartInterval", 44),
            (
                mount(json!({"VolumeOptions": {"Subpath": "a"}})),
                "HostConfig.Mounts.VolumeOptions.Subpath",
                45,
            ),
            (
                mount(json!({"BindOptions": {"CreateMountpoint": true}})),
                "HostConfig.Mounts.BindOptions.CreateMountpoint",
                42,
            ),
            (
                mount(json!({"BindOptions": {"ReadOnlyForceRecursive": true}})),
                "HostConfig.Mounts.BindOptions.ReadOnlyForceRecursive",
                44,
            ),
        ] {
            let task = task(json!({"ContainerSpec": spec}));
            let body = container(&task, "n1", &EngineSocket::default()).expect("a container");
            let refused = check_known(&body, ApiVersion::v1(41)).expect_err("refused").0;
            let want = format!("{name} wants an engine of API 1.{minor} or later");
            assert!(refused.starts_with(&want), "{refused}");
            assert!(refused.contains("this node's speaks 1.41"), "{refused}");
            check_known(&body, ApiVersion::v1(minor)).expect("a newer engine");
        }
        let plain = mount(json!({"BindOptions": {"ReadOnlyNonRecursive": true}}));
        let task = task(json!({"ContainerSpec": plain}));
        let body = container(&task, "n1", &EngineSocket::default()).expect("a container");
        check_known(&body, ApiVersion::v1(41)).expect("what the engine does anyway");
    }

    #[test]
    fn a_task_that_mounts_the_engines_socket_gets_what_its_node_gives() {
        let task = task(json!({"ContainerSpec": {"Image": "x", "Mounts": [
            {"Type": "bind", "Source": "/var/run/docker.sock", "Target": "/s", "ReadOnly": true},
            {"Type": "bind", "Source": "/srv", "Target": "/srv"},
        ]}}));
        let asked = |given: Given| {
            let socket = EngineSocket::new("/var/run/docker.sock", given);
            let body = container(&task, "n1", &socket)?;
            let mut host = body.host_config.unwrap_or_default();
            Ok::<_, TaskError>(json!(host.mounts.take().expect("mounts")))
        };
        let links = "/state/for".to_owned();
        let api = asked(Given::Api { links, mounted: true }).expect("made");
        assert_eq!(
            api,
            json!([
                {"Type": "bind", "Source": "/state/for/var/run/docker.sock", "Target": "/s",
                    "ReadOnly": true, "BindOptions": {"Propagation": "rslave"}},
                {"Type": "bind", "Source": "/srv", "Target": "/srv"},
            ])
        );
        let engine = asked(Given::Engine).expect("made");
        assert_eq!(engine[0]["Source"], "/var/run/docker.sock");
        let refused = asked(Given::Nothing).expect_err("refused");
        assert!(refused.0.contains("/var/run/docker.sock"), "{refused}");
    }

    #[test]
    fn the_engine_publishes_host_ports_and_no_others() {
        let port = |published, publish_mode| PortConfig {
            target_port: 80,
            published_port: published,
            publish_mode,
            ..Default::default()
        };
        let ports = vec![
            port(8080, PublishMode::Host),
            port(0, PublishMode::Host),
            port(90, PublishMode::Ingress),
        ];
        let mut task = task(json!({"ContainerSpec": {"Image": "x"}}));
        task.service = Arc::new(ServiceFacts { ports, ..Default::default() });

        let body = container(&task, "n1", &EngineSocket::default()).expect("a container");
        let bindings = body.host_config.and_then(|h| h.port_bindings).expect("bindings");

        let ports: Vec<_> = bindings["80/tcp"]
            .iter()
            .flatten()
            .map(|b| b.host_port.clone().unwrap_or_default())
            .collect();
        assert_eq!(ports, ["8080", ""]);
    }

    #[test]
    fn a_profile_that_says_nothing_is_refused() {
        let spec = json!({"Image": "x", "Privileges": {"Seccomp": {"Mode": "custom"}}});
        let task = task(json!({"ContainerSpec": spec}));
        let error = container(&task, "n1", &EngineSocket::default()).expect_err("refused");
        assert!(error.0.contains("the seccomp profile is no JSON"), "{error}");
    }
}
