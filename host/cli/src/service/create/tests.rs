use serde_json::{Value, json};

use super::{CreateArgs, spec};
use crate::testing::{changes, parse};

fn created(line: &str) -> swarmw_model::ServiceSpec {
    let args = parse::<CreateArgs>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    spec(&args).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Each line of flags changes in the plain spec what stands beside it, nothing else.
fn check(cases: &[(&str, Value)]) {
    let plain = created("img");
    for (flags, want) in cases {
        assert_eq!(changes(&plain, &created(&format!("{flags} img"))), *want, "{flags}");
    }
}

#[test]
fn a_plain_service_says_what_dockers_client_says() {
    assert_eq!(
        serde_json::to_value(created("img")).expect("JSON"),
        json!({
            "Name": "",
            "Labels": {},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "img", "Init": false, "DNSConfig": {}},
                "Resources": {"Limits": {}, "Reservations": {}},
                "Placement": {},
                "ForceUpdate": 0,
            },
            "Mode": {"Replicated": {}},
            "EndpointSpec": {"Mode": "vip"},
        })
    );
}

#[test]
fn what_follows_the_image_is_its_command() {
    let plain = created("img");
    let spec = created("--replicas 2 img sh -c 'echo hi' --replicas 3 -e A=1");
    assert_eq!(
        changes(&plain, &spec),
        json!({
            "Mode.Replicated.Replicas": 2,
            "Args": ["sh", "-c", "echo hi", "--replicas", "3", "-e", "A=1"],
        })
    );
}

#[test]
fn flags_of_the_service_itself() {
    check(&[
        ("--name web", json!({"Name": "web"})),
        ("--mode replicated", json!({})),
        ("--mode global", json!({"Mode.Replicated": null, "Mode.Global": {}})),
        ("--replicas 0", json!({"Mode.Replicated.Replicas": 0})),
        (
            "--mode replicated-job --replicas 5 --replicas-max-per-node 2",
            json!({"Mode.Replicated": null, "Mode.ReplicatedJob":
                {"MaxConcurrent": 5, "TotalCompletions": 5}, "Placement.MaxReplicas": 2}),
        ),
        (
            "--mode replicated-job --max-concurrent 2 --replicas 5",
            json!({"Mode.Replicated": null, "Mode.ReplicatedJob":
                {"MaxConcurrent": 2, "TotalCompletions": 5}}),
        ),
        ("--mode replicated-job", json!({"Mode.Replicated": null, "Mode.ReplicatedJob": {}})),
        ("--mode global-job", json!({"Mode.Replicated": null, "Mode.GlobalJob": {}})),
        (
            "-l a=b --label c -l d=e=f -l a=z",
            json!({"Labels.a": "z", "Labels.c": "", "Labels.d": "e=f"}),
        ),
        (
            "--constraint node.role==worker --constraint a!=b",
            json!({"Placement.Constraints": ["node.role==worker", "a!=b"]}),
        ),
        ("--replicas-max-per-node 2", json!({"Placement.MaxReplicas": 2})),
        (
            "--placement-pref spread=node.labels.a --placement-pref spread=node.labels.b",
            json!({"Placement.Preferences": [
                {"Spread": {"SpreadDescriptor": "node.labels.a"}},
                {"Spread": {"SpreadDescriptor": "node.labels.b"}},
            ]}),
        ),
        (
            "--placement-pref pack=x --policy-opt acme/canary.step=10%",
            json!({"Swarmw": {
                "Preferences": [{"After": 0, "Name": "pack", "Argument": "x"}],
                "PolicyOptions": {"acme/canary.step": "10%"},
            }}),
        ),
    ]);
}

#[test]
fn flags_of_the_container() {
    check(&[
        ("-e A=1 --env B=x=y -e A=2", json!({"Env": ["B=x=y", "A=2"]})),
        ("-e SWARMW_TEST_NOT_SET", json!({"Env": ["SWARMW_TEST_NOT_SET"]})),
        ("--container-label a=b", json!({"Labels": {"a": "b"}})),
        ("--entrypoint 'sh -c \"a b\"'", json!({"Command": ["sh", "-c", "a b"]})),
        ("-w /w", json!({"Dir": "/w"})),
        ("--workdir /w --user me:us", json!({"Dir": "/w", "User": "me:us"})),
        ("-u 1000", json!({"User": "1000"})),
        ("--hostname '{{.Node.Hostname}}'", json!({"Hostname": "{{.Node.Hostname}}"})),
        (
            "--stop-signal SIGINT --stop-grace-period 1m30s",
            json!({"StopSignal": "SIGINT", "StopGracePeriod": 90_000_000_000_i64}),
        ),
        ("--init", json!({"Init": true})),
        ("-t --read-only", json!({"TTY": true, "ReadOnly": true})),
        ("--tty=false", json!({})),
        ("--group 7 --group adm", json!({"Groups": ["7", "adm"]})),
        ("--oom-score-adj -500", json!({"OomScoreAdj": -500})),
        ("--health-cmd ''", json!({})),
        ("--host db:10.0.0.1", json!({"Hosts": ["10.0.0.1 db"]})),
        (
            "--dns 8.8.8.8 --dns-search x.y --dns-option ndots:2",
            json!({"DNSConfig.Nameservers": ["8.8.8.8"], "DNSConfig.Search": ["x.y"], "DNSConfig.Options": ["ndots:2"]}),
        ),
        (
            "--cap-add net_admin --cap-drop all --sysctl a=b --ulimit nofile=1:2",
            json!({
                "CapabilityAdd": ["CAP_NET_ADMIN"],
                "CapabilityDrop": ["ALL"],
                "Sysctls": {"a": "b"},
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
            }),
        ),
        (
            "--log-driver json-file --log-opt max-size=1m",
            json!({"LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}}}),
        ),
        ("--log-opt max-size=1m", json!({})),
        (
            "--mount source=v,target=/v --mount type=bind,src=/a,dst=/b,ro --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            json!({"Mounts": [
                {"Type": "volume", "Source": "v", "Target": "/v"},
                {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true},
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 0o1770}},
            ]}),
        ),
    ]);
}

