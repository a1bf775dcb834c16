//! Random faults, and what holds whatever happens.

use std::collections::BTreeMap;

use swarmw_model::{Availability, ServiceId, ServiceMode};
use swarmw_sim::{Cluster, Node, Settings, replicated};

use crate::support::{secs, settings};

/// Faults and wishes in one run.
const STEPS: usize = 40;
/// The longest time between two.
const PAUSE_MAX: u64 = 20;

/// What the cluster has acknowledged.
struct Wishes {
    services: BTreeMap<String, (ServiceId, u64)>,
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_acknowledged_writes_stay_and_each_slot_runs_once() {
    let seeds = match std::env::var("SWARMW_SEED") {
        Ok(seed) => vec![seed.parse().expect("SWARMW_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    };
    for seed in seeds {
        println!("SWARMW_SEED={seed}");
        trouble(seed).await;
    }
}

async fn trouble(seed: u64) {
    let cluster = Cluster::new(Settings { seed, workers: 3, ..settings() }).await;
    let mut wishes = Wishes { services: BTreeMap::new() };
    for step in 0..STEPS {
        fault(&cluster).await;
        if step % 2 == 0 {
            wish(&cluster, &mut wishes, step).await;
        }
        cluster.check();
        cluster.run(secs(cluster.random(PAUSE_MAX))).await;
    }
    cluster.heal().await;
    for node in ["n4", "n5", "n6"] {
        cluster.update_node(node, |spec| spec.availability = Availability::Active).await;
    }
    cluster.settle().await;
    let state = cluster.fresh().await;
    for (name, (id, replicas)) in &wishes.services {
        let service = state.service(*id).unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(service.spec.replicas(), Some(*replicas), "{name}");
    }
    assert_eq!(state.services().count(), wishes.services.len());
}

/// Breaks or mends one thing; a majority of managers is always there.
async fn fault(cluster: &Cluster) {
    let nodes: Vec<_> = cluster.nodes().cloned().collect();
    let node = &nodes[cluster.random(nodes.len() as u64) as usize];
    let other = &nodes[cluster.random(nodes.len() as u64) as usize];
    let is_manager = |node: &Node| ["n1", "n2", "n3"].contains(&&*node.name);
    let lost = nodes.iter().filter(|n| is_manager(n) && !n.is_up()).count();
    match cluster.random(8) {
        0 if !is_manager(node) || lost == 0 => node.kill(),
        1 if !is_manager(node) || lost == 0 => node.crash(),
        2 => cluster.network.cut(node.host, other.host),
        3 => cluster.network.cut_one_way(node.host, other.host),
        4 => {
            let delay = std::time::Duration::from_millis(cluster.random(400));
            cluster.network.slow(node.host, other.host, delay);
        }
        5 => cluster.network.mend_all(),
        _ => {
            // Mended first: a daemon that starts may ask anybody.
            cluster.network.mend_all();
            for node in nodes.iter().filter(|n| !n.is_up()) {
                cluster.start(&node.name).await;
            }
        }
    }
}

/// Wants something else, with the network whole: what is asked for is then done.
async fn wish(cluster: &Cluster, wishes: &mut Wishes, step: usize) {
    cluster.network.mend_all();
    let known: Vec<_> = wishes.services.keys().cloned().collect();
    match cluster.random(4) {
        0 | 1 if known.len() < 4 => {
            let (name, replicas) = (format!("s{step}"), 1 + cluster.random(4));
            let id = cluster.create(replicated(&name, "app:1", replicas)).await;
            wishes.services.insert(name, (id, replicas));
        }
        2 => {
            let worker = format!("n{}", 4 + cluster.random(3));
            let drain = cluster.random(2) == 0;
            cluster
                .update_node(&worker, |spec| {
                    spec.availability =
                        if drain { Availability::Drain } else { Availability::Active };
                })
                .await;
        }
        _ if !known.is_empty() => {
            let name = &known[cluster.random(known.len() as u64) as usize];
            let replicas = cluster.random(5);
            let (id, wanted) = wishes.services.get_mut(name).expect("known");
            cluster
                .update(*id, |spec| {
                    if let ServiceMode::Replicated(mode) = &mut spec.mode {
                        mode.replicas = Some(replicas);
                    }
                })
                .await;
            *wanted = replicas;
        }
        _ => {}
    }
}
