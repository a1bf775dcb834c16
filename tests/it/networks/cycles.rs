//! Networks and services with published ports that come and go leave nothing behind.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use super::asking::SERVER;
use super::{WEB, overlay, published};
use crate::docker::{import_everywhere, running, take_turn};
use crate::support::{Cluster, Machine, Node, eventually};

/// Machines, each with a task.
const MACHINES: usize = 4;
/// So many networks, each with a service, come and go at a time.
const TOGETHER: usize = 5;
/// The first published port.
const PORT: u16 = 4567;
/// How many in all, where the variable [`CYCLES_SET`] does not say.
const CYCLES: usize = 10;
/// Set for the night, and for `cargo xtask bars cycles`.
const CYCLES_SET: &str = "SWARMW_CYCLES";
/// Minutes of rest afterwards, in which the daemons are weighed; none by day.
const REST_SET: &str = "SWARMW_REST";
/// Kilobytes that a daemon may grow by in an hour of rest.
const GROWS_BY: f64 = 1_024.0;
/// Between two looks.
const WEIGHED_EVERY: Duration = Duration::from_secs(60);
/// File descriptors that come and go with connections: fewer than one for each cycle.
const SLACK: usize = 5;
/// Twice the same after so long is rest.
const REST: Duration = Duration::from_millis(500);

/// What there may be too much of on a machine, and what lists it.
const LISTED: [(&str, &str); 7] = [
    ("links", "ip -o link"),
    ("addresses", "ip -o addr"),
    ("rules of routing", "ip rule; ip -6 rule"),
    ("routes", "ip route show table all; ip -6 route show table all"),
    ("lines of nftables", "nft list ruleset"),
    ("rules of the firewall", "for of in iptables ip6tables; do $of -S; $of -t nat -S; done"),
    ("namespaces", "ls /run/netns /run/docker/netns"),
];

/// What the kernel and the engine of a machine have.
type Listing = BTreeMap<&'static str, String>;
/// How many of each.
type Counts = BTreeMap<&'static str, usize>;

/// What the processes of a machine hold.
struct Held {
    daemon: usize,
    engine: usize,
    /// The daemon's memory.
    kilobytes: usize,
}

// === impl Held ===

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { daemon, engine, kilobytes } = self;
        write!(f, "{daemon} descriptors, the engine {engine}; {kilobytes} kB resident")
    }
}

fn listing(machine: &Machine) -> Listing {
    let list = |(what, script): (&'static str, &str)| {
        (what, machine.run(&["sh", "-c", &format!("{{ {script}; }} 2>&1; true")]).stdout)
    };
    let mut all: Listing = LISTED.into_iter().map(list).collect();
    all.insert("containers", machine.docker(&["ps", "--all", "--quiet"]));
    all
}

fn counts(machine: &Machine) -> Counts {
    listing(machine).iter().map(|(what, text)| (*what, text.lines().count())).collect()
}

/// What there is more of than these counts, with what there is now. An engine clears away
/// unused namespaces once a minute, so there may be fewer.
fn beyond(cluster: &Cluster, before: &[Counts]) -> String {
    let mut text = String::new();
    for (number, (machine, before)) in cluster.machines.iter().zip(before).enumerate() {
        for (what, now) in listing(machine) {
            let (had, has) = (before[what], now.lines().count());
            if has > had {
                text += &format!("machine {}: {had} {what} are {has} now:\n{now}\n", number + 1);
            }
        }
    }
    text
}

