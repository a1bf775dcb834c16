//! A daemon of one process: the real state, changed by the real transactions; every
//! replica that is wanted runs at once.

mod engine;
mod made;
pub mod network;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use swarmw_api::{
    Api, InitRequest, JoinRequest, Listener, LogLine, LogsRequest, Membership, Node as _,
    RemoteManager, Standing,
};
use swarmw_model::{
    Base64, Cluster, ClusterId, Consent, DATA_PATH_PORT, EngineSocket, FEATURE_LEVEL, Id,
    JoinTokens, ManagerStatus, NetworkNews, NodeDescription, NodeId, NodeRole, NodeVolume, Plugin,
    PluginOffer, Reachability, Refusal, RequestId, RootCa, Slot, TaskId, TaskState, TaskStatus,
    Time, Version, Wish,
};
use swarmw_state::{
    Change, Dropped, Event, History, NewTask, Outcome, State, TaskChange, Transaction,
};

use crate::client::Client;
pub use engine::FakeEngine;
pub use made::{line, node, plugin};

pub const SELF: NodeId = NodeId::from_bits(0xa11ce);
/// As whom nodes that are no managers ask one.
pub const WORKER: NodeId = NodeId::from_bits(0xcab);
pub const NOW: Time = Time::from_nanos(1_763_682_093_560_000_000);
pub const ROOT_KEY: &str = "the root's key";

/// What several daemons of one cluster share.
#[derive(Default)]
pub struct Shared {
    pub state: Mutex<State>,
    pub applied: AtomicU64,
    random: AtomicU64,
    pub statuses: Mutex<BTreeMap<NodeId, ManagerStatus>>,
    pub watchers: Mutex<Vec<tokio::sync::mpsc::UnboundedSender<Event>>>,
    pub history: Mutex<History>,
    /// The last revision.
    pub reached: tokio::sync::watch::Sender<u64>,
}

pub struct Fake {
    pub shared: Arc<Shared>,
    pub standing: Mutex<Standing>,
    pub engine: Mutex<Option<PathBuf>>,
    /// What was put back in the kernel once somebody listens.
    pub repaired: Mutex<Vec<String>>,
    /// What containers get for its socket.
    pub engine_socket: Mutex<EngineSocket>,
    pub joined: Mutex<Vec<JoinRequest>>,
    /// What was to be planned.
    pub wishes: Mutex<Vec<Wish>>,
    pub inits: Mutex<Vec<InitRequest>>,
    pub logs_asked: Mutex<Vec<LogsRequest>>,
    /// Where tasks are put that are made from now on.
    pub place: Mutex<NodeId>,
    /// What the agents of other nodes lead to; nobody else is reached.
    pub engines_of: Mutex<BTreeMap<NodeId, PathBuf>>,
    /// The tasks whose containers were asked for on other nodes.
    pub opened: Mutex<Vec<TaskId>>,
    pub lines: Mutex<Vec<LogLine>>,
    /// How logs end.
    pub lines_missing: Mutex<Option<Refusal>>,
    pub volumes: Mutex<Vec<NodeVolume>>,
    pub leader: Mutex<Option<Api>>,
    pub forwarded: Mutex<Vec<(String, String)>>,
    /// The networks that the engine was to have a shadow of.
    pub shadows: Mutex<Vec<String>>,
    /// What the node was told of networks.
    pub heard: Mutex<NetworkNews>,
    /// Answers of writes that get lost, and how the node stands after each.
    pub lost: Mutex<Vec<Standing>>,
    /// How long each write takes until it is done.
    pub slow: Mutex<Duration>,
    /// What the node says of itself.
    pub describes: Mutex<NodeDescription>,
    /// Whether nothing is done for services: they get no tasks and no addresses.
    pub rests: AtomicBool,
}

