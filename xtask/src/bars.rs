//! `cargo xtask bars [ID]`: measures the figures that BENCHMARKS.md states.

use anyhow::{Result, bail};

use crate::shell::{root, run_in};

/// A figure: its id and the commands that measure it.
struct Bar {
    id: &'static str,
    what: &'static str,
    commands: &'static [Run],
}

/// What is run, as it is typed; blanks part its words.
enum Run {
    /// Of swarmw itself.
    Swarmw(&'static str),
    /// A benchmark of one room.
    Bench(&'static str),
}

const BARS: &[Bar] = &[
    Bar {
        id: "scheduler-one-service",
        what: "1,000 nodes, 100,000 tasks of one service: under 1 CPU-second and 500 MB",
        commands: &[Run::Swarmw("bench scheduler --nodes 1000 --tasks 100000 --services 1")],
    },
    Bar {
        id: "scheduler-thousand-services",
        what: "10,000 nodes, 100,000 tasks in 1,000 services, two constraints and a spread: \
               deciding takes under 30 ms, the median of five rounds",
        commands: &[Run::Swarmw(
            "bench scheduler --nodes 10000 --tasks 100000 --services 1000 --constraints 2 --spread \
             --rounds 5",
        )],
    },
    Bar {
        id: "scheduler-unique-column",
        what: "a constraint over host names costs no more than one over ten racks",
        commands: &[
            Run::Swarmw(
                "bench scheduler --nodes 10000 --tasks 1000 --services 1000 --constraints 1 \
                 --rounds 7",
            ),
            Run::Swarmw(
                "bench scheduler --nodes 10000 --tasks 1000 --services 1000 --constraints 1 \
                 --unique --rounds 7",
            ),
        ],
    },
    Bar {
        id: "plugin-platform",
        what: "built-in components under 64 KB, loaded from the cache in under 1 ms; a loop ends \
               within 10 ms of its budget (p99); a hoarder takes at most 16 MB more than it may",
        commands: &[Run::Bench("platform")],
    },
    Bar {
        id: "networks",
        what: "500 services on 50 networks, 5,000 backends elsewhere: one backend's change takes \
               under 25 ms, the median of 51",
        commands: &[Run::Bench("networks")],
    },
    Bar {
        id: "tasks",
        what: "200 Wasm tasks: under 2 MB proportional each at rest, first response under 15 ms \
               after the process is spawned",
        commands: &[Run::Swarmw("bench tasks --tasks 200")],
    },
    Bar {
        id: "cluster",
        what: "leader under 60 MB, worker under 40 MB resident; above 2,000 creates per second \
               from 64 clients; leader killed to next accepted write under 2 s at the median",
        commands: &[Run::Swarmw("bench cluster")],
    },
];

/// Measures all figures, or the one named.
pub fn run(id: Option<&str>) -> Result<()> {
    let chosen: Vec<_> = BARS.iter().filter(|bar| id.is_none_or(|id| id == bar.id)).collect();
    if chosen.is_empty() {
        let known: Vec<_> = BARS.iter().map(|bar| bar.id).collect();
        bail!("no bar {:?}; there are: {}", id.unwrap_or_default(), known.join(", "));
    }
    for bar in chosen {
        println!("{}: {}", bar.id, bar.what);
        for command in bar.commands {
            let (cargo, words) = match command {
                Run::Swarmw(words) => ("run --release --quiet --", *words),
                Run::Bench(name) => ("bench --quiet --workspace --bench", *name),
            };
            let arguments: Vec<_> = [cargo, words].iter().flat_map(|w| w.split(' ')).collect();
            run_in(&root(), "cargo", &arguments)?;
        }
    }
    Ok(())
}
