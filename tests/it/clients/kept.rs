//! What Docker has no field for, when Docker's clients have written the service again.

use serde_json::{Value, json};

use super::{client, import, must, require_clients};
use crate::docker::{container, running, take_turn};
use crate::support::{Cluster, Node, RootFs, eventually, request};

/// A preference that is no component of ours, with options.
const MAX_SKEW: &[u8] = include_bytes!(env!("SWARMW_MAX_SKEW"));
/// Of a service of a stack.
const SERVICE: &str = "shop_web";
const SHM_SIZE: i64 = 32 << 20;

/// The stack, as someone wrote it who has Docker in mind.
const STACK: &str = r#"
version: "3.8"
services:
  web:
    image: web:1
    environment: {RELEASE: "1"}
    ports: ["8097:80"]
    stop_grace_period: 1s
    deploy:
      replicas: 2
      placement:
        preferences: [{spread: node.labels.zone}]
"#;

/// Every setting of a service that Docker has no field for.
fn ours() -> Value {
    json!({
        "PolicyOptions": {"max-skew.max": "3"},
        "Preferences": [{"Name": "max-skew", "Argument": "node.labels.zone", "After": 1}],
        "IngressSource": "node",
        "Container": {
            "Devices": [{
                "PathOnHost": "/dev/null",
                "PathInContainer": "/dev/nothing",
                "CgroupPermissions": "rwm",
            }],
            "Privileged": true,
            "SecurityOpt": ["apparmor=unconfined"],
            "ShmSize": SHM_SIZE,
            "IpcMode": "shareable",
            "PidMode": "host",
        },
    })
}

#[test]
fn what_docker_has_no_field_for_outlives_updates_scaling_and_deploys_by_its_clients() {
    let _turn = take_turn();
    require_clients();
    let cluster = Cluster::of_engines(1, 0);
    import(&RootFs::pack(cluster.folder(), &[]), &cluster.machines[0]);
    let node = &cluster.nodes[0];
    node.run("node update --label-add zone=a n1");
    let plugin = cluster.file("max-skew.wasm", MAX_SKEW);
    node.run(format!("plugin add --yes {}", plugin.display()));
    node.run("swarm update --host-access device,privileged,ipc,pid,security-opt");
    let file = cluster.file("stack.yml", STACK.as_bytes());
    let deploy = format!("stack deploy --resolve-image never -c {} shop", file.display());
    docker(node, &deploy);
    running(node, SERVICE, 2);
    set_ours(node);
    all_have_ours(&cluster, 2, "at first");

    docker(node, "service update --no-resolve-image --image web:2 --env-add BY=docker shop_web");
    all_have_ours(&cluster, 2, "updated");
    docker(node, "service scale shop_web=3");
    all_have_ours(&cluster, 3, "scaled");
    let changed = STACK.replace(r#"RELEASE: "1""#, r#"RELEASE: "2""#);
    std::fs::write(&file, changed).expect("the file");
    docker(node, &deploy);
    assert_eq!(environment(node), json!(["RELEASE=2"]));
    all_have_ours(&cluster, 2, "deployed again");
    docker(node, "service update --no-resolve-image --publish-add 8098:80 --force shop_web");
    all_have_ours(&cluster, 2, "forced");
    docker(node, "service rollback shop_web");
    all_have_ours(&cluster, 2, "rolled back");
    // The operator's leave is of the same kind.
    docker(node, "swarm update --task-history-limit 2");
    let swarm = node.json("/swarm").expect("a swarm");
    let access = swarm["Spec"]["Swarmw"]["HostAccess"].as_array().map_or(0, Vec::len);
    assert_eq!(access, 5, "{swarm}");

    for (step, replicas) in [("update", 2), ("scale", 3), ("force", 3)] {
        must(&mut client("kept.py", &node.socket(), &[SERVICE, step]), node);
        all_have_ours(&cluster, replicas, &format!("docker-py: {step}"));
    }
    assert_eq!(environment(node), json!(["BY=docker-py"]));
    docker(node, "stack rm shop");
}

/// Runs the docker client, which must succeed.
#[track_caller]
fn docker(node: &Node, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    let output = node.docker(&words);
    assert_eq!(output.code, 0, "docker {line}: {output}\n{}", node.log_end());
}

fn service(node: &Node) -> Value {
    node.json(&format!("/services/{SERVICE}")).expect("the service")
}

fn environment(node: &Node) -> Value {
    service(node)["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].clone()
}

/// Gives the service of the stack all of it, by the API.
fn set_ours(node: &Node) {
    let before = service(node);
    let (id, version) = (before["ID"].as_str().expect("an id"), &before["Version"]["Index"]);
    let mut spec = before["Spec"].clone();
    spec["Swarmw"] = ours();
    let path = format!("/services/{id}/update?version={version}");
    let (status, body) =
        request(&node.socket(), "POST", &path, &spec.to_string()).expect("answered");
    assert_eq!(status, 200, "{body}");
}

/// The service has every setting still; and so has each container, when what is under way has
/// ended.
#[track_caller]
fn all_have_ours(cluster: &Cluster, replicas: usize, when: &str) {
    let node = &cluster.nodes[0];
    let now = service(node);
    assert_eq!(now["Spec"]["Swarmw"], ours(), "{when}: {now}");
    eventually(&format!("{replicas} containers have all of it, {when}"), || {
        let now = service(node);
        let state = now["UpdateStatus"]["State"].as_str().unwrap_or("none").to_owned();
        if !["none", "completed", "rollback_completed"].contains(&state.as_str()) {
            return Err(now["UpdateStatus"].to_string());
        }
        running(node, SERVICE, replicas).iter().try_for_each(|task| has_ours(cluster, task))
    });
}

fn has_ours(cluster: &Cluster, task: &Value) -> Result<(), String> {
    let format = "{{json .HostConfig}}";
    let shown = cluster.machines[0].try_docker(&["inspect", "--format", format, &container(task)]);
    let has: Value = serde_json::from_str(&shown.stdout).map_err(|_| shown.to_string())?;
    let wanted = json!([true, SHM_SIZE, "shareable", "host", "/dev/nothing"]);
    let seen = json!([
        has["Privileged"],
        has["ShmSize"],
        has["IpcMode"],
        has["PidMode"],
        has["Devices"][0]["PathInContainer"],
    ]);
    let options = has["SecurityOpt"].as_array().cloned().unwrap_or_default();
    match seen == wanted && options.contains(&json!("apparmor=unconfined")) {
        true => Ok(()),
        false => Err(has.to_string()),
    }
}
