//! What the node says of itself.

use std::io;
use std::path::Path;
use std::time::Duration;

use swarmw_model::{
    EngineDescription, EnginePlugin, FEATURE_LEVEL, NETWORK_PLUGIN, NodeDescription,
    OVERLAY_DRIVER, Platform, Resources,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::agent::AgentConfig;

/// The kind of such a program among what an engine has.
pub(crate) const VOLUME_HELPER: &str = "VolumeHelper";

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
            generic_resources: config.generic_resources.clone(),
        },
        engine: EngineDescription {
            engine_version: format!("swarmw-{}", env!("CARGO_PKG_VERSION")),
            labels: config.engine_labels.clone(),
            plugins: own_plugins(config),
        },
        tls_info: None,
        runs: vec![Platform::wasm()],
        trouble: String::new(),
        agent_address: config.agent_address.clone(),
        data_path_address: config.data_path_address.map_or_else(String::new, |a| a.to_string()),
        // Its engine says it, and its kernel.
        gateway_v6: false,
        kernel_ports: false,
        feature_level: FEATURE_LEVEL,
    }
}

/// What placement should know of the node beside what its engine says: programs that
/// volume drivers may run here, and whether it joins overlay networks.
fn own_plugins(config: &AgentConfig) -> Vec<EnginePlugin> {
    let plugin =
        |kind: &str, name: &str| EnginePlugin { kind: kind.to_owned(), name: name.to_owned() };
    let helpers = config.volume_helpers.keys().map(|name| plugin(VOLUME_HELPER, name));
    let driver = config.network_driver.iter().map(|_| plugin(NETWORK_PLUGIN, OVERLAY_DRIVER));
    helpers.chain(driver).collect()
}

/// Takes back that the node joins overlay networks.
pub(crate) fn without_overlays(node: &mut NodeDescription) {
    let is_overlay =
        |plugin: &EnginePlugin| plugin.kind == NETWORK_PLUGIN && plugin.name == OVERLAY_DRIVER;
    node.engine.plugins.retain(|plugin| !is_overlay(plugin));
}

/// The longest that an engine may take to answer a ping at the daemon's start.
const PING_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a Docker engine answers behind a socket.
///
/// # Errors
/// Why it does not.
pub async fn engine_answers(socket: &Path) -> io::Result<()> {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        if answer.lines().next().is_some_and(|line| line.contains(" 200 ")) {
            return Ok(());
        }
        Err(io::Error::other("what listens there is no Docker engine"))
    };
    let late = |_| Err(io::Error::other("it takes too long to answer"));
    tokio::time::timeout(PING_PATIENCE, ask).await.unwrap_or_else(late)
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
