//! What the sandbox costs and how tightly it holds: the weight of the built-in
//! components, their way from the cache to the first answer, how far a loop runs past
//! its budget, what a hoarder takes, and what each attack on each function costs. It
//! prints figures and judges none.
//!
//! `cargo xtask bars plugin-platform`

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use swarmw_plugin_host::{COMPILE_BUDGET, PluginHost, builtin};
use swarmw_scheduler::Policies as _;

#[path = "../tests/it/child.rs"]
mod child;
#[path = "../tests/it/storm.rs"]
mod storm;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/support.rs"]
mod support;

/// Loads of each component.
const LOADS: usize = 51;
/// Loops that are ended.
const LOOPS: usize = 200;
/// Calls before the breaker opens: each host is asked no more often.
const CALLS_PER_HOST: usize = 2;

fn main() {
    if child::compile_if_asked() {
        return;
    }
    weights();
    loads();
    loops();
    hoard();
    attacks();
}

fn weights() {
    for component in builtin() {
        println!("{}: {:.1} KB", component.name, component.bytes.len() as f64 / 1e3);
    }
}

/// From a component in the cache to one that may be called, and to its first answer.
fn loads() {
    let plugins: Vec<_> = builtin().iter().map(|b| support::added(b.bytes)).collect();
    for plugin in &plugins {
        let load = || {
            let host = PluginHost::new(support::compiler());
            let started = Instant::now();
            assert_eq!(host.set_plugins(vec![plugin.clone()]), []);
            started.elapsed()
        };
        // The first may compile.
        load();
        println!("{}: loaded from the cache {}", plugin.0.name, Spread::of(LOADS, load));
    }
    let first = || {
        let mut host = support::host();
        let started = Instant::now();
        host.constraint("node.labels.region==east", &support::no_options()).expect("a constraint");
        started.elapsed()
    };
    println!("swarmw/constraint: first answer of a new instance {}", Spread::of(LOADS, first));
}

/// A component that never returns, on a machine whose every core is busy.
fn loops() {
    let busy = Busy::everywhere();
    let mut host = support::host_with(&["storm-constraint"]);
    let mut asked = 0;
    let overrun = || {
        if asked == CALLS_PER_HOST {
            host = support::host_with(&["storm-constraint"]);
            asked = 0;
        }
        asked += 1;
        let before = cpu_of_this_thread();
        let answer = host.constraint("storm==compile-loop", &support::no_options());
        let used = cpu_of_this_thread() - before;
        let said = answer.expect_err("it never returns").to_string();
        assert!(said.contains("ran for more than"), "{said}");
        used.saturating_sub(COMPILE_BUDGET)
    };
    let past = Spread::of(LOOPS, overrun);
    println!("a loop, past its {} ms of CPU {past}", COMPILE_BUDGET.as_millis());
    drop(busy);
}

/// What this process ever held, before and after a component that hoards.
fn hoard() {
    let mut host = support::host_with(&["storm-constraint"]);
    let before = peak_rss_bytes();
    let answer = host.constraint("storm==compile-hoard", &support::no_options());
    answer.expect_err("it wants more than it gets");
    let grown = peak_rss_bytes().saturating_sub(before);
    println!("a hoarder, allowed 64 MiB: {:.0} MB more at the peak", grown as f64 / 1e6);
}

/// Each function of each kind, attacked in each way: CPU from the question to the fault,
/// on a machine at rest, and then how long another plugin's answer takes.
fn attacks() {
    for (plugin, ask, functions) in storm::KINDS {
        for function in functions {
            let mut figures = Vec::new();
            let mut after = Vec::new();
            for how in ["loop", "trap", "memory", "stack"] {
                let mut host = support::host_with(&storm::STORMS);
                let neighbour = |host: &mut PluginHost, text: &str| {
                    host.constraint(text, &support::no_options()).expect("a built-in answers");
                };
                // Instances are made at the first call.
                neighbour(&mut host, "node.id==a");
                let before = cpu_of_this_thread();
                let said = ask(&mut host, &format!("{function}-{how}"));
                let spent = cpu_of_this_thread() - before;
                assert!(said.contains(plugin), "{function}-{how}: {said}");
                figures.push(format!("{how} {:.1}", spent.as_secs_f64() * 1e3));
                let started = Instant::now();
                neighbour(&mut host, "node.id==b");
                after.push(started.elapsed());
            }
            let most = after.into_iter().max().unwrap_or_default().as_secs_f64() * 1e3;
            let figures = figures.join(", ");
            println!("{plugin} {function}: {figures} ms of CPU; the next answer {most:.2} ms");
        }
    }
}

/// Sorted times.
struct Spread(Vec<Duration>);

impl Spread {
    fn of(count: usize, mut measure: impl FnMut() -> Duration) -> Self {
        let mut times: Vec<_> = (0..count).map(|_| measure()).collect();
        times.sort_unstable();
        Self(times)
    }

    fn at(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[place].as_secs_f64() * 1e3
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99, most) = (self.at(50), self.at(99), self.at(100));
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms, most {most:.2} ms")
    }
}

/// Keeps every core at work while it lives.
struct Busy {
    _alive: std::sync::Arc<()>,
}

impl Busy {
    fn everywhere() -> Self {
        let alive = std::sync::Arc::new(());
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let watched = std::sync::Arc::downgrade(&alive);
            std::thread::spawn(move || {
                while watched.strong_count() > 0 {
                    std::hint::spin_loop();
                }
            });
        }
        Self { _alive: alive }
    }
}

fn cpu_of_this_thread() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).and_then(|n| n.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}
