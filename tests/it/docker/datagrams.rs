//! UDP: datagrams reach containers and come back, by way of every node.

use std::collections::BTreeSet;

use super::{node_of, running};
use crate::support::{Cluster, eventually};

/// Says each datagram again, with its name before it.
const SERVER: &str = r#"
    socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(53, INADDR_ANY)) or die "bind: $!";
    while ($from = recv(S, $text, 65535, 0)) { send(S, "$ENV{NAME} $text", 0, $from) }
"#;
/// Sends three datagrams from one port; prints who answered and how much.
const CLIENT: &str = r#"
    ($ip, $port) = @ARGV; alarm 10;
    socket(S, PF_INET, SOCK_DGRAM, 0); connect(S, sockaddr_in($port, inet_aton($ip)));
    for $size (1, 1400, 60000) {
        send(S, "x" x $size, 0); defined(recv(S, $text, 65535, 0)) or die "recv: $!";
        ($name, $rest) = split(/ /, $text, 2); print "$name ", length($rest), "\n";
    }
"#;

/// One flow from a machine; who answered all of it.
fn ask(cluster: &Cluster, from: usize, to: usize, port: &str) -> Result<String, String> {
    let ip = cluster.machines[to].ip.to_string();
    let told = cluster.machines[from].run(&["perl", "-MSocket", "-e", CLIENT, &ip, port]);
    let name = told.stdout.split(' ').next().unwrap_or_default().to_owned();
    let whole = format!("{name} 1\n{name} 1400\n{name} 60000\n");
    if told.stdout == whole { Ok(name) } else { Err(told.to_string()) }
}

/// The published port of a service of two answers on every node, from both tasks, and
/// the port of its host on the nodes that have one.
pub fn datagrams_reach_containers_from_every_node(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    first.swarmw(&[
        "service",
        "create",
        "--detach",
        "--no-resolve-image",
        "--name",
        "echo",
        "--replicas",
        "2",
        "--env",
        "NAME={{.Task.Name}}",
        "--publish",
        "5353:53/udp",
        "--publish",
        "published=5454,target=53,protocol=udp,mode=host",
        "tool:1",
        "perl",
        "-MSocket",
        "-e",
        SERVER,
    ]);
    let tasks = running(first, "echo", 2);
    let name = |task: &serde_json::Value| {
        format!("echo.{}.{}", task["Slot"], task["ID"].as_str().unwrap_or_default())
    };
    let all: BTreeSet<_> = tasks.iter().map(name).collect();
    for to in 0..cluster.machines.len() {
        let mut seen = BTreeSet::new();
        eventually(&format!("n{} gives flows to both tasks", to + 1), || {
            seen.insert(ask(cluster, 0, to, "5353")?);
            if seen == all { Ok(()) } else { Err(format!("only {seen:?}")) }
        });
    }
    for task in &tasks {
        let node = node_of(cluster, task);
        eventually("the host's port answers", || {
            let answered = ask(cluster, (node + 1) % 2, node, "5454")?;
            if answered == name(task) { Ok(()) } else { Err(answered) }
        });
        assert_eq!(task["Status"]["PortStatus"]["Ports"][0]["Protocol"], "udp", "{task}");
    }
    first.swarmw(&["service", "rm", "echo"]);
}
