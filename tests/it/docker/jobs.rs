//! Jobs of images, with the real docker client on real engines.

use super::{container, import_everywhere, node_of, running, take_turn, tasks};
use crate::support::{Cluster, Node, eventually};

/// An image with a shell, whose task ends by itself.
const SHELL: &[&str] = &[r#"ENTRYPOINT ["busybox", "sh", "-c"]"#];

#[track_caller]
fn docker(node: &Node, arguments: &[&str]) -> String {
    let output = node.docker(arguments);
    assert_eq!(output.code, 0, "docker {}: {output}", arguments.join(" "));
    output.stdout
}

#[test]
fn docker_client_waits_for_jobs_lists_them_and_has_them_done_again() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(2, 0);
    import_everywhere(&cluster, &[("shell", SHELL)]);
    let node = &cluster.nodes[0];

    let create = ["service", "create", "--detach=false", "--mode"];
    let replicated = [
        &create[..],
        &["replicated-job", "--name", "count", "--replicas", "4", "--max-concurrent", "2"],
        &["shell", "busybox sleep 1"],
    ];
    let waited = docker(node, &replicated.concat());

    assert!(waited.contains("active tasks: 2 out of 2 tasks"), "{waited}");
    assert!(waited.trim_end().ends_with("job complete"), "{waited}");
    let global = [&create[..], &["global-job", "--name", "each", "shell", "busybox sleep 1"]];
    let waited = docker(node, &global.concat());
    assert!(waited.trim_end().ends_with("job complete"), "{waited}");
    let listed =
        docker(node, &["service", "ls", "--format", "{{.Name}}, {{.Mode}}, {{.Replicas}}"]);
    let want =
        "count, replicated job, 0/2 (4/4 completed)\neach, global job, 0/0 (2/2 completed)\n";
    assert_eq!(listed, want);
    let by_mode = ["service", "ls", "-q", "--filter", "mode=global-job"];
    assert_eq!(docker(node, &by_mode).lines().count(), 1);
    let ps = docker(node, &["service", "ps", "--format", "{{.Name}} {{.DesiredState}}", "count"]);
    assert!((1..4).all(|slot| ps.contains(&format!("count.{slot} Complete"))), "{ps}");

    // Each container is there with its exit code, as long as its task is known.
    for task in tasks(node, "each").expect("tasks") {
        let machine = &cluster.machines[node_of(&cluster, &task)];
        let state = machine.docker(&["inspect", "-f", "{{.State.ExitCode}}", &container(&task)]);
        assert_eq!(state.trim(), "0", "{task}");
    }

    docker(node, &["service", "scale", "count=1"]);
    docker(node, &["service", "update", "--detach=false", "--force", "each"]);
    let iteration = ["service", "inspect", "-f", "{{.JobStatus.JobIteration.Index}}"];
    for service in ["count", "each"] {
        assert_eq!(docker(node, &[&iteration[..], &[service]].concat()).trim(), "1", "{service}");
    }
    let refused = node.docker(&["service", "update", "--update-parallelism", "2", "each"]);
    assert!(refused.stderr.contains("Jobs may not have an update config"), "{refused}");
    docker(node, &["service", "rm", "count", "each"]);
    eventually("no container is left", || {
        let left: String = cluster.machines.iter().map(|m| m.docker(&["ps", "-a", "-q"])).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

const STACK: &str = "
version: '3.8'
services:
  migrate:
    image: shell
    command: ['exit 0']
    deploy: {mode: replicated-job, replicas: 2}
  each:
    image: shell
    command: ['exit 0']
    deploy: {mode: global-job}
";

/// Waits until so many tasks of a job's time have ended well.
fn complete(node: &Node, service: &str, iteration: u64, count: usize) {
    eventually(&format!("{service} is done"), || {
        let mut all = tasks(node, service)?;
        all.retain(|task| {
            task["JobIteration"]["Index"] == iteration && task["Status"]["State"] == "complete"
        });
        if all.len() == count { Ok(()) } else { Err(node.docker(&["service", "ls"]).to_string()) }
    });
}

#[test]
fn stacks_have_jobs_and_services_wait_for_them() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(1, 0);
    import_everywhere(&cluster, &[("shell", SHELL)]);
    let node = &cluster.nodes[0];
    let file = cluster.file("stack.yml", STACK.as_bytes());
    docker(node, &["stack", "deploy", "--compose-file", &file.to_string_lossy(), "s"]);
    complete(node, "s_migrate", 0, 2);
    complete(node, "s_each", 0, 1);

    // A deployment is a write, and a write has a job done again.
    let after = "  after:\n    image: shell\n    command: ['busybox sleep 1000']\n    \
                 depends_on: {migrate: {condition: service_completed_successfully}}\n";
    let current = STACK.replace("version: '3.8'\n", "") + after;
    let file = cluster.file("compose.yml", current.as_bytes());
    node.run(format!("stack deploy --compose-file {} s", file.display()));
    assert_eq!(running(node, "s_after", 1).len(), 1);
    complete(node, "s_migrate", 1, 2);
    complete(node, "s_each", 1, 1);
    let listed = node.run("stack services --format {{.Name}}:{{.Replicas}} s");
    assert!(listed.contains("s_migrate:0/2 (2/2 completed)"), "{listed}");
    docker(node, &["stack", "rm", "s"]);
}
