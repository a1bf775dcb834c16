//! What is wrong is said with file, line, column and the key's path.

use crate::Case;

#[test]
fn mistakes_are_named_with_their_place() {
    let mut odd = Vec::new();
    for (text, want) in [
        (
            "services:\n  a:\n    image: x\n    imagee: y\n",
            "c.yml:4:5: services.a Additional property imagee is not allowed: did you mean image?",
        ),
        (
            "service:\n  a: {image: x}\n",
            "c.yml:1:1: (root) Additional property service is not allowed: did you mean services?",
        ),
        (
            "services: {a: {image: x, foo: 1}}",
            "c.yml:1:26: services.a Additional property foo is not allowed",
        ),
        (
            "services:\n  a:\n    image: x\n    deploy:\n      resources:\n        limit: {cpus: '1'}\n",
            "c.yml:6:9: services.a.deploy.resources Additional property limit is not allowed: did you mean limits?",
        ),
        ("services: {a: {image: 5}}", "c.yml:1:23: services.a.image must be a string"),
        ("services: [a]", "c.yml:1:11: services must be a mapping"),
        ("a", "c.yml:1:1: top-level object must be a mapping"),
        ("services: {a: }", "c.yml:1:13: services.a must be a mapping"),
        (
            "services: {a: {image: x, tty: maybe}}",
            "c.yml:1:31: services.a.tty must be a boolean: invalid boolean: maybe",
        ),
        (
            "version: '3'\nservices: {a: {image: x, tty: yes}}",
            "c.yml:2:31: services.a.tty must be a boolean",
        ),
        (
            "version: '3'\nservices: {a: {image: x, deploy: {replicas: '3'}}}",
            "c.yml:2:45: services.a.deploy.replicas must be a integer",
        ),
        (
            "services: {a: {image: x, deploy: {replicas: -1}}}",
            "c.yml:1:45: services.a.deploy.replicas is out of range: -1",
        ),
        (
            "services: {a: {image: x, healthcheck: {interval: '5'}}}",
            "c.yml:1:50: services.a.healthcheck.interval Does not match format 'duration': \"5\"",
        ),
        (
            "services: {a: {image: x, ports: ['x:80']}}",
            "c.yml:1:34: services.a.ports.0 Does not match format 'ports': invalid hostPort: x",
        ),
        (
            "services: {a: {image: x, ports: [{published: 80}]}}",
            "c.yml:1:34: services.a.ports.0 has no target: a port needs one",
        ),
        (
            "services: {a: {image: x, volumes: [{target: /x}]}}",
            "c.yml:1:36: services.a.volumes.0 type is required",
        ),
        (
            "services: {a: {image: x, deploy: {resources: {limits: {memory: 5z}}}}}",
            "c.yml:1:64: services.a.deploy.resources.limits.memory is no size: invalid size: '5z'",
        ),
        (
            "services: {a: {image: x, deploy: {update_config: {order: foo}}}}",
            "c.yml:1:58: services.a.deploy.update_config.order must be one of the following: \"start-first\", \"stop-first\"",
        ),
        (
            "services: {'a b': {image: x}}",
            "c.yml:1:12: services Additional property a b is not allowed: names have letters, digits and ._- alone",
        ),
        (
            "volumes: {n: {external: true, driver: x}}",
            "c.yml:1:14: conflicting parameters \"external\" and \"driver\" specified for volume \"n\"",
        ),
        (
            "secrets: {n: {external: {name: y}, name: z}}",
            "c.yml:1:25: secret n: secret.external.name and secret.name conflict; only use secret.name",
        ),
        ("version: '2.4'\nservices: {}", "c.yml:1:10: unsupported Compose file version: 2.4"),
        ("version: '3.99'\nservices: {}", "c.yml:1:10: unsupported Compose file version: 3.99"),
        (
            "services: {a: {image: '${X:?need it}'}}",
            "c.yml:1:23: error while interpolating services.a.image: required variable X is missing a value: need it",
        ),
        (
            "services: {a: {image: '${'}}",
            "c.yml:1:23: invalid interpolation format for services.a.image: \"${\"; you may need to escape any $ with another $",
        ),
        (
            "services: {a: {image: x, env_file: no.env}}",
            "c.yml:1:36: services.a.env_file open /stack/no.env: no such file or directory",
        ),
        (
            "version: '3'\nservices: {a: {image: x, mem_limit: 5m, cpuset: '1'}}",
            "Compose file contains unsupported options:\n\ncpuset: Set resource limits using deploy.resources\n\n\
             mem_limit: Set resource limits using deploy.resources\n",
        ),
        ("", "c.yml: empty Compose file"),
    ] {
        let refused = Case::of(text).refused();
        if refused != want {
            odd.push(format!("{text}\n  got  {refused}\n  want {want}"));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = "services:\n  a: {image: 1, prots: []}\n  b: {image: x, tty: 5}\n";
    assert_eq!(
        Case::of(text).refused(),
        "c.yml:2:14: services.a.image must be a string\n\
         c.yml:2:17: services.a Additional property prots is not allowed: did you mean ports?\n\
         c.yml:3:22: services.b.tty must be a boolean"
    );
}

#[test]
fn a_mistake_in_the_second_file_has_that_files_name() {
    let case = Case::of("services: {a: {image: x}}").and("o.yml", "services:\n  a: {dns: {}}\n");
    let refused = case.load(&["c.yml", "o.yml"]).expect_err("refused").to_string();
    assert_eq!(refused, "o.yml:2:12: services.a.dns must be a string");
}

#[test]
fn what_a_later_file_replaces_must_be_right_too() {
    let case = Case::of("services: {a: {image: 5}}").and("o.yml", "services: {a: {image: x}}");
    let refused = case.load(&["c.yml", "o.yml"]).expect_err("refused").to_string();
    assert_eq!(refused, "c.yml:1:23: services.a.image must be a string");
}

#[test]
fn files_of_different_versions_do_not_mix() {
    let case =
        Case::of("version: '3.1'\nservices: {}").and("o.yml", "version: '3.2'\nservices: {}");
    let refused = case.load(&["c.yml", "o.yml"]).expect_err("refused").to_string();
    assert_eq!(refused, "o.yml:1:10: version mismatched between two composefiles : 3.1 and 3.2");
}

#[test]
fn what_a_cluster_cannot_do_is_refused_when_it_becomes_a_stack() {
    for (service, want) in [
        ("{build: .}", "c.yml:1:12: service a: has no image: a cluster does not build"),
        ("{image: x, networks: [n]}", "c.yml:1:12: service a: undefined network \"n\""),
        ("{image: x, volumes: ['vol:/x']}", "c.yml:1:36: service a: undefined volume \"vol\""),
        ("{image: x, secrets: [s]}", "c.yml:1:36: service a: undefined secret \"s\""),
        ("{image: x, configs: [s]}", "c.yml:1:36: service a: undefined config \"s\""),
        (
            "{image: x, deploy: {mode: replicated-job, update_config: {delay: 1s}}}",
            "c.yml:1:12: service a: update configuration is not supported for jobs",
        ),
        (
            "{image: x, deploy: {mode: global-job, replicas: 2}}",
            "c.yml:1:12: service a: replicas can only be used with replicated or replicated-job mode",
        ),
        (
            "{image: x, deploy: {mode: global, replicas: 2}}",
            "c.yml:1:12: service a: replicas can only be used with replicated or replicated-job mode",
        ),
        (
            "{image: x, volumes: [{type: cluster, source: x, target: /x}]}",
            "c.yml:1:36: service a: mounts of type cluster are not supported by this version of swarmw: volume, bind and tmpfs exist",
        ),
        (
            "{image: x, volumes: [{type: tmpfs, target: /x, bind: {propagation: rslave}}]}",
            "c.yml:1:36: service a: bind options are incompatible with type tmpfs",
        ),
        (
            "{image: x, restart: sometimes}",
            "c.yml:1:12: service a: invalid restart policy: unknown policy 'sometimes' (must be one of 'no', 'always', 'on-failure', or 'unless-stopped')",
        ),
        (
            "{image: x, depends_on: [b]}",
            "c.yml:1:12: service a: depends on \"b\", which no file has, or no active profile",
        ),
        (
            "{image: x, tmpfs: '/x:exec'}",
            "c.yml:1:12: service a: tmpfs \"/x:exec\": invalid option exec",
        ),
        (
            "{image: x, credential_spec: {file: a, registry: b}}",
            "c.yml:1:12: service a: invalid credential spec: cannot specify both \"File\" and \"Registry\"",
        ),
    ] {
        assert_eq!(Case::of(&format!("services: {{a: {service}}}")).refused(), want, "{service}");
    }
    let why = "models are not supported by swarmw, as no node of a cluster runs them: run the model \
               as a service with an image of its own, or outside, and say where it is in \
               `environment`";
    let models = "services: {a: {image: x, models: [llm]}}\nmodels:\n  llm: {model: ai/smol}\n";
    assert_eq!(
        Case::of(models).refused(),
        format!("c.yml:3:3: model llm: {why}\nc.yml:1:34: service a: {why}")
    );
    let long = "services:\n  a:\n    image: x\n    models: {llm: {endpoint_var: URL}}\n";
    assert_eq!(Case::of(long).refused(), format!("c.yml:4:13: service a: {why}"));
    assert_eq!(Case::of("services: {a: {image: x}}\nmodels: {}").stack().err(), None);
    let gpus = "GPUs are not given by count or driver: declare them on their nodes (`swarmw daemon \
                --node-generic-resource gpu=NAME`), and ask for them by \
                deploy.resources.reservations.generic_resources; the task is told which it has in \
                DOCKER_RESOURCE_GPU";
    for (keys, at) in [
        ("gpus: all", "1:32"),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", "1:71"),
    ] {
        let refused = Case::of(&format!("services: {{a: {{image: x, {keys}}}}}")).refused();
        assert_eq!(refused, format!("c.yml:{at}: service a: {gpus}"));
    }
    let provided = Case::of("services: {a: {provider: {type: vpn}}}").refused();
    assert!(
        provided.starts_with("c.yml:1:26: service a: providers are not supported"),
        "{provided}"
    );
    let range = "services: {a: {image: x, ports: [{target: 80, published: '8080-8085'}]}}";
    assert_eq!(
        Case::of(range).refused(),
        "c.yml:1:58: services.a.ports.0.published is a range, 8080-8085, and target is one port: \
         name one"
    );
    let device = "services: {a: {image: x, devices: [{source: /dev/a, permisions: r}]}}";
    assert_eq!(
        Case::of(device).refused(),
        "c.yml:1:53: services.a.devices.0 Additional property permisions is not allowed: did you \
         mean permissions?"
    );
    let volumes = "volumes: {v: {driver: x, x-cluster-spec: {access_mode: {}}}, w: {x-mine: 1}}";
    assert_eq!(
        Case::of(volumes).refused(),
        "c.yml:1:14: volume v: x-cluster-spec is not supported by this version of swarmw: make the \
         volume with `swarmw volume create --scope`, and say external: true here"
    );
    let secrets = "secrets: {s: {file: no}, t: {labels: {a: b}}}";
    assert_eq!(
        Case::of(secrets).refused(),
        "c.yml:1:14: open /stack/no: no such file or directory\n\
         c.yml:1:29: secret t: nothing says what is in it: give it a file"
    );
}
