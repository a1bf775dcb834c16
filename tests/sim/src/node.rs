//! One node of a simulated cluster: a machine, a folder, a place in the network,
//! and the daemon's insides while it runs.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{FutureExt, StreamExt, stream};
use swarmw_agent::{AgentConfig, Executors, Runs};
use swarmw_ambient::Ambient;
use swarmw_manager::{Founding, Manager};
use swarmw_model::{
    AddressPools, Availability, ClusterSpec, DATA_PATH_PORT, NodeDescription, NodeId, Platform,
    Resources,
};
use swarmw_node::{Ground, Keyring, Member, Membership, Parts, StateDir};
use swarmw_plugin_host::Compiler;
use swarmw_proto::Transport;
use swarmw_raft::{Memory, Storage, Timing};
use tokio::sync::watch;

use crate::machine::{Images, Machine};
use crate::network::{Network, Port};

/// Where every node listens.
const PORT: u16 = 2377;

/// What all nodes of a cluster have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) network: Network,
    pub(crate) images: Images,
    pub(crate) compiler: Compiler,
    pub(crate) timing: Timing,
}

/// A node.
pub struct Node {
    /// Its name.
    pub name: String,
    /// What runs its tasks.
    pub machine: Machine,
    /// Its place in the network.
    pub host: IpAddr,
    common: Common,
    ambient: Ambient,
    dir: Arc<StateDir>,
    folder: PathBuf,
    log: Mutex<Memory>,
    life: Mutex<Option<Life>>,
}

/// A daemon's life on a node.
struct Life {
    member: Arc<Member>,
    /// Says that the daemon is dead.
    kill: watch::Sender<bool>,
    /// Its access to the network goes with it.
    _port: Port,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(
        name: &str,
        host: IpAddr,
        folder: PathBuf,
        ambient: Ambient,
        common: Common,
    ) -> Self {
        Self {
            name: name.to_owned(),
            machine: Machine::new(ambient.clone(), common.images.clone()),
            host,
            dir: Arc::new(StateDir::open(&folder).expect("a folder of our own")),
            folder,
            common,
            ambient,
            log: Mutex::default(),
            life: Mutex::default(),
        }
    }

