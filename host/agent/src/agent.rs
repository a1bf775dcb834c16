//! The front door of the agent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use swarmw_ca::Tls;
use swarmw_model::{Node, NodeDescription, NodeId};
use swarmw_network::PublishedPorts;
use swarmw_plugin_host::Compiler;
use swarmw_proto::Channels;
use swarmw_registry::Registries;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::describe::describe_machine;
use crate::docker::{DockerExecutor, Engine, Standing, monitor, sweep};
use crate::executor::Executor;
use crate::images::Images;
use crate::session::Link;
use crate::store::Store;
use crate::traffic::{NodeReach, TunnelService};
use crate::wasm::WasmExecutor;
use crate::worker::{Executors, Worker};

/// How long a starting agent waits for the engine's first answer.
const ENGINE_FIRST_WORD: Duration = Duration::from_secs(5);

/// What an agent needs of its node.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where tasks are remembered.
    pub state_dir: PathBuf,
    /// This binary, for child processes.
    pub exe: PathBuf,
    /// Where compiled components are kept, and the key they are authenticated with.
    pub compiled_dir: PathBuf,
    /// See `compiled_dir`.
    pub compiled_key: [u8; 32],
    /// The socket of the node's Docker engine, if it has one.
    pub engine: Option<PathBuf>,
    /// The node's name.
    pub hostname: String,
    /// Labels for constraints on `engine.labels.*`.
    pub engine_labels: BTreeMap<String, String>,
    /// The address that published ports listen on.
    pub publish_addr: IpAddr,
    /// Where other nodes reach this one: `host:port`.
    pub agent_address: String,
    /// How registries of Wasm images are spoken to.
    pub registries: Registries,
}

/// What the leader says of this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcomed {
    /// The node.
    pub node: Node,
    /// Addresses of the managers.
    pub managers: Vec<String>,
    /// The managers by node.
    pub peers: Vec<(NodeId, String)>,
    /// The root certificate.
    pub root_pem: String,
}

/// A node's agent, running.
pub struct Agent {
    worker: Worker,
    ports: PublishedPorts,
    description: watch::Sender<NodeDescription>,
    welcomed: watch::Receiver<Option<Welcomed>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

// === impl Agent ===

impl Agent {
    /// Takes up the tasks that the node had, publishes the ports last heard of, and
    /// looks for the leader.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub async fn start(
        config: AgentConfig,
        tls: Tls,
        channels: Channels,
        managers: Vec<String>,
    ) -> std::io::Result<Self> {
        let managers = Arc::new(RwLock::new(managers));
        let store = Store::open(config.state_dir.clone())?;
        let compiler =
            Compiler::new(config.exe.clone(), config.compiled_dir.clone(), config.compiled_key);
        let images = Images::new(
            config.state_dir.join("images"),
            channels.clone(),
            managers.clone(),
            config.registries.clone(),
        );
        let wasm = WasmExecutor::new(
            config.exe.clone(),
            config.state_dir.join("wasm"),
            config.hostname.clone(),
            compiler,
            images,
        );
        let (description, described) = watch::channel(describe_machine(&config));
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let engine = match &config.engine {
            Some(socket) => {
                let engine = Engine::new(socket.clone());
                tasks.spawn(monitor(engine.clone(), description.clone(), cancel.clone()));
                first_word(&engine).await;
                Some(engine)
            }
            None => None,
        };
        let docker = engine.clone().map(|engine| {
            let docker: Arc<dyn Executor> =
                Arc::new(DockerExecutor::new(engine, config.hostname.clone()));
            docker
        });
        let executors = Executors { wasm: Arc::new(wasm), docker };
        let worker = Worker::resume(store.clone(), executors)?;
        if let Some(engine) = engine {
            tasks.spawn(sweep(engine, tls.identity().node, worker.clone(), cancel.clone()));
        }
        let reach = NodeReach {
            own: tls.identity().node,
            worker: worker.clone(),
            channels: channels.clone(),
        };
        let ports = PublishedPorts::new(config.publish_addr, Arc::new(reach));
        ports.set(store.ports());
        let (welcome, welcomed) = watch::channel(None);
        let link = Link {
            tls,
            channels,
            managers,
            worker: worker.clone(),
            store,
            ports: ports.clone(),
            description: described,
            welcomed: welcome,
            cancel: cancel.clone(),
        };
        tasks.spawn(Arc::new(link).keep());
        Ok(Self { worker, ports, description, welcomed, cancel, tasks })
    }

    /// Answers other nodes' agents that forward traffic to tasks here.
    pub fn tunnel(&self) -> TunnelService {
        TunnelService { worker: self.worker.clone() }
    }

    /// What the leader last said of this node; `None` before it said anything.
    pub fn welcomed(&self) -> watch::Receiver<Option<Welcomed>> {
        self.welcomed.clone()
    }

    /// The managers, by node.
    pub fn managers(&self) -> Vec<(NodeId, String)> {
        self.welcomed.borrow().as_ref().map(|w| w.peers.clone()).unwrap_or_default()
    }

    /// What the node says of itself.
    pub fn description(&self) -> NodeDescription {
        self.description.borrow().clone()
    }

    /// Ends the session and the published ports; tasks go on.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.ports.shutdown();
    }

    /// Stops every task and removes what is left of them.
    pub async fn leave(&self) {
        self.stop().await;
        self.worker.forget_all().await;
    }
}

/// Waits until the engine has answered, or is known to be away: the node then says
/// from its first word on what it can run.
async fn first_word(engine: &Engine) {
    let mut standing = engine.standing();
    let known = standing.wait_for(|standing| *standing != Standing::Unknown);
    // An engine that takes its time is taken up when it answers.
    let _ = tokio::time::timeout(ENGINE_FIRST_WORD, known).await;
}
