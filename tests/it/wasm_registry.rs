//! Wasm tasks whose image comes from a registry.

use crate::main_job::{HELLO, running};
use crate::support::{Cluster, Registry, eventually};

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
