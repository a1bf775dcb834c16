use serde_json::{Value, json};
use swarmw_model::ServiceSpec;

use super::{UpdateArgs, change, only_waits};
use crate::testing::{changes, parse};

fn stored() -> ServiceSpec {
    serde_json::from_value(json!({
        "Name": "web",
        "Labels": {"a": "1", "b": "2"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "redis:1", "Args": ["x"], "Env": ["A=1", "B=2"], "Labels": {"x": "y"},
                "Hosts": ["1.2.3.4 h"], "DNSConfig": {"Nameservers": ["8.8.8.8"]},
                "Sysctls": {"k": "v"}, "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
                "Mounts": [
                    {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true},
                    {"Type": "volume", "Source": "v", "Target": "/v"},
                ],
                "Healthcheck": {"Test": ["NONE"]},
            },
            "Resources": {"Limits": {"NanoCPUs": 1_000_000_000, "MemoryBytes": 67_108_864}},
            "Placement": {
                "Constraints": ["node.role==worker", "node.id!=x"],
                "Preferences": [
                    {"Spread": {"SpreadDescriptor": "node.labels.a"}},
                    {"Spread": {"SpreadDescriptor": "node.labels.b"}},
                ],
                "MaxReplicas": 3,
            },
            "LogDriver": {"Name": "json-file", "Options": {"a": "b"}},
            "ForceUpdate": 4,
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "UpdateConfig": {"Parallelism": 2, "Delay": 1_000_000_000, "FailureAction": "continue", "Monitor": 3_000_000_000_i64, "MaxFailureRatio": 0.5, "Order": "start-first"},
        "EndpointSpec": {"Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
            {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "ingress"},
            {"Protocol": "tcp", "TargetPort": 90, "PublishedPort": 90, "PublishMode": "host"},
        ]},
        "Swarmw": {"PolicyOptions": {"p.a": "1"}},
    }))
    .expect("a spec")
}

fn updated(mut spec: ServiceSpec, flags: &str) -> Result<ServiceSpec, String> {
    let args = parse::<UpdateArgs>(&format!("{flags} web")).map_err(|error| error.to_string())?;
    change(&mut spec, &args).map_err(|error| error.to_string())?;
    Ok(spec)
}

/// Each line of flags changes in the stored spec what stands beside it, nothing else.
fn check(cases: &[(&str, Value)]) {
    for (flags, want) in cases {
        let after = updated(stored(), flags).expect(flags);
        assert_eq!(changes(&stored(), &after), *want, "{flags}");
    }
}

#[test]
fn what_is_not_given_stays() {
    check(&[("", json!({})), ("-d -q --with-registry-auth --no-resolve-image", json!({}))]);
}

#[test]
fn pairs_of_keys_and_values_add_change_and_remove() {
    check(&[
        (
            "--label-add c=3 --label-add a=9 --label-rm b",
            json!({"Labels.a": "9", "Labels.b": null, "Labels.c": "3"}),
        ),
        ("--label-rm nope", json!({})),
        ("--label-rm a --label-add a=5", json!({"Labels.a": "5"})),
        (
            "--container-label-add z= --container-label-rm x",
            json!({"Labels.x": null, "Labels.z": ""}),
        ),
        ("--env-add C=3 --env-add A=9 --env-rm B", json!({"Env": ["A=9", "C=3"]})),
        ("--env-add SWARMW_TEST_NOT_SET", json!({"Env": ["A=1", "B=2", "SWARMW_TEST_NOT_SET"]})),
        ("--env-rm B=2", json!({})),
        ("--sysctl-add l=w --sysctl-rm k", json!({"Sysctls.k": null, "Sysctls.l": "w"})),
        (
            "--policy-opt-add p.b=2 --policy-opt-rm p.a",
            json!({"Swarmw.PolicyOptions.p.a": null, "Swarmw.PolicyOptions.p.b": "2"}),
        ),
        (
            "--ulimit-add nproc=3 --ulimit-rm nofile",
            json!({"Ulimits": [{"Name": "nproc", "Soft": 3, "Hard": 3}]}),
        ),
        ("--host-add i:1.2.3.5 --host-rm h", json!({"Hosts": ["1.2.3.5 i"]})),
        ("--host-rm h:1.2.3.4", json!({"Hosts": null})),
        ("--group-add b --group-add a --group-rm b", json!({"Groups": ["a"]})),
        ("--oom-score-adj 5", json!({"OomScoreAdj": 5})),
        ("--host-rm h:9.9.9.9", json!({})),
        (
            "--dns-add 1.1.1.1 --dns-search-add s",
            json!({"DNSConfig.Nameservers": ["1.1.1.1", "8.8.8.8"], "DNSConfig.Search": ["s"]}),
        ),
        ("--dns-rm 8.8.8.8", json!({"DNSConfig.Nameservers": null})),
    ]);
}

