//! What a service's spec says reaches its containers, and what containers say
//! reaches the user.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{container, import_everywhere, running, take_turn, task_in, tasks};
use crate::support::{Cluster, Node, eventually};

/// A task id that no task has.
const NOBODY: &str = "0000000000000000000000001";

#[test]
fn docker_specs_reach_containers_and_their_word_reaches_users() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(1, 0);
    import_everywhere(
        &cluster,
        &[
            ("tool:1", &[]),
            (
                "well:1",
                &[
                    "HEALTHCHECK --interval=200ms --retries=100 CMD test -e /tmp/well",
                    r#"CMD ["sleep", "1000"]"#,
                ],
            ),
        ],
    );
    settings_of_the_spec_reach_the_container(&cluster);
    errors_are_told_in_the_engines_words(&cluster);
    a_task_runs_when_it_is_healthy_and_fails_when_it_is_not(&cluster);
    lines_reach_the_user(&cluster);
    host_ports_are_bound_and_told(&cluster);
    let plain = plain_container(&cluster);
    orphans_are_removed_and_strangers_are_not(&mut cluster);
    a_named_engine_that_is_not_there_is_refused(&cluster);
    a_drained_node_stops_its_tasks_and_nothing_else(&cluster);
    a_node_that_leaves_takes_its_containers_along(&cluster);
    assert_eq!(facts(&cluster), plain, "nobody has touched it since it began");
}

/// A container of nobody's but the user's, made through the daemon's socket; its facts.
fn plain_container(cluster: &Cluster) -> String {
    let made =
        cluster.nodes[0].docker(&["run", "-d", "--name", "plain", "tool:1", "sleep", "5000"]);
    assert_eq!(made.code, 0, "{made}");
    let facts = facts(cluster);
    assert!(facts.starts_with(made.stdout.trim()) && facts.contains(" running 0 "), "{facts}");
    facts
}

/// Which container it is, how it is, and since when.
fn facts(cluster: &Cluster) -> String {
    let format = "{{.Id}} {{.State.Status}} {{.RestartCount}} {{.State.Pid}} {{.State.StartedAt}}";
    cluster.machines[0].docker(&["inspect", "--format", format, "plain"])
}

