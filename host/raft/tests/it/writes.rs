//! Proposing, reading, subscribing.

use futures::future::join_all;
use swarmw_raft::{ProposeError, RaftError, Received};
use swarmw_state::Event;

use crate::support::{Cluster, address, create, created, eventually, names, set};

#[tokio::test]
async fn a_log_is_founded_once() {
    let cluster = Cluster::in_memory(1).await;
    let again = cluster.raft(1).found(create("again", 2)).await;
    assert!(matches!(again, Err(RaftError::Founded)), "{again:?}");
    assert_eq!(names(&cluster.raft(1).state()), set(["first"]));
}

#[tokio::test]
async fn concurrent_writes_are_all_applied_once_and_everywhere_in_one_order() {
    let cluster = Cluster::in_memory(3).await;
    let leader = cluster.leader().await;
    let writes = (2..500).map(|n| leader.propose(create(&format!("s{n}"), n)));
    for (n, answer) in (2..).zip(join_all(writes).await) {
        assert_eq!(answer, Ok(created(n)));
    }
    let want = set((2..500).map(|n| format!("s{n}")).chain(["first".to_owned()]));
    for id in 1..=3 {
        cluster.holds(id, &want).await;
        // Versions are places in the log.
        let versions =
            |id| cluster.raft(id).state().services().map(|s| s.version).collect::<Vec<_>>();
        assert_eq!(versions(id), versions(1));
    }
}

#[tokio::test]
async fn a_write_repeated_under_its_name_changes_nothing_and_gets_the_first_answer() {
    let cluster = Cluster::in_memory(1).await;
    let leader = cluster.leader().await;
    for _ in 0..3 {
        assert_eq!(leader.propose(create("web", 7)).await, Ok(created(7)));
    }
    assert_eq!(names(&leader.state()), set(["first", "web"]));
}

#[tokio::test]
async fn an_acknowledged_write_is_in_the_state_and_told_to_subscribers() {
    let cluster = Cluster::in_memory(1).await;
    let leader = cluster.leader().await;
    let mut told = leader.subscribe();
    leader.propose(create("web", 7)).await.unwrap();
    assert!(leader.state().service_named("web").is_some());
    match told.try_next() {
        Some(Received::Batch(batch)) => {
            assert_eq!(batch.index, leader.state().index());
            let [Event::Service { old: None, new: Some(new) }] = &*batch.events else {
                panic!("{:?}", batch.events)
            };
            assert_eq!(new.spec.name, "web");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_subscriber_that_lags_is_told_to_start_over_and_misses_nothing_after() {
    let cluster = Cluster::in_memory(1).await;
    let leader = cluster.leader().await;
    let mut told = leader.subscribe();
    // One after the other, so that each is a batch of its own: more than are kept.
    for n in 2..1_060 {
        leader.propose(create(&format!("s{n}"), n)).await.unwrap();
    }
    assert!(matches!(told.next().await, Some(Received::Lagged)));
    let mut last = 0;
    while let Some(Received::Batch(batch)) = told.try_next() {
        last = batch.index;
    }
    assert_eq!(last, leader.state().index());
}

#[tokio::test]
async fn a_follower_names_the_leader_and_does_nothing() {
    let cluster = Cluster::in_memory(3).await;
    let leader = cluster.leader_id().await;
    let follower = cluster.raft(if leader == 1 { 2 } else { 1 });
    eventually("the follower knows the leader", || async {
        follower.role().leader.filter(|(id, _)| *id == leader)
    })
    .await;
    let to = Some((leader, address(leader)));
    let refused = ProposeError::NotLeader { leader: to };
    assert_eq!(follower.propose(create("web", 7)).await, Err(refused.clone()));
    assert_eq!(follower.read_index().await, Err(refused));
    cluster.create("after", 8).await;
    cluster.holds(leader, &set(["first", "after"])).await;
}

#[tokio::test]
async fn a_linearizable_read_sees_every_write_acknowledged_before_it() {
    let cluster = Cluster::in_memory(3).await;
    for n in 2..30 {
        let name = format!("s{n}");
        cluster.create(&name, n).await;
        if n % 10 == 0 {
            let _ = cluster.leader().await.transfer_leadership().await;
        }
        let seen = eventually("a manager can read", || async {
            let leader = cluster.leader().await;
            leader.read_index().await.ok()?;
            Some(leader.state())
        })
        .await;
        assert!(seen.service_named(&name).is_some(), "{name}");
    }
}
