//! Containers that mount the engine's socket, as Portainer, Traefik and visualizers do.

use super::{container, import_everywhere, running, take_turn};
use crate::support::{Cluster, Machine, eventually};

/// Asks for a path by a socket and prints the first line of the answer.
const ASK: &str = r#"use IO::Socket::UNIX;
my $to = IO::Socket::UNIX->new(Peer => "/var/run/docker.sock") or die "$!\n";
print $to "GET /nodes HTTP/1.0\r\nHost: docker\r\n\r\n";
print scalar <$to>;"#;
const MOUNT: &str = "/var/run/docker.sock:/var/run/docker.sock:ro";

#[test]
fn containers_with_the_engines_socket_find_a_swarm_and_still_do_after_the_daemon_restarted() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(1, 0);
    import_everywhere(&cluster, &[("tool:1", &[])]);
    let node = &cluster.nodes[0];
    let made =
        node.docker(&["run", "-d", "--name", "plain", "-v", MOUNT, "tool:1", "sleep", "1000"]);
    assert_eq!(made.code, 0, "{made}");
    let mount = "type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock";
    let create = ["service", "create", "--detach", "--no-resolve-image", "--name", "look"];
    node.swarmw(&[&create[..], &["--mount", mount, "tool:1", "sleep", "1000"]].concat());
    let task = container(&running(node, "look", 1)[0]);

    let binds = node.docker(&["inspect", "plain", "--format", "{{json .HostConfig.Binds}}"]);
    assert_eq!(binds.stdout.trim(), format!("[{MOUNT:?}]"));
    let sources = node.docker(&["inspect", &task, "--format", "{{(index .Mounts 0).Source}}"]);
    assert_eq!(sources.stdout.trim(), "/var/run/docker.sock");
    for container in ["plain", &task] {
        sees_the_swarm(&cluster.machines[0], container);
    }
    for signal in [false, true] {
        let node = &mut cluster.nodes[0];
        match signal {
            false => node.kill(),
            true => drop(node.stop()),
        }
        node.start();
        for container in ["plain", &task] {
            sees_the_swarm(&cluster.machines[0], container);
        }
    }
    cluster.nodes[0].docker(&["rm", "-f", "plain"]);
}

fn sees_the_swarm(machine: &Machine, container: &str) {
    eventually(&format!("{container} is answered by a manager"), || {
        let answer = machine.run(&[
            "docker",
            "-H",
            &machine.engine_address(),
            "exec",
            container,
            "perl",
            "-e",
            ASK,
        ]);
        match answer.stdout.contains(" 200 ") {
            true => Ok(()),
            false => Err(answer.to_string()),
        }
    });
}
