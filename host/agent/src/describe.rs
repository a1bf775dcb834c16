//! What the node says of itself.

use std::path::Path;

use swarmw_model::{EngineDescription, NodeDescription, Platform, Resources};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::agent::AgentConfig;

/// What can be said of the machine without asking an engine.
pub fn describe_machine(config: &AgentConfig) -> NodeDescription {
    NodeDescription {
        hostname: config.hostname.clone(),
        platform: Platform {
            architecture: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
        },
        resources: Resources {
            nano_cpus: cpus() * 1_000_000_000,
            memory_bytes: memory_bytes(),
            generic_resources: Vec::new(),
        },
        engine: EngineDescription {
            engine_version: format!("swarmw-{}", env!("CARGO_PKG_VERSION")),
            labels: config.engine_labels.clone(),
            plugins: Vec::new(),
        },
        tls_info: None,
        runs: vec![Platform::wasm()],
        trouble: String::new(),
        agent_address: config.agent_address.clone(),
    }
}

/// Whether a Docker engine answers behind a socket.
pub async fn engine_answers(socket: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.contains(" 200 "))
    };
    let patience = std::time::Duration::from_secs(2);
    matches!(tokio::time::timeout(patience, ask).await, Ok(Ok(true)))
}

fn cpus() -> i64 {
    std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1))
}

fn memory_bytes() -> i64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}
