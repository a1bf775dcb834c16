//! `swarmw daemon`: a node, in a cluster or not yet.

mod alone;
mod args;
mod defaults;
mod left;
mod logs;
mod node;
mod notify;
mod registry;
mod tls;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwapOption;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use swarmw_agent::AgentConfig;
use swarmw_ambient::Ambient;
use swarmw_api::{Api, Listener};
use swarmw_manager::{Handler, ReachHandler};
use swarmw_model::{EngineSocket, Given, UnlockKey};
use swarmw_node::{Ground, Keyring, Member, Parts, StateDir};
use swarmw_registry::{CredentialHelpers, Registries, TrustedKey};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use args::{ApiAddress, DaemonArgs, EngineChoice, LogFormat, SocketChoice};
pub use defaults::state_dir;

/// Who may use the API's socket: its owner and group, as Docker's.
const SOCKET_MODE: u32 = 0o660;

/// In the state folder: the API's socket as containers have it.
const IN_CONTAINERS: &str = "containers";

/// In the state folder of a node that had an engine at the usual place.
const HAS_ENGINE: &str = "has-engine";

/// The daemon: what the API's trait is implemented for.
pub struct Daemon {
    me: Weak<Daemon>,
    dir: Arc<StateDir>,
    exe: PathBuf,
    agent: AgentConfig,
    ambient: Ambient,
    /// Who may sign plugins; empty: they need no signature.
    plugin_keys: Vec<TrustedKey>,
    /// What the node is in a cluster by, while it is in one.
    active: ArcSwapOption<Member>,
    /// One init, join or leave at a time.
    changing: tokio::sync::Mutex<()>,
    /// Whether the node, though a member, waits for the key that unlocks its files.
    locked: AtomicBool,
    /// Why the node, though a member, takes no part.
    trouble: ArcSwapOption<String>,
    /// The router, for requests that other managers pass on.
    api: OnceLock<Api>,
    /// Rings when a node has left its cluster, and perhaps something on its engine.
    left: tokio::sync::Notify,
}

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// The folder is held, an address is taken.
pub async fn run(args: DaemonArgs) -> Result<()> {
    let folder = match &args.state_dir {
        Some(folder) => folder.clone(),
        None => state_dir()?,
    };
    let dir = Arc::new(StateDir::open(&folder)?);
    if !dir.has_membership() {
        // Nobody's driver. The engine, which is asked next, may be about to start after this.
        notify::ready();
    }
    allow_descriptors();
    let exe = std::env::current_exe().context("cannot find this binary")?;
    let mut agent = agent_config(&args, &dir).await?;
    let contained = socket_in_containers(&args, &dir, &mut agent);
    let plugin_keys = registry::plugin_keys(&args.plugin_keys)?;
    let daemon = Arc::new_cyclic(|me| Daemon {
        me: me.clone(),
        dir,
        exe,
        agent,
        ambient: Ambient::system(),
        plugin_keys,
        active: ArcSwapOption::empty(),
        changing: tokio::sync::Mutex::new(()),
        locked: AtomicBool::new(false),
        trouble: ArcSwapOption::empty(),
        api: OnceLock::new(),
        left: tokio::sync::Notify::new(),
    });
    let api = Api::new(daemon.clone());
    let _ = daemon.api.set(api.clone());

    // Requests are answered at once, but none changes the membership before it is
    // known that there is none.
    let turn = daemon.changing.lock().await;
    let cancel = CancellationToken::new();
    let mut servers = tokio::task::JoinSet::new();
    for host in hosts(&args) {
        serve(&mut servers, &api, &host, &args, cancel.clone()).await?;
    }
    if let Some(listener) = contained {
        servers.spawn(listener.serve(api.clone(), cancel.clone()));
    }
    notify::ready_after(daemon.resume(None)).await;
    drop(turn);
    tokio::spawn(daemon.clone().clear_left());
    until_signal(&mut servers).await?;
    cancel.cancel();
    if let Some(active) = daemon.active.swap(None) {
        active.stop().await;
    }
    servers.shutdown().await;
    Ok(())
}

async fn until_signal(servers: &mut tokio::task::JoinSet<()>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: the daemon stops, its tasks go on"),
        _ = interrupt.recv() => info!("SIGINT: the daemon stops, its tasks go on"),
        Some(ended) = servers.join_next() => {
            error!(?ended, "the API is not served any more");
            bail!("the API is not served any more");
        }
    }
    Ok(())
}

/// Opens as many files as it may, where it may open few by default (1,024 under systemd):
/// each container on a network takes a dozen.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