#[test]
fn flags_of_ports() {
    let port = |target: u16, published: u16| json!({"Protocol": "tcp", "TargetPort": target, "PublishedPort": published, "PublishMode": "ingress"});
    check(&[
        (
            "-p 8080:80 -p 81",
            json!({"EndpointSpec.Ports": [port(80, 8080), {"Protocol": "tcp", "TargetPort": 81, "PublishMode": "ingress"}]}),
        ),
        ("--endpoint-mode DNSRR", json!({"EndpointSpec.Mode": "dnsrr"})),
        ("--endpoint-mode vip", json!({})),
        ("-p 8000-8001:80-81", json!({"EndpointSpec.Ports": [port(80, 8000), port(81, 8001)]})),
        (
            "--publish target=53,published=53,protocol=udp,mode=host",
            json!({"EndpointSpec.Ports": [{"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host"}]}),
        ),
    ]);
}

#[test]
fn flags_of_resources_restarts_and_health() {
    check(&[
        (
            "--limit-cpu .5 --limit-memory 64m --limit-pids 9 --reserve-cpu 0.25 --reserve-memory 32m",
            json!({
                "Resources.Limits.NanoCPUs": 500_000_000, "Resources.Limits.MemoryBytes": 67_108_864, "Resources.Limits.Pids": 9,
                "Resources.Reservations.NanoCPUs": 250_000_000, "Resources.Reservations.MemoryBytes": 33_554_432,
            }),
        ),
        (
            "--memory-swap -1 --memory-swappiness 20",
            json!({"Resources.SwapBytes": -1, "Resources.MemorySwappiness": 20}),
        ),
        ("--memory-swap 64m", json!({"Resources.SwapBytes": 67_108_864})),
        (
            "--generic-resource ssd=3 --generic-resource gpu=2",
            json!({"Resources.Reservations.GenericResources": [
                {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}},
                {"DiscreteResourceSpec": {"Kind": "ssd", "Value": 3}},
            ]}),
        ),
        (
            "--restart-condition on-failure --restart-delay 1s --restart-max-attempts 3 --restart-window 10s",
            json!({"RestartPolicy": {"Condition": "on-failure", "Delay": 1_000_000_000, "MaxAttempts": 3, "Window": 10_000_000_000_i64}}),
        ),
        // One flag makes the whole block, with Swarm's defaults.
        (
            "--restart-condition NONE",
            json!({"RestartPolicy": {"Condition": "none", "Delay": 5_000_000_000_i64, "MaxAttempts": 0}}),
        ),
        (
            "--health-cmd 'curl x' --health-interval 1s --health-timeout 2s --health-retries 3 --health-start-period 4s --health-start-interval 5s",
            json!({"Healthcheck": {
                "Test": ["CMD-SHELL", "curl x"], "Interval": 1_000_000_000, "Timeout": 2_000_000_000,
                "Retries": 3, "StartPeriod": 4_000_000_000_i64, "StartInterval": 5_000_000_000_i64,
            }}),
        ),
        ("--no-healthcheck", json!({"Healthcheck": {"Test": ["NONE"]}})),
        ("--no-healthcheck=false", json!({})),
    ]);
}

