//! Wasm tasks whose image comes from a registry.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::main_job::{HELLO, running};
use crate::support::{Cluster, Registry, User, eventually};

/// Who the registry serves at first, and with another password later.
const AT_FIRST: User = User {
    name: "someone",
    password: "s3cret pass",
    hash: "$2y$05$abcdefghijklmnopqrstuu1qdcFaS0PtqFUPzaCxLQ8/0lspH0ZEW",
};
const LATER: User = User {
    name: "someone",
    password: "another 1",
    hash: "$2y$05$abcdefghijklmnopqrstuuMv9BBRVtfvndebhiwTQHhkq.7sKBgvO",
};
/// A custom section, which makes a component another one without changing what it does.
const SECTION: &[u8] = &[0, 2, 1, b'x'];

#[test]
fn an_artifact_is_pinned_at_create_pulled_once_and_never_again_while_it_is_there() {
    let cluster = Cluster::of(1, 1);
    let first = &cluster.nodes[0];
    let registry = Registry::start(cluster.spare_address());
    let digest = registry.push_component("apps/hello", "v1", HELLO);
    let image = format!("{}/apps/hello:v1", registry.address);

    first.run(format!("service create --name web --replicas 2 -p 8081:80 {image}"));
    let service = first.json("/services/web").expect("a service");
    let template = &service["Spec"]["TaskTemplate"];
    assert_eq!(template["ContainerSpec"]["Image"], format!("{image}@{digest}"));
    assert_eq!(
        template["Placement"]["Platforms"],
        serde_json::json!([{ "Architecture": "wasm", "OS": "wasip2" }])
    );
    eventually("the port answers", || first.get(8081, "/"));
    first.run(format!(
        "service create --detach --name loose --replicas 0 --no-resolve-image {image}"
    ));
    let loose = first.json("/services/loose").expect("a service");
    let container = &loose["Spec"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["Image"], image, "the registry was not asked");

    // More tasks of it on the same nodes need no registry.
    let asked = registry.requests().len();
    first.swarmw(&["service", "scale", "web=4"]);
    running(first, "web", 4);
    assert_eq!(registry.requests().len(), asked, "{:?}", registry.requests().last());
}

#[test]
fn an_image_that_is_not_there_or_no_component_is_said_with_the_tasks() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    let registry = Registry::start(cluster.spare_address());
    let missing = format!("{}/apps/none:v1", registry.address);
    let created = first.try_swarmw(&["service", "create", "--detach", "--name", "none", &missing]);
    assert_eq!(created.code, 0, "{created}");
    assert!(created.stderr.contains("could not be accessed on a registry"), "{created}");
    // Nobody could say what it runs on, and this node has no engine for it.
    eventually("the task says why it waits", || {
        let listed = first.swarmw(&["service", "ps", "--no-trunc", "none"]);
        let told = listed.contains("no suitable node (unsupported platform on 1 node)");
        if told { Ok(()) } else { Err(listed) }
    });

    registry.push_component("apps/text", "v1", b"no component at all");
    let text = format!("{}/apps/text:v1", registry.address);
    first.swarmw(&["service", "create", "--detach", "--name", "text", &text]);
    eventually("the task is rejected", || {
        let listed = first.swarmw(&["service", "ps", "--no-trunc", "text"]);
        let told = listed.contains("Rejected") && listed.contains("invalid Wasm image");
        if told { Ok(()) } else { Err(listed) }
    });
}

#[test]
fn a_nodes_helper_is_asked_for_credentials_at_each_look_up_and_each_pull() {
    let mut cluster = Cluster::of_daemons(1);
    let mut registry = Registry::start_for(cluster.spare_address(), Some(AT_FIRST));
    registry.push_component("apps/hello", "v1", HELLO);
    let has = |user: User| {
        let answer = serde_json::json!({"Username": user.name, "Secret": user.password});
        answer.to_string().into_bytes()
    };
    let answer = cluster.file("answer", &has(AT_FIRST));
    let script = format!("#!/bin/sh\nexec cat {}\n", answer.display());
    let helper = cluster.file("helper", script.as_bytes());
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("a program");
    let flag = format!("{}={}", registry.address, helper.display());
    let first = &mut cluster.nodes[0];
    first.stop();
    first.give_flags(&["--credential-helper", &flag]);
    first.start();
    cluster.init(0);
    cluster.wait_ready(1);
    let first = &cluster.nodes[0];

    // Nobody sends credentials. That it is a component is what the look-up says.
    first.run(format!("service create --name web {}/apps/hello:v1", registry.address));
    running(first, "web", 1);

    registry.serve_only(LATER);
    registry.push_component("apps/hello", "v2", &[HELLO, SECTION].concat());
    let image = format!("{}/apps/hello:v2", registry.address);
    let stale = first.try_run(format!("service create --detach --name stale {image}"));
    assert!(stale.stderr.contains("could not be accessed on a registry"), "{stale}");
    cluster.file("answer", &has(LATER));
    first.run(format!("service create --name later {image}"));
    running(first, "later", 1);
    let log = first.log_end();
    assert!(!log.contains(AT_FIRST.password) && !log.contains(LATER.password), "{log}");
}