fn hosts(args: &DaemonArgs) -> Vec<ApiAddress> {
    if args.hosts.is_empty() {
        vec![ApiAddress::Unix(swarmw_cli::default_socket())]
    } else {
        args.hosts.clone()
    }
}

async fn serve(
    servers: &mut tokio::task::JoinSet<()>,
    api: &Api,
    host: &ApiAddress,
    args: &DaemonArgs,
    cancel: CancellationToken,
) -> Result<()> {
    match host {
        ApiAddress::Unix(path) => {
            let listener = swarmw_api::Listener::unix(path, SOCKET_MODE).await?;
            info!(address = %listener.address(), "serving the API");
            servers.spawn(listener.serve(api.clone(), cancel));
        }
        ApiAddress::Tcp(address) => {
            let tls = match (&args.tlscacert, &args.tlscert, &args.tlskey) {
                (Some(ca), Some(cert), Some(key)) => Some(tls::server_config(ca, cert, key)?),
                _ if address.ip().is_loopback() => None,
                _ => bail!(
                    "tcp://{address} is not on loopback: \
                     give it --tlscacert, --tlscert and --tlskey"
                ),
            };
            let listener = swarmw_api::Listener::tcp(*address, tls).await?;
            info!(address = %listener.address(), "serving the API");
            servers.spawn(listener.serve(api.clone(), cancel));
        }
    }
    Ok(())
}

/// Says what containers get that mount the engine's socket, and listens on it where it is the
/// API's.
fn socket_in_containers(
    args: &DaemonArgs,
    dir: &StateDir,
    agent: &mut AgentConfig,
) -> Option<Listener> {
    let engine = agent.engine.as_ref()?;
    let path = engine.to_string_lossy();
    let (listener, socket) = match args.engine_socket_in_containers {
        SocketChoice::Engine => (None, EngineSocket::new(&path, Given::Engine)),
        SocketChoice::Refuse => (None, EngineSocket::new(&path, Given::Nothing)),
        SocketChoice::Api => match Listener::in_containers(&dir.join(IN_CONTAINERS), engine) {
            Ok((listener, socket)) => (Some(listener), socket),
            Err(error) => {
                let error = anyhow::Error::from(error);
                warn!(
                    error = %format!("{error:#}"),
                    "containers that mount the engine's socket are refused: there is no place for \
                     the daemon's own"
                );
                (None, EngineSocket::new(&path, Given::Nothing))
            }
        },
    };
    agent.engine_socket = socket;
    listener
}

