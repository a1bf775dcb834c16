//! Jobs of WebAssembly tasks, on a cluster of real processes.

use serde_json::{Value, json};

use crate::support::{Cluster, Node, eventually};

/// A command: prints lines, sleeps, exits with a code.
const COMMAND: &[u8] = include_bytes!(env!("SWARMW_HELLO_CLI"));

/// All tasks of a service, as the API has them.
fn tasks(node: &Node, service: &str) -> Result<Vec<Value>, String> {
    let filters = format!(r#"{{"service":["{service}"]}}"#);
    let encoded: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let tasks = node.json(&format!("/tasks?filters={encoded}"))?;
    Ok(tasks.as_array().cloned().unwrap_or_default())
}

/// Waits until so many tasks of a job's time have ended well; them.
fn complete(node: &Node, service: &str, iteration: u64, count: usize) -> Vec<Value> {
    eventually(&format!("{count} tasks of {service} are complete"), || {
        let mut all = tasks(node, service)?;
        all.retain(|task| {
            task["JobIteration"]["Index"] == json!(iteration)
                && task["Status"]["State"] == "complete"
        });
        match all.len() == count {
            true => Ok(all),
            false => Err(node.try_swarmw(&["service", "ps", "--no-trunc", service]).to_string()),
        }
    })
}

#[test]
fn a_replicated_job_is_waited_for_listed_and_done_again() {
    let cluster = Cluster::of(1, 2);
    let command = cluster.file("command.wasm", COMMAND);
    let command = command.to_string_lossy();
    let node = &cluster.nodes[0];

    let waited = node.run(format!(
        "service create --name count --mode replicated-job --max-concurrent 2 --replicas 5 \
         --env TASK_NAME={{{{.Task.Slot}}}} {command} 2 0.2"
    ));

    assert!(waited.contains("active tasks: 2 out of 2 tasks"), "{waited}");
    assert!(waited.contains("job progress: 5 out of 5 complete"), "{waited}");
    assert!(waited.ends_with("job complete\n"), "{waited}");
    let ls = ["service", "ls", "--format", "{{.Name}}, {{.Mode}}, {{.Replicas}}"];
    assert_eq!(node.swarmw(&ls), "count, replicated job, 0/2 (5/5 completed)\n");
    let mut slots: Vec<_> =
        complete(node, "count", 0, 5).iter().map(|task| task["Slot"].as_u64()).collect();
    slots.sort();
    assert_eq!(slots, [None, Some(1), Some(2), Some(3), Some(4)], "0 is left out");
    eventually("each knows its number", || {
        let logs = node.swarmw(&["service", "logs", "--raw", "count"]);
        let all = (0..5).all(|n| logs.lines().any(|line| line == format!("{n}: line 1")));
        if all { Ok(()) } else { Err(logs) }
    });

    let scaled = node.run("service scale count=2");
    assert!(scaled.starts_with("count scaled to 2\n"), "{scaled}");
    assert!(scaled.ends_with("job complete\n"), "{scaled}");
    complete(node, "count", 1, 2);
    node.run("service update --quiet --max-concurrent 1 count");
    complete(node, "count", 2, 2);
    let pretty = node.swarmw(&["service", "inspect", "--pretty", "count"]);
    assert!(pretty.contains("Service Mode:\tReplicated Job\n Completions:\t2\n"), "{pretty}");
    assert!(pretty.contains("JobStatus:\n Iteration:\t2\n"), "{pretty}");
    node.swarmw(&["service", "rm", "count"]);
}

#[test]
fn a_job_whose_tasks_fail_says_so_and_goes_on_where_it_may() {
    let cluster = Cluster::of(1, 0);
    let command = cluster.file("command.wasm", COMMAND);
    let command = command.to_string_lossy();
    let node = &cluster.nodes[0];

    let failed = node.try_run(format!(
        "service create --name bad --mode replicated-job --replicas 2 \
         --restart-max-attempts 1 --restart-delay 100ms {command} 1 0 3"
    ));

    assert_eq!(failed.code, 1, "{failed}");
    assert!(failed.stderr.contains("job failed: 2 of 2 tasks did not complete"), "{failed}");
    let made = tasks(node, "bad").expect("tasks");
    assert_eq!(made.len(), 4, "each once more: {made:?}");
    for (arguments, want) in [
        ("update --update-delay 1s bad", "update and rollback configuration is not supported"),
        ("update --replicas 3 bad", "replicas can only be used with replicated mode"),
    ] {
        let refused = node.try_run(format!("service {arguments}"));
        assert!(refused.code == 1 && refused.stderr.contains(want), "{arguments}: {refused}");
    }
}

#[test]
fn a_global_job_is_done_on_each_node_and_outlives_the_leader() {
    let mut cluster = Cluster::of(3, 1);
    let command = cluster.file("command.wasm", COMMAND);
    let command = command.to_string_lossy();
    let [leader, node, ..] = &mut cluster.nodes[..] else { panic!("four nodes") };
    node.swarmw(&["node", "update", "--availability", "drain", "n4"]);

    let waited = node.run(format!("service create --name each --mode global-job {command} 1 0.1"));

    assert!(waited.ends_with("job complete\n"), "{waited}");
    let ls = ["service", "ls", "--format", "{{.Name}}, {{.Mode}}, {{.Replicas}}"];
    assert_eq!(node.swarmw(&ls), "each, global job, 0/0 (3/3 completed)\n");
    node.swarmw(&["node", "update", "--availability", "active", "n4"]);
    complete(node, "each", 0, 4);
    // Another leader knows what is done.
    node.run(format!(
        "service create --detach --name slow --mode replicated-job --replicas 6 \
         --max-concurrent 1 --constraint node.hostname==n4 {command} 1 0.5"
    ));
    complete(node, "slow", 0, 1);
    leader.kill();
    complete(node, "slow", 0, 6);
    assert_eq!(tasks(node, "slow").expect("tasks").len(), 6, "none was done twice");
    assert_eq!(tasks(node, "each").expect("tasks").len(), 4);
}
