//! The front door of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use swarmw_ambient::Ambient;
use swarmw_ca::Tls;
use swarmw_engine_driver::Serving;
use swarmw_model::{
    EngineSocket, GenericResource, Network, NetworkNews, Node, NodeDescription, NodeId, NodeVolume,
    PortProtocol, Refusal, RefusalKind, Secret, VolumeId, VolumeScope, VolumeSpec,
};
use swarmw_names::Counts as NameQueries;
use swarmw_network::PublishedPorts;
use swarmw_proto::{Channels, Wire};
use swarmw_registry::{CredentialHelpers, Registries};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::docker::{Bridged, ContainersService, sweep};
use crate::doctor::{DoctorService, Examiner, Unable};
use crate::equipment::{Equipment, Runs};
use crate::forward::{self, Forward, Forwarded};
use crate::images::Images;
use crate::net::{Heard, KernelPorts, Leader, Listed, Networks, Parts, leave_to_user_space};
use crate::reach::Reach;
use crate::repairs::Repairs;
use crate::secrets::Secrets;
use crate::session::Link;
use crate::store::Store;
use crate::traffic::{NodeReach, TunnelService};
use crate::volumes::Volumes;
use crate::worker::{Reports, Worker};

/// What an agent needs of its node.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where tasks are remembered.
    pub state_dir: PathBuf,
    /// Where volumes are kept, which stay when the node leaves its cluster.
    pub volumes_dir: PathBuf,
    /// Programs that volume drivers may run if they were granted them, and where they
    /// are.
    pub volume_helpers: BTreeMap<String, PathBuf>,
    /// The socket of the node's Docker engine, if it has one.
    pub engine: Option<PathBuf>,
    /// What containers get that mount that socket.
    pub engine_socket: EngineSocket,
    /// The node's name.
    pub hostname: String,
    /// Labels for constraints on `engine.labels.*`.
    pub engine_labels: BTreeMap<String, String>,
    /// What the node has of generic resources, beside what its engine says.
    pub generic_resources: Vec<GenericResource>,
    /// The address that published ports listen on.
    pub publish_addr: IpAddr,
    /// Where other nodes reach this one: `host:port`.
    pub agent_address: String,
    /// Where the VXLAN of overlay networks ends; `None`: at the host of `agent_address`.
    pub data_path_address: Option<IpAddr>,
    /// Where the node's engine finds the driver of overlay networks; `None`: the node has
    /// none, for want of an engine, of root or of nftables.
    pub network_driver: Option<PathBuf>,
    /// Who hears what was put back in the node's kernel.
    pub repairs: Repairs,
    /// How registries of Wasm images are spoken to.
    pub registries: Registries,
    /// Programs that are asked for the credentials of registries when an image is pulled.
    pub credential_helpers: CredentialHelpers,
}

