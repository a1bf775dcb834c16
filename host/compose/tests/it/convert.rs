//! What becomes of a project in the API.

use serde_json::{Value, json};

use crate::Case;

/// The spec of the first service of a file whose one service is `text`.
fn service(text: &str) -> Value {
    let file = format!(
        "services: {{web: {text}}}\nvolumes: {{vol: {{driver: nfs, driver_opts: {{o: rw}}}}, ext: {{external: true}}}}"
    );
    spec(&Case::of(&file))
}

fn spec(case: &Case<'_>) -> Value {
    let stack = case.stack().expect("a stack");
    serde_json::to_value(&stack.services[0].spec).expect("JSON")
}

#[test]
fn the_least_service_is_what_dockers_client_sends() {
    assert_eq!(
        service("{image: 'nginx:1'}"),
        json!({
            "Name": "st_web",
            "Labels": {"com.docker.stack.image": "nginx:1", "com.docker.stack.namespace": "st"},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "nginx:1", "Labels": {"com.docker.stack.namespace": "st"},
                    "Privileges": {"NoNewPrivileges": false}},
                "Resources": {}, "Placement": {}, "ForceUpdate": 0,
                "Networks": [{"Target": "st_default", "Aliases": ["web"]}],
            },
            "Mode": {"Replicated": {}},
            "EndpointSpec": {"Mode": "vip"},
        })
    );
}

