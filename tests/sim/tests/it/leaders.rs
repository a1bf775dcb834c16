//! Leaders that are lost, cut off, or left alone.

use swarmw_model::{NodeState, ServiceId};
use swarmw_sim::replicated;
use swarmw_state::Change;

use crate::support::{cluster, secs};

#[tokio::test(start_paused = true)]
async fn a_lost_leader_is_replaced_in_time_and_its_tasks_run_on() {
    let cluster = cluster(2).await;
    let web = cluster.create(replicated("web", "app:1", 4)).await;
    let before = cluster.running(web, 4).await;

    let lost = cluster.leader().await;
    let term = async || {
        let leader = cluster.leader().await.manager().expect("a manager");
        leader.watch_role().borrow().term
    };
    let (killed, before_it) = (cluster.elapsed(), term().await);
    lost.kill();
    let next = cluster.leader().await;
    assert_ne!(next.name, lost.name);
    // Two that stand in the same millisecond have a vote each: one stands again, in
    // another term.
    let (took, terms) = (cluster.elapsed() - killed, term().await - before_it);
    assert!(took < secs(1 + terms), "{terms} terms took {took:?}");
    let api = cluster.create(replicated("api", "app:1", 2)).await;
    cluster.running(api, 2).await;
    let ids = |tasks: &[std::sync::Arc<swarmw_model::Task>]| -> Vec<_> {
        tasks.iter().map(|t| t.id).collect()
    };
    assert_eq!(ids(&cluster.running(web, 4).await), ids(&before), "nothing was replaced");

    cluster.start(&lost.name).await;
    cluster.ready(&lost.name).await;
    cluster.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_majority_takes_no_write_and_answers_no_read() {
    let cluster = cluster(1).await;
    let alone = cluster.leader().await;
    let manager = alone.manager().expect("a manager");
    cluster.isolate(&[&alone.name]);
    let cut = cluster.elapsed();

    let spec = Box::new(replicated("ghost", "app:1", 1));
    let ghost = Change::CreateService { id: ServiceId::from_bits(7), spec };
    let (written, read) = tokio::join!(manager.write(None, ghost), manager.read());
    assert!(written.is_err() && read.is_err(), "{written:?}");
    let took = cluster.elapsed() - cut;
    assert!(took < secs(4), "it knew after {took:?} only");
    assert!(!manager.leads());
    assert_eq!(manager.leader_address(), None);
    assert!(manager.read().await.is_err(), "still no read");

    // The others go on, and what it was told when it was alone is nowhere.
    cluster.create(replicated("web", "app:1", 1)).await;
    cluster.node_is(&alone.name, NodeState::Down).await;
    cluster.rejoin(&[&alone.name]);
    cluster.ready(&alone.name).await;
    cluster.settle().await;
    let state = cluster.fresh().await;
    let names: Vec<_> = state.services().map(|s| s.spec.name.clone()).collect();
    assert_eq!(names, ["web"]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_is_cut_off_knows_no_leader_and_disturbs_none_when_it_is_back() {
    let cluster = cluster(0).await;
    let leader = cluster.leader().await;
    let follower = cluster.nodes().find(|n| n.name != leader.name).expect("three").clone();
    let manager = follower.manager().expect("a manager");
    assert_eq!(manager.leader_address(), Some(leader.address()));
    let elections = cluster.elections();

    cluster.isolate(&[&follower.name]);
    let silent = async || manager.leader_address().is_none().then_some(());
    cluster.within(secs(3), "it knows no leader", silent).await;
    cluster.run(secs(300)).await;
    cluster.rejoin(&[&follower.name]);
    let back = async || (manager.leader_address() == Some(leader.address())).then_some(());
    cluster.within(secs(20), "it knows the leader again", back).await;
    assert_eq!(cluster.elections(), elections, "nobody stood for election");
    assert!(leader.leads());
    cluster.ready(&follower.name).await;
    cluster.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_on_the_leaders_side_of_a_split_is_replaced_by_the_majority() {
    let cluster = cluster(2).await;
    let web = cluster.create(replicated("web", "app:1", 2)).await;
    cluster.running(web, 2).await;
    let old = cluster.leader().await;
    cluster.isolate(&[&old.name, "n4"]);

    cluster.node_is("n4", NodeState::Down).await;
    let moved = async || {
        let tasks = cluster.running_in(&*cluster.led()?, web);
        (tasks.len() == 2 && cluster.places(&tasks) == ["n5".to_owned()].into()).then_some(())
    };
    cluster.soon("both run on n5", moved).await;
    assert_eq!(cluster.node("n4").machine.running().len(), 1, "nobody told n4 to stop its own");

    cluster.rejoin(&[&old.name, "n4"]);
    cluster.ready("n4").await;
    cluster.settle().await;
    assert_eq!(cluster.node("n4").machine.running(), [], "its stale task was stopped");
}
