//! `exec`, `attach`, `logs`, `cp` and `top` by the names of tasks, from nodes where they do
//! not run.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{container, import_everywhere, running, take_turn};
use crate::support::{Cluster, Node, Output, eventually};

/// Prints what it is at, and ends with 7 when it is told to.
const TICKS: &str = "trap 'echo told; exit 7' TERM; while :; do echo tick; sleep 1; done";
/// More than all buffers on the way hold.
const MUCH: usize = 3 << 20;
/// A node that is gone is told within this time.
const SECONDS: Duration = Duration::from_secs(15);

#[test]
fn containers_of_tasks_are_reached_from_every_manager_by_the_docker_client() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_machines(3, 0);
    cluster.init(0);
    cluster.join(1, "manager");
    cluster.join(2, "worker");
    cluster.wait_ready(3);
    import_everywhere(&cluster, &[("tool:1", &[])]);
    create(&cluster, "web", "n3", &["sh", "-c", TICKS]);
    create(&cluster, "here", "n1", &["sleep", "1000"]);
    create(&cluster, "there", "n2", &["sh", "-c", TICKS]);
    for manager in &cluster.nodes[..2] {
        eventually("the manager knows that the task runs", || {
            let asked = manager.docker(&["exec", "web.1", "true"]);
            if asked.code == 0 { Ok(()) } else { Err(asked.to_string()) }
        });
        a_task_is_entered_read_and_copied(&cluster, manager, "web.1");
    }
    each_name_of_a_task_leads_there(&cluster);
    an_own_container_wins(&cluster.nodes[0]);
    a_worker_reaches_its_own_tasks_alone(&cluster);
    a_worker_reaches_all_tasks_where_the_cluster_says_so(&cluster);
    a_worker_reaches_its_own_tasks_alone(&cluster);
    attached_streams_end_with_the_containers_exit_code(&cluster, &cluster.nodes[1], "web");
    a_node_that_is_gone_is_named_within_seconds(&mut cluster);
}

fn create(cluster: &Cluster, name: &str, node: &str, command: &[&str]) {
    let (constraint, first) = (format!("node.hostname=={node}"), &cluster.nodes[0]);
    let create = ["service", "create", "--detach", "--no-resolve-image", "--restart-delay", "0s"];
    let what = ["--name", name, "--constraint", &constraint, "tool:1"];
    first.swarmw(&[&create[..], &what, command].concat());
    running(first, name, 1);
}

/// The docker client against a node, with its standard streams in our hands.
fn client(node: &Node, arguments: &[&str]) -> Child {
    Command::new("docker")
        .arg("-H")
        .arg(format!("unix://{}", node.socket().display()))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the docker client is installed")
}

fn ended(client: Child) -> Output {
    Output::of(&client.wait_with_output().expect("its end"))
}

fn a_task_is_entered_read_and_copied(cluster: &Cluster, from: &Node, task: &str) {
    commands_run_and_their_exit_codes_come_back(from, task);
    what_is_piped_arrives_and_its_end_too(from, task);
    logs_are_read_and_followed(cluster, from, task);
    files_are_copied_both_ways(cluster, from, task);
}

