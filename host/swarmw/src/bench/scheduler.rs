//! `swarmw bench scheduler`: how large a cluster this machine is good for.

use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use rand::Rng;
use serde::Serialize;
use swarmw_model::{Blob, PluginId};
use swarmw_plugin_host::{COMPONENT, Compiler, PluginHost, builtin};
use swarmw_scheduler::bench::{Phase, Shape, run as run_shape};

use super::Format;

/// The shape of the cluster and its services.
#[derive(Args, Clone, Debug)]
pub(super) struct SchedulerArgs {
    /// Nodes of the cluster
    #[arg(long, default_value_t = 1_000)]
    nodes: usize,
    /// Tasks to place
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Services that the tasks belong to; 0 for one-off tasks, each its own service
    #[arg(long, default_value_t = 1)]
    services: usize,
    /// Constraints of each service
    #[arg(long, default_value_t = 0)]
    constraints: usize,
    /// Let constraints read the host names, of which no two are alike, and not a
    /// label of ten values
    #[arg(long)]
    unique: bool,
    /// Spread each service over a node label
    #[arg(long)]
    spread: bool,
    /// How often, in one process: the figures are those of the round whose deciding is
    /// the median. The first round meets cold caches, a manager that runs does not
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The figures of one run.
#[derive(Serialize)]
struct Figures {
    nodes: usize,
    tasks: usize,
    services: usize,
    constraints: usize,
    unique: bool,
    spread: bool,
    placed: usize,
    cpu_seconds: f64,
    wall_seconds: f64,
    decide_cpu_seconds: f64,
    /// Of all rounds.
    peak_rss_bytes: u64,
    wasm_calls: u64,
}

/// Places the tasks.
///
/// # Errors
/// A component cannot be compiled or loaded.
pub(super) fn run(args: &SchedulerArgs) -> Result<()> {
    let cache = tempfile::tempdir().context("cannot make a folder for compiled components")?;
    let exe = std::env::current_exe().context("cannot find this binary")?;
    let compiler = Compiler::new(exe, cache.path().to_owned(), [0; 32]);
    let mut rounds =
        (0..args.rounds).map(|_| round(args, &compiler)).collect::<Result<Vec<_>>>()?;
    rounds.sort_by(|a, b| a.decide_cpu_seconds.total_cmp(&b.decide_cpu_seconds));
    let mut median = rounds.swap_remove(rounds.len() / 2);
    median.peak_rss_bytes = peak_rss_bytes();
    print(&median, args.format)
}

fn round(args: &SchedulerArgs, compiler: &Compiler) -> Result<Figures> {
    let mut policies = PluginHost::new(compiler.clone());
    load_built_in(&policies, compiler)?;

    let services = if args.services == 0 { args.tasks } else { args.services };
    let shape = Shape {
        nodes: args.nodes,
        tasks: args.tasks,
        services,
        constraints: args.constraints,
        unique: args.unique,
        spread: args.spread,
    };
    let mut marks = Vec::new();
    let numbers = run_shape(shape, &mut policies, &mut |phase| {
        marks.push((phase, Instant::now(), cpu_seconds()));
    });
    let at = |wanted: Phase| marks.iter().find(|(phase, ..)| *phase == wanted);
    let between = |from: Phase, to: Phase| match (at(from), at(to)) {
        (Some((_, wall, cpu)), Some((_, wall_to, cpu_to))) => {
            (wall_to.duration_since(*wall).as_secs_f64(), cpu_to - cpu)
        }
        _ => (0.0, 0.0),
    };
    let (wall_seconds, cpu_seconds) = between(Phase::Prepared, Phase::Applied);
    Ok(Figures {
        nodes: args.nodes,
        tasks: args.tasks,
        services,
        constraints: args.constraints,
        unique: args.unique,
        spread: args.spread,
        placed: numbers.placed,
        wall_seconds,
        cpu_seconds,
        decide_cpu_seconds: between(Phase::Created, Phase::Decided).1,
        peak_rss_bytes: 0,
        wasm_calls: policies.calls(),
    })
}

fn load_built_in(policies: &PluginHost, compiler: &Compiler) -> Result<()> {
    let plugins = builtin()
        .iter()
        .map(|component| {
            let inspected = swarmw_plugin_host::inspect(component.bytes, COMPONENT, compiler)
                .with_context(|| format!("the built-in plugin {}", component.name))?;
            let blob = Blob {
                digest: swarmw_manager::digest_of(component.bytes),
                size: component.bytes.len() as u64,
            };
            let id = PluginId::from_bits(rand::rng().random());
            let plugin = swarmw_manager::plugin_record(id, inspected, blob);
            Ok((plugin, Bytes::from_static(component.bytes)))
        })
        .collect::<Result<Vec<_>>>()?;
    match policies.set_plugins(plugins).into_iter().next() {
        Some((plugin, why)) => anyhow::bail!("plugin {plugin} cannot be loaded: {why}"),
        None => Ok(()),
    }
}

fn print(figures: &Figures, format: Format) -> Result<()> {
    if format == Format::Json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    println!(
        "{} nodes, {} tasks, {} services, {} constraints each{}{}: {} placed",
        figures.nodes,
        figures.tasks,
        figures.services,
        figures.constraints,
        if figures.unique { " over host names" } else { "" },
        if figures.spread { ", spread" } else { "" },
        figures.placed,
    );
    println!("  CPU        {:.3} s", figures.cpu_seconds);
    println!("  wall       {:.3} s", figures.wall_seconds);
    println!("  deciding   {:.3} s", figures.decide_cpu_seconds);
    println!("  peak RSS   {} MB", figures.peak_rss_bytes / 1_000_000);
    println!("  Wasm calls {}", figures.wasm_calls);
    Ok(())
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// The most memory this process ever held, in bytes.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).and_then(|n| n.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}
