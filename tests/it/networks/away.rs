//! Networks while managers, daemons and engines are away, and after somebody meddled.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{ASK_API, Asker, WEB, address, docker, overlay, published, who_answers};
use crate::docker::{container, import_everywhere, node_of, running, take_turn};
use crate::support::{Cluster, Machine, eventually};

/// The published port.
const PORT: u16 = 4567;

/// How long an ill task runs on once it is asked to end: far longer than others take to hear
/// of it.
const STOPS_FOR: &str = "60s";

/// What was meddled with leads everywhere again within this time: bar S10. A node looks at
/// what it has every 15 s.
const REPAIRED_WITHIN: Duration = Duration::from_secs(30);
/// A machine with too much to do may be late once or twice. A node that looks too seldom is
/// late each time, as each try begins when it has just looked.
const TRIES: usize = 3;

/// What somebody may do to a node's networks at night.
const MEDDLING: [&str; 4] = [
    "ip netns exec $R nft delete table inet swarmw",
    "ip netns exec $R ip link del $(ip netns exec $R ip -o link | grep -o 'vx[0-9]*' | head -n 1)",
    "ip netns exec $R ip route flush proto static; ip netns exec $R ip route flush proto boot",
    "for L in $(ip -n $R -o link | grep -o ' sw[a-z0-9]*@' | tr -d '@'); do ip -n $R link del $L; done",
];

#[test]
fn names_and_addresses_stay_while_managers_daemons_and_engines_are_away() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(3, 0);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    first.run("node update --availability drain n1");
    docker(first, "network create --driver overlay back");
    let publish = format!("{PORT}:80");
    let mut words = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "api"];
    words.extend(["--replicas", "2", "--network", "back", "--publish", &publish]);
    words.extend(["--health-cmd", "test ! -e /tmp/sick", "--health-interval", "1s"]);
    // Asked to end, it takes its time: a first process without a handler has no SIGTERM.
    words.extend(["--health-retries", "1", "--stop-grace-period", STOPS_FOR, "web"]);
    first.swarmw(&words);
    docker(first, "service create --detach --name proxy --network back web");
    let api = running(first, "api", 2);
    let proxy = running(first, "proxy", 1).remove(0);
    let here = node_of(&cluster, &proxy);
    let asker = Asker::of(&cluster, &proxy);
    let own = api.iter().find(|task| node_of(&cluster, task) == here).expect("one on each worker");
    asker.reaches(&cluster, ASK_API, 2, "at first");

    cluster.nodes[0].kill();
    asker.reaches(&cluster, ASK_API, 2, "without a manager");
    cluster.nodes[here].kill();
    cluster.nodes[here].start();
    asker.reaches(&cluster, ASK_API, 2, "after a restart without a manager");
    port_leads_to(&cluster, here, 2, "after a restart without a manager");

    let told = Told::begin(&cluster, here);
    for meddling in MEDDLING {
        let mut times = Vec::new();
        while times.last().is_none_or(|time| *time > REPAIRED_WITHIN) {
            assert!(times.len() < TRIES, "{meddling}: repaired after {times:?}");
            times.push(repaired_after(&cluster, here, &asker, meddling));
        }
        println!("repaired after {times:?}: {meddling}");
    }
    told.has(&["table inet swarmw", "vx", "route", "the link sw"]);

    cluster.machines[here].docker(&["exec", &container(own), "touch", "/tmp/sick"]);
    asker.reaches(&cluster, ASK_API, 1, "when its own node has found a task ill");
    port_leads_to(&cluster, here, 1, "when its own node has found a task ill");
    let ill = address(own, "back");
    eventually("it is not among the names either", || {
        let found = asker.run(&cluster, "nslookup tasks.api")?;
        if found.contains(&ill) { Err(found) } else { Ok(()) }
    });
    let runs = ["ps", "--quiet", "--no-trunc", "--filter", "status=running"];
    let runs = cluster.machines[here].docker(&runs);
    assert!(runs.contains(&container(own)), "before it has ended: {runs}");
    cluster.machines[here].docker(&["kill", &container(own)]);
    cluster.nodes[here].kill();
    cluster.nodes[here].start();
    asker.reaches(&cluster, ASK_API, 1, "after another restart without a manager");
    port_leads_to(&cluster, here, 1, "after another restart without a manager");
    eventually("it is the kernel that leads there", || {
        let led = ["nft", "list", "map", "inet", "swarmw_ports", "ports4"];
        let led = cluster.machines[here].run(&led);
        if led.stdout.contains(&PORT.to_string()) { Ok(()) } else { Err(led) }
    });

    cluster.nodes[0].start();
    running(&cluster.nodes[0], "api", 2);
    asker.reaches(&cluster, ASK_API, 2, "with a manager again");

    cluster.machines[here].kill_engine();
    cluster.machines[here].start_engine();
    cluster.machines[here].wait_engine();
    let first = &cluster.nodes[0];
    let proxy = eventually("another task", || {
        let now = running(first, "proxy", 1).remove(0);
        if now["ID"] == proxy["ID"] { Err(now.to_string()) } else { Ok(now) }
    });
    running(first, "api", 2);
    let asker = Asker::of(&cluster, &proxy);
    asker.reaches(&cluster, ASK_API, 2, "after the engine was killed");

    // What goes while a daemon is away, the next one takes down.
    cluster.nodes[here].kill();
    cluster.nodes[0].run("service rm api proxy");
    cluster.machines.iter().for_each(kill_all);
    cluster.nodes[here].start();
    eventually("nothing is left on the machines", || {
        let left = |machine: &Machine| overlay::left_on(machine) + &published::left_on(machine);
        let left: String = cluster.machines.iter().map(left).collect();
        let said = || cluster.nodes.iter().map(|node| node.log_end()).collect::<String>();
        if left.trim().is_empty() { Ok(()) } else { Err(left + &said()) }
    });
}