/// A daemon, served on a unix socket until dropped.
pub struct Served {
    pub fake: Arc<Fake>,
    pub client: Client,
    pub api: Api,
    pub folder: TempDir,
    shutdown: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn membership() -> Membership {
    Membership {
        node: Some(SELF),
        cluster: Some(ClusterId::from_bits(1)),
        address: "127.0.0.1".to_owned(),
        managers: vec![RemoteManager { node_id: SELF, addr: "127.0.0.1:2377".to_owned() }],
    }
}

pub fn leading() -> Standing {
    Standing::Manager { membership: membership(), leading: true, ready: true }
}

pub fn following() -> Standing {
    Standing::Manager { membership: membership(), leading: false, ready: true }
}

/// Serves a daemon that stands so.
pub async fn serve(standing: Standing) -> Served {
    serve_with(standing, Arc::default()).await
}

pub async fn serve_with(standing: Standing, shared: Arc<Shared>) -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let fake = Arc::new(Fake {
        shared,
        standing: Mutex::new(standing),
        engine: Mutex::default(),
        repaired: Mutex::default(),
        engine_socket: Mutex::default(),
        joined: Mutex::default(),
        wishes: Mutex::default(),
        inits: Mutex::default(),
        logs_asked: Mutex::default(),
        place: Mutex::new(SELF),
        engines_of: Mutex::default(),
        opened: Mutex::default(),
        lines: Mutex::default(),
        lines_missing: Mutex::default(),
        volumes: Mutex::default(),
        leader: Mutex::default(),
        forwarded: Mutex::default(),
        shadows: Mutex::default(),
        heard: Mutex::default(),
        lost: Mutex::default(),
        slow: Mutex::default(),
        describes: Mutex::new(made::description("alpha")),
        rests: AtomicBool::new(false),
    });
    let api = Api::new(fake.clone());
    let listener = Listener::unix(&socket, 0o660).await.expect("listens");
    let shutdown = CancellationToken::new();
    tokio::spawn(listener.serve(api.clone(), shutdown.clone()));
    Served { fake, client: Client::new(&socket), api, folder, shutdown }
}

/// A leader of a cluster with itself as its only node.
pub async fn leader() -> Served {
    let served = serve(leading()).await;
    served.fake.found();
    served
}

impl Fake {
    /// A plugin whose name and claim are the component's text, up to a `:`; what
    /// follows is the version.
    fn offered(&self, component: &Bytes, offer: &PluginOffer) -> Plugin {
        let text = String::from_utf8_lossy(component).into_owned();
        let (name, version) = text.split_once(':').unwrap_or((&text, "1.0.0"));
        let mut plugin = plugin(self.random(), name, &[name], false);
        plugin.release.metadata.version = version.to_owned();
        plugin.release.blob.digest = format!("sha256:{version}");
        plugin.release.source.clone_from(&offer.source);
        if let Consent::These { granted, .. } = &offer.consent {
            plugin.release.granted.clone_from(granted);
        }
        plugin
    }

    pub fn set(&self, standing: Standing) {
        *self.standing.lock().unwrap() = standing;
    }

    pub fn found(&self) {
        self.found_as(InitRequest { data_path_port: DATA_PATH_PORT, ..InitRequest::default() });
    }

    /// Founds a cluster with these settings.
    pub fn found_as(&self, request: InitRequest) {
        let cluster = Cluster {
            id: ClusterId::from_bits(1),
            version: Version::default(),
            created_at: NOW,
            updated_at: NOW,
            spec: request.spec,
            root_ca: RootCa {
                certificate: "the root's certificate".to_owned(),
                key: Base64(ROOT_KEY.as_bytes().to_vec()),
            },
            join_tokens: JoinTokens {
                worker: "SWMTKN-1-root-worker".to_owned(),
                manager: "SWMTKN-1-root-manager".to_owned(),
            },
            unlock_key: None,
            removed_nodes: BTreeMap::new(),
            feature_level: FEATURE_LEVEL,
            address_pools: request.address_pools,
            data_path_port: request.data_path_port,
        };
        self.apply(
            None,
            Change::InitCluster {
                cluster: Box::new(cluster),
                node: Box::new(node(SELF, "alpha", NodeRole::Manager)),
                plugins: vec![plugin(1, "swarmw/update", &["pause", "rollback"], true)],
            },
        )
        .expect("founded");
        self.shared.statuses.lock().unwrap().insert(
            SELF,
            ManagerStatus {
                leader: true,
                reachability: Reachability::Reachable,
                addr: "127.0.0.1:2377".to_owned(),
            },
        );
    }

