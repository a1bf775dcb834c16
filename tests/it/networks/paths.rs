//! The ways of networks' traffic between nodes, where they are not the usual ones; and a
//! published port that something of every machine has as well.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

use super::{ASK_API, Asker, WEB, address, docker, who_answers};
use crate::docker::{import_everywhere, node_of, running, take_turn};
use crate::support::{Cluster, Machine, eventually};

/// The machines with engines, which are the swarm.
const NODES: usize = 2;
/// The one that is in no swarm: clients connect from there.
const CLIENT: usize = 2;
/// The published port.
const PORT: u16 = 4567;

/// How curl ends where nobody listens.
const REFUSED: i32 = 7;

/// How addresses of the routing mesh begin.
const MESH: &str = "10.77.0";

/// Counts packets between nodes where they should arrive, and swallows them elsewhere.
const FIREWALL: &str = "table inet closed {
    chain input {
        type filter hook input priority -300; policy accept;
        ip daddr OWN udp dport 4999 counter accept
        udp dport { 4789, 4999 } counter drop
    }
}";

/// Serves TCP and UDP at port 53: says its host's name.
const SERVER: &str = r#"
    use IO::Socket::INET;
    if (fork) {
        $on = IO::Socket::INET->new(LocalPort => 53, Listen => 9, ReuseAddr => 1) or die $@;
        while ($to = $on->accept) {
            sysread($to, $asked, 9); print $to "$ENV{HOSTNAME}\n"; close $to
        }
    } else {
        $on = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die $@;
        while ($from = $on->recv($asked, 9)) { $on->send("$ENV{HOSTNAME}\n", 0, $from) }
    }
"#;
/// As a machine's own resolver: it has port 53 at an address of the loopback device.
const OWN: &str = r#"
    use IO::Socket::INET; $| = 1; %at = (LocalAddr => "127.0.0.53", LocalPort => 53);
    $udp = IO::Socket::INET->new(%at, Proto => "udp") or die $@;
    $tcp = IO::Socket::INET->new(%at, Listen => 9, ReuseAddr => 1) or die $@;
    print "ready\n";
    while ($to = $tcp->accept) { sysread($to, $asked, 9); print $to "own\n"; close $to }
"#;
/// Asks at port 53 of an address, by a protocol.
const ASK: &str = r#"
    use IO::Socket::INET; alarm 10; %to = (PeerAddr => $ARGV[0], PeerPort => 53);
    $to = IO::Socket::INET->new(%to, Proto => $ARGV[1], Timeout => 5) or die $@;
    $to->send("?"); $to->recv($said, 99); print $said;
"#;

/// What runs on a machine beside its node.
struct Beside(Child);

// === impl Beside ===

