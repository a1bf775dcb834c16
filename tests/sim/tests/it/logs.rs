//! Lines that tasks print.

use std::collections::BTreeSet;

use swarmw_manager::LogsRequest;
use swarmw_model::Time;
use swarmw_sim::replicated;

use crate::support::cluster;

#[tokio::test(start_paused = true)]
async fn lines_come_through_the_leader_from_the_nodes_that_run_the_tasks() {
    let cluster = cluster(3).await;
    let web = cluster.create(replicated("web", "app:1", 6)).await;
    let tasks = cluster.running(web, 6).await;
    assert_eq!(cluster.places(&tasks).len(), 3);
    let request = LogsRequest {
        tasks: tasks.iter().filter_map(|t| Some((t.id, t.node_id?))).collect(),
        follow: false,
        tail: None,
        since: Time::ZERO,
        stdout: true,
        stderr: true,
    };
    let manager = cluster.leader().await.manager().expect("a manager");
    let mut lines = manager.logs(&request).expect("it leads");
    let mut said = BTreeSet::new();
    while let Some(line) = lines.next().await {
        let text = format!("this is {}\n", line.task);
        assert_eq!(String::from_utf8_lossy(&line.text), text);
        said.insert(line.task);
    }
    assert_eq!(said, tasks.iter().map(|t| t.id).collect());
}
