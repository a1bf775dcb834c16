//! Published ports by the kernels of the nodes: whoever connects to any node reaches each
//! task in turn and is seen by it; what goes keeps its connections; nothing is left.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{ASK_OFTEN, MANY, WEB, docker, is_even};
use crate::docker::{import_everywhere, running, take_turn};
use crate::support::{Cluster, Machine, eventually};

/// The machine that no task is on: clients connect from there.
const CLIENT: usize = 3;
/// The machines with engines.
const ENTRIES: [usize; 3] = [0, 1, 2];
/// The one that is drained: what goes in by it, goes elsewhere.
const DRAINED: usize = 2;
/// The published port.
const PORT: u16 = 4567;
/// Replicas of the service.
const REPLICAS: usize = 5;

/// Says each line again, with its host's name before it; deaf to requests to stop.
const ECHO: &str = r#"
    use IO::Socket::INET; $SIG{CHLD} = "IGNORE";
    $to = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die $@;
    while ($c = $to->accept) {
        next if fork; $c->autoflush(1); while (<$c>) { print $c "$ENV{HOSTNAME} $_" } exit }
"#;
/// Sends each line of its input, and prints the answers.
const TALK: &str = r#"
    use IO::Socket::INET; $| = 1; alarm 120;
    $to = IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 5) or die $@;
    $to->autoflush(1); while (<STDIN>) { print $to $_; print scalar(<$to>) // die "gone" }
"#;

/// A connection from the client's machine.
struct Talk {
    process: Child,
    answers: BufReader<ChildStdout>,
}

// === impl Talk ===

impl Talk {
    fn with(cluster: &Cluster, entry: usize, port: u16) -> Self {
        let before = cluster.machines[CLIENT].inside();
        let to = format!("{}:{port}", cluster.machines[entry].ip);
        let mut process = Command::new(&before[0])
            .args(&before[1..])
            .args(["perl", "-e", TALK, &to])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter is installed");
        let answers = BufReader::new(process.stdout.take().expect("its output"));
        Self { process, answers }
    }

    /// Who answers a line.
    fn say(&mut self, line: &str) -> Option<String> {
        let input = self.process.stdin.as_mut().expect("its input");
        writeln!(input, "{line}").ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        let (who, rest) = answer.trim().split_once(' ')?;
        (rest == line).then(|| who.to_owned())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connections to nodes, one after the other; how often each task answered. It must have seen
/// the client's own address.
fn ask(cluster: &Cluster, to: &[IpAddr], times: usize) -> Result<BTreeMap<String, usize>, String> {
    let (port, times) = (PORT.to_string(), times.to_string());
    let to: Vec<_> = to.iter().map(IpAddr::to_string).collect();
    let words = ["perl", "-e", ASK_OFTEN, &port, &times].into_iter();
    let client = &cluster.machines[CLIENT];
    let told = client.run(&words.chain(to.iter().map(String::as_str)).collect::<Vec<_>>());
    let own: [IpAddr; 2] = [client.ip.into(), client.ip6.into()];
    let mut seen = BTreeMap::new();
    for line in told.stdout.lines() {
        let (who, whom) = line.split_once(' ').ok_or_else(|| told.to_string())?;
        let whom = whom.trim_matches(['[', ']']).trim_start_matches("::ffff:");
        if !whom.parse().is_ok_and(|whom: IpAddr| own.contains(&whom)) {
            return Err(format!("{whom} was seen: {told}"));
        }
        *seen.entry(who.to_owned()).or_default() += 1;
    }
    Ok(seen)
}

fn addresses(cluster: &Cluster, v6: bool) -> Vec<IpAddr> {
    let of =
        |machine: &Machine| -> IpAddr { if v6 { machine.ip6.into() } else { machine.ip.into() } };
    ENTRIES.iter().map(|entry| of(&cluster.machines[*entry])).collect()
}

/// Waits until each task is reached as often as the others, by each node and by all in turn.
#[track_caller]
fn spreads(cluster: &Cluster, v6: bool, when: &str) {
    let all = addresses(cluster, v6);
    let even = |to: &[IpAddr], times: usize| {
        let seen = ask(cluster, to, times)?;
        let each = to.len() * times / REPLICAS;
        let even = seen.len() == REPLICAS && seen.values().all(|asked| *asked == each);
        if even { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    for entry in &all {
        eventually(&format!("{entry} leads to each in turn, {when}"), || {
            even(std::slice::from_ref(entry), 2 * REPLICAS)
        });
    }
    even(&all, 4 * REPLICAS).unwrap_or_else(|seen| panic!("by all nodes, {when}: {seen}"));
}

/// Of [`MANY`] connections by a node each task gets as many as the others, and each is seen
/// with the client's address.
#[track_caller]
fn by_many_spreads(cluster: &Cluster, entry: IpAddr) {
    let seen = ask(cluster, &[entry], MANY).expect("answers");
    assert!(is_even(seen.values(), REPLICAS), "{entry}: {seen:?}");
}

/// What a machine's kernel has of published ports.
pub fn left_on(machine: &Machine) -> String {
    let script = "nft list tables | grep swarmw_ports; ip -o link | grep swingress; \
         ip rule | grep -E '^53570?:'; ip -6 rule | grep -E '^53570?:'; \
         iptables -S | grep SWARMW; ip6tables -S | grep SWARMW; true";
    machine.run(&["sh", "-c", script]).stdout
}

#[test]
fn kernels_lead_published_ports_to_every_task_in_turn_and_keep_the_clients_address() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(3, 1);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    let web = format!("service create --detach --name web --replicas 5 --publish {PORT}:80 web");
    docker(first, &web);
    running(first, "web", REPLICAS);
    for v6 in [false, true] {
        spreads(&cluster, v6, "at first");
        for entry in &addresses(&cluster, v6)[..DRAINED] {
            by_many_spreads(&cluster, *entry);
        }
    }

    // Each machine is its own client, by any of its addresses; one without an engine has the
    // port in user space.
    for to in ["127.0.0.1".to_owned(), cluster.machines[1].ip.to_string()] {
        let url = format!("http://{to}:{PORT}/");
        let page = cluster.machines[1].run(&["curl", "-sS", "-m", "5", &url]);
        assert!(page.stdout.contains("hello from a container"), "{to}: {page}");
    }
    let url = format!("http://{}:{PORT}/", cluster.machines[CLIENT].ip);
    let page = cluster.machines[0].run(&["curl", "-sS", "-m", "5", &url]);
    assert!(page.stdout.contains("hello from a container"), "{page}");

    // Nobody is asked for it.
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    spreads(&cluster, false, "while daemons are away");
    cluster.nodes[1].start();
    spreads(&cluster, false, "after a restart without a manager");
    cluster.nodes[0].start();
    cluster.wait_ready(4);

    let first = &cluster.nodes[0];
    // The record of a node that has just come back changes by itself meanwhile.
    eventually("n3 is drained", || {
        let drained = first.docker(&["node", "update", "--availability", "drain", "n3"]);
        if drained.code == 0 { Ok(()) } else { Err(drained) }
    });
    eventually("the tasks of n3 are elsewhere", || {
        let all = cluster.machines[2].docker(&["ps", "-q"]);
        if all.is_empty() { Ok(()) } else { Err(all) }
    });
    running(first, "web", REPLICAS);
    for v6 in [false, true] {
        spreads(&cluster, v6, "after a node was drained");
        // By the node that has no task.
        by_many_spreads(&cluster, addresses(&cluster, v6)[DRAINED]);
    }

    let meddle = "nft delete table inet swarmw_ports; ip link del swingress";
    let done = cluster.machines[1].run(&["sh", "-c", meddle]);
    assert_eq!(done.code, 0, "{done}");
    spreads(&cluster, false, "after somebody meddled");

    tasks_see_their_node_where_the_service_says_so(&cluster);
    ports_of_sctp_have_their_rules(&cluster);

    docker(first, "service rm web assoc");
    eventually("nothing is left on the machines", || {
        let left: String = cluster.machines.iter().map(left_on).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// `--ingress-source node`, and the way back.
fn tasks_see_their_node_where_the_service_says_so(cluster: &Cluster) {
    let (first, entry) = (&cluster.nodes[0], [cluster.machines[0].ip.into()]);
    for (source, sees_client) in [("node", false), ("client", true)] {
        first.run(format!("service update --detach --ingress-source {source} web"));
        eventually(&format!("tasks see the {source}"), || {
            // Another address than the client's own is an error of `ask`.
            match (ask(cluster, &entry, 2 * REPLICAS), sees_client) {
                (Ok(seen), true) if seen.len() == REPLICAS => Ok(()),
                (Err(why), false) if why.contains(" was seen: ") => Ok(()),
                (seen, _) => Err(format!("{seen:?}")),
            }
        });
    }
    running(first, "web", REPLICAS);
}

/// The kernel of this machine may have no sockets of SCTP: the rules are looked at.
fn ports_of_sctp_have_their_rules(cluster: &Cluster) {
    let first = &cluster.nodes[0];
    docker(first, "service create --detach --name assoc --publish 4568:80/sctp web");
    for entry in ENTRIES {
        eventually(&format!("machine {entry} leads SCTP to tasks"), || {
            let list = ["nft", "list", "map", "inet", "swarmw_ports", "sctp4"];
            let tasks = cluster.machines[entry].run(&list);
            if tasks.stdout.contains("4568 . ") { Ok(()) } else { Err(tasks.to_string()) }
        });
    }
    let shown =
        first.docker(&["service", "ls", "--format", "{{.Ports}}", "--filter", "name=assoc"]);
    assert_eq!(shown.stdout, "*:4568->80/sctp\n", "{shown}");
}

#[test]
fn who_leaves_keeps_the_connections_that_it_has_and_gets_no_others() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(3, 1);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    first.swarmw(&[
        "service",
        "create",
        "--detach",
        "--no-resolve-image",
        "--name",
        "echo",
        "--replicas",
        "3",
        "--publish",
        "4567:80",
        "--stop-grace-period",
        "25s",
        "web",
        "perl",
        "-e",
        ECHO,
    ]);
    running(first, "echo", 3);
    let mut held = eventually("each task answers", || {
        let mut talks: Vec<_> = ENTRIES.map(|_| Talk::with(&cluster, 0, PORT)).into();
        let who: Vec<_> = talks.iter_mut().filter_map(|talk| talk.say("hello")).collect();
        let mut apart = who.clone();
        apart.sort_unstable();
        apart.dedup();
        if apart.len() == 3 {
            Ok(talks.into_iter().zip(who).collect::<Vec<_>>())
        } else {
            Err(format!("{who:?}"))
        }
    });
    first.run("service scale --detach echo=0");
    eventually("nobody takes new connections", || {
        match Talk::with(&cluster, 0, PORT).say("anybody") {
            Some(who) => Err(who),
            None => Ok(()),
        }
    });
    for (talk, who) in &mut held {
        assert_eq!(talk.say("again").as_ref(), Some(&*who), "its connection goes on");
    }
}
