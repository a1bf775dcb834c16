//! `kill -9` at random moments: what was acknowledged is there, and what runs is
//! adopted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Cluster, Node, eventually, request};

const HELLO: &[u8] = include_bytes!(env!("SWARMW_HELLO_HTTP"));

/// Creates services one after the other by whichever daemon answers. A name is
/// written to `acknowledged` once a daemon has said that it is there.
fn create_services(
    sockets: &[PathBuf],
    round: usize,
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let name = format!("s{round}-{n}");
        let spec = format!(
            r#"{{"Name":"{name}","TaskTemplate":{{"ContainerSpec":{{"Image":"app:1"}}}},
                "Mode":{{"Replicated":{{"Replicas":0}}}}}}"#
        );
        for socket in sockets.iter().cycle().skip(n) {
            if stop.load(Ordering::Relaxed) {
                return acknowledged;
            }
            match request(socket, "POST", "/services/create", &spec) {
                // An earlier try that broke off was carried out.
                Ok((201 | 409, _)) => break,
                Ok((status, body)) => assert!(status >= 500, "{name}: {status} {body}"),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
        acknowledged.push(name);
        count.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!("counts on")
}

fn services(node: &Node) -> Result<BTreeSet<String>, String> {
    let all = node.json("/services")?;
    let names: Vec<_> = all
        .as_array()
        .ok_or("not a list")?
        .iter()
        .map(|s| s["Spec"]["Name"].as_str().unwrap_or_default().to_owned())
        .collect();
    let set: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "a service is there twice: {names:?}");
    Ok(set)
}

/// Ends a daemon in each round while a client writes, and starts it again.
fn survives(managers: usize, rounds: usize, end: impl Fn(&mut Node)) {
    let mut cluster = Cluster::of(managers, 0);
    let sockets: Vec<_> = cluster.nodes.iter().map(Node::socket).collect();
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let written = thread::scope(|scope| {
            let client = scope.spawn(|| create_services(&sockets, round, &stop, &count));
            // At a moment that is another one in each round.
            eventually("the client writes", || {
                let done = count.load(Ordering::Relaxed);
                if done > 3 + round * 7 { Ok(()) } else { Err(done) }
            });
            thread::sleep(Duration::from_micros(u64::from(std::process::id()) * 997 % 20_000));
            let victim = round % managers;
            end(&mut cluster.nodes[victim]);
            if managers == 1 {
                stop.store(true, Ordering::Relaxed);
            }
            let before = count.load(Ordering::Relaxed);
            if managers > 1 {
                eventually("the others go on", || {
                    let done = count.load(Ordering::Relaxed);
                    if done > before + 3 { Ok(()) } else { Err(done) }
                });
            }
            cluster.nodes[victim].start();
            stop.store(true, Ordering::Relaxed);
            client.join().expect("no write was refused")
        });
        acknowledged.extend(written);
        for node in &cluster.nodes {
            eventually("every acknowledged service is there", || {
                let there = services(node)?;
                let missing: Vec<_> = acknowledged.difference(&there).cloned().collect();
                if missing.is_empty() { Ok(()) } else { Err(format!("missing {missing:?}")) }
            });
        }
    }
    assert!(acknowledged.len() > rounds * 3, "{} services", acknowledged.len());
}

#[test]
fn every_service_acknowledged_by_one_manager_survives_its_kills() {
    survives(1, 5, Node::kill);
}

#[test]
fn every_service_acknowledged_by_three_managers_survives_kills_of_each() {
    survives(3, 3, Node::kill);
}

#[test]
fn every_service_acknowledged_survives_a_sigterm_in_the_middle_of_a_storm() {
    survives(3, 2, |node| assert_eq!(node.stop(), 0, "an orderly end"));
}

#[test]
fn a_killed_worker_adopts_its_tasks_again_and_again() {
    let mut cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO);
    cluster.nodes[0].run(format!(
        "service create --detach --name web --replicas 3 \
         --constraint node.role==worker {}",
        hello.display()
    ));
    let running = |cluster: &Cluster| {
        eventually("three tasks run", || {
            let tasks = cluster.nodes[0].json("/tasks")?;
            let mut running: Vec<_> = tasks
                .as_array()
                .into_iter()
                .flatten()
                .filter(|t| t["Status"]["State"] == "running" && t["DesiredState"] == "running")
                .map(|t| {
                    let pid = t["Status"]["ContainerStatus"]["PID"].as_i64().unwrap_or_default();
                    (t["ID"].as_str().unwrap_or_default().to_owned(), pid)
                })
                .collect();
            running.sort();
            if running.len() == 3 { Ok(running) } else { Err(tasks.to_string()) }
        })
    };
    let before = running(&cluster);
    for _ in 0..3 {
        cluster.nodes[1].kill();
        cluster.nodes[1].start();
        cluster.wait_ready(2);
    }
    assert_eq!(running(&cluster), before);
    for (id, pid) in before {
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "task {id}: {pid}");
    }
}