/// An agent's place in its cluster.
#[derive(Clone)]
pub struct Place {
    /// The node's identity.
    pub tls: Tls,
    /// Connections to other nodes.
    pub channels: Channels,
    /// Addresses of managers to ask first.
    pub managers: Vec<String>,
    /// Time and chance.
    pub ambient: Ambient,
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
    volumes: Option<Arc<Volumes>>,
    secrets: Option<Arc<Secrets>>,
    ports: PublishedPorts,
    kernel_ports: Option<KernelPorts>,
    networks: Option<Networks>,
    heard: Heard,
    examiner: Examiner,
    forward: Forward,
    containers: ContainersService,
    reach: Reach,
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
    pub async fn start(config: AgentConfig, runs: Runs, place: Place) -> std::io::Result<Self> {
        let Place { tls, channels, managers, ambient } = place;
        let managers = Arc::new(RwLock::new(managers));
        let store = Store::open(config.state_dir.clone())?;
        let images = Images::new(
            config.state_dir.join("images"),
            channels.clone(),
            managers.clone(),
            config.registries.clone(),
            config.credential_helpers.clone(),
        );
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let equipment = Equipment::of(&config, runs, images)?;
        let reports = Reports::default();
        let (leader, leading) = watch::channel(None);
        let mut unable = Unable::of(&config);
        let heard =
            Heard::open(tls.identity().node, store.clone(), (reports.ended(), reports.over()));
        let networks = match (&config.network_driver, &equipment.engine, &equipment.shadows) {
            (Some(socket), Some(engine), Some(shadows)) => {
                let parts = Parts {
                    node: tls.identity().node,
                    store: store.clone(),
                    engine: engine.clone(),
                    shadows: shadows.clone(),
                    leader: Leader::new(leading, channels.clone()),
                    heard: heard.clone(),
                    forward: equipment.forward.clone(),
                    repairs: config.repairs.clone(),
                    ambient: ambient.clone(),
                };
                match Networks::begin(parts, socket).await {
                    Ok((networks, serving)) => {
                        tasks.spawn(networks.clone().keep(cancel.clone()));
                        tasks.spawn(end_with(serving, cancel.clone()));
                        Some(networks)
                    }
                    // The second daemon beside an engine, for example.
                    Err(error) => {
                        warn!(%error, "this node joins no overlay networks");
                        unable = Unable::Failed(error.to_string());
                        equipment.join_no_networks();
                        None
                    }
                }
            }
            _ => None,
        };
        if networks.is_none() {
            tasks.spawn(heard.clone().keep(cancel.clone()));
        }
        equipment.follow_engine(tls.identity().node, &tasks, &cancel).await;
        let bridged = equipment.shadows.as_ref().map(|shadows| shadows.bridged());
        let Equipment { executors, engine, volumes, secrets, forward, description, .. } = equipment;
        let described = description.subscribe();
        let of_tasks = (volumes.clone(), secrets.clone());
        let worker = Worker::resume(store.clone(), executors, reports, of_tasks, ambient.clone())?;
        if let Some(volumes) = volumes.clone() {
            tasks.spawn(async move { volumes.settle().await });
        }
        let containers = ContainersService::new(worker.clone(), engine.clone());
        if let Some(engine) = engine {
            tasks.spawn(sweep(engine, tls.identity().node, worker.clone(), cancel.clone()));
        }
        forward.begin(forward::Parts {
            node: tls.identity().node,
            heard: heard.clone(),
            worker: worker.clone(),
            channels: channels.clone(),
            networks: networks.clone(),
            ambient: ambient.clone(),
        });
        let reach = NodeReach {
            own: tls.identity().node,
            worker: worker.clone(),
            channels: channels.clone(),
        };
        let ports = PublishedPorts::new(config.publish_addr, Arc::new(reach));
        let listed = Listed { ports: store.ports(), ingress: store.ingress() };
        ports.set(listed.ports.clone());
        // The kernel takes ports on all addresses: on one only they are in user space.
        let wide = networks.clone().zip(bridged).filter(|_| config.publish_addr.is_unspecified());
        let kernel_ports = match wide {
            Some((networks, bridged)) => {
                let refused = ports.refused();
                publish_in_kernel(networks, bridged, refused, description.clone(), listed).await
            }
            None if networks.is_none() => Err("the node joins no networks".to_owned()),
            None => Err(format!("the node publishes on {} alone", config.publish_addr)),
        };
        let examiner = Examiner {
            networks: networks.clone().ok_or(unable),
            kernel_ports: kernel_ports.clone(),
            ports: ports.clone(),
            store: store.clone(),
        };
        let kernel_ports = kernel_ports.ok();
        match kernel_ports.clone() {
            Some(kernel) => {
                tasks.spawn(kernel.keep(cancel.clone()));
            }
            // Only such a node may have had them there.
            None if config.network_driver.is_some() => {
                leave_to_user_space(tls.identity().node).await;
            }
            None => {}
        }
        let (welcome, welcomed) = watch::channel(None);
        let reach = Reach { channels: channels.clone(), managers: managers.clone() };
        let link = Link {
            tls,
            channels,
            managers,
            worker: worker.clone(),
            store,
            volumes: volumes.clone(),
            secrets: secrets.clone(),
            ports: ports.clone(),
            listed: Mutex::default(),
            kernel_ports: kernel_ports.clone(),
            networks: networks.clone(),
            heard: heard.clone(),
            leader,
            description: described,
            welcomed: welcome,
            ambient,
            cancel: cancel.clone(),
        };
        tasks.spawn(Arc::new(link).keep());
        Ok(Self {
            worker,
            volumes,
            secrets,
            ports,
            kernel_ports,
            networks,
            heard,
            examiner,
            forward,
            containers,
            reach,
            description,
            welcomed,
            cancel,
            tasks,
        })
    }

    /// Answers other nodes' agents that forward traffic to tasks here.
    pub fn tunnel(&self) -> TunnelService {
        TunnelService { worker: self.worker.clone(), forward: self.forward.clone() }
    }

    /// Answers managers that ask how this node's networks are.
    pub fn doctor(&self) -> DoctorService {
        DoctorService { examiner: self.examiner.clone() }
    }

    /// Answers managers that ask for containers of tasks here.
    pub fn containers(&self) -> ContainersService {
        self.containers.clone()
    }

