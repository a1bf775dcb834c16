//! What the API asks of the fake daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use http::{Method, Request, Response};
use tokio::net::UnixStream;

use swarmw_api::{
    Answer, Connection, Fetched, InitRequest, JoinRequest, LogLine, LogsRequest, Node as Daemon,
    Past, Standing,
};
use swarmw_model::{
    Blob, Breaker, CallUse, CandidateState, Comparison, Consent, EngineSocket, Id, LineLevel,
    ManagerStatus, NetFindings, NetReport, NetworkId, NetworkNews, NetworkSpec, NodeDescription,
    NodeId, NodeVolume, Outlook, PlannedAct, Plugin, PluginAct, PluginId, PluginLine, PluginOffer,
    PluginRelease, PluginReport, PluginState, PluginUse, Refusal, RefusalKind, RequestId, RowUse,
    ServiceOutlook, ServiceSpec, ShadowReport, TaskId, Time, UnlockKey, VolumeId, VolumeScope,
    VolumeSpec, Wish,
};
use swarmw_state::{Change, Event, Missed, State};

use super::{Fake, NOW, SELF, Shared, WORKER, leading, membership, network};

/// Bytes on the way from a worker to a manager, and back.
const PIPE: usize = 64 << 10;

impl Daemon for Fake {
    fn standing(&self) -> Standing {
        self.standing.lock().unwrap().clone()
    }

    fn description(&self) -> NodeDescription {
        self.describes.lock().unwrap().clone()
    }

    fn engine(&self) -> Option<PathBuf> {
        self.engine.lock().unwrap().clone()
    }

    fn engine_socket(&self) -> EngineSocket {
        self.engine_socket.lock().unwrap().clone()
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

    fn plan(&self, wish: Wish) -> Answer<'_, Outlook> {
        let services = wish.services.iter().map(|spec| ServiceOutlook {
            name: spec.name.clone(),
            act: PlannedAct::Create,
            ..ServiceOutlook::default()
        });
        let outlook =
            Outlook { services: services.collect(), is_settled: true, ..Outlook::default() };
        self.wishes.lock().unwrap().push(wish);
        Box::pin(async move { Ok(outlook) })
    }

