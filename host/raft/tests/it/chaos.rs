//! Random kills, restarts and partitions under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use swarmw_raft::Timing;

use crate::support::{Cluster, TIMING, create, created, names, set};

const MANAGERS: u64 = 3;
const CLIENTS: u128 = 4;
const EVENTS: usize = 14;

/// A client that writes one service after the other, each under a name of its own,
/// and asks again until it is answered. Says what was acknowledged.
async fn client(cluster: Arc<Cluster>, own: u128, done: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let (name, request) = (format!("c{own}-{n}"), own * 1_000_000 + n);
        loop {
            if done.load(Ordering::Relaxed) {
                return acknowledged;
            }
            let leader = cluster.leader().await;
            let answer = leader.propose(create(&name, request));
            // Like a client whose connection broke: it does not know, and asks again.
            if let Ok(Ok(outcomes)) = tokio::time::timeout(Duration::from_secs(2), answer).await {
                assert_eq!(outcomes, created(request), "{name} was applied twice");
                acknowledged.push(name);
                break;
            }
        }
    }
    unreachable!("counts on")
}

async fn survives(seed: u64) {
    let timing = Timing { snapshot_every: 150, keep_entries: 20, ..TIMING };
    let cluster = Arc::new(Cluster::with(MANAGERS, timing).await);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (1..=CLIENTS).map(|own| tokio::spawn(client(cluster.clone(), own, done.clone()))).collect();

    let mut random = StdRng::seed_from_u64(seed);
    let pauses = AtomicU64::new(0);
    for _ in 0..EVENTS {
        let victim = random.random_range(1..=MANAGERS);
        let pause = Duration::from_millis(random.random_range(50..600));
        pauses.fetch_add(1, Ordering::Relaxed);
        match random.random_range(0..4) {
            0 => {
                cluster.wires.cut(victim);
                tokio::time::sleep(pause).await;
                cluster.wires.mend(victim);
            }
            1 => {
                for id in 1..=MANAGERS {
                    cluster.stop(id).await;
                }
                for id in 1..=MANAGERS {
                    cluster.start(id).await;
                }
                tokio::time::sleep(pause).await;
            }
            _ => {
                cluster.stop(victim).await;
                tokio::time::sleep(pause).await;
                cluster.start(victim).await;
                tokio::time::sleep(pause).await;
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    let mut acknowledged = set(["first"]);
    for client in clients {
        acknowledged.extend(client.await.expect("no write was applied twice"));
    }
    assert!(acknowledged.len() > 20, "only {} writes in all", acknowledged.len());

    cluster.create("last", 99).await;
    let want = names(&cluster.leader().await.state());
    let missing: Vec<_> = acknowledged.difference(&want).collect();
    assert!(missing.is_empty(), "seed {seed}: acknowledged and lost: {missing:?}");
    assert!(want.len() <= acknowledged.len() + 1 + CLIENTS as usize, "writes nobody made");
    for id in 1..=MANAGERS {
        cluster.holds(id, &want).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_kills_and_partitions_exactly_once() {
    survives(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_with_another_schedule() {
    survives(2).await;
}