    /// A connection that speaks HTTP, as to an engine, to a manager that leads on to the
    /// containers of all tasks.
    ///
    /// # Errors
    /// The cluster does not let this node; or no manager answers within seconds, and which were
    /// asked.
    pub async fn open_manager(&self) -> Result<Box<dyn Wire>, Refusal> {
        self.reach.open().await
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

    /// The volumes that the node's drivers keep here.
    pub async fn volumes(&self) -> Vec<NodeVolume> {
        match &self.volumes {
            Some(volumes) => volumes.list().await,
            None => Vec::new(),
        }
    }

    /// The bytes that the data of each of them take, by name, where that is known.
    pub async fn volume_sizes(&self) -> BTreeMap<String, u64> {
        match &self.volumes {
            Some(volumes) => volumes.sizes().await,
            None => BTreeMap::new(),
        }
    }

    /// Grows a volume of this node to so many bytes.
    ///
    /// # Errors
    /// There is none, tasks here use it, it is that large, or its driver fails.
    pub async fn expand_volume(&self, spec: &VolumeSpec, size: u64) -> Result<(), Refusal> {
        match &self.volumes {
            Some(volumes) => volumes.expand(spec, size).await,
            None => {
                Err(Refusal::invalid(format!("no volume driver is called {}", spec.driver.name)))
            }
        }
    }

    /// Where a volume's data would be; `None` where no plugin drives it.
    ///
    /// # Errors
    /// The driver refuses it, or fails.
    pub async fn volume_scope(&self, spec: &VolumeSpec) -> Result<Option<VolumeScope>, Refusal> {
        match &self.volumes {
            Some(volumes) => volumes.scope(spec).await,
            None => Ok(None),
        }
    }

    /// Makes a volume on this node.
    ///
    /// # Errors
    /// Its driver fails, or its plan may not be carried out.
    pub async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), Refusal> {
        match &self.volumes {
            Some(volumes) => volumes.create(spec).await,
            None => {
                Err(Refusal::invalid(format!("no volume driver is called {}", spec.driver.name)))
            }
        }
    }

    /// Deletes a volume and its data; whether there was one here. One of the cluster,
    /// by its id, is deleted wherever its data are; its driver may use these secrets.
    ///
    /// # Errors
    /// Tasks here use it, or its driver's plan failed: it stays.
    pub async fn remove_volume(
        &self,
        spec: &VolumeSpec,
        id: Option<VolumeId>,
        secrets: &[Arc<Secret>],
    ) -> Result<bool, Refusal> {
        let _lent = self.secrets.as_ref().map(|here| here.vault().lend(secrets));
        match &self.volumes {
            Some(volumes) => volumes.remove(spec, id).await,
            None => Ok(false),
        }
    }

    /// The network of this id or name, as the leader knows it.
    ///
    /// # Errors
    /// No leader is reached.
    pub async fn find_network(&self, network: &str) -> Result<Option<Network>, Refusal> {
        match &self.networks {
            Some(networks) => networks.find(network).await,
            None => Ok(None),
        }
    }

    /// The engine's id of the network that stands for one of the cluster, made where
    /// there is none: containers join by it.
    ///
    /// # Errors
    /// The node joins no networks, or its engine refuses.
    pub async fn shadow_network(&self, network: &Network) -> Result<String, Refusal> {
        match &self.networks {
            Some(networks) => networks.shadow(network).await,
            None => Err(Refusal::plain(
                RefusalKind::Unavailable,
                "this node joins no overlay networks: its daemon needs a Docker engine, root and \
                 nftables",
            )),
        }
    }

    /// What the leader last said of networks that somebody of this node is on.
    pub fn networks_heard(&self) -> NetworkNews {
        self.heard.known().as_news()
    }

    /// Whether this daemon is the driver of networks on its engine.
    pub fn joins_networks(&self) -> bool {
        self.networks.is_some()
    }

    /// What became of containers' questions for names; `None`: the node joins no networks.
    pub fn name_queries(&self) -> Option<NameQueries> {
        self.networks.as_ref().map(Networks::name_queries)
    }

    /// What became of connections over networks that this daemon made, for components and to
    /// them.
    pub fn forwarded(&self) -> Forwarded {
        self.forward.counts()
    }

    /// Ends the session and the published ports; tasks go on.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.ports.shutdown();
        self.forward.end();
    }

    /// Stops every task and removes what is left of them.
    pub async fn leave(&self) {
        // The engine asks its driver about each container and each network that goes.
        self.worker.forget_all().await;
        if let Some(networks) = &self.networks {
            networks.remove_shadows().await;
        }
        self.stop().await;
        if let Some(kernel) = &self.kernel_ports {
            kernel.leave().await;
        }
        if let Some(networks) = &self.networks {
            networks.leave().await;
        }
    }
}

/// Published ports in the node's kernel; or why they are in user space.
async fn publish_in_kernel(
    networks: Networks,
    bridged: watch::Receiver<Bridged>,
    refused: watch::Receiver<BTreeSet<(PortProtocol, u16)>>,
    description: watch::Sender<NodeDescription>,
    listed: Listed,
) -> Result<KernelPorts, String> {
    let begun = KernelPorts::begin(networks, bridged, refused, description, listed).await;
    begun.map_err(|error| {
        warn!(%error, "published ports are served in user space");
        error.to_string()
    })
}

/// Answers the engine until cancelled; calls under way come to their end.
async fn end_with(serving: Serving, cancel: CancellationToken) {
    cancel.cancelled().await;
    serving.end().await;
}
