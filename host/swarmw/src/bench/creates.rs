//! `swarmw bench creates`: acknowledged writes per second of a running cluster.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::client::Connection;
use super::{Format, share};

/// Whom to ask, and how much.
#[derive(Args, Clone, Debug)]
pub(super) struct CreatesArgs {
    /// The daemon's socket
    #[arg(long, value_name = "PATH", default_value = "/run/swarmw.sock")]
    socket: PathBuf,
    /// Clients at a time, each with a connection of its own
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Services to create in all
    #[arg(long, default_value_t = 6_400)]
    services: usize,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How fast services were created.
#[derive(Serialize)]
pub(super) struct Creates {
    clients: usize,
    services: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Creates the services, prints how fast, and removes them.
///
/// # Errors
/// The daemon cannot be reached, or refuses a service.
pub(super) fn run(args: &CreatesArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let figures = measure(&args.socket, args.clients.max(1), args.services).await?;
        match args.format {
            Format::Json => println!("{}", serde_json::to_string(&figures)?),
            Format::Text => println!("{figures}"),
        }
        Ok(())
    })
}

/// Creates services from so many clients at once, and removes them again.
///
/// # Errors
/// The daemon cannot be reached, or refuses a service.
pub(super) async fn measure(socket: &Path, clients: usize, services: usize) -> Result<Creates> {
    let each = services.div_ceil(clients);
    let began = Instant::now();
    let mut took =
        every_client(socket, clients, |connection, client| create(connection, client, each))
            .await?;
    let seconds = began.elapsed().as_secs_f64();
    every_client(socket, clients, |connection, client| remove(connection, client, each)).await?;
    took.sort_unstable();
    let at = |percent| share(&took, percent).map_or(0.0, |t: Duration| t.as_secs_f64() * 1e3);
    Ok(Creates {
        clients,
        services: took.len(),
        per_second: took.len() as f64 / seconds,
        p50_ms: at(50),
        p99_ms: at(99),
    })
}

async fn every_client<F>(
    socket: &Path,
    clients: usize,
    work: impl Fn(Connection, usize) -> F,
) -> Result<Vec<Duration>>
where
    F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
{
    let mut at_work = JoinSet::new();
    for client in 0..clients {
        at_work.spawn(work(Connection::open(socket).await?, client));
    }
    let mut all = Vec::new();
    while let Some(done) = at_work.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}

async fn create(mut connection: Connection, client: usize, count: usize) -> Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(count);
    for n in 0..count {
        let spec = json!({
            "Name": name(client, n),
            "TaskTemplate": { "ContainerSpec": { "Image": "bench" } },
            "Mode": { "Replicated": { "Replicas": 0 } },
        });
        let began = Instant::now();
        connection.ask("POST", "/services/create", &spec.to_string(), 201).await?;
        took.push(began.elapsed());
    }
    Ok(took)
}

async fn remove(mut connection: Connection, client: usize, count: usize) -> Result<Vec<Duration>> {
    for n in 0..count {
        connection.ask("DELETE", &format!("/services/{}", name(client, n)), "", 200).await?;
    }
    Ok(Vec::new())
}

fn name(client: usize, n: usize) -> String {
    format!("bench-{}-{client}-{n}", std::process::id())
}

// === impl Creates ===

impl fmt::Display for Creates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, services, per_second, p50_ms, p99_ms } = self;
        write!(
            f,
            "{services} services from {clients} clients: {per_second:.0} per second, \
             p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms"
        )
    }
}
