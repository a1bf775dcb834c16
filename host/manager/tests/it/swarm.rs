//! A swarm of managers, each with a listener of its own.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures::{FutureExt, StreamExt, stream};
use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_ca::{Credentials, Identity, KeyPair, Tls};
use swarmw_manager::{
    Founding, GrpcPeers, Manager, ManagerConfig, ManagerServices, is_leader_lost, new_cluster,
};
use swarmw_model::{
    AddressPools, Availability, ClusterSpec, ContainerSpec, DATA_PATH_PORT, DispatcherConfig,
    FEATURE_LEVEL, JoinTokens, NodeId, Replicated, RequestId, ServiceId, ServiceMode, ServiceSpec,
    Task, TaskSpec, TaskState,
};
use swarmw_plugin_host::Compiler;
use swarmw_proto::{Channels, pb};
use swarmw_raft::{Storage, Timing};
use swarmw_seal::Seal;
use swarmw_state::Change;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

const DEADLINE: Duration = Duration::from_secs(90);

/// Patient enough for a machine whose disk stalls: only tests that lose a leader wait for it.
pub const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(2_000),
    election_max: Duration::from_millis(3_000),
    snapshot_every: 10_000,
    keep_entries: 500,
    catch_up: Duration::from_secs(2),
};

/// Between an agent's heartbeats; three missed ones make a node `down`.
pub const PERIOD: swarmw_model::Duration = swarmw_model::Duration::from_secs(1);

/// Asks again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// An answer; none where the leader was lost on the way, and the next one is to be asked.
fn unless_leader_lost<T>(answer: Result<T, Status>) -> Option<Result<T, Status>> {
    match answer {
        Err(status) if status.message().contains("does not have a leader") => None,
        Err(status) if status.message() == "this manager does not lead" => None,
        answer => Some(answer),
    }
}

/// A node with a listener, which is a manager while its slot is filled.
pub struct Seat {
    pub address: String,
    pub tls: Tls,
    pub channels: Channels,
    pub slot: Arc<ArcSwapOption<Manager>>,
    listening: DropGuard,
    folder: TempDir,
}

/// Managers.
pub struct Swarm {
    pub seats: Vec<Seat>,
    pub tokens: JoinTokens,
}