fn commands_run_and_their_exit_codes_come_back(from: &Node, task: &str) {
    let said = from.docker(&["exec", task, "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((said.code, &*said.stdout, &*said.stderr), (3, "out\n", "err\n"));
    let absent = from.docker(&["exec", task, "absent"]);
    assert!([126, 127].contains(&absent.code), "{absent}");
    let terminal = from.docker(&["exec", "-t", task, "sh", "-c", "test -t 1 && echo tty"]);
    assert_eq!((terminal.code, terminal.stdout.trim()), (0, "tty"), "{terminal}");
    let environment =
        from.docker(&["exec", "-e", "A=b", "-w", "/tmp", task, "sh", "-c", "echo $A $PWD"]);
    assert_eq!(environment.stdout, "b /tmp\n", "{environment}");
}

fn what_is_piped_arrives_and_its_end_too(from: &Node, task: &str) {
    let mut cat = client(from, &["exec", "-i", task, "cat"]);
    let mut into = cat.stdin.take().expect("its input");
    let sent: Vec<u8> = (0..MUCH).map(|n| b'a' + u8::try_from(n % 26).expect("small")).collect();
    let writer = std::thread::spawn(move || into.write_all(&sent).map(|()| sent));
    // `cat` ends by itself, as its input does.
    let said = cat.wait_with_output().expect("its end");
    let sent = writer.join().expect("no panic").expect("all taken");
    assert!(said.status.success() && said.stdout == sent, "{} bytes", said.stdout.len());
}

fn logs_are_read_and_followed(cluster: &Cluster, from: &Node, task: &str) {
    let (service, _) = task.split_once('.').expect("a slot");
    let container = container(&running(&cluster.nodes[0], service, 1)[0]);
    let last = from.docker(&["logs", "--tail", "1", task]);
    assert_eq!((last.code, &*last.stdout), (0, "tick\n"), "{last}");
    let short = &container[..12];
    let last = from.docker(&["logs", "--tail", "1", short]);
    assert_eq!(last.stdout, "tick\n", "{last}");
    let follows = client(from, &["logs", "--follow", "--tail", "0", task]);
    std::thread::sleep(Duration::from_secs(3));
    let follows = killed(follows);
    assert!(follows.stdout.lines().filter(|line| *line == "tick").count() >= 1, "{follows}");
}

fn killed(mut client: Child) -> Output {
    client.kill().expect("kill -9");
    ended(client)
}

fn files_are_copied_both_ways(cluster: &Cluster, node: &Node, task: &str) {
    let (page, inside) = (format!("{task}:/www/index.html"), format!("{task}:/tmp/note"));
    let to = cluster.file("page.html", b"");
    let to = to.to_string_lossy();
    let copied = node.docker(&["cp", &page, &to]);
    assert_eq!(copied.code, 0, "{copied}");
    let page = std::fs::read_to_string(&*to).expect("the page");
    assert_eq!(page, "hello from a container\n");
    let from = cluster.file("note", node.name.as_bytes());
    let copied = node.docker(&["cp", &from.to_string_lossy(), &inside]);
    assert_eq!(copied.code, 0, "{copied}");
    assert_eq!(node.docker(&["exec", task, "cat", "/tmp/note"]).stdout, node.name);
}

fn each_name_of_a_task_leads_there(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let task = running(first, "web", 1).remove(0);
    let (id, container) = (task["ID"].as_str().expect("an id"), container(&task));
    let name = format!("web.1.{id}");
    for called in ["web.1", &name, &container, &container[..12]] {
        let said = first.docker(&["exec", called, "echo", "there"]);
        assert_eq!((said.code, &*said.stdout), (0, "there\n"), "{called}: {said}");
    }
    // What is no container's is a task's.
    let shown = first.docker(&["inspect", "--format", "{{.DesiredState}}", id]);
    assert_eq!(shown.stdout, "running\n", "{shown}");
    let processes = first.docker(&["top", "web.1"]);
    assert!(processes.stdout.contains("tick"), "{processes}");
    let used = first.docker(&["stats", "--no-stream", "--format", "{{.PIDs}}", "web.1"]);
    assert!(used.stdout.trim().parse::<u32>().is_ok_and(|pids| pids > 0), "{used}");
    for unknown in ["web.2", "nobody.1"] {
        let refused = first.docker(&["exec", unknown, "true"]);
        assert!(refused.stderr.contains("No such container"), "{refused}");
    }
}

fn an_own_container_wins(first: &Node) {
    let made = first.docker(&["run", "-d", "--name", "web.1", "tool:1", "sleep", "1000"]);
    assert_eq!(made.code, 0, "{made}");
    let commands = first.docker(&["exec", "web.1", "sh", "-c", "cat /proc/1/cmdline"]);
    assert!(commands.stdout.starts_with("sleep"), "the container of this node: {commands}");
    first.docker(&["rm", "-f", "web.1"]);
}

fn a_worker_reaches_its_own_tasks_alone(cluster: &Cluster) {
    let worker = &cluster.nodes[2];
    let own = worker.docker(&["exec", "web.1", "sh", "-c", "exit 4"]);
    assert_eq!(own.code, 4, "{own}");
    let refused = worker.docker(&["exec", "here.1", "true"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("reaches the tasks on itself alone"), "{refused}");
    assert!(refused.stderr.contains(&cluster.nodes[0].ip.to_string()), "{refused}");
}

fn a_worker_reaches_all_tasks_where_the_cluster_says_so(cluster: &Cluster) {
    let [first, worker] = [&cluster.nodes[0], &cluster.nodes[2]];
    first.run("swarm update --tasks-from nodes");
    eventually("the managers know that workers may ask", || {
        let asked = worker.docker(&["exec", "there.1", "true"]);
        if asked.code == 0 { Ok(()) } else { Err(asked.to_string()) }
    });
    a_task_is_entered_read_and_copied(cluster, worker, "there.1");
    attached_streams_end_with_the_containers_exit_code(cluster, worker, "there");
    let of_the_manager = worker.docker(&["exec", "here.1", "sh", "-c", "exit 5"]);
    assert_eq!(of_the_manager.code, 5, "{of_the_manager}");
    // What else the manager's engine has is none of the cluster's.
    let made = first.docker(&["run", "-d", "--name", "plain.1", "tool:1", "sleep", "1000"]);
    assert_eq!(made.code, 0, "{made}");
    for plain in ["plain.1", made.stdout.trim()] {
        let refused = worker.docker(&["exec", plain, "true"]);
        assert!(refused.stderr.contains("No such container"), "{refused}");
    }
    first.docker(&["rm", "-f", "plain.1"]);
    first.run("swarm update --tasks-from managers");
    eventually("the managers know that workers may not", || {
        let refused = worker.docker(&["exec", "there.1", "true"]);
        if refused.code == 0 { Err(refused.to_string()) } else { Ok(()) }
    });
}

fn attached_streams_end_with_the_containers_exit_code(
    cluster: &Cluster,
    from: &Node,
    service: &str,
) {
    let (first, task) = (&cluster.nodes[0], format!("{service}.1"));
    let attached = client(from, &["attach", "--no-stdin", &task]);
    std::thread::sleep(Duration::from_secs(2));
    let before = container(&running(first, service, 1)[0]);
    let told = first.docker(&["exec", &task, "kill", "-TERM", "1"]);
    assert_eq!(told.code, 0, "{told}");
    let attached = ended(attached);
    assert_eq!(attached.code, 7, "{attached}");
    assert!(
        attached.stdout.contains("tick\n") && attached.stdout.ends_with("told\n"),
        "{attached}"
    );
    eventually("another task runs in the slot", || {
        let now = container(&running(first, service, 1)[0]);
        if now == before { Err(now) } else { Ok(()) }
    });
    // One that has ended has its logs still.
    let last = eventually("the ended container's logs", || {
        let last = first.docker(&["logs", "--tail", "1", &before]);
        if last.code == 0 { Ok(last) } else { Err(last.to_string()) }
    });
    assert_eq!(last.stdout, "told\n", "{last}");
    let refused = first.docker(&["exec", &before, "true"]);
    assert!(refused.stderr.contains("is not running: it is failed"), "{refused}");
}

fn a_node_that_is_gone_is_named_within_seconds(cluster: &mut Cluster) {
    let sleeps = client(&cluster.nodes[1], &["exec", "web.1", "sleep", "1000"]);
    std::thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    cluster.nodes[2].kill();
    let sleeps = ended(sleeps);
    assert_ne!(sleeps.code, 0, "{sleeps}");
    assert!(begun.elapsed() < SECONDS, "after {:?}: {sleeps}", begun.elapsed());
    for manager in &cluster.nodes[..2] {
        let begun = Instant::now();
        let refused = manager.docker(&["exec", "web.1", "true"]);
        assert!(begun.elapsed() < SECONDS, "after {:?}: {refused}", begun.elapsed());
        let why = ["is not reached at", "is down"];
        let named = refused.stderr.contains("node n3 (");
        assert!(named && why.iter().any(|why| refused.stderr.contains(why)), "{refused}");
    }
    cluster.nodes[2].start();
    eventually("the node that is back is reached again", || {
        let asked = cluster.nodes[1].docker(&["exec", "web.1", "true"]);
        if asked.code == 0 { Ok(()) } else { Err(asked.to_string()) }
    });
}
