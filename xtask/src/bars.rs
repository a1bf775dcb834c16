//! `cargo xtask bars [ID]`: measures the figures that BENCHMARKS.md states.

use anyhow::{Result, bail};

use crate::shell::{root, run_in};

/// A figure: its id and the command that measures it.
struct Bar {
    id: &'static str,
    what: &'static str,
    command: &'static [&'static str],
}

const SWARMW: [&str; 4] = ["run", "--release", "--quiet", "--"];

const BARS: &[Bar] = &[
    Bar {
        id: "scheduler-one-service",
        what: "1,000 nodes, 100,000 tasks of one service: under 1 CPU-second and 500 MB",
        command: &["bench", "scheduler", "--nodes", "1000", "--tasks", "100000", "--services", "1"],
    },
    Bar {
        id: "scheduler-thousand-services",
        what: "10,000 nodes, 100,000 tasks in 1,000 services, two constraints and a spread: \
               deciding takes under 100 ms",
        command: &[
            "bench",
            "scheduler",
            "--nodes",
            "10000",
            "--tasks",
            "100000",
            "--services",
            "1000",
            "--constraints",
            "2",
            "--spread",
        ],
    },
    Bar {
        id: "tasks",
        what: "200 Wasm tasks: under 2 MB proportional each at rest, first response under 15 ms \
               after the process is spawned",
        command: &["bench", "tasks", "--tasks", "200"],
    },
    Bar {
        id: "cluster",
        what: "leader under 60 MB, worker under 40 MB resident; above 2,000 creates per second \
               from 64 clients; leader killed to next accepted write under 2 s at the median",
        command: &["bench", "cluster"],
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
        let arguments: Vec<_> = SWARMW.iter().chain(bar.command).copied().collect();
        run_in(&root(), "cargo", &arguments)?;
    }
    Ok(())
}
