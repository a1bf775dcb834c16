//! The main job: a real cluster places real work by Wasm policies.

use serde_json::Value;

use crate::support::{Cluster, Node, eventually};

/// An HTTP service: answers `hello from NAME, version VERSION, at PATH`.
pub const HELLO: &[u8] = include_bytes!(env!("SWARMW_HELLO_HTTP"));
/// A command: prints lines, sleeps, exits with a code.
const COMMAND: &[u8] = include_bytes!(env!("SWARMW_HELLO_CLI"));
/// A placement preference called `pack`.
const PACK: &[u8] = include_bytes!(env!("SWARMW_PACK"));

/// Tasks of a service that should run, as the API has them.
fn live(node: &Node, service: &str) -> Result<Vec<Value>, String> {
    let filters = format!(r#"{{"service":["{service}"],"desired-state":["running"]}}"#);
    let encoded: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let tasks = node.json(&format!("/tasks?filters={encoded}"))?;
    let all = tasks.as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|task| task["Status"]["State"] == "running").collect())
}

/// Waits until this many tasks of a service run; them.
pub fn running(node: &Node, service: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} tasks of {service} run"), || {
        let tasks = live(node, service)?;
        match tasks.len() == count {
            true => Ok(tasks),
            false => Err(format!(
                "{} run: {}",
                tasks.len(),
                node.try_swarmw(&["service", "ps", "--no-trunc", service])
            )),
        }
    })
}

fn node_ids(tasks: &[Value]) -> Vec<String> {
    let text = |t: &Value| t["NodeID"].as_str().unwrap_or_default().to_owned();
    let mut ids: Vec<_> = tasks.iter().map(text).collect();
    ids.sort();
    ids
}

fn pids(tasks: &[Value]) -> Vec<i64> {
    let pid = |t: &Value| t["Status"]["ContainerStatus"]["PID"].as_i64().unwrap_or_default();
    let mut pids: Vec<_> = tasks.iter().map(pid).collect();
    pids.sort_unstable();
    pids
}

#[test]
fn a_service_runs_where_its_constraint_says_and_answers_on_every_node() {
    let cluster = Cluster::of(1, 2);
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.swarmw(&["node", "update", "--label-add", "region=east", "n3"]);

    let created = first.run(format!(
        "service create --quiet --name web --replicas 3 \
         --constraint node.labels.region==east --publish 8080:80 \
         --env VERSION=1 {}",
        hello.display()
    ));

    assert_eq!(created.trim().len(), 25, "an id: {created:?}");
    let tasks = running(first, "web", 3);
    let east = first.json("/nodes/n3").expect("a node")["ID"].clone();
    assert!(node_ids(&tasks).iter().all(|id| *id == east), "{tasks:?}");
    for node in &cluster.nodes {
        let answer = eventually("the port answers", || node.get(8080, "/"));
        assert!(answer.contains("version 1"), "{answer}");
    }
    let listed = first.swarmw(&["service", "ls", "--format", "{{.Name}} {{.Replicas}} {{.Ports}}"]);
    assert_eq!(listed.trim(), "web 3/3 *:8080->80/tcp");

    first.swarmw(&["service", "rm", "web"]);
    eventually("no task is left", || match first.json("/tasks")? {
        Value::Array(tasks) if tasks.is_empty() => Ok(()),
        tasks => Err(tasks.to_string()),
    });
}

