//! What containers have of their nodes, which Docker's client leaves out.

use serde_json::{Value, json};

use crate::Case;

fn case(text: &'static str) -> Case<'static> {
    Case::of(text)
        .and("calls.json", "{\"defaultAction\": \"SCMP_ACT_LOG\"}\n")
        .and("list.json", "[]")
}

/// The spec of the one service of a file.
fn spec(text: &'static str) -> Value {
    let stack = case(text).stack().expect("a stack");
    serde_json::to_value(&stack.services[0].spec).expect("JSON")
}

#[test]
fn what_a_service_has_of_its_nodes_is_sent_and_not_warned_of() {
    let text = "services: {a: {image: x, privileged: true, shm_size: 64m, ipc: shareable, pid: host, \
                devices: ['/dev/kvm', {source: /dev/a, target: /dev/b, permissions: r}], \
                security_opt: [systempaths=unconfined], platform: linux/arm/v7}}";
    let spec = spec(text);
    let device = |host: &str, container: &str, permissions: &str| json!({"PathOnHost": host, "PathInContainer": container, "CgroupPermissions": permissions});
    assert_eq!(
        spec["Swarmw"],
        json!({"Container": {
            "Devices": [device("/dev/kvm", "/dev/kvm", "rwm"), device("/dev/a", "/dev/b", "r")],
            "Privileged": true,
            "SecurityOpt": ["systempaths=unconfined"],
            "ShmSize": 64 << 20,
            "IpcMode": "shareable",
            "PidMode": "host",
        }})
    );
    assert_eq!(
        spec["TaskTemplate"]["Placement"]["Platforms"],
        json!([{"Architecture": "arm", "OS": "linux"}])
    );
    assert_eq!(spec["Labels"]["swarmw.platform"], "linux/arm/v7");
    let loaded = case(text).load(&["c.yml"]).expect("a file");
    assert!(loaded.unsupported.is_empty(), "{:?}", loaded.unsupported);
    let printed = loaded.project.to_yaml();
    assert!(printed.contains("    platform: linux/arm/v7\n"), "{printed}");
}

#[test]
fn confinement_that_docker_has_fields_for_stands_in_them() {
    for (options, want) in [
        (
            "no-new-privileges:true, seccomp=unconfined",
            json!({"NoNewPrivileges": true, "Seccomp": {"Mode": "unconfined"}}),
        ),
        (
            "label:disable, apparmor:unconfined",
            json!({"NoNewPrivileges": false, "SELinuxContext": {"Disable": true}, "AppArmor": {"Mode": "disabled"}}),
        ),
        (
            "'seccomp:calls.json'",
            json!({"NoNewPrivileges": false, "Seccomp": {"Mode": "custom",
                "Profile": "eyJkZWZhdWx0QWN0aW9uIjogIlNDTVBfQUNUX0xPRyJ9"}}),
        ),
    ] {
        let text = format!("services: {{a: {{image: x, security_opt: [{options}]}}}}");
        let spec = spec(text.leak());
        assert_eq!(spec["TaskTemplate"]["ContainerSpec"]["Privileges"], want, "{options}");
        assert_eq!(spec["Swarmw"], Value::Null, "{options}");
    }
    let both = spec(
        "services: {a: {image: x, credential_spec: {file: f}, security_opt: [no-new-privileges]}}",
    );
    assert_eq!(
        both["TaskTemplate"]["ContainerSpec"]["Privileges"],
        json!({"CredentialSpec": {"File": "f"}, "NoNewPrivileges": true})
    );
}

#[test]
fn namespaces_of_other_containers_are_warned_of_and_left_out() {
    let text = "services: {a: {image: x, ipc: 'service:b', pid: 'container:c', runtime: r}}";
    let loaded = case(text).load(&["c.yml"]).expect("a file");
    let names: Vec<_> = loaded.unsupported.iter().map(String::as_str).collect();
    assert_eq!(names, ["ipc", "pid", "runtime"]);
    assert_eq!(spec(text)["Swarmw"], Value::Null);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    for (options, want) in [
        ("devices: [kvm]", "'kvm' is not an absolute path"),
        ("devices: ['/dev/a:/dev/b:x']", "invalid device specification: /dev/a:/dev/b:x"),
        ("shm_size: much", "shm_size: invalid size: 'much'"),
        ("ipc: mine", "invalid IPC mode: mine: none, private, shareable and host exist"),
        (
            "pid: mine",
            "invalid PID mode: mine: a service's containers have their own, or the one of their host",
        ),
        (
            "security_opt: [seccomp=no.json]",
            "opening seccomp profile (no.json) failed: open /stack/no.json: no such file or directory",
        ),
        ("platform: linux//v7", "invalid platform: \"linux//v7\": want OS/ARCHITECTURE"),
    ] {
        let text = format!("services: {{a: {{image: x, {options}}}}}");
        let said = case(text.leak()).refused();
        assert_eq!(
            said.replace("invalid argument: ", ""),
            format!("c.yml:1:12: service a: {want}")
        );
    }
    let said = case("services: {a: {image: x, security_opt: [seccomp=list.json]}}").refused();
    assert!(said.contains("the seccomp profile list.json is no JSON object: "), "{said}");
}
