//! Leaders that go, hand over, or are cut off.

use std::time::Duration;

use swarmw_raft::ProposeError;
use swarmw_state::{Entry, Event, Missed};

use crate::support::{Cluster, create, created, eventually, names, refused, set};

#[tokio::test]
async fn another_manager_leads_when_the_leader_is_gone() {
    let cluster = Cluster::in_memory(3).await;
    let old = cluster.leader_id().await;
    let term = cluster.raft(old).role().term;
    cluster.stop(old).await;
    cluster.create("web", 7).await;
    let new = cluster.leader().await;
    assert!(new.role().term > term);
    assert_eq!(names(&new.state()), set(["first", "web"]));
    let silent = |m: &swarmw_raft::Member| m.raft_id == old && !m.reachable;
    eventually("the leader misses the old one", || async {
        new.members().iter().any(silent).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_leader_hands_over_when_asked() {
    let cluster = Cluster::in_memory(3).await;
    let old = cluster.leader_id().await;
    cluster.raft(old).transfer_leadership().await.unwrap();
    let new = eventually("another one leads", || async {
        Some(cluster.leader_id().await).filter(|new| *new != old)
    })
    .await;
    cluster.create("web", 7).await;
    cluster.holds(old, &set(["first", "web"])).await;
    assert_ne!(new, old);
}

#[tokio::test]
async fn a_manager_alone_has_nobody_to_hand_over_to() {
    let cluster = Cluster::in_memory(1).await;
    let alone = cluster.leader().await.transfer_leadership().await.unwrap_err();
    assert!(alone.to_string().contains("no other manager can take over"), "{alone}");
}

#[tokio::test]
async fn a_leader_that_is_cut_off_accepts_nothing() {
    let cluster = Cluster::in_memory(3).await;
    let old = cluster.leader_id().await;
    let lonely = cluster.raft(old);
    cluster.wires.cut(old);
    // On its way when the wire is cut, and after it.
    let writes: Vec<_> = (100..120)
        .map(|n| {
            let raft = lonely.clone();
            tokio::spawn(async move { (n, raft.propose(create(&format!("lost{n}"), n)).await) })
        })
        .collect();
    let new = cluster.leader_id().await;
    assert_ne!(new, old);
    cluster.create("web", 7).await;
    assert!(lonely.read_index().await.is_err(), "a stale leader cannot serve a read");
    assert_eq!(names(&lonely.state()), set(["first"]));

    cluster.wires.mend(old);
    cluster.holds(old, &set(["first", "web"])).await;
    for write in writes {
        let (n, answer) = tokio::time::timeout(Duration::from_secs(60), write)
            .await
            .expect("a proposer is always answered")
            .unwrap();
        assert!(refused(&answer) || answer == Err(ProposeError::Lost), "{n}: {answer:?}");
    }
    assert_eq!(cluster.create("web", 7).await, created(7));
}

#[tokio::test]
async fn a_manager_that_was_cut_off_does_not_unseat_the_leader_when_it_returns() {
    let cluster = Cluster::in_memory(3).await;
    let leader = cluster.leader_id().await;
    let term = cluster.raft(leader).role().term;
    let other = (1..=3).find(|id| *id != leader).unwrap();
    cluster.wires.cut(other);
    for n in 0..3 {
        cluster.create(&format!("s{n}"), 10 + n).await;
    }
    let asked = || cluster.wires.pre_votes_asked(other);
    eventually("it asks for votes", || async { (asked() > 3).then_some(()) }).await;
    cluster.wires.mend(other);
    cluster.holds(other, &set(["first", "s0", "s1", "s2"])).await;
    assert_eq!(cluster.raft(leader).role().term, term);
    assert!(cluster.raft(leader).role().leading);
}

#[tokio::test]
async fn without_a_majority_nothing_is_accepted_and_with_it_all_goes_on() {
    let cluster = Cluster::on_disk(3).await;
    let leader = cluster.leader_id().await;
    let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    for id in &others {
        cluster.stop(*id).await;
    }
    let raft = cluster.raft(leader);
    let write = tokio::time::timeout(Duration::from_secs(3), raft.propose(create("web", 7))).await;
    assert!(!matches!(write, Ok(Ok(_))), "{write:?}");
    assert!(raft.state().service_named("web").is_none());
    cluster.start(others[0]).await;
    assert_eq!(cluster.create("web", 7).await, created(7));
}

#[tokio::test]
async fn members_come_and_go() {
    let cluster = Cluster::in_memory(3).await;
    cluster.add(4).await;
    cluster.add(5).await;
    let leader = cluster.leader().await;
    let own = cluster.leader_id().await;
    let gone = (1..=5).find(|id| *id != own).unwrap();
    leader.remove_member(gone).await.unwrap();
    cluster.stop(gone).await;
    let mut seats = leader.member_ids();
    seats.sort_unstable();
    assert_eq!(seats, (1..=5).filter(|id| *id != gone).collect::<Vec<_>>());
    cluster.create("web", 7).await;
    for id in cluster.running() {
        cluster.holds(id, &set(["first", "web"])).await;
    }
}

#[tokio::test]
async fn a_manager_that_never_comes_up_gets_no_vote_and_can_be_taken_out() {
    let cluster = Cluster::in_memory(1).await;
    let leader = cluster.leader().await;
    for address in ["m2:1", "m2:2"] {
        let refused = leader.add_member(2, address).await.unwrap_err().to_string();
        assert!(refused.contains("manager 2 has not copied the log"), "{refused}");
        assert_eq!((leader.member_ids(), leader.learner_ids()), (vec![1], vec![2]));
        assert_eq!(cluster.create(address, 7).await, created(7), "one manager is a majority");
    }
    leader.remove_member(2).await.unwrap();
    assert_eq!((leader.member_ids(), leader.learner_ids()), (vec![1], vec![]));
    cluster.add(2).await;
    assert_eq!(leader.member_ids(), [1, 2]);
}

/// What services were made by, as a manager keeps it, and up to where.
fn made_since(raft: &swarmw_raft::Raft, index: u64) -> (Vec<(u64, String)>, u64) {
    let Missed::Entries(entries, upto) = raft.past().since(index, usize::MAX) else {
        panic!("all of it is kept")
    };
    let name = |event: &Event| match event {
        Event::Service { new: Some(service), .. } => Some(service.spec.name.clone()),
        _ => None,
    };
    let made = |entry: &Entry| -> Vec<_> {
        entry.events.iter().filter_map(name).map(|name| (entry.index, name)).collect()
    };
    (entries.iter().flat_map(made).collect(), upto)
}

#[tokio::test]
async fn who_watched_the_old_leader_goes_on_at_the_new_one() {
    let cluster = Cluster::in_memory(3).await;
    let old = cluster.leader_id().await;
    for n in 10..20 {
        cluster.create(&format!("before{n}"), n).await;
    }
    let (before, seen) = made_since(&cluster.raft(old), 0);
    let named = |made: &[(u64, String)]| set(made.iter().map(|(_, name)| name));
    assert_eq!(before.len(), 11);
    cluster.stop(old).await;
    for n in 20..30 {
        cluster.create(&format!("after{n}"), n).await;
    }
    let new = cluster.leader().await;
    let (after, _) = made_since(&new, seen);
    assert_eq!(named(&after), set((20..30).map(|n| format!("after{n}"))));
    let (all, _) = made_since(&new, 0);
    assert_eq!(all, [before, after].concat(), "in the same order, by the same numbers");
    assert!(new.past().reaches_more_than(seen).await);
}

#[tokio::test]
async fn who_watches_a_manager_that_stops_is_told() {
    let cluster = Cluster::in_memory(1).await;
    let past = cluster.leader().await.past();
    let waits = tokio::spawn(async move { past.reaches_more_than(u64::MAX).await });
    cluster.stop(1).await;
    let reached = tokio::time::timeout(Duration::from_secs(60), waits).await;
    assert!(!reached.expect("it does not wait for ever").unwrap());
}