#[test]
fn a_bad_constraint_is_refused_at_create_in_swarms_words() {
    let cluster = Cluster::of(1, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let create = |constraint: &str| {
        let hello = hello.to_string_lossy();
        cluster.nodes[0].try_run(format!(
            "service create --detach --name bad --constraint {constraint} {hello}"
        ))
    };

    let refused = create("node.labels.region");
    assert_eq!(refused.code, 1, "{refused}");
    assert!(
        refused.stderr.starts_with(
            "Error response from daemon: rpc error: code = Unknown desc = \
             constraint expected one operator from ==, !="
        ),
        "{refused}"
    );
    let unknown = create("node.flavour==x");
    assert_eq!(unknown.code, 1, "{unknown}");
    assert!(unknown.stderr.contains("node.hostname"), "names the keys that exist: {unknown}");
    let none = cluster.nodes[0].json("/services").expect("a list");
    assert_eq!(none, Value::Array(Vec::new()), "nothing was written");
}

#[test]
fn a_command_runs_prints_and_is_replaced_when_it_fails() {
    let cluster = Cluster::of(1, 0);
    let command = cluster.file("command.wasm", COMMAND);
    let node = &cluster.nodes[0];
    node.run(format!(
        "service create --detach --name job --restart-delay 100ms \
         --restart-max-attempts 2 {} 1 0 1",
        command.display()
    ));

    let failed = eventually("all attempts fail", || {
        let tasks = node.json("/tasks")?;
        let all = tasks.as_array().cloned().unwrap_or_default();
        let failed: Vec<_> =
            all.iter().filter(|t| t["Status"]["State"] == "failed").cloned().collect();
        if failed.len() == 3 && all.len() == 3 { Ok(failed) } else { Err(tasks.to_string()) }
    });
    for task in failed {
        assert_eq!(task["Status"]["Err"], "task: non-zero exit (1)", "{task}");
    }
}

#[test]
fn a_killed_task_is_replaced_and_history_keeps_it() {
    let cluster = Cluster::of(1, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let node = &cluster.nodes[0];
    node.run(format!("service create --detach --name web --restart-delay 0s {}", hello.display()));
    let before = running(node, "web", 1);

    let pid = pids(&before)[0].to_string();
    assert!(
        std::process::Command::new("kill").args(["-9", &pid]).status().is_ok_and(|s| s.success())
    );

    eventually("another task runs", || {
        let now = live(node, "web")?;
        let other = now.len() == 1 && now[0]["ID"] != before[0]["ID"];
        if other { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let history = node.swarmw(&["service", "ps", "--no-trunc", "web"]);
    assert!(history.contains(r" \_ web.1"), "{history}");
    assert!(history.contains("task: non-zero exit (137)"), "{history}");
}

#[test]
fn the_process_that_tasks_are_forked_from_may_die() {
    let cluster = Cluster::of(1, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let node = &cluster.nodes[0];
    node.run(format!("service create --detach --name web --replicas 2 {}", hello.display()));
    let before = pids(&running(node, "web", 2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", before[0])).expect("alive");
    let parent = status.lines().find_map(|l| l.strip_prefix("PPid:")).expect("a parent").trim();

    let kill = std::process::Command::new("kill").args(["-9", parent]).status();
    assert!(kill.is_ok_and(|s| s.success()));
    node.run("service scale --detach web=4");

    let after = pids(&running(node, "web", 4));
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?}, then {after:?}");
}

#[test]
fn a_restarted_daemon_adopts_its_tasks_and_makes_no_new_ones() {
    let mut cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO);
    cluster.nodes[0].run(format!(
        "service create --detach --name web --replicas 4 --publish 8080:80 {}",
        hello.display()
    ));
    let before = running(&cluster.nodes[0], "web", 4);

    // In order, then as a power cut would end the daemons alone.
    assert_eq!(cluster.nodes[1].stop(), 0);
    cluster.nodes[1].start();
    cluster.wait_ready(2);
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.wait_ready(2);

    let after = running(&cluster.nodes[0], "web", 4);
    assert_eq!(pids(&before), pids(&after), "the same processes");
    let all = cluster.nodes[0].json("/tasks").expect("a list");
    assert_eq!(all.as_array().map(Vec::len), Some(4), "{all}");
    eventually("the port answers", || cluster.nodes[1].get(8080, "/"));
}

#[test]
fn three_managers_survive_the_leaders_death_and_take_it_back() {
    let mut cluster = Cluster::of(3, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let hello = hello.to_string_lossy();
    cluster.nodes[1].swarmw(&["service", "create", "--detach", "--name", "before", &hello]);
    running(&cluster.nodes[2], "before", 1);
    let leader = leader(&cluster);
    let others: Vec<_> = (0..3).filter(|n| *n != leader).collect();

    cluster.nodes[leader].kill();
    for (number, other) in others.iter().enumerate() {
        let name = format!("after{number}");
        cluster.nodes[*other].swarmw(&["service", "create", "--detach", "--name", &name, &hello]);
    }
    cluster.nodes[leader].start();

    let names = eventually("the old leader answers with everything", || {
        let services = cluster.nodes[leader].json("/services")?;
        let all = services.as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = all.iter().map(|s| s["Spec"]["Name"].to_string()).collect();
        names.sort();
        if names.len() == 3 { Ok(names) } else { Err(services.to_string()) }
    });
    assert_eq!(names, ["\"after0\"", "\"after1\"", "\"before\""]);
    eventually("all managers are reachable", || {
        let listed = cluster.nodes[leader].swarmw(&[
            "node",
            "ls",
            "--format",
            "{{.Hostname}} {{.Status}} {{.ManagerStatus}}",
        ]);
        let good = listed
            .lines()
            .filter(|l| l.ends_with("Ready Leader") || l.ends_with("Ready Reachable"));
        if good.count() == 3 { Ok(()) } else { Err(listed) }
    });
}

#[test]
fn tasks_of_a_dead_node_run_elsewhere_and_a_returning_node_gets_nothing() {
    let mut cluster = Cluster::of(1, 2);
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.swarmw(&["swarm", "update", "--dispatcher-heartbeat", "500ms"]);
    first.swarmw(&["node", "update", "--availability", "drain", "n1"]);
    first.run(format!(
        "service create --detach --name web --replicas 4 --restart-delay 0s {}",
        hello.display()
    ));
    running(first, "web", 4);

    cluster.nodes[2].power_off();
    let survivor = cluster.nodes[0].json("/nodes/n2").expect("a node")["ID"].clone();
    eventually("all tasks run on the node that is left", || {
        let tasks = live(&cluster.nodes[0], "web")?;
        let there = tasks.iter().filter(|t| t["NodeID"] == survivor).count();
        if there == 4 { Ok(()) } else { Err(format!("{there} on n2")) }
    });
    let down = cluster.nodes[0].json("/nodes/n3").expect("a node");
    assert_eq!(down["Status"]["State"], "down", "{down}");

    cluster.nodes[2].start();
    cluster.wait_ready(3);
    let tasks = running(&cluster.nodes[0], "web", 4);
    assert!(node_ids(&tasks).iter().all(|id| *id == survivor), "nothing moved back: {tasks:?}");
}

#[test]
fn pause_keeps_drain_empties_and_active_takes_again() {
    let cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.run(format!("service create --detach --name web --replicas 2 {}", hello.display()));
    let spread = running(first, "web", 2);
    assert_ne!(node_ids(&spread)[0], node_ids(&spread)[1], "one each: {spread:?}");

    first.swarmw(&["node", "update", "--availability", "pause", "n2"]);
    assert_eq!(pids(&running(first, "web", 2)), pids(&spread), "a paused node keeps its tasks");

    first.swarmw(&["node", "update", "--availability", "drain", "n2"]);
    let here = first.json("/nodes/n1").expect("a node")["ID"].clone();
    eventually("n2 is empty", || {
        let tasks = live(first, "web")?;
        let moved = tasks.len() == 2 && tasks.iter().all(|t| t["NodeID"] == here);
        if moved { Ok(()) } else { Err(format!("{tasks:?}")) }
    });

    first.swarmw(&["node", "update", "--availability", "active", "n2"]);
    first.swarmw(&["service", "scale", "--detach", "web=4"]);
    let all = running(first, "web", 4);
    assert_eq!(node_ids(&all).iter().filter(|id| **id != here).count(), 2, "{all:?}");
}

#[test]
fn an_added_preference_serves_at_once_and_cannot_go_while_named() {
    let cluster = Cluster::of(1, 3);
    let hello = cluster.file("hello.wasm", HELLO);
    let pack = cluster.file("pack.wasm", PACK);
    let first = &cluster.nodes[0];
    first.swarmw(&["node", "update", "--availability", "drain", "n1"]);
    for (node, rack) in [("n2", "a"), ("n3", "a"), ("n4", "b")] {
        first.swarmw(&["node", "update", "--label-add", &format!("rack={rack}"), node]);
    }
    let create = |name: &str| {
        let hello = hello.to_string_lossy();
        first.try_run(format!(
            "service create --detach --name {name} --replicas 4 \
             --placement-pref pack=node.labels.rack {hello}"
        ))
    };
    let unknown = create("early");
    assert_eq!(unknown.code, 1, "nobody claims the name yet: {unknown}");

    first.swarmw(&["plugin", "add", &pack.to_string_lossy()]);
    assert_eq!(create("packed").code, 0);

    let tasks = running(first, "packed", 4);
    let other = first.json("/nodes/n4").expect("a node")["ID"].clone();
    let on_b = node_ids(&tasks).iter().filter(|id| **id == other).count();
    assert!(on_b == 0 || on_b == 4, "one rack is filled: {tasks:?}");
    let listed = first.swarmw(&["plugin", "ls"]);
    assert!(listed.contains("pack"), "{listed}");
    let kept = first.try_swarmw(&["plugin", "rm", "pack"]);
    assert!(kept.code == 1 && kept.stderr.contains("packed"), "{kept}");
    first.swarmw(&["service", "rm", "packed"]);
    first.swarmw(&["plugin", "rm", "pack"]);
}

#[test]
fn roles_change_while_services_run() {
    let cluster = Cluster::of(1, 2);
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.run(format!("service create --detach --name web --replicas 3 {}", hello.display()));
    let before = running(first, "web", 3);

    first.swarmw(&["node", "promote", "n2", "n3"]);
    eventually("n2 and n3 are managers", || {
        let listed = cluster.nodes[1].try_swarmw(&["node", "ls", "--format", "{{.ManagerStatus}}"]);
        let managers =
            listed.stdout.lines().filter(|l| ["Leader", "Reachable"].contains(l)).count();
        if managers == 3 { Ok(()) } else { Err(listed.to_string()) }
    });
    first.swarmw(&["node", "demote", "n1"]);
    eventually("n1 is a worker and says so", || {
        let refused = first.try_swarmw(&["node", "ls"]);
        let worker =
            refused.stderr.contains("Worker nodes can't be used to view or modify cluster state");
        if worker { Ok(()) } else { Err(refused.to_string()) }
    });

    let after = running(&cluster.nodes[1], "web", 3);
    assert_eq!(pids(&before), pids(&after), "no task was touched");
}

#[test]
fn logs_come_from_the_nodes_that_have_them() {
    let cluster = Cluster::of(1, 1);
    let command = cluster.file("command.wasm", COMMAND);
    let first = &cluster.nodes[0];
    first.run(format!(
        "service create --detach --name job --replicas 2 \
         --restart-condition none {}",
        command.display()
    ));
    let lines = eventually("both tasks' lines are there", || {
        let logs = first.try_swarmw(&["service", "logs", "job"]);
        let from = |slot: &str| logs.stdout.lines().any(|l| l.contains(slot));
        if from("job.1.") && from("job.2.") { Ok(logs.stdout) } else { Err(logs.to_string()) }
    });
    assert!(lines.lines().all(|l| l.contains("    | ")), "{lines}");
}

#[test]
fn the_docker_client_works_unchanged() {
    let cluster = Cluster::of(1, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let node = &cluster.nodes[0];
    let pack = cluster.file("pack.wasm", PACK);
    node.swarmw(&["plugin", "add", &pack.to_string_lossy()]);
    let uploaded = node.run(format!(
        "service create --detach --name web --placement-pref pack=node.labels.rack \
         --policy-opt pack.leave=1 {}",
        hello.display()
    ));
    assert_eq!(uploaded.trim().len(), 25);

    for arguments in [
        &["node", "ls"][..],
        &["service", "ls"],
        &["service", "scale", "--detach", "web=2"],
        &["service", "update", "--detach", "--no-resolve-image", "--env-add", "A=1", "web"],
        &["service", "ps", "web"],
        &["service", "inspect", "--pretty", "web"],
    ] {
        let output = node.docker(arguments);
        assert_eq!(output.code, 0, "docker {}: {output}", arguments.join(" "));
    }
    let service = node.json("/services/web").expect("a service");
    assert_eq!(service["Spec"]["Swarmw"]["PolicyOptions"]["pack.leave"], "1", "{service}");
    assert_eq!(service["Spec"]["Mode"]["Replicated"]["Replicas"], 2);
}

#[test]
fn a_second_daemon_on_the_same_folder_is_refused_with_the_pid() {
    let cluster = Cluster::of_daemons(1);
    let node = &cluster.nodes[0];
    let folder = node.state_dir();
    let socket = format!("unix://{}", cluster.file("other.sock", b"").display());
    let refused =
        node.try_swarmw(&["daemon", "--state-dir", &folder.to_string_lossy(), "--host", &socket]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("in use by the daemon with pid"), "{refused}");
}

/// Which node leads.
fn leader(cluster: &Cluster) -> usize {
    eventually("a leader", || {
        let listed = cluster.nodes[0].swarmw(&[
            "node",
            "ls",
            "--format",
            "{{.Hostname}} {{.ManagerStatus}}",
        ]);
        let name = listed.lines().find_map(|l| l.strip_suffix(" Leader").map(str::to_owned));
        name.and_then(|name| cluster.nodes.iter().position(|n| n.name == name)).ok_or(listed)
    })
}