#[test]
fn every_setting_has_its_place_in_the_spec() {
    for (text, path, want) in [
        ("command: a 'b c'", "/TaskTemplate/ContainerSpec/Args", json!(["a", "b c"])),
        ("entrypoint: [a]", "/TaskTemplate/ContainerSpec/Command", json!(["a"])),
        ("environment: {B: 1, A: }", "/TaskTemplate/ContainerSpec/Env", json!(["A", "B=1"])),
        ("image: ./a/x.wasm", "/TaskTemplate/ContainerSpec/Image", json!("/stack/a/x.wasm")),
        ("hostname: h", "/TaskTemplate/ContainerSpec/Hostname", json!("h")),
        ("user: 5:6", "/TaskTemplate/ContainerSpec/User", json!("5:6")),
        ("group_add: [5, a]", "/TaskTemplate/ContainerSpec/Groups", json!(["5", "a"])),
        ("working_dir: /w", "/TaskTemplate/ContainerSpec/Dir", json!("/w")),
        ("init: false", "/TaskTemplate/ContainerSpec/Init", json!(false)),
        ("tty: true", "/TaskTemplate/ContainerSpec/TTY", json!(true)),
        ("stdin_open: true", "/TaskTemplate/ContainerSpec/OpenStdin", json!(true)),
        ("read_only: true", "/TaskTemplate/ContainerSpec/ReadOnly", json!(true)),
        ("stop_signal: INT", "/TaskTemplate/ContainerSpec/StopSignal", json!("INT")),
        (
            "stop_grace_period: 1m",
            "/TaskTemplate/ContainerSpec/StopGracePeriod",
            json!(60_000_000_000i64),
        ),
        ("oom_score_adj: -5", "/TaskTemplate/ContainerSpec/OomScoreAdj", json!(-5)),
        (
            "extra_hosts: ['a:1.2.3.4', 'b=::1']",
            "/TaskTemplate/ContainerSpec/Hosts",
            json!(["1.2.3.4 a", "::1 b"]),
        ),
        (
            "dns: 1.1.1.1",
            "/TaskTemplate/ContainerSpec/DNSConfig",
            json!({"Nameservers": ["1.1.1.1"]}),
        ),
        ("dns_opt: [a]", "/TaskTemplate/ContainerSpec/DNSConfig", json!({"Options": ["a"]})),
        ("sysctls: {a.b: 1}", "/TaskTemplate/ContainerSpec/Sysctls", json!({"a.b": "1"})),
        ("cap_add: [net_admin, ALL]", "/TaskTemplate/ContainerSpec/CapabilityAdd", json!(["ALL"])),
        (
            "cap_add: [A], cap_drop: [a, b]",
            "/TaskTemplate/ContainerSpec/CapabilityDrop",
            json!(["CAP_B"]),
        ),
        (
            "ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}",
            "/TaskTemplate/ContainerSpec/Ulimits",
            json!([{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "nproc", "Soft": 5, "Hard": 5}]),
        ),
        (
            "healthcheck: {test: x, interval: 1s, retries: 2}",
            "/TaskTemplate/ContainerSpec/Healthcheck",
            json!({"Test": ["CMD-SHELL", "x"], "Interval": 1_000_000_000, "Retries": 2}),
        ),
        (
            "healthcheck: {disable: true}",
            "/TaskTemplate/ContainerSpec/Healthcheck",
            json!({"Test": ["NONE"]}),
        ),
        (
            "credential_spec: {file: f.json}",
            "/TaskTemplate/ContainerSpec/Privileges",
            json!({"CredentialSpec": {"File": "f.json"}, "NoNewPrivileges": false}),
        ),
        (
            "volumes: ['vol:/v:ro']",
            "/TaskTemplate/ContainerSpec/Mounts/0",
            json!({"Type": "volume", "Source": "st_vol", "Target": "/v", "ReadOnly": true, "VolumeOptions": {
                "Labels": {"com.docker.stack.namespace": "st"}, "DriverConfig": {"Name": "nfs", "Options": {"o": "rw"}}}}),
        ),
        (
            "volumes: ['ext:/v']",
            "/TaskTemplate/ContainerSpec/Mounts/0",
            json!({"Type": "volume", "Source": "ext", "Target": "/v", "VolumeOptions": {}}),
        ),
        (
            "volumes: ['./x:/x:rslave']",
            "/TaskTemplate/ContainerSpec/Mounts/0",
            json!({"Type": "bind", "Source": "/stack/x", "Target": "/x", "BindOptions": {"Propagation": "rslave"}}),
        ),
        (
            "tmpfs: ['/run:size=1m,mode=1777,noexec']",
            "/TaskTemplate/ContainerSpec/Mounts/0",
            json!({"Type": "tmpfs", "Target": "/run", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 1023}}),
        ),
        (
            "labels: [a=b]",
            "/TaskTemplate/ContainerSpec/Labels",
            json!({"a": "b", "com.docker.stack.namespace": "st"}),
        ),
        ("deploy: {labels: {a: b}}", "/Labels/a", json!("b")),
        ("deploy: {replicas: 3}", "/Mode", json!({"Replicated": {"Replicas": 3}})),
        ("deploy: {mode: global}", "/Mode", json!({"Global": {}})),
        ("deploy: {mode: global-job}", "/Mode", json!({"GlobalJob": {}})),
        ("deploy: {mode: replicated-job}", "/Mode", json!({"ReplicatedJob": {}})),
        (
            "deploy: {mode: replicated-job, replicas: 4}",
            "/Mode",
            json!({"ReplicatedJob": {"MaxConcurrent": 4, "TotalCompletions": 4}}),
        ),
        ("deploy: {endpoint_mode: DNSRR}", "/EndpointSpec", json!({"Mode": "dnsrr"})),
        (
            "deploy: {update_config: {delay: 1s, failure_action: rollback, max_failure_ratio: 0.5, order: start-first}}",
            "/UpdateConfig",
            json!({"Parallelism": 1, "Delay": 1_000_000_000, "FailureAction": "rollback", "MaxFailureRatio": 0.5, "Order": "start-first"}),
        ),
        (
            "deploy: {rollback_config: {parallelism: 0}}",
            "/RollbackConfig",
            json!({"Parallelism": 0, "MaxFailureRatio": 0.0}),
        ),
        (
            "deploy: {resources: {limits: {cpus: '0.5', memory: 4m, pids: 3}, reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}}",
            "/TaskTemplate/Resources",
            json!({"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 4_194_304, "Pids": 3},
                "Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]}}),
        ),
        (
            "deploy: {placement: {constraints: [node.role==worker], preferences: [{spread: node.labels.a}], max_replicas_per_node: 2}}",
            "/TaskTemplate/Placement",
            json!({"Constraints": ["node.role==worker"], "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.a"}}], "MaxReplicas": 2}),
        ),
        (
            "restart: 'on-failure:3'",
            "/TaskTemplate/RestartPolicy",
            json!({"Condition": "on-failure", "MaxAttempts": 3}),
        ),
        ("restart: unless-stopped", "/TaskTemplate/RestartPolicy", json!({"Condition": "any"})),
        ("restart: 'no'", "/TaskTemplate/RestartPolicy", Value::Null),
        (
            "restart: always, deploy: {restart_policy: {condition: none, window: 1s}}",
            "/TaskTemplate/RestartPolicy",
            json!({"Condition": "none", "Window": 1_000_000_000}),
        ),
        (
            "logging: {driver: syslog, options: {n: 1}}",
            "/TaskTemplate/LogDriver",
            json!({"Name": "syslog", "Options": {"n": "1"}}),
        ),
        (
            "ports: ['81:81/udp', '80:80', {target: 5, mode: host}]",
            "/EndpointSpec/Ports",
            json!([{"Protocol": "tcp", "TargetPort": 5, "PublishMode": "host"},
                {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress"},
                {"Protocol": "udp", "TargetPort": 81, "PublishedPort": 81, "PublishMode": "ingress"}]),
        ),
    ] {
        let image = if text.starts_with("image") { "" } else { "image: x, " };
        let spec = service(&format!("{{{image}{text}}}"));
        assert_eq!(spec.pointer(path).cloned().unwrap_or_default(), want, "{text}");
    }
}