impl Seat {
    async fn listen(listener: TcpListener, credentials: &Credentials) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let tls = Tls::new(credentials).unwrap();
        let slot = Arc::new(ArcSwapOption::empty());
        let cancel = CancellationToken::new();
        let routes = ManagerServices(slot.clone()).routes();
        let end = cancel.clone().cancelled_owned();
        tokio::spawn(swarmw_proto::serve(listener, tls.clone(), routes, end));
        Self {
            address,
            channels: Channels::new(tls.clone()),
            tls,
            slot,
            listening: cancel.drop_guard(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> ManagerConfig {
        let exe = std::env::current_exe().expect("the test's own binary");
        let before = ["--exact", "child::compiling_child"].map(Into::into).to_vec();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        ManagerConfig {
            storage: Storage::Disk {
                dir: self.folder.path().join("raft"),
                seal: Seal::new([1; 32]),
            },
            blobs: self.folder.path().join("blobs"),
            node: self.tls.identity().node,
            address: self.address.clone(),
            ambient: Ambient::system(),
            tls: self.tls.clone(),
            channels: self.channels.clone(),
            compiler: Compiler::with_arguments(exe, before, cache, [1; 32]),
            timing: TIMING,
            peers: Arc::new(GrpcPeers::new(self.channels.clone())),
            handler: Arc::new(|_| async { http::Response::new(stream::empty().boxed()) }.boxed()),
            reach: Arc::new(|_, _| async {}.boxed()),
            observer: Arc::new(|_| async { Err("nobody asks here".to_owned()) }.boxed()),
            lock: Default::default(),
        }
    }

    pub fn manager(&self) -> Arc<Manager> {
        self.slot.load_full().expect("a manager")
    }
}

impl Swarm {
    /// A founded cluster of this many managers.
    pub async fn of(managers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let founding = Founding {
            spec: ClusterSpec {
                dispatcher: DispatcherConfig { heartbeat_period: PERIOD },
                ..ClusterSpec::default()
            },
            availability: Availability::Active,
            address: listener.local_addr().unwrap().to_string(),
            address_pools: AddressPools::default(),
            data_path_port: DATA_PATH_PORT,
            data_path: None,
        };
        let founded = new_cluster(&founding, Ambient::system().now(), &mut rand::rng()).unwrap();
        let first = Seat::listen(listener, &founded.credentials).await;
        let manager = Manager::found(first.config(), &founded).await.unwrap();
        first.slot.store(Some(Arc::new(manager)));
        let tokens = founded.cluster.join_tokens;
        let mut swarm = Self { seats: vec![first], tokens };
        for _ in 1..managers {
            swarm.add_manager().await;
        }
        swarm
    }

    async fn add_manager(&mut self) {
        let credentials = self.join(&self.tokens.manager).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seat = Seat::listen(listener, &credentials).await;
        let request =
            pb::JoinRequest { address: seat.address.clone(), feature_level: FEATURE_LEVEL };
        let raft_id = eventually("a leader gives the new manager a seat", || async {
            let channel = seat.channels.get(&self.leader().await.address).unwrap();
            let mut client = pb::membership_client::MembershipClient::new(channel);
            unless_leader_lost(client.join(request.clone()).await)
        })
        .await
        .unwrap()
        .into_inner()
        .raft_id;
        let manager = Manager::resume(seat.config(), raft_id).await.unwrap();
        seat.slot.store(Some(Arc::new(manager)));
        self.seats.push(seat);
        let count = self.seats.len();
        eventually("the new manager is a member", || async {
            let statuses = self.leader().await.manager().manager_statuses();
            (statuses.len() == count).then_some(())
        })
        .await;
    }

    /// Asks for a certificate with a token, as a node does that joins.
    pub async fn join(&self, token: &str) -> Result<Credentials, Status> {
        eventually("a leader answers who joins", || async {
            unless_leader_lost(self.ask_to_join(token).await)
        })
        .await
    }

    async fn ask_to_join(&self, token: &str) -> Result<Credentials, Status> {
        let leader = self.leader().await;
        let root = leader.tls.root_pem();
        let channel = Channels::bootstrap(&leader.address, Some(&root))?;
        let key = KeyPair::generate().unwrap();
        let request = pb::IssueRequest {
            csr_pem: key.csr_pem,
            token: token.to_owned(),
            availability: String::new(),
            address: String::new(),
        };
        let reply = pb::ca_client::CaClient::new(channel).issue(request).await?.into_inner();
        let pem = reply.chain_pem.clone();
        let identity = Identity {
            node: reply.node_id.parse().unwrap(),
            cluster: reply.cluster_id.parse().unwrap(),
            role: if reply.role == "manager" {
                swarmw_model::NodeRole::Manager
            } else {
                swarmw_model::NodeRole::Worker
            },
        };
        Ok(Credentials { identity, chain_pem: pem, key_pem: key.key_pem, root_pem: reply.root_pem })
    }

    pub async fn leader(&self) -> &Seat {
        eventually("somebody leads", || async {
            self.seats.iter().find(|s| s.slot.load().as_ref().is_some_and(|m| m.leads()))
        })
        .await
    }

    pub fn addresses(&self) -> Vec<String> {
        self.seats.iter().map(|s| s.address.clone()).collect()
    }

    /// Ends the leader and its listener; who it was.
    pub async fn lose_leader(&mut self) -> NodeId {
        let address = self.leader().await.address.clone();
        let at = self.seats.iter().position(|s| s.address == address).unwrap();
        let lost = self.seats.remove(at);
        lost.manager().stop().await;
        lost.slot.store(None);
        let node = lost.tls.identity().node;
        drop(lost.listening);
        node
    }

    /// Creates a service of this many replicas.
    pub async fn create(&self, name: &str, replicas: u64) -> ServiceId {
        let id = ServiceId::from_bits(rand::rng().random());
        let container = ContainerSpec { image: "app:1".into(), ..Default::default() };
        let spec = ServiceSpec {
            name: name.into(),
            task_template: Arc::new(TaskSpec {
                container_spec: Some(container),
                ..Default::default()
            }),
            mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
            ..Default::default()
        };
        let change = Change::CreateService { id, spec: Box::new(spec) };
        let request = Some(RequestId::from_bits(rand::rng().random()));
        eventually("a leader makes the service", || async {
            match self.leader().await.manager().write(request, change.clone()).await {
                Err(refusal) if is_leader_lost(&refusal) => None,
                answer => Some(answer),
            }
        })
        .await
        .unwrap();
        id
    }

    /// Waits until this many tasks of a service run; them.
    pub async fn running(&self, service: ServiceId, count: usize) -> Vec<Arc<Task>> {
        eventually(&format!("{count} tasks run"), || async {
            let state = self.leader().await.manager().state();
            let runs = |t: &&Arc<Task>| {
                t.status.state == TaskState::Running && t.desired_state == TaskState::Running
            };
            let tasks: Vec<_> = state.tasks_of_service(service).filter(runs).cloned().collect();
            (tasks.len() == count).then_some(tasks)
        })
        .await
    }
}
