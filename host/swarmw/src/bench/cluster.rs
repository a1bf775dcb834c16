//! `swarmw bench cluster`: three managers and two workers on this machine, what they
//! take at rest, how fast they write, and how soon after the leader's death.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use super::client::Connection;
use super::creates::{self, Creates};
use super::{Format, share};
use crate::local::{Cluster, NODES, PREFERENCE, Shell};

/// Before the look at the cluster at rest.
const SETTLE: Duration = Duration::from_secs(10);
/// Writes measured with one client; with many it is so many times more.
const WRITES: usize = 500;
/// What an operator's tools may open at once.
const CLIENTS: usize = 64;
/// Times that a plugin is added.
const PLUGIN_ROUNDS: usize = 3;
/// Each wait ends long before.
const PATIENCE: Duration = Duration::from_secs(60);

/// In which /proc counts CPU time: USER_HZ, 100 on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long to look.
#[derive(Args, Clone, Debug)]
pub(super) struct ClusterArgs {
    /// How often the leader is killed
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds at rest
    #[arg(long, default_value_t = 30)]
    rest: u64,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Figures {
    rest: Vec<Rest>,
    /// From one client, then from many.
    creates: Vec<Creates>,
    /// From the command that adds a plugin to the answer of one that creates a service
    /// placed by it: the first time every manager compiles it.
    plugin_ms: Vec<f64>,
    /// From the leader's SIGKILL to the answer of the next write, asked of another
    /// manager at once; a number per round.
    failover_ms: Vec<f64>,
    failover_median_ms: f64,
}

/// A daemon at rest.
#[derive(Serialize)]
struct Rest {
    node: usize,
    role: String,
    resident_bytes: u64,
    proportional_bytes: u64,
    /// Of one core.
    cpu_percent: f64,
}

/// Measures, prints, and leaves nothing behind.
///
/// # Errors
/// The cluster cannot be started, or does not do what it should.
pub(super) fn run(args: &ClusterArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        tokio::select! {
            figures = measure(args) => figures,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted; nothing was left behind"),
        }
    })?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string(&figures)?),
        Format::Text => print(&figures),
    }
    Ok(())
}

async fn measure(args: &ClusterArgs) -> Result<Figures> {
    let mut cluster = Cluster::start().await?;
    cluster.form("", Shell::quietly).await?;
    let leader = leader(&cluster).await?;
    let rest = at_rest(&cluster, leader, Duration::from_secs(args.rest.max(1))).await?;
    let socket = cluster.socket(leader)?;
    let mut writes = Vec::new();
    for (clients, services) in [(1, WRITES), (CLIENTS, WRITES * 16)] {
        writes.push(creates::measure(&socket, clients, services).await?);
    }
    let plugin_ms = plugins(&cluster, leader).await?;
    let mut failover_ms = Vec::new();
    for round in 0..args.rounds {
        failover_ms.push(fail_over(&mut cluster, round).await?.as_secs_f64() * 1e3);
    }
    let mut sorted = failover_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let failover_median_ms = share(&sorted, 50).unwrap_or(0.0);
    Ok(Figures { rest, creates: writes, plugin_ms, failover_ms, failover_median_ms })
}

async fn at_rest(cluster: &Cluster, leader: usize, look: Duration) -> Result<Vec<Rest>> {
    tokio::time::sleep(SETTLE).await;
    let pids = (1..=NODES).map(|n| cluster.pid(n)).collect::<Result<Vec<_>>>()?;
    let before = pids.iter().map(|pid| cpu_seconds(*pid)).collect::<Result<Vec<_>>>()?;
    tokio::time::sleep(look).await;
    let roles = cluster
        .shell(leader)
        .capture("swarmw node ls --format {{.Hostname}}={{.ManagerStatus}}")
        .await?;
    let role = |node: usize| {
        let status = roles.lines().find_map(|l| l.strip_prefix(&format!("n{node}=")));
        match status.unwrap_or_default() {
            "" => "worker",
            "Leader" => "leader",
            _ => "manager",
        }
    };
    let at = |(index, pid): (usize, &u32)| {
        Ok(Rest {
            node: index + 1,
            role: role(index + 1).to_owned(),
            resident_bytes: memory(*pid, "Rss:")?,
            proportional_bytes: memory(*pid, "Pss:")?,
            cpu_percent: (cpu_seconds(*pid)? - before[index]) / look.as_secs_f64() * 100.0,
        })
    };
    pids.iter().enumerate().map(at).collect()
}

