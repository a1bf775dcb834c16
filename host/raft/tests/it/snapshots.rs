//! Snapshots and the log that they shorten.

use swarmw_raft::{Received, Timing};

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