    /// Its address among nodes.
    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.host)
    }

    /// What its daemon is made of, and the hold that it has on machine and network.
    fn parts(&self) -> (Parts, Port, watch::Sender<bool>) {
        let port = self.common.network.power_on(self.host);
        let (hands, kill) = self.machine.hands();
        let hands: Arc<dyn swarmw_agent::Executor> = Arc::new(hands);
        let transport: Arc<dyn Transport> = Arc::new(port.clone());
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let executors = Executors { wasm: hands.clone(), docker: Some(hands) };
        let ground = Ground {
            ambient: self.ambient.clone(),
            transport,
            storage: Storage::Memory(log),
            timing: self.common.timing,
            compiler: self.common.compiler.clone(),
            runs: Runs::Given { executors, description: Box::new(description()) },
            observer: Arc::new(|_| {
                async { Err("there is nobody to ask in a simulation".to_owned()) }.boxed()
            }),
        };
        let agent = AgentConfig {
            state_dir: self.folder.join("agent"),
            volumes_dir: self.folder.join("volumes"),
            volume_helpers: Default::default(),
            engine: None,
            engine_socket: Default::default(),
            hostname: self.name.clone(),
            engine_labels: Default::default(),
            generic_resources: Default::default(),
            publish_addr: self.host,
            agent_address: self.address(),
            data_path_address: None,
            network_driver: None,
            repairs: Default::default(),
            registries: Default::default(),
            credential_helpers: Default::default(),
        };
        let handler: swarmw_manager::Handler =
            Arc::new(|_| async { http::Response::new(stream::empty().boxed()) }.boxed());
        // It takes what is said and answers nothing.
        let reach: swarmw_manager::ReachHandler = Arc::new(|_, mut stream| {
            async move { drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await) }.boxed()
        });
        let keys = Keyring::open(&self.dir, None).expect("readable").expect("not locked");
        (Parts { dir: self.dir.clone(), keys, ground, agent, handler, reach }, port, kill)
    }

    fn begin(&self, member: Arc<Member>, port: Port, kill: watch::Sender<bool>) {
        *self.life() = Some(Life { member, kill, _port: port });
    }

    /// Founds a cluster.
    pub(crate) async fn found(&self, spec: ClusterSpec, availability: Availability) {
        let (parts, port, kill) = self.parts();
        let founding = Founding {
            spec,
            availability,
            address: self.address(),
            address_pools: AddressPools::default(),
            data_path_port: DATA_PATH_PORT,
            data_path: None,
        };
        let member = Member::found(parts, &founding, &self.address()).await;
        self.begin(member.expect("a new cluster"), port, kill);
    }

    /// Joins a cluster.
    pub(crate) async fn join(&self, remote: &str, token: &str, availability: Availability) {
        let (parts, port, kill) = self.parts();
        let remotes = [remote.to_owned()];
        let address = self.address();
        let joined =
            swarmw_node::ask_to_join(&remotes, token, availability, &address, &parts.ground).await;
        let credentials = joined.expect("the leader takes it in");
        let membership = Membership {
            node: credentials.identity.node,
            cluster: credentials.identity.cluster,
            listen: address.clone(),
            advertise: address,
            managers: remotes.to_vec(),
            raft_id: None,
            data_path: None,
        };
        let member = Member::join(parts, credentials, membership).await;
        self.begin(member.expect("a new member"), port, kill);
    }

    /// Starts its daemon again.
    pub async fn start(&self) {
        let (parts, port, kill) = self.parts();
        let member = Member::resume(parts).await.expect("a folder that is whole");
        self.begin(member.expect("a member"), port, kill);
    }

    /// Stops its daemon in order; tasks go on.
    pub async fn stop(&self) {
        let life = self.life().take();
        if let Some(life) = life {
            life.member.stop().await;
            self.common.network.power_off(self.host);
        }
    }

    /// Kills its daemon, as `kill -9` does; tasks go on.
    pub fn kill(&self) {
        let Some(life) = self.life().take() else { return };
        self.common.network.power_off(self.host);
        life.kill.send_replace(true);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        *log = log.after_crash();
        // What is left of it in this process reaches nothing any more.
        tokio::spawn(async move {
            if let Some(manager) = life.member.manager() {
                manager.stop().await;
            }
            life.member.stop().await;
        });
    }

    /// Takes the machine's power: its tasks end too.
    pub fn crash(&self) {
        self.kill();
        self.machine.power_off();
    }

    /// Takes the agent's memory of its tasks, as a lost disk does. The daemon must not
    /// run.
    pub fn lose_agent_folder(&self) {
        assert!(!self.is_up(), "{} runs", self.name);
        std::fs::remove_dir_all(self.folder.join("agent")).expect("the agent's folder");
    }

    /// Whether its daemon runs.
    pub fn is_up(&self) -> bool {
        self.life().is_some()
    }

    /// What the daemon is made of.
    ///
    /// # Panics
    /// It does not run.
    pub fn member(&self) -> Arc<Member> {
        self.life().as_ref().expect("the daemon runs").member.clone()
    }

    /// The node's id.
    ///
    /// # Panics
    /// Its daemon has never run.
    pub fn id(&self) -> NodeId {
        self.dir.membership().expect("a folder that is whole").expect("a member").node
    }

    /// Its manager, if it is one and runs.
    pub fn manager(&self) -> Option<Arc<Manager>> {
        self.life().as_ref().and_then(|life| life.member.manager())
    }

    /// Whether it leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.manager().is_some_and(|manager| manager.leads())
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn description() -> NodeDescription {
    let platform = Platform { architecture: "x86_64".into(), os: "linux".into() };
    NodeDescription {
        platform: platform.clone(),
        resources: Resources {
            nano_cpus: 4_000_000_000,
            memory_bytes: 8 << 30,
            ..Default::default()
        },
        runs: vec![platform, Platform::wasm()],
        ..Default::default()
    }
}