/// Adds a plugin that no manager knows, uses it, and removes it; and does so again.
async fn plugins(cluster: &Cluster, leader: usize) -> Result<Vec<f64>> {
    let shell = cluster.shell(leader);
    let file = cluster.file("pack.wasm", PREFERENCE)?;
    let mut took = Vec::new();
    for _ in 0..PLUGIN_ROUNDS {
        let started = Instant::now();
        shell.quietly(&format!("swarmw plugin add {file}")).await?;
        let create = "swarmw service create --detach --no-resolve-image --replicas 0 --name packed \
                      --placement-pref pack=node.labels.rack bench";
        shell.quietly(create).await?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
        shell.quietly("swarmw service rm packed").await?;
        shell.quietly("swarmw plugin rm pack").await?;
    }
    Ok(took)
}

/// Kills the leader, asks another manager at once, and brings the killed one back.
async fn fail_over(cluster: &mut Cluster, round: usize) -> Result<Duration> {
    let old = leader(cluster).await?;
    let other = old % 3 + 1;
    let socket = cluster.socket(other)?;
    let mut connection = Connection::open(&socket).await?;
    let spec = format!(
        r#"{{"Name":"round-{round}","TaskTemplate":{{"ContainerSpec":{{"Image":"bench"}}}},
            "Mode":{{"Replicated":{{"Replicas":0}}}}}}"#
    );
    cluster.power_off(old)?;
    let killed = Instant::now();
    connection.ask("POST", "/services/create", &spec, 201).await?;
    let took = killed.elapsed();
    cluster.power_on(old)?;
    let shell = cluster.shell(other);
    let all_reachable = || async {
        let statuses = shell.capture("swarmw node ls --format {{.ManagerStatus}}").await?;
        let up = statuses.lines().filter(|s| ["Leader", "Reachable"].contains(s)).count();
        ensure!(up == 3, "{statuses}");
        Ok(())
    };
    cluster.until("all managers are reachable", PATIENCE, all_reachable).await?;
    Ok(took)
}

/// The number of the node that leads.
///
/// # Errors
/// There is none, and none comes.
pub(super) async fn leader(cluster: &Cluster) -> Result<usize> {
    let shell = cluster.shell(cluster.up().next().context("no node is up")?);
    let look = || async {
        let listed =
            shell.capture("swarmw node ls --format {{.Hostname}}={{.ManagerStatus}}").await?;
        let leader = listed.lines().find_map(|l| l.strip_suffix("=Leader")?.strip_prefix('n'));
        leader.and_then(|n| n.parse().ok()).context("there is no leader")
    };
    cluster.until("there is a leader", PATIENCE, look).await
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("a line of /proc")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // Fields 14 and 15 of the line; the state is field 3.
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Ok((ticks(11) + ticks(12)) as f64 / TICKS_PER_SECOND)
}

/// A line of a process's memory, in bytes.
fn memory(pid: u32, line: &str) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let found = rollup.lines().find_map(|l| l.strip_prefix(line));
    let kib = found.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).with_context(|| format!("no {line} in smaps_rollup"))
}

fn print(figures: &Figures) {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    for rest in &figures.rest {
        println!(
            "n{} at rest ({}): {:.1} MB resident, {:.1} MB proportional, {:.2} % CPU",
            rest.node,
            rest.role,
            mb(rest.resident_bytes),
            mb(rest.proportional_bytes),
            rest.cpu_percent
        );
    }
    for creates in &figures.creates {
        println!("{creates}");
    }
    let listed =
        |times: &[f64]| times.iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(", ");
    println!("plugin added and in use: {} ms", listed(&figures.plugin_ms));
    println!(
        "leader killed to next accepted write: median {:.0} ms ({})",
        figures.failover_median_ms,
        listed(&figures.failover_ms)
    );
}
