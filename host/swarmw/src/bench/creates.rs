//! `swarmw bench creates`: acknowledged writes per second of a running cluster.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::Format;

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

#[derive(Serialize)]
struct Figures {
    clients: usize,
    services: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// A connection that is kept for all requests of one client.
struct Connection(BufReader<UnixStream>);

/// Creates the services, prints how fast, and removes them.
///
/// # Errors
/// The daemon cannot be reached, or refuses a service.
pub(super) fn run(args: &CreatesArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let clients = args.clients.max(1);
        let each = args.services.div_ceil(clients);
        let began = Instant::now();
        let mut took =
            every_client(args, |connection, client| create(connection, client, each)).await?;
        let seconds = began.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |share: usize| {
            let place = (took.len() * share / 100).min(took.len().saturating_sub(1));
            took.get(place).map_or(0.0, |t| t.as_secs_f64() * 1e3)
        };
        let figures = Figures {
            clients,
            services: took.len(),
            per_second: took.len() as f64 / seconds,
            p50_ms: at(50),
            p99_ms: at(99),
        };
        match args.format {
            Format::Json => println!("{}", serde_json::to_string(&figures)?),
            Format::Text => println!(
                "{} services from {} clients: {:.0} per second, p50 {:.2} ms, p99 {:.2} ms",
                figures.services, clients, figures.per_second, figures.p50_ms, figures.p99_ms
            ),
        }
        every_client(args, |connection, client| remove(connection, client, each)).await.map(drop)
    })
}

async fn every_client<F>(
    args: &CreatesArgs,
    work: impl Fn(Connection, usize) -> F,
) -> Result<Vec<Duration>>
where
    F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for client in 0..args.clients.max(1) {
        let stream = UnixStream::connect(&args.socket)
            .await
            .with_context(|| format!("cannot connect to {}", args.socket.display()))?;
        clients.spawn(work(Connection(BufReader::new(stream)), client));
    }
    let mut all = Vec::new();
    while let Some(done) = clients.join_next().await {
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

// === impl Connection ===

impl Connection {
    /// One request; its answer is read and dropped.
    async fn ask(&mut self, method: &str, path: &str, body: &str, want: u16) -> Result<()> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: swarmw\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
        let mut length = 0;
        loop {
            let mut header = String::new();
            if self.0.read_line(&mut header).await? == 0 {
                bail!("the daemon closed the connection");
            }
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().context("a length")?;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).await?;
        if status != Some(want) {
            bail!("{method} {path}: {} {}", line.trim_end(), String::from_utf8_lossy(&answer));
        }
        Ok(())
    }
}
