//! A daemon of one process: the real state, changed by the real transactions; every
//! replica that is wanted runs at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use http::{Request, Response};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use swarmw_api::{
    Answer, Api, Fetched, InitRequest, JoinRequest, Listener, LogLine, LogOutput, LogsRequest,
    Membership, Node as Daemon, RemoteManager, Standing,
};
use swarmw_model::{
    Availability, Base64, Blob, Breaker, CallUse, CandidateState, Cluster, ClusterId, ClusterSpec,
    Comparison, Consent, Id, JoinTokens, LineLevel, ManagerStatus, Node, NodeDescription, NodeId,
    NodeRole, NodeSpec, NodeState, NodeStatus, NodeVolume, Platform, Plugin, PluginAct,
    PluginClaim, PluginId, PluginKind, PluginLine, PluginMetadata, PluginOffer, PluginRelease,
    PluginReport, PluginState, PluginUse, RaftMember, Reachability, Refusal, RefusalKind,
    RequestId, Resources, RootCa, RowUse, ServiceSpec, ShadowReport, Slot, TaskId, TaskState,
    TaskStatus, Time, Version, VolumeId, VolumeScope, VolumeSpec,
};
use swarmw_state::{Change, Event, NewTask, Outcome, State, TaskChange, Transaction};

use crate::client::Client;

pub const SELF: NodeId = NodeId::from_bits(0xa11ce);
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
}

pub struct Fake {
    pub shared: Arc<Shared>,
    pub standing: Mutex<Standing>,
    pub engine: Mutex<Option<PathBuf>>,
    pub joined: Mutex<Vec<JoinRequest>>,
    pub inits: Mutex<Vec<InitRequest>>,
    pub logs_asked: Mutex<Vec<LogsRequest>>,
    pub lines: Mutex<Vec<LogLine>>,
    pub volumes: Mutex<Vec<NodeVolume>>,
    pub leader: Mutex<Option<Api>>,
    pub forwarded: Mutex<Vec<(String, String)>>,
    /// Answers of writes that get lost, and how the node stands after each.
    pub lost: Mutex<Vec<Standing>>,
    /// How long each write takes until it is done.
    pub slow: Mutex<Duration>,
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
        joined: Mutex::default(),
        inits: Mutex::default(),
        logs_asked: Mutex::default(),
        lines: Mutex::default(),
        volumes: Mutex::default(),
        leader: Mutex::default(),
        forwarded: Mutex::default(),
        lost: Mutex::default(),
        slow: Mutex::default(),
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
        let cluster = Cluster {
            id: ClusterId::from_bits(1),
            version: Version::default(),
            created_at: NOW,
            updated_at: NOW,
            spec: ClusterSpec::default(),
            root_ca: RootCa {
                certificate: "the root's certificate".to_owned(),
                key: Base64(ROOT_KEY.as_bytes().to_vec()),
            },
            join_tokens: JoinTokens {
                worker: "SWMTKN-1-root-worker".to_owned(),
                manager: "SWMTKN-1-root-manager".to_owned(),
            },
            removed_nodes: BTreeMap::new(),
            feature_level: 1,
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
        let mut state = self.shared.state.lock().unwrap();
        let transaction = Transaction { at: NOW, request, changes: vec![change] };
        let index = state.index() + 1;
        let applied = state.apply(index, &transaction);
        if !applied.events.is_empty() {
            self.shared.applied.fetch_add(1, Ordering::SeqCst);
        }
        self.tell(applied.events);
        self.reconcile(&mut state);
        match applied.outcomes.into_iter().next().expect("an outcome") {
            Outcome::Done(id) => Ok(id),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Dropped(why) => panic!("dropped: {why:?}"),
        }
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
        for service in state.services() {
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
                        node: Some(SELF),
                        desired: TaskState::Running,
                        error: "".into(),
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
            state.apply(index, &transaction);
        }
    }
}

pub fn node(id: NodeId, name: &str, role: NodeRole) -> Node {
    let manager = role == NodeRole::Manager;
    Node {
        id,
        version: Version::default(),
        created_at: NOW,
        updated_at: NOW,
        spec: NodeSpec { role, availability: Availability::Active, ..NodeSpec::default() },
        description: description(name),
        status: NodeStatus {
            state: NodeState::Ready,
            message: String::new(),
            addr: "127.0.0.1".to_owned(),
        },
        role,
        member: manager.then(|| RaftMember { raft_id: 1, addr: "127.0.0.1:2377".to_owned() }),
    }
}

