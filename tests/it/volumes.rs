//! Volumes whose drivers are plugins.

mod needs_root;

use crate::main_job::HELLO;
use crate::support::{Cluster, Node, eventually};

/// A service that counts its visits in a volume, published on 8080.
fn create(cluster: &Cluster, mount: &str, flags: &[&str]) {
    let hello = cluster.file("hello.wasm", HELLO);
    let mount = format!("type=volume,source=visits,target=/data,{mount}");
    let words = ["service", "create", "--detach", "--name", "web", "--publish", "8080:80"];
    let more = ["--env", "VISITS=/data/visits", "--mount", &mount];
    let image = hello.to_string_lossy();
    cluster.nodes[0].swarmw(&[&words[..], &more, flags, &[&image]].concat());
}

/// Waits until the service answers; the number of its visits.
fn visit(node: &Node) -> u64 {
    let answer = eventually("the port answers", || node.get(8080, "/"));
    let (_, visits) = answer.trim().rsplit_once(", visit ").unwrap_or_default();
    visits.parse().unwrap_or_else(|_| panic!("{answer}"))
}

/// What the last task of the service waits for, or failed of.
fn error(node: &Node) -> String {
    node.swarmw(&["service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", "web"])
}

/// Waits until a task's error says this.
fn fails_with(node: &Node, text: &str) {
    eventually(text, || match error(node) {
        all if all.contains(text) => Ok(()),
        all => Err(all),
    });
}

#[test]
fn local_volumes_are_directories_where_no_engine_is() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    create(&cluster, "volume-driver=local", &[]);
    assert_eq!(visit(first), 1);
    first.swarmw(&["service", "update", "--detach", "--force", "web"]);
    eventually("another task answers", || match visit(first) {
        visits if visits > 2 => Ok(()),
        visits => Err(visits.to_string()),
    });
    first.swarmw(&["service", "rm", "web"]);
    create(&cluster, "volume-driver=local,volume-opt=device=/dev/sdb1", &[]);
    fails_with(first, "option device needs a Docker engine, and this node has none");
}

#[test]
fn a_driver_that_nobody_has_is_told() {
    let cluster = Cluster::of(1, 0);
    create(&cluster, "volume-driver=nowhere", &[]);
    fails_with(&cluster.nodes[0], "missing plugin on 1 node");
}