impl Beside {
    fn start(machine: &Machine, program: &str) -> Self {
        let before = machine.inside();
        let mut process = Command::new(&before[0])
            .args(&before[1..])
            .args(["setpriv", "--pdeathsig", "KILL", "perl", "-e", program])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter is installed");
        let mut line = String::new();
        let said = process.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut line).expect("its first line");
        let beside = Self(process);
        assert_eq!(line, "ready\n");
        beside
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The address of a machine that only nodes' traffic is to use.
fn data_path(machine: usize) -> String {
    format!("10.98.8.{}", machine + 1)
}

/// Two nodes, each with a second address for the traffic of networks, on a port of the
/// operator's choice, with a routing mesh of one's own.
fn cluster_with_data_paths() -> Cluster {
    let cluster = Cluster::of_machines(NODES, 1);
    for (number, machine) in cluster.machines[..NODES].iter().enumerate() {
        let own = data_path(number);
        let prefix = format!("{own}/24");
        for words in [
            &["ip", "address", "add", &prefix, "dev", "eth0"][..],
            &["nft", &FIREWALL.replace("OWN", &own)],
        ] {
            let done = machine.run(words);
            assert_eq!(done.code, 0, "{words:?}: {done}");
        }
    }
    cluster.init_with(0, &["--data-path-addr", &data_path(0), "--data-path-port", "4999"]);
    cluster.join_with(1, "worker", &["--data-path-addr", &data_path(1)]);
    cluster.wait_ready(NODES);
    // The routing mesh has a subnet of the operator's choice as well.
    let gone = cluster.nodes[0].api("DELETE", "/networks/ingress");
    assert!(gone.as_ref().is_ok_and(|(status, _)| *status == 204), "{gone:?}");
    docker(
        &cluster.nodes[0],
        &format!("network create --ingress --driver overlay --subnet {MESH}.0/24 mesh"),
    );
    cluster
}

#[test]
fn networks_go_by_the_addresses_and_the_port_that_their_operator_says() {
    let _turn = take_turn();
    let mut cluster = cluster_with_data_paths();
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    docker(first, "network create --driver overlay back");
    docker(
        first,
        &format!(
            "service create --detach --name api --replicas 2 --network back \
             --publish {PORT}:80 web"
        ),
    );
    docker(first, "service create --detach --name asker --network back web");
    for task in running(first, "api", 2) {
        assert!(address(&task, "mesh").starts_with(MESH), "{task}");
    }
    let asking = running(first, "asker", 1).remove(0);
    let asker = Asker::of(&cluster, &asking);
    let seen = asker.reaches(&cluster, ASK_API, 2, "by the data path");
    let own = address(&asking, "back");
    assert!(seen.values().flatten().all(|whom| *whom == own), "{seen:?}, from {own}");
    ports_lead_everywhere(&cluster, "by the data path");
    let peers = docker(first, "network inspect -v --format {{range.Peers}}{{.IP}},{{end}} back");
    let peers: BTreeSet<_> = peers.trim().trim_end_matches(',').split(',').collect();
    assert_eq!(peers, [&*data_path(0), &*data_path(1)].into());

    for node in &mut cluster.nodes[..NODES] {
        node.kill();
        node.start();
    }
    cluster.wait_ready(NODES);
    asker.reaches(&cluster, ASK_API, 2, "after daemons have restarted");
    ports_lead_everywhere(&cluster, "after daemons have restarted");
    for machine in &cluster.machines[..NODES] {
        let counted = machine.run(&["nft", "list", "table", "inet", "closed"]);
        let mut rules = counted.stdout.lines().filter(|line| line.contains("counter"));
        let is_zero = |line: &str| line.contains("packets 0 ");
        assert!(rules.next().is_some_and(|right| !is_zero(right)), "{counted}");
        assert!(rules.next().is_some_and(is_zero), "{counted}");
    }

    port_53_is_published_beside_resolvers(&cluster);
    ports_of_mode_host_are_open_where_a_task_is(&cluster);
}

/// Waits until the published port of each machine leads to both tasks, which see the client.
#[track_caller]
fn ports_lead_everywhere(cluster: &Cluster, when: &str) {
    let client = &cluster.machines[CLIENT];
    for machine in &cluster.machines[..NODES] {
        let entry = machine.ip.to_string();
        eventually(&format!("{entry} leads to both, {when}"), || {
            let seen = who_answers(client, &entry, PORT, 6)?;
            let own = BTreeSet::from([IpAddr::from(client.ip)]);
            let is_right = seen.len() == 2 && seen.values().all(|whom| *whom == own);
            if is_right { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
}

/// The resolver of containers has no address of the machine, and the machine's own keeps its.
fn port_53_is_published_beside_resolvers(cluster: &Cluster) {
    let _own = Beside::start(&cluster.machines[1], OWN);
    let first = &cluster.nodes[0];
    let mut words = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "dns"];
    words.extend(["--replicas", "2", "--network", "back"]);
    words.extend(["--publish", "53:53", "--publish", "53:53/udp", "web", "perl", "-e", SERVER]);
    first.swarmw(&words);
    let tasks = running(first, "dns", 2);
    let client = &cluster.machines[CLIENT];
    for machine in &cluster.machines[..NODES] {
        let entry = machine.ip.to_string();
        for protocol in ["tcp", "udp"] {
            let mut seen = BTreeSet::new();
            eventually(&format!("port 53 of {entry} leads to both by {protocol}"), || {
                let said = client.run(&["perl", "-e", ASK, &entry, protocol]);
                if !said.stdout.is_empty() {
                    seen.insert(said.stdout.clone());
                }
                if seen.len() == 2 { Ok(()) } else { Err(format!("{seen:?}, {said}")) }
            });
        }
    }
    let own = cluster.machines[1].run(&["perl", "-e", ASK, "127.0.0.53", "tcp"]);
    assert_eq!(own.stdout, "own\n", "{own}");

    // Names are answered in containers that have the port.
    let all: BTreeSet<_> = tasks.iter().map(|task| address(task, "back")).collect();
    for task in &tasks {
        let found = Asker::of(cluster, task).run(cluster, "nslookup tasks.dns").expect("found");
        assert!(all.iter().all(|address| found.contains(address)), "{all:?}: {found}");
    }
}

/// One task on each node, the others wait and say why; who names no port is told one.
fn ports_of_mode_host_are_open_where_a_task_is(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    let create = |name: &str, replicas: usize, publish: &str| {
        first.run(format!(
            "service create --detach --no-resolve-image --name {name} --replicas {replicas} \
             --stop-grace-period 1s --publish mode=host,target=80{publish} web"
        ));
    };
    let asked = |machine: usize, port: u64| {
        let url = format!("http://{}:{port}/", cluster.machines[machine].ip);
        cluster.machines[CLIENT].run(&["curl", "-sS", "-m", "5", &url])
    };
    create("fixed", NODES + 1, ",published=8090");
    let why = "host-mode port already in use on 2 nodes";
    eventually("one waits and says why", || {
        let listed = first.run("service ps --no-trunc fixed");
        let running = listed.lines().filter(|line| line.contains("Running")).count();
        if listed.contains(why) && running >= NODES { Ok(()) } else { Err(listed) }
    });
    first.run("service scale --detach fixed=1");
    let task = running(first, "fixed", 1).remove(0);
    let here = node_of(cluster, &task);
    eventually("the port is open there and nowhere else", || {
        let (there, elsewhere) = (asked(here, 8090), asked(1 - here, 8090));
        let is_right = there.stdout.contains("hello") && elsewhere.code == REFUSED;
        if is_right { Ok(()) } else { Err(format!("{there}, {elsewhere}")) }
    });

    create("any", 1, "");
    let task = running(first, "any", 1).remove(0);
    let port = task["Status"]["PortStatus"]["Ports"][0]["PublishedPort"].as_u64();
    let port = port.unwrap_or_else(|| panic!("no port: {task}"));
    let page = asked(node_of(cluster, &task), port);
    assert!(page.stdout.contains("hello"), "{page}");
    let listed = first.run("service ps any");
    assert!(listed.contains(&format!("*:{port}->80/tcp")), "{listed}");
    docker(first, "service rm fixed any");
}
