//! HAProxy as people put it before a cluster: in front of the nodes' published ports, and in
//! a container in front of the tasks that a name leads to.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::asking::{Asking, SERVER};
use super::{WEB, docker};
use crate::docker::{import_everywhere_with, node_of, running, take_turn};
use crate::support::{Cluster, eventually};

/// HAProxy, of Debian.
const HAPROXY: &str = "/usr/sbin/haproxy";
/// The machine without an engine: the balancer and its clients are there.
const CLIENT: usize = 3;
/// Where the balancer on that machine listens.
const LISTENS: u16 = 8000;
/// The published port behind it.
const PORT: u16 = 4567;
/// The published port of the balancer in a container.
const INNER_PORT: u16 = 8080;
/// Tasks behind the nodes' ports.
const REPLICAS: usize = 3;
/// Connections that are enough to have been there all the time.
const ENOUGH: usize = 100;

/// What both say of time and of what is tried again: a request that got no answer, elsewhere.
const DEFAULTS: &str = "
global
    maxconn 100
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 10s
    timeout check 2s
    retries 30
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
";

/// HAProxy on a machine.
struct Balancer(Child);

// === impl Balancer ===

impl Balancer {
    fn start(cluster: &Cluster, settings: &Path) -> Self {
        let before = cluster.machines[CLIENT].inside();
        let process = Command::new(&before[0])
            .args(&before[1..])
            .args(["setpriv", "--pdeathsig", "KILL", HAPROXY, "-db", "-f"])
            .arg(settings)
            .stdin(Stdio::null())
            .spawn()
            .expect("nsenter is installed");
        Self(process)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In front of the published port of each node that has an engine. Until the leader gives a
/// lost node up, every third connection is led to its task, by whichever node: eight checks
/// that fail in a row are a node that is gone.
fn before_nodes(cluster: &Cluster) -> String {
    let mut text = format!(
        "{DEFAULTS}
frontend clients
    bind 127.0.0.1:{LISTENS}
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /
    http-response set-header x-node %s
    default-server check inter 500ms fall 8 rise 1
"
    );
    for (node, machine) in cluster.nodes.iter().zip(&cluster.machines[..CLIENT]) {
        text += &format!("    server {} {}:{PORT}\n", node.name, machine.ip);
    }
    text
}

/// In front of as many tasks as a name leads to, asked for at the engine's resolver.
fn before_tasks() -> String {
    format!(
        "{DEFAULTS}
resolvers cluster
    nameserver engine 127.0.0.11:53
    accepted_payload_size 4096
    timeout resolve 500ms
    timeout retry 500ms
    hold valid 500ms
    hold obsolete 0s
    hold nx 1s
frontend clients
    bind :80
    default_backend tasks
backend tasks
    balance roundrobin
    option httpchk GET /
    default-server check inter 500ms fall 2 rise 1
    server-template task 8 tasks.api:80 resolvers cluster resolve-prefer ipv4 init-addr none
"
    )
}

#[test]
fn haproxy_leads_its_clients_around_tasks_and_nodes_that_go() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(3, 1);
    import_everywhere_with(&cluster, &[WEB], &[HAPROXY]);
    one_in_a_container_follows_the_tasks_of_a_name(&cluster);
    one_before_the_nodes_does_without_any_of_them(&mut cluster);
}

fn one_in_a_container_follows_the_tasks_of_a_name(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    docker(first, "network create --driver overlay back");
    let mut words = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "api"];
    words.extend(["--replicas", "2", "--network", "back", "--endpoint-mode", "dnsrr"]);
    words.extend(["web", "perl", "-e", SERVER]);
    first.swarmw(&words);
    let settings = cluster.file("before-tasks.cfg", before_tasks().as_bytes());
    docker(first, &format!("config create balancer {}", settings.display()));
    first.run(format!(
        "service create --detach --no-resolve-image --name balancer --network back \
         --config source=balancer,target=/etc/haproxy.cfg --publish {INNER_PORT}:80 \
         --stop-grace-period 1s web {HAPROXY} -db -f /etc/haproxy.cfg"
    ));
    running(first, "api", 2);
    running(first, "balancer", 1);

