//! Lines that tasks print.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_manager::{LogsRequest, Missing};
use swarmw_model::{Task, Time};
use swarmw_sim::replicated;

use crate::support::{cluster, secs, small};

#[tokio::test(start_paused = true)]
async fn lines_come_through_the_leader_from_the_nodes_that_run_the_tasks() {
    let cluster = cluster(3).await;
    let web = cluster.create(replicated("web", "app:1", 6)).await;
    let tasks = cluster.running(web, 6).await;
    assert_eq!(cluster.places(&tasks).len(), 3);
    let manager = cluster.leader().await.manager().expect("a manager");
    let mut lines = manager.logs(&all_of(&tasks)).expect("it leads");
    let mut said = BTreeSet::new();
    while let Some(line) = lines.next().await {
        let text = format!("this is {}\n", line.task);
        assert_eq!(String::from_utf8_lossy(&line.text), text);
        assert_eq!(line.attributes.get("task"), Some(&line.task.to_string()));
        said.insert(line.task);
    }
    assert_eq!(said, tasks.iter().map(|t| t.id).collect());
    assert_eq!(lines.missing(), [], "every node said all");
}

#[tokio::test(start_paused = true)]
async fn who_reads_logs_hears_which_nodes_could_not_be_asked() {
    let cluster = small(3).await;
    let web = cluster.create(replicated("web", "app:1", 3)).await;
    let tasks = cluster.running(web, 3).await;
    assert_eq!(cluster.places(&tasks).len(), 3);
    let manager = cluster.leader().await.manager().expect("a manager");
    let dead = cluster.node("n2");
    let of_others = tasks.iter().filter(|t| t.node_id != Some(dead.id())).map(|t| t.id);
    let of_others: BTreeSet<_> = of_others.collect();

    dead.crash();
    // Its session stands until the leader misses its heartbeat; only then nothing more comes.
    let mut lines = manager.logs(&all_of(&tasks)).expect("it leads");
    let mut said = BTreeSet::new();
    while let Some(line) = lines.next().await {
        said.insert(line.task);
    }
    assert_eq!(said, of_others);
    let missing = lines.missing();
    assert_eq!(missing, [Missing::Disconnected(dead.id())]);
    let words = format!("node {} disconnected unexpectedly", dead.id());
    assert_eq!(missing[0].to_string(), words);

    cluster.run(secs(60)).await;
    let mut lines = manager.logs(&all_of(&tasks)).expect("it leads");
    let mut said = BTreeSet::new();
    while let Some(line) = lines.next().await {
        said.insert(line.task);
    }
    assert_eq!(said, of_others);
    let missing = lines.missing();
    assert_eq!(missing, [Missing::NotAvailable(dead.id())]);
    assert_eq!(missing[0].to_string(), format!("node {} is not available", dead.id()));
}

/// All that these tasks have printed.
fn all_of(tasks: &[Arc<Task>]) -> LogsRequest {
    LogsRequest {
        tasks: tasks.iter().filter_map(|t| Some((t.id, t.node_id?))).collect(),
        follow: false,
        tail: None,
        since: Time::ZERO,
        stdout: true,
        stderr: true,
        details: true,
    }
}