/// The names of all containers of the engine.
fn names(cluster: &Cluster) -> Vec<String> {
    let listed = cluster.machines[0].docker(&["ps", "-a", "--format", "{{.Names}}"]);
    let mut names: Vec<_> = listed.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Creates a service of `tool:1` or another image without waiting for it.
#[track_caller]
fn create(node: &Node, name: &str, flags: &[&str], image_and_args: &[&str]) {
    let first =
        ["service", "create", "--detach", "--no-resolve-image", "--stop-grace-period", "1s"];
    let named = ["--name", name];
    let all = [&first[..], &named[..], flags, image_and_args].concat();
    node.swarmw(&all);
}

fn settings_of_the_spec_reach_the_container(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    create(
        node,
        "full",
        &[
            "--env",
            "SLOT={{.Task.Slot}}",
            "--hostname",
            "{{.Service.Name}}-{{.Task.Slot}}-{{.Node.Hostname}}",
            "--workdir",
            "/tmp",
            "--user",
            "7",
            "--label",
            "a=b",
            "--container-label",
            "c=d",
            "--mount",
            "type=volume,source=data-{{.Task.Slot}},target=/data",
            "--mount",
            "type=tmpfs,target=/scratch",
            "--limit-memory",
            "64m",
            "--limit-cpu",
            "0.5",
            "--read-only",
            "--init",
            "--host",
            "other:10.1.2.3",
            "--dns",
            "10.9.9.9",
            "--cap-add",
            "NET_ADMIN",
            "--ulimit",
            "nofile=99:99",
            "--stop-signal",
            "SIGINT",
        ],
        &["tool:1", "sleep", "1000"],
    );
    let id = container(&running(node, "full", 1)[0]);
    let inside = |line: &str| cluster.machines[0].docker(&["exec", &id, "sh", "-c", line]);
    for (line, want) in [
        ("echo $SLOT", "1"),
        ("hostname", "full-1-n1"),
        ("echo $PWD", "/tmp"),
        ("cat /etc/resolv.conf", "nameserver 10.9.9.9"),
        ("touch /x 2>/dev/null || echo read only", "read only"),
        ("ls -d /data /scratch", "/data\n/scratch"),
        ("ulimit -n", "99"),
    ] {
        assert!(inside(line).contains(want), "{line}: {}", inside(line));
    }
    let asked = cluster.machines[0].docker(&["inspect", &id]);
    let asked: Value = serde_json::from_str(&asked).expect("JSON");
    for (path, want) in [
        ("/0/Config/Labels/c", "d".into()),
        ("/0/Config/Labels/com.docker.swarm.service.name", Value::from("full")),
        ("/0/Config/User", "7".into()),
        ("/0/Config/StopSignal", "SIGINT".into()),
        ("/0/HostConfig/Memory", (64 << 20).into()),
        ("/0/HostConfig/NanoCpus", 500_000_000.into()),
        ("/0/HostConfig/Init", true.into()),
    ] {
        assert_eq!(asked.pointer(path), Some(&want), "{path} of {asked:#}");
    }
    assert!(cluster.machines[0].docker(&["volume", "ls", "-q"]).contains("data-1"));
    node.swarmw(&["service", "rm", "full"]);
}

fn errors_are_told_in_the_engines_words(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let once = ["--restart-condition", "none"];
    let limited = ["--restart-condition", "none", "--limit-memory", "8m"];
    let bind = ["--restart-condition", "none", "--mount", "type=bind,source=/nope,target=/x"];
    let grow = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    for (name, flags, words, state, error) in [
        (
            "bind",
            &bind[..],
            &["tool:1", "true"][..],
            "rejected",
            r#"invalid mount config for type "bind": bind source path does not exist: /nope"#,
        ),
        ("code", &once[..], &["tool:1", "sh", "-c", "exit 3"], "failed", "task: non-zero exit (3)"),
        (
            "oom",
            &limited[..],
            &["tool:1", "sh", "-c", grow],
            "failed",
            "task: non-zero exit (137): out of memory",
        ),
        (
            "program",
            &once[..],
            &["tool:1", "nothing-of-this-name"],
            "failed",
            "starting container failed: ",
        ),
        ("image", &once[..], &["nobody/has:this"], "rejected", "No such image: nobody/has:this"),
        ("quick", &once[..], &["tool:1", "true"], "complete", ""),
    ] {
        create(node, name, flags, words);
        let task = task_in(node, name, state);
        let told = task["Status"]["Err"].as_str().unwrap_or_default();
        assert!(told.starts_with(error), "{name}: {told:?}");
        node.swarmw(&["service", "rm", name]);
    }
}

fn a_task_runs_when_it_is_healthy_and_fails_when_it_is_not(cluster: &Cluster) {
    let (node, machine) = (&cluster.nodes[0], &cluster.machines[0]);
    create(node, "well", &["--restart-delay", "0s"], &["well:1"]);
    let made = eventually("a container", || {
        let ids = machine.docker(&["ps", "-q", "--no-trunc", "--filter", "name=well"]);
        if ids.is_empty() { Err("none") } else { Ok(ids.trim().to_owned()) }
    });
    let starting = task_in(node, "well", "starting");
    machine.docker(&["exec", &made, "touch", "/tmp/well"]);
    let well = running(node, "well", 1).remove(0);
    assert_eq!(well["ID"], starting["ID"]);

    node.swarmw(&[
        "service",
        "update",
        "--detach",
        "--no-resolve-image",
        "--health-cmd",
        "test ! -e /tmp/sick",
        "--health-interval",
        "200ms",
        "--health-retries",
        "1",
        "well",
    ]);
    let well = eventually("the new task runs", || {
        let now = running(node, "well", 1).remove(0);
        if now["ID"] == well["ID"] { Err("the old one runs") } else { Ok(now) }
    });
    machine.docker(&["exec", &container(&well), "touch", "/tmp/sick"]);
    let failed = task_in(node, "well", "failed");
    assert_eq!(failed["ID"], well["ID"]);
    assert_eq!(failed["Status"]["Err"], "task: unhealthy container");
    let next = running(node, "well", 1).remove(0);
    assert_ne!(next["ID"], well["ID"], "replaced");
    node.swarmw(&["service", "rm", "well"]);
}

fn lines_reach_the_user(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let talk = "echo to out; echo to err >&2; sleep 1; echo last; sleep 1000";
    let driver =
        ["--log-driver", "json-file", "--log-opt", "labels=tier", "--log-opt", "env=COLOR"];
    let attributes = ["--container-label", "tier=back", "--env", "COLOR=light red"];
    create(node, "talk", &[driver.as_slice(), &attributes].concat(), &["tool:1", "sh", "-c", talk]);
    running(node, "talk", 1);
    let logs = eventually("all lines", || {
        let logs = node.docker(&["service", "logs", "talk"]);
        let all = logs.stdout.lines().count() == 2 && logs.stderr.lines().count() == 1;
        if all { Ok(logs) } else { Err(logs.to_string()) }
    });
    assert!(logs.stdout.lines().all(|l| l.starts_with("talk.1.")), "{logs}");
    assert!(logs.stdout.contains("@n1    | to out\n"), "{logs}");
    assert!(logs.stderr.contains("| to err\n"), "{logs}");
    let detailed = node.docker(&["service", "logs", "--details", "talk"]);
    let from_its_driver = "@n1    | COLOR=light red,tier=back to out\n";
    assert!(detailed.stdout.contains(from_its_driver), "{detailed}");
    let detailed = node.run("service logs --details --no-task-ids talk");
    assert!(detailed.contains(&format!("talk.1{from_its_driver}")), "{detailed}");
    let tail = node.docker(&["service", "logs", "--raw", "--tail", "1", "talk"]);
    assert_eq!((tail.stdout.as_str(), tail.stderr.as_str()), ("last\n", ""));
    let timed = node.docker(&["service", "logs", "--raw", "--timestamps", "talk"]);
    assert!(timed.stdout.lines().all(|l| l.starts_with("20") && l.contains("Z ")), "{timed}");
    let future =
        node.docker(&["service", "logs", "--raw", "--since", "2100-01-01T00:00:00", "talk"]);
    assert_eq!(future.stdout, "", "nothing is so new");
    node.swarmw(&["service", "rm", "talk"]);

    let count = "for i in 1 2 3; do echo line $i; sleep 1; done; sleep 1000";
    create(node, "count", &[], &["tool:1", "sh", "-c", count]);
    let mut follow = Command::new("docker")
        .args(["-H", &format!("unix://{}", node.socket().display())])
        .args(["service", "logs", "--follow", "--raw", "count"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the docker client");
    let lines = BufReader::new(follow.stdout.take().expect("its output")).lines();
    let lines: Vec<_> = lines.take(3).map(|l| l.expect("a line")).collect();
    assert_eq!(lines, ["line 1", "line 2", "line 3"]);
    follow.kill().expect("the client ends");
    follow.wait().expect("the client's end");
    node.swarmw(&["service", "rm", "count"]);
}

fn host_ports_are_bound_and_told(cluster: &Cluster) {
    let (node, machine) = (&cluster.nodes[0], &cluster.machines[0]);
    let published = "mode=host,target=80,published=8090";
    let page = "mkdir -p /www; httpd -f -h /www";
    create(node, "host", &["--publish", published], &["tool:1", "sh", "-c", page]);
    let task = running(node, "host", 1).remove(0);
    let told = &task["Status"]["PortStatus"]["Ports"][0];
    assert_eq!((&told["TargetPort"], &told["PublishedPort"]), (&80.into(), &8090.into()), "{task}");
    eventually("the host port answers", || {
        let answer =
            machine.run(&["curl", "-s", "-m", "10", &format!("http://{}:8090/", machine.ip)]);
        if answer.stdout.contains("hello") { Ok(()) } else { Err(answer.to_string()) }
    });
    node.swarmw(&["service", "rm", "host"]);
    eventually("nothing is left", || {
        let left = tasks(node, "host").map(|t| t.len());
        let containers = machine.docker(&["ps", "-a", "-q"]);
        if containers.is_empty() { Ok(()) } else { Err(format!("{left:?} {containers}")) }
    });
}

fn orphans_are_removed_and_strangers_are_not(cluster: &mut Cluster) {
    let own = cluster.nodes[0].json("/nodes/n1").expect("the node")["ID"].clone();
    let run = |cluster: &Cluster, name: &str, node: &str| {
        cluster.machines[0].docker(&[
            "run",
            "-d",
            "--name",
            name,
            "--label",
            "com.docker.swarm.task=",
            "--label",
            &format!("com.docker.swarm.task.id={NOBODY}"),
            "--label",
            &format!("com.docker.swarm.node.id={node}"),
            "tool:1",
            "sleep",
            "1000",
        ]);
    };
    assert_eq!(cluster.nodes[0].stop(), 0);
    run(cluster, "orphan", own.as_str().expect("an id"));
    run(cluster, "stranger", NOBODY);
    cluster.nodes[0].start();
    eventually("the orphan is gone, and neither the stranger nor the user's own", || {
        let names = names(cluster);
        if names == ["plain", "stranger"] { Ok(()) } else { Err(format!("{names:?}")) }
    });
}

fn a_named_engine_that_is_not_there_is_refused(cluster: &Cluster) {
    let folder = cluster.folder().join("fresh");
    let socket = format!("unix://{}", cluster.folder().join("fresh.sock").display());
    let refused = cluster.nodes[0].try_swarmw(&[
        "daemon",
        "--state-dir",
        &folder.to_string_lossy(),
        "--host",
        &socket,
        "--engine",
        "unix:///no/such.sock",
    ]);
    assert_eq!(refused.code, 1, "{refused}");
    let told = "no Docker engine answers at unix:///no/such.sock: No such file or directory";
    assert!(refused.stderr.contains(told), "{refused}");
}

fn a_drained_node_stops_its_tasks_and_nothing_else(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    create(node, "moves", &[], &["tool:1", "sleep", "1000"]);
    let task = container(&running(node, "moves", 1)[0]);
    node.swarmw(&["node", "update", "--availability", "drain", "n1"]);
    eventually("the task's container does not run", || {
        let running = cluster.machines[0].docker(&["ps", "--no-trunc", "--format", "{{.ID}}"]);
        if running.contains(&task) { Err(running) } else { Ok(()) }
    });
    node.swarmw(&["service", "rm", "moves"]);
    eventually("the task's container is gone, and no other one", || {
        let names = names(cluster);
        if names == ["plain", "stranger"] { Ok(()) } else { Err(format!("{names:?}")) }
    });
    node.swarmw(&["node", "update", "--availability", "active", "n1"]);
}

fn a_node_that_leaves_takes_its_containers_along(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    create(node, "last", &["--replicas", "2"], &["tool:1", "sleep", "1000"]);
    running(node, "last", 2);
    node.swarmw(&["swarm", "leave", "--force"]);
    assert_eq!(names(cluster), ["plain", "stranger"]);
}