fn held(node: &Node, machine: &Machine) -> Held {
    let process = format!("/proc/{}", node.pid());
    // What `status` says is counted in large steps.
    let status = fs::read_to_string(format!("{process}/smaps_rollup")).expect("the daemon runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let engine = machine.run(&["sh", "-c", "ls /proc/$(cat /run/dockerd.pid)/fd | wc -l"]);
    Held {
        daemon: fs::read_dir(format!("{process}/fd")).expect("its descriptors").count(),
        engine: engine.stdout.trim().parse().unwrap_or_else(|_| panic!("{engine}")),
        kilobytes: kilobytes.unwrap_or_else(|| panic!("{status}")),
    }
}

fn all_held(cluster: &Cluster) -> Vec<Held> {
    cluster.nodes.iter().zip(&cluster.machines).map(|(node, on)| held(node, on)).collect()
}

fn compared(before: &[Held], after: &[Held]) -> String {
    let pairs = before.iter().zip(after).enumerate();
    let line = |(at, (before, after))| format!("n{}: before {before}, after {after}", at + 1);
    pairs.map(line).collect::<Vec<_>>().join("\n")
}

/// Waits until nothing changes, with nothing there of networks and ports; how many there are
/// of what else there is.
#[track_caller]
fn at_rest(cluster: &Cluster) -> Vec<Counts> {
    eventually("the machines are at rest", || {
        let left = |machine: &Machine| overlay::left_on(machine) + &published::left_on(machine);
        let left: String = cluster.machines.iter().map(left).collect();
        if !left.trim().is_empty() {
            return Err(left);
        }
        let all = || cluster.machines.iter().map(counts).collect::<Vec<_>>();
        let before = all();
        sleep(REST);
        let after = all();
        if before == after { Ok(after) } else { Err(format!("{before:?} became {after:?}")) }
    })
}

/// Networks, each with a service on it, come, are used, and go.
fn cycle(cluster: &Cluster, round: usize) {
    let first = &cluster.nodes[0];
    let each = || (1..=TOGETHER).map(|number| (format!("web{number}"), format!("net{number}")));
    let ports = || usize::from(PORT)..;
    for ((web, network), port) in each().zip(ports()) {
        first.run(format!("network create --driver overlay --attachable {network}"));
        let (replicas, publish) = (MACHINES.to_string(), format!("{port}:80"));
        let mut words = vec!["service", "create", "--detach", "--no-resolve-image"];
        words.extend(["--name", &web, "--replicas", &replicas, "--network", &network]);
        words.extend(["--publish", &publish, "web", "perl", "-e", SERVER]);
        first.swarmw(&words);
    }
    for ((web, _), port) in each().zip(ports()) {
        running(first, &web, MACHINES);
        let (from, to) = ((round + port) % MACHINES, (round + port + 1) % MACHINES);
        let url = format!("http://{}:{port}/", cluster.machines[to].ip);
        eventually(&format!("{url} answers"), || {
            let page = cluster.machines[from].run(&["curl", "-sSf", "-m", "5", &url]);
            if page.code == 0 { Ok(()) } else { Err(page) }
        });
    }
    for (web, _) in each() {
        first.run(format!("service rm {web}"));
    }
    for (_, network) in each() {
        eventually("the network goes", || {
            let gone = first.try_run(format!("network rm {network}"));
            if gone.code == 0 { Ok(()) } else { Err(gone) }
        });
    }
}

/// What daemons weigh over so many minutes in which nothing happens, and what that is an hour.
fn weigh(cluster: &Cluster, minutes: usize) {
    let mut weights: Vec<Vec<f64>> = vec![Vec::new(); MACHINES];
    for _ in 0..=minutes {
        for (of, held) in weights.iter_mut().zip(all_held(cluster)) {
            of.push(held.kilobytes as f64);
        }
        sleep(WEIGHED_EVERY);
    }
    for (at, of) in weights.iter().enumerate() {
        let an_hour = slope(of) * 60.0;
        println!("n{}: {an_hour:+.0} kB an hour at rest, over {minutes} min: {of:?}", at + 1);
        assert!(an_hour <= GROWS_BY, "n{} grows at rest", at + 1);
    }
}

/// By how much values grow from one to the next, by least squares.
fn slope(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let steps = || (0..values.len()).map(|at| at as f64 - (count - 1.0) / 2.0);
    let together: f64 = steps().zip(values).map(|(step, value)| step * (value - mean)).sum();
    together / steps().map(|step| step * step).sum::<f64>()
}

#[test]
fn networks_and_services_that_come_and_go_leave_nothing_behind() {
    let _turn = take_turn();
    let cycles = std::env::var(CYCLES_SET);
    let cycles = cycles.map_or(CYCLES, |set| set.parse().expect("a number of cycles"));
    let cluster = Cluster::of_engines(MACHINES, 0);
    import_everywhere(&cluster, &[WEB]);
    // What stays of a first one, stays: the engine's bridge has been up, chains have been made.
    cycle(&cluster, 0);
    let before = at_rest(&cluster);
    let held_before = all_held(&cluster);
    let begun = Instant::now();
    (0..cycles / TOGETHER).for_each(|round| cycle(&cluster, round));
    let took = begun.elapsed();
    eventually(&format!("there is what there was, after {cycles} cycles"), || {
        let more = beyond(&cluster, &before);
        if more.is_empty() { Ok(()) } else { Err(more) }
    });
    let held_after = eventually("as many file descriptors are open", || {
        let now = all_held(&cluster);
        let grown = |(before, now): (&Held, &Held)| {
            now.daemon > before.daemon + SLACK || now.engine > before.engine + SLACK
        };
        let grown = held_before.iter().zip(&now).any(grown);
        if grown { Err(compared(&held_before, &now)) } else { Ok(now) }
    });
    println!("{cycles} cycles in {:.0} s", took.as_secs_f64());
    println!("{}", compared(&held_before, &held_after));
    if let Ok(minutes) = std::env::var(REST_SET) {
        weigh(&cluster, minutes.parse().expect("a number of minutes"));
    }
}