    /// Applies one change, and lets what it wants run.
    pub fn apply(&self, request: Option<RequestId>, change: Change) -> Result<Option<Id>, Refusal> {
        match self.outcome(request, change) {
            Outcome::Done(id) => Ok(id),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Dropped(why) => panic!("dropped: {why:?}"),
        }
    }

    /// Applies a change where there is something to change.
    pub fn apply_if_new(&self, change: Change) {
        let outcome = self.outcome(None, change.clone());
        let is_fine = matches!(outcome, Outcome::Done(_) | Outcome::Dropped(Dropped::Stale));
        assert!(is_fine, "{outcome:?} of {change:?}");
    }

    fn outcome(&self, request: Option<RequestId>, change: Change) -> Outcome {
        let mut state = self.shared.state.lock().unwrap();
        let transaction = Transaction { at: NOW, request, changes: vec![change] };
        let index = state.index() + 1;
        let applied = state.apply(index, &transaction);
        if !applied.events.is_empty() {
            self.shared.applied.fetch_add(1, Ordering::SeqCst);
        }
        self.shared.history.lock().unwrap().push(index, NOW, &applied.events);
        self.tell(applied.events);
        if !self.rests.load(Ordering::SeqCst) {
            self.reconcile(&mut state);
        }
        self.shared.reached.send_replace(state.index());
        applied.outcomes.into_iter().next().expect("an outcome")
    }

    fn tell(&self, events: Vec<Event>) {
        let watchers = self.shared.watchers.lock().unwrap();
        for event in events {
            for watcher in &*watchers {
                let _ = watcher.send(event.clone());
            }
        }
    }

    /// One running task of the present spec for each replica; the rest is told to
    /// stop and does.
    fn reconcile(&self, state: &mut State) {
        let mut changes = Vec::new();
        let mut given = BTreeSet::new();
        for service in state.services() {
            changes.extend(network::virtual_ips(state, service, &mut given));
            let wanted = service.spec.replicas().unwrap_or(1);
            for slot in 1..=wanted {
                let fresh = state
                    .tasks_of_slot(service.id, Slot::Replica(slot))
                    .any(|t| t.spec_version == service.spec_version);
                if !fresh {
                    let id = TaskId::from_bits(self.random());
                    changes.push(Change::CreateTask(NewTask {
                        id,
                        service: service.id,
                        spec_version: service.spec_version,
                        slot: Slot::Replica(slot),
                        node: Some(*self.place.lock().unwrap()),
                        desired: TaskState::Running,
                        error: "".into(),
                        attachments: network::attachments(
                            state,
                            &service.spec.task_template,
                            &mut given,
                        ),
                        generic_resources: Vec::new(),
                    }));
                    changes.push(Change::Task(TaskChange {
                        status: Some(TaskStatus {
                            timestamp: NOW,
                            state: TaskState::Running,
                            message: "started".into(),
                            ..TaskStatus::default()
                        }),
                        ..TaskChange::of(id)
                    }));
                }
            }
            for task in state.tasks_of_service(service.id) {
                let stays = task.spec_version == service.spec_version && task.slot <= wanted;
                if !stays && task.status.state == TaskState::Running {
                    changes.push(Change::Task(TaskChange {
                        desired: Some(TaskState::Shutdown),
                        status: Some(TaskStatus {
                            timestamp: NOW,
                            state: TaskState::Shutdown,
                            message: "shutdown".into(),
                            ..TaskStatus::default()
                        }),
                        ..TaskChange::of(task.id)
                    }));
                }
            }
        }
        if !changes.is_empty() {
            let index = state.index() + 1;
            let transaction = Transaction { at: NOW, request: None, changes };
            let applied = state.apply(index, &transaction);
            self.shared.history.lock().unwrap().push(index, NOW, &applied.events);
        }
    }
}