async fn agent_config(args: &DaemonArgs, dir: &StateDir) -> Result<AgentConfig> {
    let engine = match &args.engine {
        Some(EngineChoice::None) => None,
        Some(EngineChoice::Unix(path)) => {
            named_engine(path, dir.has_membership()).await?;
            Some(path.clone())
        }
        None => usual_engine(dir, PathBuf::from(defaults::DOCKER_SOCKET)).await?,
    };
    let hostname = match &args.node_name {
        Some(name) => name.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let network_driver = match engine {
        Some(_) => swarmw_agent::network_driver()
            .await
            .inspect_err(|why| warn!(%why, "this node joins no overlay networks"))
            .ok(),
        None => None,
    };
    Ok(AgentConfig {
        state_dir: dir.join("agent"),
        volumes_dir: dir.join("volumes"),
        volume_helpers: args.volume_helpers.iter().cloned().collect(),
        engine,
        engine_socket: EngineSocket::default(),
        hostname,
        engine_labels: args.labels(),
        generic_resources: args.generic_resources().map_err(anyhow::Error::msg)?,
        publish_addr: args.publish_addr,
        agent_address: String::new(),
        data_path_address: None,
        network_driver,
        repairs: Default::default(),
        registries: Registries::new(args.insecure_registries.iter().cloned()),
        credential_helpers: credential_helpers(args)?,
    })
}

/// The programs that have credentials for registries. One that is not there yet may be in time
/// for a pull: the node starts without it.
fn credential_helpers(args: &DaemonArgs) -> Result<CredentialHelpers> {
    let helpers = args.credential_helpers().map_err(anyhow::Error::msg)?;
    for why in helpers.missing() {
        warn!(%why, "images are pulled with their services' own credentials");
    }
    Ok(helpers)
}

/// The engine at the usual place, if there is one. A node of a cluster that has had it
/// goes on with it though it does not answer: an engine that starts waits for the driver of
/// its networks, which is this daemon.
async fn usual_engine(dir: &StateDir, socket: PathBuf) -> Result<Option<PathBuf>> {
    let mark = dir.join(HAS_ENGINE);
    if dir.has_membership() && mark.exists() {
        return Ok(Some(socket));
    }
    if let Err(why) = swarmw_agent::engine_answers(&socket).await {
        info!(engine = %socket.display(), %why, "no Docker engine here");
        let _ = std::fs::remove_file(&mark);
        return Ok(None);
    }
    std::fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(Some(socket))
}

/// Looks whether the engine that the user named is there. A node of a cluster does not ask:
/// one that is about to start takes connections and says nothing, as it waits for the driver
/// of its networks, which is this daemon.
async fn named_engine(socket: &std::path::Path, member: bool) -> Result<()> {
    if member {
        return Ok(());
    }
    let Err(why) = swarmw_agent::engine_answers(socket).await else { return Ok(()) };
    let shown = socket.display();
    bail!(
        "no Docker engine answers at unix://{shown}: {why}\n\
         Start the engine first, name another socket with --engine unix://PATH, \
         or run WebAssembly tasks only with --engine none."
    )
}

// === impl Daemon ===

impl Daemon {
    /// Takes the node's place in its cluster again, if it has one; by this unlock key where
    /// its files are locked.
    async fn resume(self: &Arc<Self>, unlock_key: Option<&UnlockKey>) {
        let resumed = async {
            if self.dir.membership()?.is_none() {
                return Ok(None);
            }
            match self.parts(unlock_key)? {
                Some(parts) => Member::resume(parts).await,
                None => {
                    warn!("this manager's files are locked: unlock it with `swarmw swarm unlock`");
                    self.locked.store(true, Ordering::Relaxed);
                    Ok(None)
                }
            }
        };
        match resumed.await {
            Ok(member) => self.active.store(member),
            Err(e) => {
                error!(error = %format!("{e:#}"), "this node cannot take part in its cluster");
                self.trouble.store(Some(Arc::new(format!("{e:#}"))));
            }
        }
    }

    /// `None` where the node's files are locked, and not by this key.
    fn parts(self: &Arc<Self>, unlock_key: Option<&UnlockKey>) -> Result<Option<Parts>> {
        let Some(keys) = Keyring::open(&self.dir, unlock_key)? else { return Ok(None) };
        let daemon = Arc::downgrade(self);
        let handler: Handler = Arc::new(move |request| {
            let daemon = daemon.upgrade();
            Box::pin(async move { node::answer_forwarded(daemon, request).await })
        });
        let daemon = Arc::downgrade(self);
        let reach: ReachHandler = Arc::new(move |from, stream| {
            let daemon = daemon.upgrade();
            Box::pin(async move { node::answer_node(daemon, from, stream).await })
        });
        let machine = Ground::machine(&self.dir, &keys, &self.exe)?;
        let ground = Ground { ambient: self.ambient.clone(), ..machine };
        let (dir, agent) = (self.dir.clone(), self.agent.clone());
        Ok(Some(Parts { dir, keys, ground, agent, handler, reach }))
    }

    fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use swarmw_model::{ClusterId, NodeId};
    use swarmw_node::Membership;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_member_goes_on_with_an_engine_that_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = StateDir::open(folder.path()).expect("a state folder");
        let socket = folder.path().join("docker.sock");
        let found = async || usual_engine(&dir, socket.clone()).await.expect("looked");
        assert_eq!(found().await, None, "there is none");

        let listener = UnixListener::bind(&socket).expect("a socket");
        let engine = tokio::spawn(async move {
            let (mut asked, _) = listener.accept().await.expect("a ping");
            let _ = asked.read(&mut [0; 1024]).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
            asked.write_all(answer.as_bytes()).await.expect("answered");
            // From now on it takes connections and says nothing.
            listener
        });
        assert_eq!(found().await, Some(socket.clone()));
        let _silent = engine.await.expect("an engine");
        dir.remember(&Membership {
            node: NodeId::from_bits(1),
            cluster: ClusterId::from_bits(1),
            listen: String::new(),
            advertise: String::new(),
            managers: Vec::new(),
            raft_id: None,
            data_path: None,
        })
        .expect("remembered");
        assert_eq!(found().await, Some(socket.clone()), "it may be waiting for this node");
        let named = named_engine(&socket, true).now_or_never();
        assert!(named.is_some_and(|named| named.is_ok()), "nor is one that was named asked");

        dir.forget().expect("forgotten");
        assert_eq!(found().await, None, "nothing waits for a node of no cluster");
    }
}