fn description(name: &str) -> NodeDescription {
    NodeDescription {
        hostname: name.to_owned(),
        platform: Platform { architecture: "x86_64".to_owned(), os: "linux".to_owned() },
        resources: Resources {
            nano_cpus: 2_000_000_000,
            memory_bytes: 1 << 30,
            generic_resources: Vec::new(),
        },
        ..NodeDescription::default()
    }
}

pub fn plugin(id: u128, name: &str, claims: &[&str], built_in: bool) -> Plugin {
    let metadata = PluginMetadata {
        version: "1.0.0".to_owned(),
        summary: "For tests.".to_owned(),
        claims: claims.iter().map(|c| PluginClaim::Name((*c).to_owned())).collect(),
        options: Vec::new(),
        grants: Vec::new(),
    };
    let release = PluginRelease::new(Blob { digest: "sha256:00".to_owned(), size: 3 }, metadata);
    let kind = PluginKind::UpdatePolicy;
    let plugin = Plugin::new(PluginId::from_bits(id), name.to_owned(), kind, release);
    Plugin { built_in, ..plugin }
}

impl Daemon for Fake {
    fn standing(&self) -> Standing {
        self.standing.lock().unwrap().clone()
    }

    fn description(&self) -> NodeDescription {
        description("alpha")
    }

    fn engine(&self) -> Option<PathBuf> {
        self.engine.lock().unwrap().clone()
    }

    fn now(&self) -> Time {
        NOW
    }

    fn random(&self) -> u128 {
        // Weyl steps: spread over the whole range, never twice.
        let n = self.shared.random.fetch_add(1, Ordering::SeqCst);
        u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    fn state(&self) -> Option<Arc<State>> {
        let controls = matches!(self.standing(), Standing::Manager { .. });
        controls.then(|| Arc::new(self.shared.state.lock().unwrap().clone()))
    }

    fn read(&self) -> Answer<'_, Arc<State>> {
        Box::pin(async { Ok(Arc::new(self.shared.state.lock().unwrap().clone())) })
    }