#[test]
fn what_containers_have_of_their_nodes_comes_and_goes() {
    let mut stored = stored();
    let device = |host: &str, mode: &str| json!({"PathOnHost": host, "PathInContainer": host, "CgroupPermissions": mode});
    let options = stored.swarmw.get_or_insert_default();
    options.container = serde_json::from_value(json!({
        "Devices": [device("/dev/a", "r"), device("/dev/b", "rwm")],
        "SecurityOpt": ["apparmor=mine"], "Privileged": true,
    }))
    .expect("options");
    let task = std::sync::Arc::make_mut(&mut stored.task_template);
    let container = task.container_spec.get_or_insert_default();
    container.privileges = Some(json!({"NoNewPrivileges": true, "CredentialSpec": null}));
    for (flags, want) in [
        (
            "--device-add /dev/a:rw --device-rm /dev/b --privileged=false --pid host",
            json!({
                "Swarmw.Container.Devices": [device("/dev/a", "rw")],
                "Swarmw.Container.Privileged": null, "Swarmw.Container.PidMode": "host",
            }),
        ),
        (
            "--security-opt-rm apparmor --security-opt-rm no-new-privileges",
            json!({"Privileges": null, "Swarmw.Container.SecurityOpt": null}),
        ),
        (
            "--security-opt-add seccomp=unconfined",
            json!({"Privileges.Seccomp": {"Mode": "unconfined"}}),
        ),
        ("--shm-size 0", json!({})),
    ] {
        let after = updated(stored.clone(), flags).expect(flags);
        assert_eq!(changes(&stored, &after), want, "{flags}");
    }
}

#[test]
fn generic_resources_go_by_kind() {
    let one =
        |kind: &str, count: i64| json!({"DiscreteResourceSpec": {"Kind": kind, "Value": count}});
    let mut stored = stored();
    let task = std::sync::Arc::make_mut(&mut stored.task_template);
    let reserved = task.resources.get_or_insert_default().reservations.get_or_insert_default();
    reserved.generic_resources =
        serde_json::from_value(json!([one("ssd", 1), one("gpu", 1)])).expect("resources");
    for (flags, want) in [
        ("--generic-resource-add gpu=2", json!([one("gpu", 2), one("ssd", 1)])),
        (
            "--generic-resource-rm ssd --generic-resource-add a=3",
            json!([one("a", 3), one("gpu", 1)]),
        ),
        ("--generic-resource-rm ssd --generic-resource-rm gpu", json!(null)),
    ] {
        let after = updated(stored.clone(), flags).expect(flags);
        let want = json!({"Resources.Reservations.GenericResources": want});
        assert_eq!(changes(&stored, &after), want, "{flags}");
    }
    for (flags, want) in [
        ("--generic-resource-rm fpga", "could not find generic-resource `fpga` to remove it"),
        (
            "--generic-resource-add gpu=a",
            "invalid generic-resource request `gpu=a`, Named Generic Resources is not supported \
             for service create or update",
        ),
    ] {
        assert_eq!(updated(stored.clone(), flags).unwrap_err(), want, "{flags}");
    }
}

#[test]
fn constraints_are_sorted_and_preferences_keep_their_order() {
    let spread =
        |label: &str| json!({"Spread": {"SpreadDescriptor": format!("node.labels.{label}")}});
    check(&[
        (
            "--constraint-add a==b",
            json!({"Placement.Constraints": ["a==b", "node.id!=x", "node.role==worker"]}),
        ),
        ("--constraint-rm node.role==worker", json!({"Placement.Constraints": ["node.id!=x"]})),
        (
            "--placement-pref-add spread=node.labels.c",
            json!({"Placement.Preferences": [spread("a"), spread("b"), spread("c")]}),
        ),
        // Removed first, so that one in both moves to the end.
        (
            "--placement-pref-add spread=node.labels.a --placement-pref-rm spread=node.labels.a",
            json!({"Placement.Preferences": [spread("b"), spread("a")]}),
        ),
        ("--placement-pref-rm spread=node.labels.zz", json!({})),
        ("--replicas-max-per-node 0", json!({"Placement.MaxReplicas": null})),
    ]);
}

#[test]
fn mounts_go_by_target() {
    let bind = json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true});
    let volume = json!({"Type": "volume", "Source": "v", "Target": "/v"});
    check(&[
        ("--mount-rm /b", json!({"Mounts": [volume]})),
        ("--mount-rm /nope", json!({})),
        (
            "--mount-add source=w,target=/v",
            json!({"Mounts": [bind, {"Type": "volume", "Source": "w", "Target": "/v"}]}),
        ),
        (
            "--mount-add type=tmpfs,dst=/t",
            json!({"Mounts": [{"Type": "tmpfs", "Target": "/t"}, bind, volume]}),
        ),
    ]);
    assert_eq!(
        updated(stored(), "--mount-add target=/x --mount-add target=/x").unwrap_err(),
        "duplicate mount target"
    );
}

