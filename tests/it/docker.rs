//! Images on real Docker engines, each engine on a machine of its own.

mod anywhere;
mod compose;
mod datagrams;
mod hijacked;
mod jobs;
mod life;
mod registry;
mod secrets;
mod socket;
mod spec;
mod stack;
mod tutorial;
mod tutorials;
mod volumes;
mod walk;

use std::sync::{Condvar, Mutex, PoisonError};

use serde_json::Value;

use crate::support::{Cluster, Node, RootFs, eventually};

/// Engines are heavy, and their tests wait half of their time: so many of them run at a time.
const TURNS: usize = 2;

/// Tests that have a turn.
static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// A test's turn; it ends with the test.
pub struct Turn(());

/// Waits until few enough tests have engines.
pub fn take_turn() -> Turn {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = GIVEN_BACK.wait_while(taken, |taken| *taken == TURNS);
    *free.unwrap_or_else(PoisonError::into_inner) += 1;
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

/// Makes images on every engine of the cluster.
pub fn import_everywhere(cluster: &Cluster, images: &[(&str, &[&str])]) {
    import_everywhere_with(cluster, images, &[]);
}

/// Makes images with further programs of the machine on every engine of the cluster.
pub fn import_everywhere_with(
    cluster: &Cluster,
    images: &[(&str, &[&str])],
    programs: &[&'static str],
) {
    let rootfs = RootFs::pack(cluster.folder(), programs);
    std::thread::scope(|scope| {
        for machine in cluster.machines.iter().filter(|m| m.socket().exists()) {
            let rootfs = &rootfs;
            scope.spawn(move || {
                images.iter().for_each(|(name, changes)| rootfs.import(machine, name, changes));
            });
        }
    });
}

/// All tasks of a service, as the API has them.
fn tasks(node: &Node, service: &str) -> Result<Vec<Value>, String> {
    let filters = format!(r#"{{"service":["{service}"]}}"#);
    let encoded: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let tasks = node.json(&format!("/tasks?filters={encoded}"))?;
    Ok(tasks.as_array().cloned().unwrap_or_default())
}

/// Waits until exactly this many tasks of a service run and should; them.
#[track_caller]
pub fn running(node: &Node, service: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} tasks of {service} run"), || {
        let wanted = tasks(node, service)?.into_iter().filter(|t| t["DesiredState"] == "running");
        let wanted: Vec<_> = wanted.collect();
        match wanted.iter().filter(|t| t["Status"]["State"] == "running").count() {
            n if n == count && wanted.len() == count => Ok(wanted),
            n => Err(format!(
                "{n} run: {}",
                node.try_swarmw(&["service", "ps", "--no-trunc", service])
            )),
        }
    })
}

/// Waits for a task of a service in this state; it.
#[track_caller]
fn task_in(node: &Node, service: &str, state: &str) -> Value {
    eventually(&format!("a task of {service} is {state}"), || {
        let all = tasks(node, service)?;
        let found = all.iter().find(|t| t["Status"]["State"] == state).cloned();
        found.ok_or_else(|| node.try_swarmw(&["service", "ps", "--no-trunc", service]).to_string())
    })
}

/// The id of a task's container.
pub fn container(task: &Value) -> String {
    let id = &task["Status"]["ContainerStatus"]["ContainerID"];
    id.as_str().unwrap_or_else(|| panic!("no container: {task}")).to_owned()
}

/// The index of a task's node in the cluster.
pub fn node_of(cluster: &Cluster, task: &Value) -> usize {
    let id = task["NodeID"].as_str().expect("a placed task");
    let name =
        cluster.nodes[0].json(&format!("/nodes/{id}")).expect("a node")["Description"]["Hostname"]
            .clone();
    let index = cluster.nodes.iter().position(|n| name == n.name.as_str());
    index.unwrap_or_else(|| panic!("no node {name}"))
}
