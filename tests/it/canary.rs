//! An update policy that is no component of ours judges an update by a metric.

use crate::main_job::{HELLO, running};
use crate::support::{Cluster, Node, Prometheus, eventually};

const CANARY: &[u8] = include_bytes!(env!("SWARMW_CANARY"));

/// How the last update of a service stands, and its message.
fn status(node: &Node) -> (String, String) {
    let service = node.json("/services/web").expect("a service");
    let text = |name: &str| service["UpdateStatus"][name].as_str().unwrap_or_default().to_owned();
    (text("State"), text("Message"))
}

#[test]
fn an_update_goes_on_while_prometheus_likes_it_and_back_when_it_does_not() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    let prometheus = Prometheus::start(cluster.spare_address());
    let plugin = cluster.file("canary.wasm", CANARY);
    first.swarmw(&["plugin", "add", "--yes", &plugin.to_string_lossy()]);
    let hello = cluster.file("hello.wasm", HELLO);
    let query = format!("canary.query={}", prometheus.query());
    let create = ["service", "create", "--quiet", "--name", "web", "--replicas", "3"];
    let policy = ["--update-failure-action", "canary", "--policy-opt", &query];
    let bounds = ["--policy-opt", "canary.max=0.05", "--policy-opt", "canary.every=1s"];
    let image = hello.to_string_lossy();
    first.swarmw(&[&create[..], &policy, &bounds, &[&image]].concat());
    running(first, "web", 3);

    prometheus.set(0.01);
    first.swarmw(&["service", "update", "--detach", "--env-add", "VERSION=2", "web"]);
    eventually("the update completes", || match status(first) {
        (state, _) if state == "completed" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    prometheus.set(0.9);
    first.swarmw(&["service", "update", "--detach", "--env-add", "VERSION=3", "web"]);
    eventually("the update is rolled back", || match status(first) {
        (state, message) if state == "rollback_completed" => Ok(message),
        other => Err(format!("{other:?}")),
    });
    // The canary alone has ever run version 3.
    let listed = first.swarmw(&["service", "ps", "--no-trunc", "web"]);
    let service = first.json("/services/web").expect("a service");
    let env = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].to_string();
    assert!(env.contains("VERSION=2"), "{env}\n{listed}");

    // A query that nothing answers is a bad metric, not a fault of the cluster.
    drop(prometheus);
    first.swarmw(&["service", "update", "--detach", "--env-add", "VERSION=4", "web"]);
    eventually("the update is rolled back", || {
        let service = first.json("/services/web")?;
        let env = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].to_string();
        let (state, message) = status(first);
        let back = state == "rollback_completed" && env.contains("VERSION=2");
        if back { Ok(()) } else { Err(format!("{state}: {message} {env}")) }
    });
}