#[test]
fn ports_go_by_target_protocol_and_mode() {
    let ports = |flags: &str| -> String {
        let spec = updated(stored(), flags).expect(flags);
        let ports = spec.endpoint_spec.expect("ports").ports;
        let shown: Vec<_> = ports
            .iter()
            .map(|p| {
                format!("{}:{}/{}/{}", p.published_port, p.target_port, p.protocol, p.publish_mode)
            })
            .collect();
        shown.join(" ")
    };
    for (flags, want) in [
        ("--publish-rm 80", "53:53/udp/ingress 90:90/tcp/host"),
        ("--publish-rm 53", "53:53/udp/ingress 8080:80/tcp/ingress 90:90/tcp/host"),
        ("--publish-rm 53/udp --publish-rm 90", "8080:80/tcp/ingress 90:90/tcp/host"),
        ("--publish-rm target=90,mode=host", "53:53/udp/ingress 8080:80/tcp/ingress"),
        (
            "--publish-add 81:80 --publish-rm 80",
            "53:53/udp/ingress 81:80/tcp/ingress 90:90/tcp/host",
        ),
        ("--publish-add 8080:80", "53:53/udp/ingress 8080:80/tcp/ingress 90:90/tcp/host"),
    ] {
        assert_eq!(ports(flags), want, "{flags}");
    }
}

#[test]
fn single_values_are_replaced() {
    check(&[
        ("--image redis:2 --args 'a \"b c\"'", json!({"Image": "redis:2", "Args": ["a", "b c"]})),
        ("--args ''", json!({"Args": null})),
        ("--entrypoint 'sh -c'", json!({"Command": ["sh", "-c"]})),
        ("--force", json!({"ForceUpdate": 5})),
        ("--force=false", json!({})),
        ("--replicas 0", json!({"Mode.Replicated.Replicas": 0})),
        (
            "-w /w -u me --hostname h --stop-signal INT --stop-grace-period 1s",
            json!({"Dir": "/w", "User": "me", "Hostname": "h", "StopSignal": "INT", "StopGracePeriod": 1_000_000_000}),
        ),
        (
            "--limit-memory 0 --reserve-cpu 1",
            json!({"Resources.Limits.MemoryBytes": null, "Resources.Reservations": {"NanoCPUs": 1_000_000_000}}),
        ),
        (
            "--restart-delay 1s",
            json!({
                "RestartPolicy": {"Condition": "any", "Delay": 1_000_000_000, "MaxAttempts": 0}
            }),
        ),
        (
            "--update-parallelism 0 --update-order stop-first",
            json!({"UpdateConfig.Parallelism": 0, "UpdateConfig.Order": "stop-first"}),
        ),
        (
            "--rollback-monitor 1s",
            json!({"RollbackConfig": {"Parallelism": 1, "Monitor": 1_000_000_000, "FailureAction": "pause", "MaxFailureRatio": 0.0, "Order": "stop-first"}}),
        ),
        // A command ends what `--no-healthcheck` said.
        ("--health-cmd x", json!({"Healthcheck.Test": ["CMD-SHELL", "x"]})),
        ("--log-opt c=d", json!({})),
        ("--log-driver none", json!({"LogDriver.Name": "none", "LogDriver.Options": null})),
    ]);
}

#[test]
fn a_global_service_has_no_replicas_to_set() {
    let mut global = stored();
    global.mode = swarmw_model::ServiceMode::Global(swarmw_model::Global {});
    assert_eq!(
        updated(global.clone(), "--replicas 2").unwrap_err(),
        "replicas can only be used with replicated mode"
    );
    assert!(updated(global, "--replicas-max-per-node 2").is_ok());
}

#[test]
fn of_a_job_how_many_at_a_time_can_be_changed_and_nothing_about_updates() {
    let mut job = stored();
    job.mode = swarmw_model::ServiceMode::ReplicatedJob(Default::default());
    job.update_config = None;
    for (flags, want) in [
        ("--replicas 2", "replicas can only be used with replicated mode"),
        ("--update-delay 1s", "update and rollback configuration is not supported for jobs"),
        ("--rollback-delay 1s", "update and rollback configuration is not supported for jobs"),
    ] {
        assert_eq!(updated(job.clone(), flags).unwrap_err(), want, "{flags}");
    }
    let changed = updated(job, "--max-concurrent 3").expect("a spec");
    let want = serde_json::json!({"ReplicatedJob": {"MaxConcurrent": 3}});
    assert_eq!(serde_json::to_value(changed.mode).expect("JSON"), want);
    assert_eq!(
        updated(stored(), "--max-concurrent 3").unwrap_err(),
        "max-concurrent can only be used with replicated-job mode"
    );
}

#[test]
fn a_rollback_comes_alone() {
    let alone = |flags: &str| only_waits(&parse::<UpdateArgs>(flags).expect(flags)).is_ok();
    assert!(alone("--rollback -d -q web"));
    assert!(!alone("--rollback --force web"));
    assert!(!alone("--rollback --env-add A=1 web"));
}

#[test]
fn flags_that_do_not_exist_yet_are_unknown() {
    for flag in [
        // Of create alone.
        "--name x",
        "--mode global",
        "--network n",
        "--env A=1",
        "--publish 80",
        "--constraint a==b",
        "--env-file x",
    ] {
        let error = parse::<UpdateArgs>(&format!("{flag} web")).expect_err(flag);
        assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument, "{flag}");
    }
}
