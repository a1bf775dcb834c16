//! `swarmw bench lists`: how soon the lists of a large cluster are answered, on the leader's
//! socket and on that of another manager, which asks the leader over the network.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Connection;
use super::cluster::leader;
use super::{Format, share};
use crate::local::{Cluster, Shell};

/// Services with tasks, and how many each has. No node may take them, so they wait.
const BUSY: usize = 100;
const TASKS_EACH: usize = 100;
/// Services in all, once the lists of tasks are measured; the others have no task.
const SERVICES: usize = 5_000;
/// How often a short list is asked for, and a long one.
const SHORT_ROUNDS: usize = 500;
const LONG_ROUNDS: usize = 50;
/// After the last write, before anything is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// Each wait ends long before.
const PATIENCE: Duration = Duration::from_secs(120);

/// The tasks of one service; as `?filters={"service":["bench-7"]}`.
const OF_ONE: &str = "/tasks?filters=%7B%22service%22%3A%5B%22bench-7%22%5D%7D";

/// How to print.
#[derive(Args, Clone, Debug)]
pub(super) struct ListsArgs {
    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How soon a list was answered, from the request to the last byte.
#[derive(Serialize)]
struct Answered {
    by: &'static str,
    list: &'static str,
    bytes: usize,
    p50_ms: f64,
    p99_ms: f64,
}

/// A list: its words, its path, how many are in it, how often it is asked for.
type List = (&'static str, &'static str, usize, usize);

/// Measures, prints, and leaves nothing behind.
///
/// # Errors
/// The cluster cannot be started, or does not answer as it should.
pub(super) fn run(args: &ListsArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = runtime.block_on(async {
        tokio::select! {
            all = measure() => all,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted; nothing was left behind"),
        }
    })?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string(&all)?),
        Format::Text => all.iter().for_each(|answered| println!("{answered}")),
    }
    Ok(())
}

async fn measure() -> Result<Vec<Answered>> {
    let cluster = Cluster::start().await?;
    cluster.form("", Shell::quietly).await?;
    let leads = leader(&cluster).await?;
    let sockets = [
        ("leader", cluster.socket(leads)?),
        // Managers are the nodes 1 to 3.
        ("follower", cluster.socket(leads % 3 + 1)?),
    ];
    let leaders = &sockets[0].1;
    create(leaders, 0..BUSY, TASKS_EACH).await?;
    cluster.until("the tasks wait", PATIENCE, || all_wait(leaders)).await?;
    tokio::time::sleep(SETTLE).await;
    let mut all = Vec::new();
    let tasks: [List; 3] = [
        ("100 tasks of a service", OF_ONE, TASKS_EACH, SHORT_ROUNDS),
        ("a page of 100 tasks", "/tasks?limit=100", 100, SHORT_ROUNDS),
        ("10,000 tasks", "/tasks", BUSY * TASKS_EACH, LONG_ROUNDS),
    ];
    for (by, socket) in &sockets {
        for list in tasks {
            all.push(answered(by, socket, list).await?);
        }
    }
    create(leaders, BUSY..SERVICES, 0).await?;
    tokio::time::sleep(SETTLE).await;
    let services: [List; 2] = [
        ("5,000 services", "/services", SERVICES, LONG_ROUNDS),
        ("5,000 services with their status", "/services?status=1", SERVICES, LONG_ROUNDS),
    ];
    for (by, socket) in &sockets {
        for list in services {
            all.push(answered(by, socket, list).await?);
        }
    }
    Ok(all)
}

async fn create(socket: &Path, numbers: std::ops::Range<usize>, replicas: usize) -> Result<()> {
    let mut connection = Connection::open(socket).await?;
    let env: Vec<_> = (0..8).map(|n| format!("SETTING_{n}=value-{n}")).collect();
    for number in numbers {
        let spec = json!({
            "Name": format!("bench-{number}"),
            "Labels": { "com.docker.stack.namespace": "shop" },
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "registry.example.org/shop/web:1.27.3",
                    "Args": ["--listen", "0.0.0.0:80", "--workers", "4"],
                    "Env": env,
                },
                "Placement": { "Constraints": ["node.labels.bench==none"] },
            },
            "Mode": { "Replicated": { "Replicas": replicas } },
        });
        connection.ask("POST", "/services/create", &spec.to_string(), 201).await?;
    }
    Ok(())
}

/// Whether each task is there, and was looked at.
async fn all_wait(socket: &Path) -> Result<()> {
    let body = Connection::open(socket).await?.ask("GET", "/tasks", "", 200).await?;
    let tasks: Vec<Value> = serde_json::from_slice(&body)?;
    let waiting = tasks.iter().filter(|task| task["Status"]["State"] == "pending").count();
    ensure!(waiting == BUSY * TASKS_EACH, "{waiting} of {} tasks wait", BUSY * TASKS_EACH);
    Ok(())
}

async fn answered(by: &'static str, socket: &Path, list: List) -> Result<Answered> {
    let (what, path, items, rounds) = list;
    let mut connection = Connection::open(socket).await?;
    let (mut took, mut bytes) = (Vec::with_capacity(rounds), 0);
    // The first one of a connection does not count.
    for round in 0..=rounds {
        let began = Instant::now();
        let body = connection.ask("GET", path, "", 200).await?;
        if round > 0 {
            took.push(began.elapsed());
        }
        let found: Vec<Value> = serde_json::from_slice(&body)?;
        ensure!(found.len() == items, "{path}: {} items, not {items}", found.len());
        bytes = body.len();
    }
    took.sort_unstable();
    let at = |percent| share(&took, percent).map_or(0.0, |t: Duration| t.as_secs_f64() * 1e3);
    Ok(Answered { by, list: what, bytes, p50_ms: at(50), p99_ms: at(99) })
}

// === impl Answered ===

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, list, bytes, p50_ms, p99_ms } = self;
        let kilobytes = bytes / 1_000;
        write!(f, "{by}: {list}, {kilobytes} kB: p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms")
    }
}