#[test]
fn flags_of_what_containers_have_of_their_nodes() {
    check(&[
        (
            "--device /dev/kvm --device /dev/a:/dev/b:r --privileged --shm-size 1g --ipc host --pid host",
            json!({"Swarmw": {"Container": {
                "Devices": [
                    {"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm", "CgroupPermissions": "rwm"},
                    {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
                ],
                "Privileged": true, "ShmSize": 1_073_741_824, "IpcMode": "host", "PidMode": "host",
            }}}),
        ),
        ("--privileged=false", json!({})),
        // Of Windows: the daemon says so.
        (
            "--credential-spec file://a.json --isolation process",
            json!({"Privileges": {"CredentialSpec": {"File": "a.json"}}, "Isolation": "process"}),
        ),
        // What Docker has a field for stands there.
        (
            "--security-opt no-new-privileges --security-opt seccomp=unconfined",
            json!({"Privileges": {"NoNewPrivileges": true, "Seccomp": {"Mode": "unconfined"}}}),
        ),
        (
            "--security-opt apparmor=mine",
            json!({"Swarmw": {"Container": {"SecurityOpt": ["apparmor=mine"]}}}),
        ),
    ]);
    let args = parse::<CreateArgs>("--security-opt seccomp=/nope img").expect("flags");
    assert_eq!(
        spec(&args).unwrap_err().to_string(),
        "opening seccomp profile (/nope) failed: open /nope: no such file or directory"
    );
}

#[test]
fn flags_of_updates_and_rollbacks() {
    let whole = json!({
        "Parallelism": 2, "Delay": 1_000_000_000, "Monitor": 2_000_000_000, "FailureAction": "continue",
        "MaxFailureRatio": 0.25, "Order": "start-first",
    });
    let default = json!({"Parallelism": 1, "Monitor": 5_000_000_000_i64, "FailureAction": "pause", "MaxFailureRatio": 0.0, "Order": "stop-first", "Delay": 10_000_000_000_i64});
    let all = |kind: &str| {
        [
            "parallelism 2",
            "delay 1s",
            "monitor 2s",
            "failure-action continue",
            "max-failure-ratio .25",
            "order start-first",
        ]
        .map(|flag| format!("--{kind}-{flag}"))
        .join(" ")
    };
    check(&[
        (&all("update"), json!({"UpdateConfig": whole})),
        (&all("rollback"), json!({"RollbackConfig": whole})),
        ("--update-delay 10s", json!({"UpdateConfig": default})),
        ("--rollback-delay 10s", json!({"RollbackConfig": default})),
    ]);
}

#[test]
fn switches_take_a_value_behind_an_equals_sign_only() {
    for (line, want) in [
        ("img", false),
        ("-d img", true),
        ("--detach img", true),
        ("--detach=false img", false),
        ("-d=true -d=0 img", false),
    ] {
        assert_eq!(parse::<CreateArgs>(line).expect(line).wait.detach, want, "{line}");
    }
    let args =
        parse::<CreateArgs>("-q --with-registry-auth --no-resolve-image img").expect("flags");
    assert!(args.wait.quiet && args.image.with_registry_auth && args.image.no_resolve_image);
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (line, want) in [
        ("--mode job img", "Unknown mode: job, only replicated and global supported"),
        (
            "--mode global --replicas 2 img",
            "replicas can only be used with replicated or replicated-job mode",
        ),
        (
            "--mode global-job --replicas 2 img",
            "replicas can only be used with replicated or replicated-job mode",
        ),
        (
            "--mode global-job --replicas-max-per-node 2 img",
            "replicas-max-per-node can only be used with replicated or replicated-job mode",
        ),
        (
            "--mode global-job --max-concurrent 2 img",
            "max-concurrent can only be used with replicated-job mode",
        ),
        ("--max-concurrent 2 img", "max-concurrent can only be used with replicated-job mode"),
        (
            "--mode replicated-job --update-delay 1s img",
            "update and rollback configuration is not supported for jobs",
        ),
        (
            "--mode global-job --rollback-parallelism 2 img",
            "update and rollback configuration is not supported for jobs",
        ),
        (
            "--mode global --replicas-max-per-node 2 img",
            "replicas-max-per-node can only be used with replicated or replicated-job mode",
        ),
        (
            "--no-healthcheck --health-cmd x img",
            "--no-healthcheck conflicts with --health-* options",
        ),
        ("--endpoint-mode foo img", "invalid resolution mode: \"foo\""),
        ("--restart-condition foo img", "invalid RestartCondition: \"foo\""),
        (
            "--generic-resource gpu=UUID1 img",
            "invalid generic-resource request `gpu=UUID1`, Named Generic Resources is not \
             supported for service create or update",
        ),
        (
            "--generic-resource gpu=1 --generic-resource gpu=2 img",
            "invalid generic resource specification: could not parse GenericResource: mixed \
             discrete and named resources in expression 'gpu=[1 2]'",
        ),
        ("--env-file /nope img", "open /nope: no such file or directory"),
    ] {
        let args = parse::<CreateArgs>(line).expect(line);
        assert_eq!(spec(&args).unwrap_err().to_string(), want, "{line}");
    }
}

#[test]
fn flags_that_do_not_exist_yet_are_unknown() {
    for flag in [
        "--no-such-flag",
        // Of update alone.
        "--force",
        "--image x",
        "--args x",
        "--rollback",
        "--env-add A=1",
        "--label-rm a",
        "--network-add n",
        "--network-rm n",
    ] {
        let error = parse::<CreateArgs>(&format!("{flag} img")).expect_err(flag);
        assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument, "{flag}");
    }
}