    let url = format!("http://{}:{INNER_PORT}/", cluster.machines[1].ip);
    let leads_to = |count: usize, when: &str| {
        eventually(&format!("it leads to {count} tasks, {when}"), || {
            let who: BTreeSet<_> = (0..2 * count)
                .map(|_| cluster.machines[CLIENT].run(&["curl", "-sSf", "-m", "5", &url]))
                .map(|page| page.stdout.split(' ').next().unwrap_or_default().to_owned())
                .collect();
            let all = who.len() == count && !who.contains("");
            if all { Ok(()) } else { Err(format!("{who:?}")) }
        });
    };
    leads_to(2, "at first");
    let entry = [cluster.machines[1].ip.to_string()];
    let asking = Asking::on_machine(cluster, CLIENT, "inner", INNER_PORT, &entry);
    for (replicas, when) in [(4, "scaled up"), (1, "scaled down")] {
        first.run(format!("service scale --detach api={replicas}"));
        running(first, "api", replicas);
        leads_to(replicas, when);
    }
    asking.saw_no_failure(ENOUGH);
    docker(first, "service rm api balancer");
}

fn one_before_the_nodes_does_without_any_of_them(cluster: &mut Cluster) {
    let first = &cluster.nodes[0];
    let (replicas, publish) = (REPLICAS.to_string(), format!("{PORT}:80"));
    let mut words = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "web"];
    words.extend(["--replicas", &replicas, "--publish", &publish, "web", "perl", "-e", SERVER]);
    first.swarmw(&words);
    running(first, "web", REPLICAS);
    let settings = cluster.file("before-nodes.cfg", before_nodes(cluster).as_bytes());
    let _balancer = Balancer::start(cluster, &settings);

    let url = format!("http://127.0.0.1:{LISTENS}/");
    eventually("it takes each node in turn", || {
        let heads: BTreeSet<_> = (0..CLIENT)
            .map(|_| cluster.machines[CLIENT].run(&["curl", "-sSif", "-m", "5", &url]).stdout)
            .filter_map(|page| {
                let named = page.lines().find_map(|line| line.strip_prefix("x-node: "));
                named.map(|node| node.trim().to_owned())
            })
            .collect();
        if heads.len() == CLIENT { Ok(()) } else { Err(format!("{heads:?}")) }
    });

    let balancer = ["127.0.0.1".to_owned()];
    let asking = Asking::on_machine(cluster, CLIENT, "outer", LISTENS, &balancer);
    cluster.nodes[0].run("node update --availability drain n2");
    tasks_leave(cluster, 1);
    cluster.nodes[0].run("node update --availability active n2");
    // One on each again, or most connections would be led to the one that is lost.
    cluster.nodes[0].run("service update --force --detach web");
    eventually("each node has a task again", || {
        let tasks = running(&cluster.nodes[0], "web", REPLICAS);
        let nodes: BTreeSet<_> = tasks.iter().map(|task| node_of(cluster, task)).collect();
        if nodes.len() == REPLICAS { Ok(()) } else { Err(format!("tasks on {nodes:?}")) }
    });

    // The third is lost: no daemon, no engine, no cable.
    cluster.nodes[2].kill();
    cluster.machines[2].kill_engine();
    let unplugged = cluster.machines[2].run(&["ip", "link", "set", "eth0", "down"]);
    assert_eq!(unplugged.code, 0, "{unplugged}");
    tasks_leave(cluster, 2);
    asking.saw_no_failure(ENOUGH);
}

/// Waits until the service has all its tasks on other nodes than this one.
#[track_caller]
fn tasks_leave(cluster: &Cluster, node: usize) {
    let name = &cluster.nodes[node].name;
    eventually(&format!("the tasks of {name} are elsewhere"), || {
        let tasks = running(&cluster.nodes[0], "web", REPLICAS);
        let left = tasks.iter().filter(|task| node_of(cluster, task) == node).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are there")) }
    });
}