#[test]
fn what_a_node_leaves_on_an_engine_that_is_away_goes_when_the_engine_is_back() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(1, 0);
    import_everywhere(&cluster, &[WEB]);
    docker(&cluster.nodes[0], "network create --driver overlay back");
    docker(&cluster.nodes[0], "service create --detach --name api --network back web");
    running(&cluster.nodes[0], "api", 1);
    cluster.machines[0].kill_engine();
    cluster.nodes[0].swarmw(&["swarm", "leave", "--force"]);
    // Whichever daemon there is then.
    cluster.nodes[0].kill();
    cluster.machines[0].start_engine();
    cluster.machines[0].wait_engine();
    cluster.nodes[0].start();
    eventually("nothing of the cluster is left on the engine", || {
        let of_engine = |words: &[&str]| cluster.machines[0].docker(words);
        let containers = of_engine(&["ps", "--all", "--quiet"]);
        let left = containers + &of_engine(&["network", "ls", "-q", "-f", "driver=swarmw"]);
        if left.trim().is_empty() { Ok(()) } else { Err(left + &cluster.nodes[0].log_end()) }
    });
}

/// Writes down what a node tells of what it put back.
struct Told {
    events: Child,
    file: PathBuf,
}

// === impl Told ===

impl Told {
    fn begin(cluster: &Cluster, node: usize) -> Self {
        let file = cluster.file("repairs", b"");
        let events = Command::new(env!("CARGO_BIN_EXE_swarmw"))
            .args(["events", "--filter", "event=repair"])
            .env("SWARMW_HOST", format!("unix://{}", cluster.nodes[node].socket().display()))
            .stdin(Stdio::null())
            .stdout(File::create(&file).expect("a file"))
            .spawn()
            .expect("the command starts");
        Self { events, file }
    }

    /// Waits until it has told of each of these.
    #[track_caller]
    fn has(&self, these: &[&str]) {
        eventually("events tell what was put back", || {
            let told = fs::read_to_string(&self.file).expect("what was told");
            let all = these.iter().all(|what| told.lines().any(|line| line.contains(what)));
            if all && told.contains(" node repair ") { Ok(()) } else { Err(told) }
        });
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.events.kill();
        let _ = self.events.wait();
    }
}

/// Ends the containers of a machine, which would take their time.
fn kill_all(machine: &Machine) {
    for container in machine.docker(&["ps", "--quiet"]).lines() {
        // It may have ended meanwhile.
        machine.try_docker(&["kill", container]);
    }
}

/// Meddles with a machine's networks: how long it takes until the name leads everywhere again.
#[track_caller]
fn repaired_after(cluster: &Cluster, machine: usize, asker: &Asker, meddling: &str) -> Duration {
    let script = format!("R=$(ls /run/netns | grep swarmw); {meddling}");
    let done = cluster.machines[machine].run(&["sh", "-c", &script]);
    assert_eq!(done.code, 0, "{meddling}: {done}");
    let begun = Instant::now();
    asker.reaches(cluster, ASK_API, 2, meddling);
    begun.elapsed()
}

/// Waits until the published port of a machine leads to so many tasks.
#[track_caller]
fn port_leads_to(cluster: &Cluster, machine: usize, count: usize, when: &str) {
    let machine = &cluster.machines[machine];
    eventually(&format!("its published port leads to {count}, {when}"), || {
        let seen = who_answers(machine, &machine.ip.to_string(), PORT, 3 * count)?;
        if seen.len() == count { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}
