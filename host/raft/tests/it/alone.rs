//! A manager that goes on when the others are gone for good.

use std::ops::RangeInclusive;

use swarmw_model::{
    Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeStatus, RaftMember, Time, Version,
};
use swarmw_raft::{Raft, Timing};
use swarmw_state::{Change, Transaction};

use crate::support::{Cluster, TIMING, address, create, eventually, set};

/// The seat's holder.
fn node(raft_id: u64) -> NodeId {
    NodeId::from_bits(u128::from(raft_id))
}

fn member(raft_id: u64) -> RaftMember {
    RaftMember { raft_id, addr: address(raft_id) }
}

/// Three managers that hold their seats in the state too.
async fn seated(timing: Timing) -> Cluster {
    let cluster = Cluster::with(3, timing).await;
    sit(&cluster, 1..=3).await;
    eventually("all managers know of the seats", || async {
        (1..=3).all(|id| seats(&cluster.raft(id)) == [1, 2, 3]).then_some(())
    })
    .await;
    cluster
}

/// Gives members of Raft their seats in the state. A majority has them then.
async fn sit(cluster: &Cluster, raft_ids: RangeInclusive<u64>) {
    let seats = raft_ids.map(|id| {
        Change::AddNode(Box::new(Node {
            id: node(id),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: NodeSpec { role: NodeRole::Manager, ..NodeSpec::default() },
            description: NodeDescription::default(),
            status: NodeStatus::default(),
            role: NodeRole::Manager,
            member: Some(member(id)),
            number: 0,
        }))
    });
    let seats = Transaction { at: Time::from_nanos(1), request: None, changes: seats.collect() };
    eventually("the seats are taken", || async {
        cluster.leader().await.propose(seats.clone()).await.ok()
    })
    .await;
}

fn keep(raft_id: u64) -> Transaction {
    // It is not long since 1970, and longer than there are seats here.
    Transaction::alone(Time::from_nanos(1_000_000_000), node(raft_id), member(raft_id))
}

fn seats(raft: &Raft) -> Vec<u64> {
    let state = raft.state();
    let mut seats: Vec<_> =
        state.nodes().filter_map(|n| Some(n.member.as_ref()?.raft_id)).collect();
    seats.sort_unstable();
    seats
}

async fn goes_on_alone(timing: Timing, services: u128) {
    let cluster = seated(timing).await;
    let mut want = set(["first"]);
    for n in 10..10 + services {
        cluster.create(&format!("s{n}"), n).await;
        want.insert(format!("s{n}"));
    }
    cluster.holds(2, &want).await;
    for id in 1..=3 {
        cluster.stop(id).await;
    }

    let alone = cluster.start_alone(2, keep(2)).await;

    cluster.leader().await;
    assert_eq!(alone.member_ids(), [2]);
    cluster.create("after", 7).await;
    want.insert("after".to_owned());
    cluster.holds(2, &want).await;
    assert_eq!(seats(&alone), [2]);

    // It is what the files say, not only this process.
    cluster.stop(2).await;
    cluster.start(2).await;
    cluster.leader().await;
    cluster.holds(2, &want).await;
    assert_eq!(cluster.raft(2).member_ids(), [2]);
}

#[tokio::test]
async fn one_of_three_goes_on_with_everything_it_had() {
    goes_on_alone(TIMING, 5).await;
}

#[tokio::test]
async fn one_of_three_goes_on_from_a_snapshot() {
    goes_on_alone(Timing { snapshot_every: 20, keep_entries: 5, ..TIMING }, 60).await;
}

#[tokio::test]
async fn a_majority_that_lost_its_seats_changes_nothing_any_more() {
    let cluster = seated(TIMING).await;
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    let alone = cluster.start_alone(2, keep(2)).await;
    cluster.leader().await;
    cluster.create("after", 7).await;

    // They have not heard of it, and are two of the three that they know.
    cluster.start(1).await;
    cluster.start(3).await;
    let old = eventually("one of the others leads them", || async {
        [1, 3].into_iter().find(|id| cluster.raft(*id).role().leading)
    })
    .await;
    cluster.raft(old).propose(create("elsewhere", 9)).await.expect("they are a majority");
    eventually("it has no answer from the one that went on alone", || async {
        let silent = |m: swarmw_raft::Member| m.raft_id == 2 && !m.reachable;
        cluster.raft(old).members().into_iter().any(silent).then_some(())
    })
    .await;

    assert!(alone.role().leading);
    alone.propose(create("later", 8)).await.expect("it leads still");
    cluster.holds(2, &set(["first", "after", "later"])).await;
}

#[tokio::test]
async fn seats_that_it_never_heard_of_change_nothing_either() {
    let cluster = seated(TIMING).await;
    cluster.holds(2, &set(["first"])).await;
    cluster.stop(2).await;
    for id in 4..=7 {
        cluster.add(id).await;
    }
    sit(&cluster, 4..=7).await;
    for id in cluster.running() {
        cluster.stop(id).await;
    }
    let alone = cluster.start_alone(2, keep(2)).await;
    cluster.leader().await;
    cluster.create("after", 7).await;

    // Four of seven, and each of them has a seat that it knows nothing of.
    for id in 4..=7 {
        cluster.start(id).await;
    }
    let old = eventually("one of the others leads them", || async {
        (4..=7).find(|id| cluster.raft(*id).role().leading)
    })
    .await;
    cluster.raft(old).propose(create("elsewhere", 9)).await.expect("they are a majority");
    eventually("it has no answer from the one that went on alone", || async {
        let silent = |m: swarmw_raft::Member| m.raft_id == 2 && !m.reachable;
        cluster.raft(old).members().into_iter().any(silent).then_some(())
    })
    .await;

    assert!(alone.role().leading);
    alone.propose(create("later", 8)).await.expect("it leads still");
    cluster.holds(2, &set(["first", "after", "later"])).await;
    assert!(alone.state().next_raft_id() > 7, "none of them is given again");
}
