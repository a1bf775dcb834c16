//! Snapshots and the log that they shorten.

use swarmw_model::{
    Cluster as Settings, ClusterId, ClusterSpec, DATA_PATH_PORT, Node, NodeId, NodeRole, NodeSpec,
    RaftConfig, Time, Version,
};
use swarmw_raft::{Received, Timing};
use swarmw_state::{Change, Transaction};

use crate::support::{Cluster, TIMING, eventually, set};

const OFTEN: Timing = Timing { snapshot_every: 50, keep_entries: 10, ..TIMING };

fn all(upto: u128) -> std::collections::BTreeSet<String> {
    set((10..upto).map(|n| format!("s{n}")).chain(["first".to_owned()]))
}

#[tokio::test]
async fn a_late_member_gets_a_snapshot_and_the_rest_of_the_log() {
    let cluster = Cluster::with(1, OFTEN).await;
    for n in 10..200 {
        cluster.create(&format!("s{n}"), n).await;
    }
    eventually("a snapshot is kept", || async {
        cluster.dir(1).join("snapshot").exists().then_some(())
    })
    .await;
    cluster.add(2).await;
    cluster.holds(2, &all(200)).await;
    assert!(cluster.wires.snapshots_sent() > 0, "the log alone did not reach back");
    for n in 200..220 {
        cluster.create(&format!("s{n}"), n).await;
    }
    cluster.holds(2, &all(220)).await;
}

#[tokio::test]
async fn a_member_that_was_away_for_long_starts_over_and_says_so() {
    let cluster = Cluster::with(3, OFTEN).await;
    let leader = cluster.leader_id().await;
    let late = (1..=3).find(|id| *id != leader).unwrap();
    cluster.wires.cut(late);
    let mut told = cluster.raft(late).subscribe();
    for n in 10..200 {
        cluster.create(&format!("s{n}"), n).await;
    }
    cluster.wires.mend(late);
    cluster.holds(late, &all(200)).await;
    assert!(cluster.wires.snapshots_sent() > 0);
    let mut lagged = false;
    while let Some(received) = told.try_next() {
        lagged |= matches!(received, Received::Lagged);
    }
    assert!(lagged, "changes came by snapshot, so no list of them is complete");
    // What it took in stands on its own disk.
    cluster.stop(late).await;
    cluster.start(late).await;
    cluster.holds(late, &all(200)).await;
}

#[tokio::test]
async fn the_log_is_shortened_and_a_restart_still_has_everything() {
    let cluster = Cluster::with(1, OFTEN).await;
    for round in 0..3 {
        for n in 10 + round * 60..70 + round * 60 {
            cluster.create(&format!("s{n}"), n).await;
        }
        cluster.stop(1).await;
        cluster.start(1).await;
        cluster.leader().await;
        cluster.holds(1, &all(70 + round * 60)).await;
    }
}

/// Founds a cluster that takes a snapshot so often.
fn founding(snapshot_interval: u64) -> Transaction {
    let raft = RaftConfig { snapshot_interval, ..RaftConfig::default() };
    let cluster = Settings {
        id: ClusterId::from_bits(1),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: ClusterSpec { raft, ..ClusterSpec::default() },
        root_ca: Default::default(),
        join_tokens: Default::default(),
        removed_nodes: Default::default(),
        feature_level: 1,
        address_pools: Default::default(),
        data_path_port: DATA_PATH_PORT,
    };
    let node = Node {
        id: NodeId::from_bits(1),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec { role: NodeRole::Manager, ..NodeSpec::default() },
        description: Default::default(),
        status: Default::default(),
        role: NodeRole::Manager,
        member: None,
        number: 0,
    };
    let (cluster, node) = (Box::new(cluster), Box::new(node));
    let change = Change::InitCluster { cluster, node, plugins: Vec::new() };
    Transaction { at: Time::ZERO, request: None, changes: vec![change] }
}

#[tokio::test]
async fn the_clusters_settings_say_how_often_a_snapshot_is_taken() {
    for (interval, taken) in [(1_000, false), (20, true)] {
        let cluster = Cluster::with(1, OFTEN).await;
        cluster.raft(1).propose(founding(interval)).await.expect("written");
        let before = cluster.dir(1).join("snapshot").exists();
        assert!(!before, "too early");
        for n in 10..80 {
            cluster.create(&format!("s{n}"), n).await;
        }
        let exists = || async { cluster.dir(1).join("snapshot").exists().then_some(()) };
        match taken {
            true => eventually("a snapshot is kept", exists).await,
            false => assert!(exists().await.is_none(), "{interval} entries are not reached"),
        }
    }
}