    fn write(&self, request: Option<RequestId>, change: Change) -> Answer<'_, Option<Id>> {
        Box::pin(async move {
            let slow = *self.slow.lock().unwrap();
            tokio::time::sleep(slow).await;
            let done = self.apply(request, change);
            // An election swallows the answer, not the write.
            let lost = self.lost.lock().unwrap().pop();
            if let Some(standing) = lost {
                self.set(standing);
                return Err(swarmw_api::no_leader());
            }
            done
        })
    }

    fn node_volumes(&self) -> Answer<'_, Vec<NodeVolume>> {
        let volumes = self.volumes.lock().unwrap().clone();
        Box::pin(async move { Ok(volumes) })
    }

    fn node_volume_sizes(&self) -> Answer<'_, BTreeMap<String, u64>> {
        let volumes = self.volumes.lock().unwrap();
        let sizes = volumes.iter().map(|volume| (volume.name.clone(), 4096)).collect();
        Box::pin(async move { Ok(sizes) })
    }

    fn expand_node_volume(&self, spec: VolumeSpec, size: u64) -> Answer<'_, ()> {
        let mut volumes = self.volumes.lock().unwrap();
        let volume = volumes.iter_mut().find(|volume| volume.name == spec.name);
        volume.expect("looked up before").options.insert("size".to_owned(), size.to_string());
        Box::pin(async move { Ok(()) })
    }

    fn volume_scope<'a>(&'a self, spec: &'a VolumeSpec) -> Answer<'a, Option<VolumeScope>> {
        let scope = match spec.driver.name.as_str() {
            "local" | "image" => Ok(Some(VolumeScope::Local)),
            "shared" if spec.driver.options.contains_key("host") => Ok(Some(VolumeScope::Cluster)),
            "shared" => Err(Refusal::invalid("option host is required")),
            _ => Ok(None),
        };
        Box::pin(async move { scope })
    }

    fn create_node_volume(&self, spec: VolumeSpec) -> Answer<'_, ()> {
        self.volumes.lock().unwrap().push(NodeVolume {
            name: spec.name,
            driver: spec.driver.name,
            options: spec.driver.options,
            labels: spec.labels,
            mountpoint: String::new(),
            created_at: NOW,
            users: Vec::new(),
        });
        Box::pin(async { Ok(()) })
    }

    fn remove_node_volume(&self, spec: VolumeSpec, id: Option<VolumeId>) -> Answer<'_, bool> {
        let mut volumes = self.volumes.lock().unwrap();
        let before = volumes.len();
        let used = volumes.iter().any(|v| v.name == spec.name && !v.users.is_empty());
        if !used {
            volumes.retain(|volume| volume.name != spec.name);
        }
        let there = volumes.len() < before || id.is_some();
        let fails = spec.driver.options.get("host").is_some_and(|host| host == "down");
        Box::pin(async move {
            if used {
                let message = format!("remove {}: volume is in use - [a task]", spec.name);
                return Err(Refusal::plain(RefusalKind::AlreadyExists, message));
            }
            if fails {
                return Err(Refusal::plain(RefusalKind::Unknown, "the host is down"));
            }
            Ok(there)
        })
    }

    fn check_service<'a>(
        &'a self,
        spec: &'a ServiceSpec,
        _before: Option<&'a ServiceSpec>,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let bad = spec
                .task_template
                .constraints()
                .iter()
                .find(|c| !c.contains("==") && !c.contains("!="));
            match bad {
                Some(_) => Err(Refusal::rpc(
                    RefusalKind::Unknown,
                    "constraint expected one operator from ==, !=",
                )),
                None => Ok(()),
            }
        })
    }

    fn manager_statuses(&self) -> BoxFuture<'_, BTreeMap<NodeId, ManagerStatus>> {
        Box::pin(async { self.shared.statuses.lock().unwrap().clone() })
    }

    fn join_token(&self, root_certificate: &str) -> String {
        format!("SWMTKN-1-fresh-{}", root_certificate.len())
    }

    fn init(&self, request: InitRequest) -> Answer<'_, NodeId> {
        Box::pin(async move {
            self.inits.lock().unwrap().push(request);
            self.found();
            self.set(leading());
            Ok(SELF)
        })
    }

    fn join(&self, request: JoinRequest) -> Answer<'_, ()> {
        Box::pin(async move {
            self.joined.lock().unwrap().push(request);
            self.set(Standing::Worker(membership()));
            Ok(())
        })
    }

    fn leave(&self, _force: bool) -> Answer<'_, ()> {
        Box::pin(async {
            self.set(Standing::Inactive);
            Ok(())
        })
    }

    fn add_plugin(
        &self,
        request: Option<RequestId>,
        component: Bytes,
        offer: PluginOffer,
    ) -> Answer<'_, Plugin> {
        Box::pin(async move {
            let plugin = self.offered(&component, &offer);
            let change = match self.shared.state.lock().unwrap().plugin_named(&plugin.name) {
                None => Change::AddPlugin(Box::new(plugin.clone())),
                Some(present) => Change::UpgradePlugin {
                    id: present.id,
                    serving: present.release.blob.digest.clone(),
                    release: Box::new(plugin.release.clone()),
                    hold: offer.shadow.then_some(CandidateState::Shadow),
                    version: Some(present.version),
                },
            };
            self.apply(request, change)?;
            Ok(plugin)
        })
    }

    fn report_plugin(
        &self,
        component: Bytes,
        offer: PluginOffer,
        plan: bool,
    ) -> Answer<'_, PluginReport> {
        Box::pin(async move {
            let plan = plan.then(|| Comparison { services: 7, ..Comparison::default() });
            let plugin = self.offered(&component, &offer);
            Ok(PluginReport { plugin, replaces: None, wanted: Vec::new(), plan })
        })
    }

    fn act_on_plugin(
        &self,
        request: Option<RequestId>,
        id: PluginId,
        act: PluginAct,
        consent: Consent,
    ) -> Answer<'_, Plugin> {
        Box::pin(async move {
            let found = self.shared.state.lock().unwrap().plugin(id).cloned();
            let plugin = found.ok_or_else(|| Refusal::not_found("plugin", id))?;
            let granted = match consent {
                Consent::These { granted, .. } => granted,
                _ => Vec::new(),
            };
            let version = Some(plugin.version);
            let change = match act {
                PluginAct::Promote => {
                    let candidate = plugin.with_candidate().expect("a candidate");
                    let candidate = candidate.release.blob.digest;
                    Change::PromotePlugin { id, candidate, granted, version }
                }
                PluginAct::Enable => Change::SetPluginState {
                    id,
                    state: PluginState::Enabled,
                    message: String::new(),
                    force: false,
                },
                PluginAct::Grant => Change::UpgradePlugin {
                    id,
                    serving: plugin.release.blob.digest.clone(),
                    release: Box::new(PluginRelease { granted, ..plugin.release.clone() }),
                    hold: None,
                    version,
                },
            };
            self.apply(request, change)?;
            let now = self.shared.state.lock().unwrap().plugin(id).cloned();
            Ok(now.map_or_else(|| Plugin::clone(&plugin), |p| Plugin::clone(&p)))
        })
    }

    fn fetch_component(&self, reference: String, auth: String) -> Answer<'_, Fetched> {
        Box::pin(async move {
            Ok(Fetched {
                component: Bytes::from("acme/fetched"),
                reference: format!("{reference}@sha256:{auth}"),
                signer: None,
            })
        })
    }

    fn plugin_use(&self, _plugin: &Plugin) -> (Option<PluginUse>, Option<ShadowReport>) {
        let compile = CallUse { count: 5, nanos: 2_000_000_000, traps: 1, ..CallUse::default() };
        let used = PluginUse {
            digest: String::new(),
            since: NOW,
            calls: [("compile".to_owned(), compile)].into(),
            rows: RowUse { needed: 100, asked: 2 },
            breaker: Breaker::default(),
            last_fault: None,
        };
        (Some(used), Some(ShadowReport { comparisons: 3, ..ShadowReport::default() }))
    }

    fn plugin_lines(&self, plugin: &str, after: u64) -> Vec<PluginLine> {
        let line = |number| PluginLine {
            number,
            at: NOW,
            level: LineLevel::Info,
            text: format!("{plugin} {number}"),
        };
        (after + 1..=3).map(line).collect()
    }

    fn put_blob(&self, bytes: Bytes) -> Answer<'_, Blob> {
        Box::pin(
            async move { Ok(Blob { digest: "sha256:00".to_owned(), size: bytes.len() as u64 }) },
        )
    }

    fn look_up_image(&self, image: String, auth: String) -> Answer<'_, serde_json::Value> {
        Box::pin(async move {
            match image.as_str() {
                "reg.example/hello:1" => Ok(serde_json::json!({
                    "Descriptor": { "digest": "sha256:ab" },
                    "Platforms": [{ "architecture": "wasm", "os": "wasip2" }],
                    "Auth": auth,
                })),
                _ => Err(Refusal::plain(RefusalKind::Unknown, format!("no {image}"))),
            }
        })
    }

    fn logs(&self, request: LogsRequest) -> Answer<'_, BoxStream<'static, LogLine>> {
        Box::pin(async move {
            self.logs_asked.lock().unwrap().push(request);
            let lines = self.lines.lock().unwrap().clone();
            Ok(stream::iter(lines).boxed())
        })
    }

    /// Twice, as a forwarder does whose first answer got lost.
    fn forward(&self, request: Request<Bytes>) -> Answer<'_, Response<Body>> {
        Box::pin(async move {
            let leader = self.leader.lock().unwrap().clone();
            let leader = leader.ok_or_else(swarmw_api::no_leader)?;
            let id = request.headers()["x-swarmw-request-id"].to_str().unwrap();
            let seen = (request.uri().to_string(), id.to_owned());
            self.forwarded.lock().unwrap().push(seen);
            let again = request.clone();
            drop(leader.forwarded(request).await);
            Ok(leader.forwarded(again).await)
        })
    }

    fn changes(&self) -> Option<BoxStream<'static, Event>> {
        let controls = matches!(self.standing(), Standing::Manager { .. });
        controls.then(|| {
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            self.shared.watchers.lock().unwrap().push(sender);
            stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|event| (event, receiver))
            })
            .boxed()
        })
    }
}

/// A line of a log, for tests of their form.
pub fn line(task: TaskId, text: &'static str) -> LogLine {
    LogLine {
        task,
        service: swarmw_model::ServiceId::from_bits(2),
        node: SELF,
        output: LogOutput::Stdout,
        at: NOW,
        text: Bytes::from_static(text.as_bytes()),
    }
}
