//! The Swarm tutorial with the real docker client, on three engines.

use std::collections::BTreeSet;

use super::{container, import_everywhere, node_of, running, take_turn, tasks};
use crate::support::{Cluster, Node, eventually};

/// A redis as the tutorial's.
const REDIS: &[&str] = &[
    "EXPOSE 6379",
    r#"ENTRYPOINT ["redis-server"]"#,
    r#"CMD ["--protected-mode", "no", "--save", ""]"#,
];

#[test]
fn docker_tutorial_works_word_for_word() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(3, 0);
    import_everywhere(&cluster, &[("redis:3.0.6", REDIS), ("redis:3.0.7", REDIS)]);
    create_and_inspect(&cluster);
    drain_and_activate(&cluster);
    update(&cluster);
    a_broken_image_pauses_the_update(&cluster);
    docker(&cluster.nodes[0], &["service", "rm", "redis"]);
    eventually("no container is left", || {
        let left: String = cluster.machines.iter().map(|m| m.docker(&["ps", "-a", "-q"])).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[track_caller]
fn docker(node: &Node, arguments: &[&str]) -> String {
    let output = node.docker(arguments);
    assert_eq!(output.code, 0, "docker {}: {output}", arguments.join(" "));
    output.stdout
}

fn create_and_inspect(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let created = docker(
        first,
        &[
            "service",
            "create",
            "--replicas",
            "3",
            "--name",
            "redis",
            "--update-delay",
            "10s",
            "redis:3.0.6",
        ],
    );
    assert!(created.contains("verify: Service") && created.contains("converged"), "{created}");
    let pretty = docker(first, &["service", "inspect", "--pretty", "redis"]);
    for line in [
        "Name:\t\tredis",
        "Service Mode:\tReplicated",
        " Replicas:\t3",
        " Parallelism:\t1",
        " Delay:\t\t10s",
        " Image:\t\tredis:3.0.6",
    ] {
        assert!(pretty.lines().any(|l| l.trim_end() == line), "{line:?} in\n{pretty}");
    }
    let three = running(first, "redis", 3);
    let nodes: BTreeSet<_> = three.iter().map(|task| node_of(cluster, task)).collect();
    assert_eq!(nodes.len(), 3, "one on each node");
    let here = three.iter().find(|task| node_of(cluster, task) == 0).expect("one here");
    let answer = docker(first, &["exec", &container(here), "redis-cli", "ping"]);
    assert_eq!(answer.trim(), "PONG");
}

fn drain_and_activate(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    docker(first, &["node", "update", "--availability", "drain", "n2"]);
    eventually("the drained node is empty", || {
        let on = running(first, "redis", 3).iter().filter(|t| node_of(cluster, t) == 1).count();
        if on == 0 { Ok(()) } else { Err(on.to_string()) }
    });
    let pretty = docker(first, &["node", "inspect", "--pretty", "n2"]);
    let drained = |line: &str| line.contains("Availability:") && line.contains("Drain");
    assert!(pretty.lines().any(drained), "{pretty}");
    docker(first, &["node", "update", "--availability", "active", "n2"]);
    let left = running(first, "redis", 3);
    assert!(left.iter().all(|t| node_of(cluster, t) != 1), "active again, but nothing moves");
}

fn update(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let before: Vec<_> = running(first, "redis", 3).iter().map(container).collect();
    let updated = docker(first, &["service", "update", "--image", "redis:3.0.7", "redis"]);
    assert!(updated.contains("converged"), "{updated}");
    let after = running(first, "redis", 3);
    assert!(after.iter().all(|t| !before.contains(&container(t))), "every container is new");
    let images = |t: &serde_json::Value| t["Spec"]["ContainerSpec"]["Image"].clone();
    assert!(after.iter().all(|t| images(t) == "redis:3.0.7"), "{after:?}");
    // The client goes when all tasks run; the update ends after its last delay.
    eventually("the update is completed", || {
        let pretty = docker(first, &["service", "inspect", "--pretty", "redis"]);
        let told =
            |line: &str| line.trim_start().starts_with("State:") && line.ends_with("completed");
        if pretty.lines().any(told) { Ok(()) } else { Err(pretty) }
    });
    let history = docker(first, &["service", "ps", "redis"]);
    for slot in 1..=3 {
        let line = history.lines().find(|l| l.contains(&format!(r"\_ redis.{slot}")));
        let line = line.unwrap_or_else(|| panic!("the past of slot {slot}: {history}"));
        assert!(line.contains("redis:3.0.6") && line.contains("Shutdown"), "{line}");
    }
}

fn a_broken_image_pauses_the_update(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let failed = first.docker(&["service", "update", "--image", "redis:nope", "redis"]);
    assert_eq!(failed.code, 1, "{failed}");
    assert!(
        failed.stderr.contains("update paused due to failure or early termination of task"),
        "{failed}"
    );
    let rejected = tasks(first, "redis").expect("tasks");
    let rejected = rejected.iter().find(|t| t["Status"]["State"] == "rejected");
    let error = rejected.expect("a rejected task")["Status"]["Err"].to_string();
    assert!(error.contains("No such image: redis:nope"), "{error}");
    let service = first.json("/services/redis").expect("the service");
    assert_eq!(service["UpdateStatus"]["State"], "paused", "{service}");
    eventually("the slot of the broken task is down and the others go on", || {
        let kept = tasks(first, "redis")?;
        let kept = kept.iter().filter(|t| {
            t["Status"]["State"] == "running"
                && t["Spec"]["ContainerSpec"]["Image"] == "redis:3.0.7"
        });
        if kept.count() == 2 { Ok(()) } else { Err(docker(first, &["service", "ps", "redis"])) }
    });
}