#[test]
fn only_used_networks_are_made_and_external_ones_are_named() {
    let text = "services:\n  a: {image: x, networks: {front: {aliases: [w]}, ext: , host: }}\n  b: {image: y}\n\
                networks:\n  front: {driver_opts: {encrypted: ''}, attachable: true, ipam: {config: [{subnet: 10.1.0.0/16, gateway: 10.1.0.1}]}, enable_ipv6: true}\n  \
                unused: {}\n  ext: {external: true, name: other}\n  host: {external: true}\n";
    let stack = Case::of(text).stack().expect("a stack");
    let names: Vec<_> = stack.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["st_default", "st_front"]);
    assert_eq!(stack.external_networks, ["other", "host"]);
    assert_eq!(
        stack.networks[1].body,
        json!({"Name": "st_front", "Driver": "overlay", "Internal": false, "Attachable": true,
            "Options": {"encrypted": ""}, "Labels": {"com.docker.stack.namespace": "st"}, "EnableIPv6": true,
            "IPAM": {"Driver": "", "Options": {}, "Config": [{"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1"}]}})
    );
    let spec = serde_json::to_value(&stack.services[0].spec).expect("JSON");
    assert_eq!(
        spec["TaskTemplate"]["Networks"],
        json!([{"Target": "host"}, {"Target": "other", "Aliases": ["a"]}, {"Target": "st_front", "Aliases": ["w", "a"]}])
    );
}

#[test]
fn secrets_and_configs_are_scoped_unless_the_file_names_them() {
    let text = "services:\n  a:\n    image: x\n    secrets: [s, {source: v, target: /t, uid: '5', mode: 0400}, e]\n    configs: [c, i, n]\n    \
                credential_spec: {config: c}\n\
                secrets:\n  s: {file: s.txt, labels: {a: b}}\n  v: {file: s.txt, name: 's_v${V}', template_driver: golang}\n  e: {external: true, name: out}\n\
                configs:\n  c: {file: s.txt}\n  i: {content: 'in $V'}\n  n: {environment: V}\n";
    let case = Case::of(text).and("s.txt", "hush").set("V", "7");
    let mut stack = case.stack().expect("a stack");
    let json = serde_json::to_value(&stack.secrets).expect("JSON");
    let labels = json!({"com.docker.stack.namespace": "st"});
    assert_eq!(
        json,
        json!([{"Name": "st_s", "Labels": {"a": "b", "com.docker.stack.namespace": "st"}, "Data": "aHVzaA=="},
            {"Name": "s_v7", "Labels": labels, "Data": "aHVzaA==", "Templating": {"Name": "golang"}}])
    );
    let json = serde_json::to_value(&stack.configs).expect("JSON");
    assert_eq!(json[1]["Data"], "aW4gNw==", "{json}");
    assert_eq!(json[2]["Data"], "Nw==", "{json}");

    let spec = serde_json::to_value(&stack.services[0].spec).expect("JSON");
    let container = &spec["TaskTemplate"]["ContainerSpec"];
    let file = |name: &str| json!({"Name": name, "UID": "0", "GID": "0", "Mode": 0o444});
    assert_eq!(
        container["Secrets"],
        json!([{"File": file("e"), "SecretID": "", "SecretName": "out"},
            {"File": {"Name": "/t", "UID": "5", "GID": "0", "Mode": 0o400}, "SecretID": "", "SecretName": "s_v7"},
            {"File": file("s"), "SecretID": "", "SecretName": "st_s"}])
    );
    assert_eq!(
        container["Configs"][1],
        json!({"Runtime": {}, "ConfigID": "", "ConfigName": "st_c"})
    );
    assert_eq!(container["Privileges"]["CredentialSpec"], json!({"Config": "st_c"}));

    let service = &mut stack.services[0];
    let task = std::sync::Arc::make_mut(&mut service.spec.task_template);
    for config in &mut task.container_spec.as_mut().expect("a container").configs {
        config.config_id = format!("id-of-{}", config.config_name);
    }
    service.settle_credentials();
    let privileges = service.spec.container().and_then(|c| c.privileges.clone());
    let credentials = privileges.map(|privileges| privileges["CredentialSpec"].clone());
    assert_eq!(credentials, Some(json!({"Config": "id-of-st_c"})));
}

#[test]
fn services_stand_behind_those_that_they_depend_on() {
    let text = "services:\n  a: {image: x, depends_on: {z: {condition: service_healthy}}}\n  m: {image: x}\n  z: {image: x, depends_on: [m]}\n";
    let stack = Case::of(text).stack().expect("a stack");
    let names: Vec<_> = stack.services.iter().map(|service| service.key.as_str()).collect();
    assert_eq!(names, ["m", "z", "a"]);
    assert_eq!(stack.services[2].spec.labels["swarmw.depends_on.z"], "service_healthy");
    let circle = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n";
    assert_eq!(Case::of(circle).refused(), "c.yml:2:3: services depend on each other: a, b");
    // Docker's client never looked at it.
    let old = format!("version: '3'\n{circle}");
    assert_eq!(Case::of(&old).stack().expect("a stack").services.len(), 2);
}
