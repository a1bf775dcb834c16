//! Nodes that fall silent, are drained, or lose power.

use swarmw_model::{Availability, NodeState, RestartCondition, RestartPolicy};
use swarmw_sim::{Cluster, Image, Settings, What, replicated};

use crate::support::{cluster, secs, settings, small, span};

#[tokio::test(start_paused = true)]
async fn a_silent_worker_is_down_after_three_heartbeats_and_stops_its_stale_tasks_when_back() {
    let cluster = small(2).await;
    let web = cluster.create(replicated("web", "app:1", 4)).await;
    let before = cluster.running(web, 4).await;
    assert_eq!(cluster.places(&before).len(), 2, "spread over both");

    cluster.isolate(&["n2"]);
    let silent = cluster.elapsed();
    cluster.node_is("n2", NodeState::Down).await;
    let took = cluster.elapsed() - silent;
    // The last heartbeat may have been heard just before, or five seconds ago.
    assert!((secs(10)..=secs(16)).contains(&took), "down after {took:?}");

    let moved = async || {
        let tasks = cluster.running_in(&*cluster.led()?, web);
        (tasks.len() == 4 && cluster.places(&tasks) == ["n3".to_owned()].into()).then_some(())
    };
    cluster.within(secs(10), "all run on n3", moved).await;
    assert_eq!(cluster.node("n2").machine.running().len(), 2, "the stale ones go on");

    cluster.rejoin(&["n2"]);
    cluster.ready("n2").await;
    cluster.settle().await;
    assert_eq!(cluster.node("n2").machine.running(), [], "and gets nothing back by itself");
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_calls_nodes_unknown_until_it_hears_of_them_or_they_are_late() {
    let cluster = cluster(2).await;
    cluster.isolate(&["n4"]);
    cluster.leader().await.crash();
    cluster.node_is("n4", NodeState::Unknown).await;
    cluster.node_is("n5", NodeState::Ready).await;
    cluster.node_is("n4", NodeState::Down).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_until_a_node_is_down_can_be_set() {
    for period in [1, 20] {
        let heartbeat = span(period);
        let settings = Settings { managers: 1, workers: 1, heartbeat, ..settings() };
        let cluster = Cluster::new(settings).await;
        cluster.run(secs(60)).await;
        cluster.isolate(&["n2"]);
        let silent = cluster.elapsed();
        cluster.node_is("n2", NodeState::Down).await;
        let periods = (cluster.elapsed() - silent).as_secs_f64() / period as f64;
        assert!((1.9..=3.2).contains(&periods), "down after {periods} periods of {period} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_gives_its_tasks_away_and_an_active_one_gets_none_back() {
    let cluster = small(2).await;
    let web = cluster.create(replicated("web", "app:1", 4)).await;
    cluster.running(web, 4).await;
    cluster.update_node("n2", |spec| spec.availability = Availability::Drain).await;
    let empty = async || cluster.node("n2").machine.running().is_empty().then_some(());
    cluster.soon("n2 gives its tasks away", empty).await;
    cluster.settle().await;
    assert_eq!(cluster.node("n3").machine.running().len(), 4);

    cluster.update_node("n2", |spec| spec.availability = Availability::Active).await;
    cluster.run(secs(600)).await;
    cluster.settle().await;
    assert_eq!(cluster.node("n2").machine.running(), []);

    // A paused node keeps what it has and gets nothing new.
    cluster.update_node("n3", |spec| spec.availability = Availability::Pause).await;
    let api = cluster.create(replicated("api", "app:1", 2)).await;
    let tasks = cluster.running(api, 2).await;
    assert_eq!(cluster.places(&tasks), ["n2".to_owned()].into());
    assert_eq!(cluster.node("n3").machine.running().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_record_adopts_what_runs_and_runs_nothing_again() {
    let cluster = small(1).await;
    cluster.image("once", Image { life: Some((secs(10), 0)), ..Image::default() });
    let mut once = replicated("once", "once", 2);
    std::sync::Arc::make_mut(&mut once.task_template).restart_policy =
        Some(RestartPolicy { condition: RestartCondition::OnFailure, ..Default::default() });
    cluster.create(once).await;
    let web = cluster.create(replicated("web", "app:1", 2)).await;
    cluster.running(web, 2).await;
    cluster.run(secs(30)).await;

    cluster.node("n2").stop().await;
    cluster.node("n2").lose_agent_folder();
    cluster.start("n2").await;
    cluster.ready("n2").await;
    cluster.run(secs(120)).await;
    cluster.running(web, 2).await;
    for name in ["once", "web"] {
        assert_eq!(cluster.journal(name, What::Started).len(), 2, "{name}");
    }
    assert_eq!(cluster.journal("web", What::Stopped).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn tasks_go_on_under_a_killed_daemon_and_end_with_their_machine() {
    let cluster = small(1).await;
    let web = cluster.create(replicated("web", "app:1", 3)).await;
    let before = cluster.running(web, 3).await;
    let node = cluster.node("n2");

    node.kill();
    cluster.run(secs(5)).await;
    cluster.start("n2").await;
    cluster.ready("n2").await;
    cluster.run(secs(60)).await;
    cluster.settle().await;
    assert_eq!(cluster.journal("web", What::Started).len(), 3, "none was made anew");
    let ids = |tasks: &[std::sync::Arc<swarmw_model::Task>]| -> Vec<_> {
        tasks.iter().map(|t| t.id).collect()
    };
    assert_eq!(ids(&cluster.running(web, 3).await), ids(&before));

    node.crash();
    cluster.run(secs(5)).await;
    cluster.start("n2").await;
    cluster.ready("n2").await;
    cluster.settle().await;
    assert_eq!(cluster.journal("web", What::Started).len(), 6, "each was replaced once");
}