    fn create_network(
        &self,
        request: Option<RequestId>,
        spec: NetworkSpec,
    ) -> Answer<'_, NetworkId> {
        Box::pin(async move {
            let network = {
                let state = self.shared.state.lock().unwrap();
                network::made(&state, NetworkId::from_bits(self.random()), spec)?
            };
            let made = self.apply(request, Change::CreateNetwork(Box::new(network)))?;
            Ok(NetworkId::from_bits(made.expect("an id").bits()))
        })
    }

    /// There is one of each network of the cluster, and of one that only workers' managers
    /// know.
    fn shadow_network(&self, network: String) -> Answer<'_, Option<String>> {
        Box::pin(async move {
            self.shadows.lock().unwrap().push(network.clone());
            let known = network == "far"
                || self
                    .shared
                    .state
                    .lock()
                    .unwrap()
                    .networks()
                    .any(|n| n.id.to_string() == network);
            Ok(known.then(|| format!("engines-{network}")))
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
            self.inits.lock().unwrap().push(request.clone());
            self.found_as(request);
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

    fn unlock(&self, key: UnlockKey) -> Answer<'_, ()> {
        Box::pin(async move {
            let state = self.shared.state.lock().unwrap().clone();
            if state.cluster().and_then(|c| c.unlock_key.as_ref()) != Some(&key) {
                return Err(swarmw_api::invalid_unlock_key());
            }
            self.set(leading());
            Ok(())
        })
    }

    fn new_unlock_key(&self) -> UnlockKey {
        let n = self.shared.random.fetch_add(1, Ordering::SeqCst);
        format!("SWMKEY-1-{n:042}0").parse().expect("a key")
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

    fn networks_heard(&self) -> NetworkNews {
        self.heard.lock().unwrap().clone()
    }

    fn repairs(&self) -> BoxStream<'static, String> {
        stream::iter(std::mem::take(&mut *self.repaired.lock().unwrap()))
            .chain(stream::pending())
            .boxed()
    }

    fn name_queries(&self) -> Vec<(&'static str, u64)> {
        vec![("answered", 7), ("forwarded", 2)]
    }

    fn examine_networks(&self, nodes: Vec<NodeId>) -> Answer<'_, Vec<NetReport>> {
        let report = |node: NodeId| {
            let mut findings = NetFindings { networks: 2, mtu: 1450, ..NetFindings::default() };
            if node != SELF {
                findings.differ("table inet swarmw of nftables is missing", "wait 30 s");
            }
            NetReport::of(node, "alpha", findings, &[])
        };
        Box::pin(async move { Ok(nodes.into_iter().map(report).collect()) })
    }

    fn forwarded(&self) -> Vec<(&'static str, u64)> {
        vec![("reached", 3), ("failed", 1)]
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

    fn open_container(&self, task: TaskId) -> Answer<'_, Box<dyn Connection>> {
        Box::pin(async move {
            self.opened.lock().unwrap().push(task);
            let node = self.shared.state.lock().unwrap().task(task).and_then(|task| task.node_id);
            let node = node.expect("a task that has a node");
            let engine = self.engines_of.lock().unwrap().get(&node).cloned();
            let engine = engine.ok_or_else(|| {
                Refusal::plain(RefusalKind::Unavailable, format!("node {node} is down"))
            })?;
            let stream = UnixStream::connect(engine).await.expect("connects");
            let stream: Box<dyn Connection> = Box::new(stream);
            Ok(stream)
        })
    }

    /// The leader is all managers there are.
    fn open_manager(&self) -> Answer<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let manager = self.leader.lock().unwrap().clone();
            let manager = manager.ok_or_else(|| {
                Refusal::plain(RefusalKind::Unavailable, "no manager answers: 127.0.0.1:2377")
            })?;
            let spec = self.shared.state.lock().unwrap().cluster().map(|c| c.spec.clone());
            spec.expect("a cluster").tasks_from().check()?;
            let (own, its) = tokio::io::duplex(PIPE);
            tokio::spawn(async move { manager.reached(WORKER, its).await });
            let own: Box<dyn Connection> = Box::new(own);
            Ok(own)
        })
    }

    fn logs(
        &self,
        request: LogsRequest,
    ) -> Answer<'_, BoxStream<'static, Result<LogLine, Refusal>>> {
        Box::pin(async move {
            self.logs_asked.lock().unwrap().push(request);
            let lines = self.lines.lock().unwrap().clone();
            let missing = self.lines_missing.lock().unwrap().clone();
            Ok(stream::iter(lines.into_iter().map(Ok).chain(missing.map(Err))).boxed())
        })
    }

    /// A write twice, as a forwarder does whose first answer got lost.
    fn forward(&self, request: Request<Bytes>) -> Answer<'_, Response<Body>> {
        Box::pin(async move {
            let leader = self.leader.lock().unwrap().clone();
            let leader = leader.ok_or_else(swarmw_api::no_leader)?;
            let id = request.headers()["x-swarmw-request-id"].to_str().unwrap();
            let seen = (request.uri().to_string(), id.to_owned());
            self.forwarded.lock().unwrap().push(seen);
            if request.method() != Method::GET {
                drop(leader.forwarded(request.clone()).await);
            }
            Ok(leader.forwarded(request).await)
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

    fn past(&self) -> Option<Box<dyn Past>> {
        let controls = matches!(self.standing(), Standing::Manager { .. });
        controls.then(|| Box::new(FakePast(self.shared.clone())) as Box<dyn Past>)
    }
}

struct FakePast(Arc<Shared>);

impl Past for FakePast {
    fn since(&self, revision: u64, most: usize) -> Missed {
        self.0.history.lock().unwrap().since(revision, most)
    }

    fn state(&self) -> Arc<State> {
        Arc::new(self.0.state.lock().unwrap().clone())
    }

    fn reaches_more_than(&self, revision: u64) -> BoxFuture<'_, bool> {
        let mut reached = self.0.reached.subscribe();
        Box::pin(async move { reached.wait_for(|reached| *reached > revision).await.is_ok() })
    }
}
