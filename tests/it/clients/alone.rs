//! Clients that found a swarm, go through everything it has, and leave it: one machine each.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{PYTHON, client, import, must, programs, require_clients, walks};
use crate::docker::take_turn;
use crate::support::{Cluster, Node, Output, RootFs, eventually};

/// A Python with python-on-whales, which Debian does not have; `cargo xtask test` makes one.
const WHALES: &str = "SWARMW_TEST_WHALES";

#[test]
fn clients_of_others_found_a_swarm_use_all_of_it_and_leave() {
    let _turn = take_turn();
    require_clients();
    let cluster = Cluster::of_machines(3, 0);
    let rootfs = RootFs::pack(cluster.folder(), &[]);
    cluster.machines.iter().for_each(|machine| import(&rootfs, machine));
    std::thread::scope(|scope| {
        scope.spawn(|| walks_as_with_docker(&cluster, "docker_py.py", 0));
        scope.spawn(|| {
            plays_twice(&cluster, 1);
            composes(&cluster, 1);
            whales(&cluster, 1);
        });
    });
}

/// A program goes through a node's swarm and through one of Docker's own, of the last machine's
/// engine, and is told the same.
fn walks_as_with_docker(cluster: &Cluster, program: &str, index: usize) {
    let (ours, dockers) = (cluster.folder().join("ours"), cluster.folder().join("dockers"));
    let node = &cluster.nodes[index];
    let machine = cluster.machines.last().expect("a machine");
    std::thread::scope(|scope| {
        let with_docker = || {
            let address = machine.ip.to_string();
            walks(client(program, &machine.socket(), &[&address]), &dockers);
        };
        scope.spawn(with_docker);
        walks(client(program, &node.socket(), &[&node.ip.to_string()]), &ours);
    });
    let compared = Command::new(PYTHON)
        .arg(programs().join("compare.py"))
        .args([&ours, &dockers, &programs().join("differences.txt")])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python starts");
    let compared = Output::of(&compared);
    assert_eq!(compared.code, 0, "{program} was told otherwise: {compared}");
}

/// Ansible makes everything, finds nothing to change the second time, and takes it away.
fn plays_twice(cluster: &Cluster, index: usize) {
    let node = &cluster.nodes[index];
    let folder = cluster.folder().join("ansible");
    let recap = |playbook: &str| {
        let said = must(&mut play(node, &folder, playbook), node);
        let recap = said.lines().rfind(|line| line.contains("changed=")).unwrap_or_default();
        let changed = recap.split_whitespace().find_map(|word| word.strip_prefix("changed="));
        (changed.and_then(|n| n.parse::<usize>().ok()), said)
    };
    let (first, said) = recap("playbook.yml");
    assert_eq!(first, Some(7), "a swarm and what is in it: {said}");
    // What asks for tasks' containers takes for granted that each has one.
    eventually("its tasks run", || {
        let tasks = node.json("/tasks")?;
        let runs = |task: &Value| task["Status"]["State"] == "running";
        let all = tasks.as_array().is_some_and(|tasks| tasks.iter().all(runs));
        if all { Ok(()) } else { Err(tasks.to_string()) }
    });
    let (again, said) = recap("playbook.yml");
    assert_eq!(again, Some(0), "all is as it should be: {said}");
    let (gone, said) = recap("teardown.yml");
    assert_eq!(gone, Some(6), "all of it goes: {said}");
}

fn play(node: &Node, folder: &Path, playbook: &str) -> Command {
    let mut command = Command::new("/usr/bin/ansible-playbook");
    command
        .args(["-e", &format!("address={}", node.ip)])
        .args(["-e", &format!("ansible_python_interpreter={PYTHON}")])
        .arg(programs().join(playbook))
        .env("DOCKER_HOST", format!("unix://{}", node.socket().display()))
        // Its modules and what they keep stay with the test.
        .env("ANSIBLE_HOME", folder)
        .env("ANSIBLE_LOCAL_TEMP", folder.join("tmp"))
        .env("ANSIBLE_REMOTE_TEMP", folder.join("tmp"))
        .env("ANSIBLE_NOCOLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_LOCALHOST_WARNING", "False")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    command
}

/// docker-compose's containers join the swarm's network, and go again.
fn composes(cluster: &Cluster, index: usize) {
    let node = &cluster.nodes[index];
    let address = node.ip.to_string();
    let said = must(&mut client("compose.py", &node.socket(), &[&address]), node);
    for line in [
        "exec\t\"built here\\n\"",
        "networks\t[\"back\", \"site_front\"]",
        "scaled\t[\"site_asks_1\", \"site_asks_2\", \"site_web_1\"]",
        "left\t[]",
        "left too\t[]",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in\n{said}");
    }
}

/// python-on-whales, where it is installed: it is not among Debian's packages.
fn whales(cluster: &Cluster, index: usize) {
    let node = &cluster.nodes[index];
    let Some(python) = std::env::var_os(WHALES) else {
        // `cargo xtask test` says so, too.
        eprintln!("python-on-whales is not run: {WHALES} names no Python that has it");
        return;
    };
    let mut command = Command::new(python);
    command
        .arg(programs().join("whales.py"))
        .arg(node.ip.to_string())
        .env("DOCKER_HOST", format!("unix://{}", node.socket().display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    let said = must(&mut command, node);
    for line in ["image\t\"web:2\"", "stacks\t[\"demo\"]", "left\t\"inactive\""] {
        assert!(said.lines().any(|said| said == line), "{line} in\n{said}");
    }
}
