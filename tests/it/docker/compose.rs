//! A swarm whose nodes are containers, as `examples/compose` has it and its README tells.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::take_turn;
use crate::networks::WEB;
use crate::support::{Cluster, Machine, Output, RootFs, eventually};

/// An engine takes the driver that suits its file system: nodes' images are too large to be
/// copied for each container.
const ANY_DRIVER: &str = "--storage-driver=";

const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
const NODES: [&str; 4] = ["manager", "worker-1", "worker-2", "worker-3"];

/// Where the manager's port is published, on its machine.
const PORT: u16 = 8080;
/// Times that a page is asked for in one look at who answers.
const LOOKS: usize = 12;

#[test]
fn nodes_in_containers_found_a_swarm_by_name_and_serve_what_their_registry_has() {
    let _turn = take_turn();
    let cluster = Cluster::of_bare_machines(1, 1, &[ANY_DRIVER]);
    let [machine, outside] = &cluster.machines[..] else { panic!("two machines") };
    make_images(machine);
    compose(machine, &["up", "-d"]);
    founds_by_name(machine);
    serves(&cluster, machine, outside);
    comes_back(machine);
    compose(machine, &["down", "--volumes", "--timeout", "1"]);
    nothing_is_left(machine);
}

/// The folder of the example.
fn example() -> PathBuf {
    // The package of these tests is that of the binary.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/compose")
}

/// Runs a program of a user of the machine's engine, in the example's folder.
#[track_caller]
fn of_user(machine: &Machine, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(example())
        .env("DOCKER_HOST", machine.engine_address())
        .stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let output = Output::of(&output);
    assert_eq!(output.code, 0, "{command:?}: {output}");
}

fn make_images(machine: &Machine) {
    of_user(machine, "sh", &["images.sh", env!("CARGO_BIN_EXE_swarmw")]);
}

#[track_caller]
fn compose(machine: &Machine, arguments: &[&str]) {
    of_user(machine, "docker-compose", arguments);
}

/// Runs the docker client in a node's container.
fn try_within(machine: &Machine, node: &str, line: &str) -> Output {
    let words: Vec<_> = ["exec", node, "docker"].into_iter().chain(line.split(' ')).collect();
    machine.try_docker(&words)
}

/// As [`try_within`]; it must succeed.
#[track_caller]
fn within(machine: &Machine, node: &str, line: &str) -> String {
    let output = try_within(machine, node, line);
    assert_eq!(output.code, 0, "{node}: docker {line}: {output}\n{}", log_end(machine, node));
    output.stdout
}

/// What a node's engine and daemon have said last.
fn log_end(machine: &Machine, node: &str) -> String {
    machine.try_docker(&["logs", "--tail", "40", node]).to_string()
}

/// `init` finds the address that others reach the manager by, `join` the manager by its name.
fn founds_by_name(machine: &Machine) {
    for node in NODES {
        eventually(&format!("the daemon of {node} answers"), || {
            let asked = try_within(machine, node, "version --format {{.Server.Version}}");
            if asked.code == 0 { Ok(()) } else { Err(format!("{asked}{}", log_end(machine, node))) }
        });
    }
    let began = within(machine, "manager", "swarm init");
    let advertised = format!("{}:2377", address(machine, "manager"));
    assert!(began.contains(&advertised), "{advertised} in {began}");
    let token = within(machine, "manager", "swarm join-token -q worker");
    for worker in WORKERS {
        let join = format!("swarm join --token {} manager:2377", token.trim());
        let joined = within(machine, worker, &join);
        assert_eq!(joined, "This node joined a swarm as a worker.\n");
    }
    all_are_ready(machine);
}

/// A container's address on the network that they share.
fn address(machine: &Machine, node: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    machine.docker(&["inspect", "--format", format, node]).trim().to_owned()
}

fn all_are_ready(machine: &Machine) {
    eventually("all nodes are ready", || {
        let line = "node ls --format {{.Hostname}}:{{.Status}}";
        let listed = try_within(machine, "manager", line);
        let ready: BTreeSet<_> =
            listed.stdout.lines().filter_map(|line| line.strip_suffix(":Ready")).collect();
        if ready == BTreeSet::from(NODES) { Ok(()) } else { Err(listed) }
    });
}

/// A service over all nodes, of an image that was pushed from outside, is reached by the port
/// of the manager that the machine publishes, and by each node's own address.
fn serves(cluster: &Cluster, machine: &Machine, outside: &Machine) {
    // The engine speaks to its own loopback without TLS.
    let here = "127.0.0.1:5000/web";
    RootFs::pack(cluster.folder(), &[]).import(machine, here, WEB.1);
    eventually("the registry takes the image", || {
        let pushed = machine.try_docker(&["push", here]);
        if pushed.code == 0 { Ok(()) } else { Err(pushed) }
    });
    // One each, also while a node is away.
    let create = "service create --name web --replicas 4 --replicas-max-per-node 1 --publish \
                  8080:80 registry:5000/web";
    within(machine, "manager", create);
    runs_everywhere(machine);
    answers(outside, &machine.ip.to_string());
    for node in NODES {
        answers(machine, &address(machine, node));
    }
}

fn runs_everywhere(machine: &Machine) {
    eventually("a replica runs on each node", || {
        let line = "service ps --filter desired-state=running --format {{.Node}}:{{.CurrentState}} \
                    web";
        let listed = try_within(machine, "manager", line);
        let lines: Vec<_> = listed.stdout.lines().collect();
        let on: BTreeSet<_> = lines
            .iter()
            .filter_map(|line| line.split_once(":Running"))
            .map(|(node, _)| node)
            .collect();
        if lines.len() == NODES.len() && on == BTreeSet::from(NODES) { Ok(()) } else { Err(listed) }
    });
}

/// Waits until all replicas answer at an address, each in its turn.
#[track_caller]
fn answers(from: &Machine, ip: &str) {
    let page = format!("http://{ip}:{PORT}/cgi-bin/who");
    eventually(&format!("all replicas answer at {page}"), || {
        let mut seen = BTreeSet::new();
        for _ in 0..LOOKS {
            let asked = from.run(&["curl", "-sSf", "-m", "5", &page]);
            let who = asked.stdout.split(' ').next().unwrap_or_default().to_owned();
            if asked.code != 0 {
                return Err(asked.to_string());
            }
            seen.insert(who);
        }
        if seen.len() == NODES.len() { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

/// A node whose container is started again is the same node, and works.
fn comes_back(machine: &Machine) {
    let node = "node inspect --format {{.ID}} worker-2";
    let before = within(machine, "manager", node);
    compose(machine, &["restart", "--timeout", "20", "worker-2"]);
    all_are_ready(machine);
    runs_everywhere(machine);
    assert_eq!(within(machine, "manager", node), before);
    answers(machine, &address(machine, "worker-2"));
}

/// No container, network or volume of the engine's, and no process of a node's.
fn nothing_is_left(machine: &Machine) {
    for list in [
        &["ps", "--all", "--quiet"][..],
        &["network", "ls", "--quiet", "--filter", "type=custom"],
        &["volume", "ls", "--quiet"],
    ] {
        assert_eq!(machine.docker(list), "", "docker {}", list.join(" "));
    }
    let names = machine.run(&["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout;
    let count = |of: &str| names.lines().filter(|name| *name == of).count();
    assert_eq!((count("swarmw"), count("dockerd")), (0, 1), "but for the machine's own: {names}");
}
