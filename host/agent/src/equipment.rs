//! What a node has to run tasks with, and what it says of itself.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{Assignment, FEATURE_LEVEL, NodeDescription, NodeId};
use swarmw_plugin_host::Compiler;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::AgentConfig;
use crate::describe::{describe_machine, without_overlays};
use crate::docker::{DockerExecutor, Engine, Shadows, Standing, monitor};
use crate::executor::Executor;
use crate::forward::Forward;
use crate::images::Images;
use crate::no_engine::NoEngine;
use crate::secrets::{Memory, Secrets, Vault};
use crate::volumes::{EngineVolumes, Setup, Volumes};
use crate::wasm::WasmExecutor;

/// How long a starting agent waits for the engine's first answer.
const ENGINE_FIRST_WORD: Duration = Duration::from_secs(5);

/// What runs a node's tasks.
#[derive(Clone)]
pub enum Runs {
    /// This machine: components in child processes, images in its Docker engine.
    Here {
        /// This binary, for child processes.
        exe: PathBuf,
        /// Compiles components.
        compiler: Compiler,
    },
    /// Executors of the caller's, on a node that describes itself so.
    Given {
        /// What runs tasks.
        executors: Executors,
        /// What the node says of itself, but for name and address.
        description: Box<NodeDescription>,
    },
}

/// The executors of a node.
#[derive(Clone)]
pub struct Executors {
    /// For components.
    pub wasm: Arc<dyn Executor>,
    /// For images, on a node that has an engine.
    pub docker: Option<Arc<dyn Executor>>,
}

/// What a node's agent works with.
pub(crate) struct Equipment {
    pub(crate) executors: Executors,
    pub(crate) engine: Option<Arc<Engine>>,
    /// Networks of the cluster on the engine.
    pub(crate) shadows: Option<Arc<Shadows>>,
    /// None where executors are the caller's: those see mounts as they are written.
    pub(crate) volumes: Option<Arc<Volumes>>,
    /// None likewise.
    pub(crate) secrets: Option<Arc<Secrets>>,
    pub(crate) forward: Forward,
    pub(crate) description: watch::Sender<NodeDescription>,
}

// === impl Executors ===

impl Executors {
    /// The executor of a task: its image decides.
    pub(crate) fn of(&self, task: &Assignment) -> Arc<dyn Executor> {
        let wasm = task.spec.is_component();
        match &self.docker {
            Some(docker) if !wasm => docker.clone(),
            None if !wasm => Arc::new(NoEngine),
            _ => self.wasm.clone(),
        }
    }
}

impl fmt::Debug for Executors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executors").field("docker", &self.docker.is_some()).finish_non_exhaustive()
    }
}

// === impl Equipment ===

impl Equipment {
    /// What there is; nobody has asked the engine yet.
    pub(crate) fn of(config: &AgentConfig, runs: Runs, images: Images) -> io::Result<Self> {
        let forward = Forward::new();
        let (exe, compiler) = match runs {
            Runs::Here { exe, compiler } => (exe, compiler),
            Runs::Given { executors, mut description } => {
                description.hostname.clone_from(&config.hostname);
                description.agent_address.clone_from(&config.agent_address);
                description.feature_level = FEATURE_LEVEL;
                let description = watch::Sender::new(*description);
                let (volumes, secrets) = (None, None);
                let (engine, shadows) = (None, None);
                return Ok(Self {
                    executors,
                    engine,
                    shadows,
                    volumes,
                    secrets,
                    forward,
                    description,
                });
            }
        };
        let description = watch::Sender::new(describe_machine(config));
        let engine = config.engine.clone().map(Engine::new);
        let joins = config.network_driver.is_some();
        let shadows = engine.clone().map(|engine| Shadows::new(engine, joins));
        let docker = engine.clone().zip(shadows.clone()).map(|(engine, shadows)| {
            let (hostname, socket) = (config.hostname.clone(), config.engine_socket.clone());
            let helpers = config.credential_helpers.clone();
            let docker: Arc<dyn Executor> =
                Arc::new(DockerExecutor::new(engine, shadows, hostname, socket, helpers));
            docker
        });
        let folder = config.state_dir.join("wasm");
        let (vault, memory) = (Arc::<Vault>::default(), Arc::new(Memory::new(&config.state_dir)));
        let setup = Setup {
            folder: config.state_dir.clone(),
            exe: exe.clone(),
            compiler: compiler.clone(),
            images: images.clone(),
            hostname: config.hostname.clone(),
            helpers: config.volume_helpers.clone(),
            engine: engine.is_some(),
            vault: vault.clone(),
            memory: memory.clone(),
        };
        let volumes_of_engine = engine.clone().map(|engine| engine as Arc<dyn EngineVolumes>);
        let volumes = Volumes::open(&config.volumes_dir, setup, volumes_of_engine)?;
        let hostname = config.hostname.clone();
        let wasm = WasmExecutor::new(exe, folder, hostname, compiler, images, forward.clone());
        let executors = Executors { wasm: Arc::new(wasm), docker };
        let secrets = Some(Arc::new(Secrets::new(vault, memory, config.hostname.clone())));
        let volumes = Some(Arc::new(volumes));
        Ok(Self { executors, engine, shadows, volumes, secrets, forward, description })
    }

    /// The node joins no overlay networks after all, and says so.
    pub(crate) fn join_no_networks(&self) {
        self.description.send_modify(without_overlays);
        if let Some(shadows) = &self.shadows {
            shadows.join_none();
        }
    }

    /// Follows how the engine stands from now on, and waits until it has answered, or is
    /// known to be away: the node then says from its first word on what it can run.
    pub(crate) async fn follow_engine(
        &self,
        node: NodeId,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let Some(engine) = &self.engine else { return };
        tasks.spawn(monitor(engine.clone(), node, self.description.clone(), cancel.clone()));
        let mut standing = engine.standing();
        let known = standing.wait_for(|standing| *standing != Standing::Unknown);
        // An engine that takes its time is taken up when it answers.
        let _ = tokio::time::timeout(ENGINE_FIRST_WORD, known).await;
    }
}
