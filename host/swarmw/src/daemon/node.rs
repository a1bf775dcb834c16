//! The daemon as the API sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::{Request, Response};
use rand::Rng;
use swarmw_agent::{AgentConfig, LeftOnEngine};
use swarmw_api::{
    Answer, Connection, Fetched, InitRequest, JoinRequest, LogLine, LogsRequest, Node, Past,
    RemoteManager, Standing,
};
use swarmw_ca::JoinToken;
use swarmw_manager::{Founding, Manager, StreamedResponse, WholeRequest};
use swarmw_model::{
    Blob, Consent, EngineSocket, Id, ManagerStatus, NetReport, Network, NetworkId, NetworkNews,
    NetworkSpec, NodeDescription, NodeId, NodeRole, NodeVolume, Outlook, Plugin, PluginAct,
    PluginId, PluginLine, PluginOffer, PluginReport, PluginUse, Refusal, RefusalKind, RequestId,
    ServiceSpec, ShadowReport, TaskId, Time, UnlockKey, VolumeId, VolumeScope, VolumeSpec, Wish,
};
use swarmw_node::{Member, Membership, Parts};
use swarmw_proto::Wire;
use swarmw_raft::Received;
use swarmw_state::{Change, Event, Missed, State};

use super::{Daemon, left, logs, registry};
use crate::address;

/// Swarm's daemon answers a join after this time and goes on trying.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);
/// An unlocked manager is waited for so long; without the others it may take for ever.
const UNLOCK_PATIENCE: Duration = Duration::from_secs(3);
/// Between looks at whether a joining node has arrived.
const JOIN_LOOK: Duration = Duration::from_millis(100);

/// Answers a request that another manager passed on.
pub(super) async fn answer_forwarded(
    daemon: Option<Arc<Daemon>>,
    request: WholeRequest,
) -> StreamedResponse {
    let api = daemon.and_then(|d| d.api.get().cloned());
    let response = match api {
        Some(api) => api.forwarded(request).await,
        None => Response::builder()
            .status(503)
            .body(Body::from("this manager stops"))
            .unwrap_or_default(),
    };
    response.map(|body| body.into_data_stream().map_err(std::io::Error::other).boxed())
}

/// Answers a node that is no manager and asks for containers of tasks. Without an API the
/// connection ends at once.
pub(super) async fn answer_node(daemon: Option<Arc<Daemon>>, from: NodeId, stream: Box<dyn Wire>) {
    if let Some(api) = daemon.and_then(|d| d.api.get().cloned()) {
        api.reached(from, stream).await;
    }
}

// === impl Daemon ===

impl Daemon {
    fn handle(&self) -> Result<Arc<Self>, Refusal> {
        self.me.upgrade().ok_or_else(swarmw_api::manager_starting)
    }

    fn manager(&self) -> Result<Arc<Manager>, Refusal> {
        let active = self.active.load_full();
        active.and_then(|a| a.manager()).ok_or_else(swarmw_api::manager_starting)
    }

    fn free(&self) -> Result<(), Refusal> {
        let is_member = self.active.load().is_some() || self.is_locked();
        match !is_member && self.trouble.load().is_none() {
            true => Ok(()),
            false => Err(swarmw_api::already_in_swarm()),
        }
    }

    async fn do_init(self: Arc<Self>, request: InitRequest) -> Result<NodeId, Refusal> {
        let _turn = self.changing.lock().await;
        if let Some(active) = self.active.load_full().filter(|_| request.force_new_cluster) {
            return self.go_on_alone(&active, &request).await;
        }
        if self.is_locked() && request.force_new_cluster {
            return Err(swarmw_api::locked());
        }
        self.free()?;
        self.dir.clear().map_err(failed)?;
        let listen = address::listen(&request.listen_addr)?;
        let advertise = address::advertise(&request.advertise_addr, listen, None)?;
        let founding = Founding {
            spec: request.spec,
            availability: request.availability,
            address: advertise.to_string(),
            address_pools: request.address_pools,
            data_path_port: request.data_path_port,
            data_path: address::data_path(&request.data_path_addr)?,
        };
        let parts = self.new_parts()?;
        let member = Member::found(parts, &founding, &listen.to_string()).await.map_err(failed)?;
        let node = member.membership().node;
        self.active.store(Some(member));
        self.arrive().await?;
        Ok(node)
    }

    async fn do_join(self: Arc<Self>, request: JoinRequest) -> Result<(), Refusal> {
        let _turn = self.changing.lock().await;
        self.free()?;
        self.dir.clear().map_err(failed)?;
        let remotes: Vec<_> = request
            .remote_addrs
            .iter()
            .map(|text| match address::parse(text) {
                Some(address) => address.to_string(),
                None if text.contains(':') => text.clone(),
                None => format!("{text}:{}", address::DEFAULT_PORT),
            })
            .collect();
        let listen = address::listen(&request.listen_addr)?;
        let remote = remotes.first().map(String::as_str);
        let advertise = address::advertise(&request.advertise_addr, listen, remote)?;
        let data_path = address::data_path(&request.data_path_addr)?;
        let told = advertise.to_string();
        let parts = self.new_parts()?;
        let joined = swarmw_node::ask_to_join(
            &remotes,
            &request.join_token,
            request.availability,
            &told,
            &parts.ground,
        );
        let credentials = match tokio::time::timeout(JOIN_PATIENCE, joined).await {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(e)) => return Err(Refusal::rpc(RefusalKind::Unknown, format!("{e:#}"))),
            Err(_) => return Err(swarmw_api::join_timed_out()),
        };
        let membership = Membership {
            node: credentials.identity.node,
            cluster: credentials.identity.cluster,
            listen: listen.to_string(),
            advertise: told,
            managers: remotes,
            raft_id: None,
            data_path,
        };
        let member = Member::join(parts, credentials, membership).await.map_err(failed)?;
        self.active.store(Some(member));
        self.arrive().await
    }

    /// Waits until the leader has welcomed this node's agent and, on a manager,
    /// until it has caught up.
    pub(super) async fn arrive(&self) -> Result<(), Refusal> {
        let arrived = async {
            while !self.has_arrived() {
                tokio::time::sleep(JOIN_LOOK).await;
            }
        };
        match tokio::time::timeout(JOIN_PATIENCE, arrived).await {
            Ok(()) => Ok(()),
            Err(_) => Err(swarmw_api::join_timed_out()),
        }
    }

    fn has_arrived(&self) -> bool {
        let welcomed = |active: Arc<Member>| active.agent().welcomed().borrow().is_some();
        self.active.load_full().is_some_and(welcomed)
            && matches!(
                self.standing(),
                Standing::Worker(_) | Standing::Manager { ready: true, .. }
            )
    }

    /// Of a node that is about to be in a cluster: nothing of it is locked.
    fn new_parts(self: &Arc<Self>) -> Result<Parts, Refusal> {
        self.parts(None).map_err(failed)?.ok_or_else(swarmw_api::locked)
    }

    async fn do_unlock(self: Arc<Self>, key: UnlockKey) -> Result<(), Refusal> {
        let _turn = self.changing.lock().await;
        if !self.is_locked() {
            return Err(swarmw_api::not_locked());
        }
        let parts = self.parts(Some(&key)).map_err(failed)?;
        let parts = parts.ok_or_else(swarmw_api::invalid_unlock_key)?;
        let member = Member::resume(parts)
            .await
            .map_err(|e| failed(e.context("swarm component could not be started")))?;
        self.active.store(member);
        self.locked.store(false, Ordering::Relaxed);
        // Without a majority it is unlocked all the same.
        let _ = tokio::time::timeout(UNLOCK_PATIENCE, self.arrive()).await;
        Ok(())
    }

    async fn do_leave(self: Arc<Self>, force: bool) -> Result<(), Refusal> {
        let _turn = self.changing.lock().await;
        match self.active.load_full() {
            Some(active) => {
                let left = left::of(&active);
                active.leave(force).await.map_err(failed)?;
                self.active.store(None);
                self.leaves(left);
            }
            None if self.is_locked() || self.trouble.load().is_some() => {
                // One whose file is damaged leaves as well.
                let membership = self.dir.membership().ok().flatten();
                self.dir.forget().map_err(failed)?;
                if let Some(Membership { node, .. }) = membership {
                    self.leaves(LeftOnEngine { node, networks: Vec::new() });
                }
            }
            None => return Err(swarmw_api::not_in_swarm()),
        }
        self.locked.store(false, Ordering::Relaxed);
        self.trouble.store(None);
        Ok(())
    }
}

pub(super) fn failed(error: anyhow::Error) -> Refusal {
    Refusal::plain(RefusalKind::Unknown, format!("{error:#}"))
}

fn seen(active: &Member) -> swarmw_api::Membership {
    let known = active.membership();
    let managers = active.agent().managers();
    swarmw_api::Membership {
        node: Some(known.node),
        cluster: Some(known.cluster),
        address: known
            .advertise
            .rsplit_once(':')
            .map_or(known.advertise.as_str(), |(ip, _)| ip)
            .trim_matches(['[', ']'])
            .to_owned(),
        managers: managers
            .into_iter()
            .map(|(node_id, addr)| RemoteManager { node_id, addr })
            .collect(),
    }
}

impl Node for Daemon {
    fn standing(&self) -> Standing {
        let Some(active) = self.active.load_full() else {
            return match self.trouble.load_full() {
                _ if self.is_locked() => Standing::Locked,
                Some(why) => Standing::Error(why.to_string()),
                None => Standing::Inactive,
            };
        };
        let membership = seen(&active);
        let welcomed = active.agent().welcomed().borrow().is_some();
        match (active.tls().identity().role, active.manager()) {
            (NodeRole::Manager, Some(manager)) => Standing::Manager {
                membership,
                leading: manager.leads(),
                ready: manager.state().cluster().is_some(),
            },
            (NodeRole::Worker, None) if welcomed => Standing::Worker(membership),
            (NodeRole::Manager, None) if let Some(why) = active.fault() => {
                Standing::Error(why.to_string())
            }
            _ => Standing::Pending(membership),
        }
    }

    fn description(&self) -> NodeDescription {
        match self.active.load_full() {
            Some(active) => {
                let tls_info = Some(active.tls().info());
                NodeDescription { tls_info, ..active.agent().description() }
            }
            None => swarmw_agent::describe_machine(&self.agent),
        }
    }

    fn engine(&self) -> Option<PathBuf> {
        self.agent.engine.clone()
    }

    fn engine_socket(&self) -> EngineSocket {
        self.agent.engine_socket.clone()
    }

    fn now(&self) -> Time {
        self.ambient.now()
    }

    fn random(&self) -> u128 {
        self.ambient.chance().random()
    }

    fn state(&self) -> Option<Arc<State>> {
        Some(self.manager().ok()?.state())
    }

    fn read(&self) -> Answer<'_, Arc<State>> {
        async move { self.manager()?.read().await }.boxed()
    }

    fn write(&self, request: Option<RequestId>, change: Change) -> Answer<'_, Option<Id>> {
        async move { self.manager()?.write(request, change).await }.boxed()
    }

    fn check_service<'a>(
        &'a self,
        spec: &'a ServiceSpec,
        before: Option<&'a ServiceSpec>,
    ) -> Answer<'a, ()> {
        async move { self.manager()?.check_service(spec, before).await }.boxed()
    }

    fn plan(&self, wish: Wish) -> Answer<'_, Outlook> {
        async move { self.manager()?.plan(wish).await }.boxed()
    }

    fn create_network(
        &self,
        request: Option<RequestId>,
        spec: NetworkSpec,
    ) -> Answer<'_, NetworkId> {
        async move { self.manager()?.create_network(request, &spec).await }.boxed()
    }

    fn shadow_network(&self, network: String) -> Answer<'_, Option<String>> {
        let active = self.active.load_full();
        async move {
            let Some(active) = active else { return Ok(None) };
            let known = self.state().and_then(|s| s.network(network.parse().ok()?).cloned());
            let known = match known {
                Some(known) => Some(Network::clone(&known)),
                None => active.agent().find_network(&network).await?,
            };
            let Some(known) = known.filter(Network::is_overlay) else { return Ok(None) };
            if !known.spec.attachable {
                return Err(swarmw_api::not_attachable(&known.spec.name));
            }
            active.agent().shadow_network(&known).await.map(Some)
        }
        .boxed()
    }

    fn networks_heard(&self) -> NetworkNews {
        let active = self.active.load();
        active.as_ref().map(|member| member.agent().networks_heard()).unwrap_or_default()
    }

    fn manager_statuses(&self) -> BoxFuture<'_, BTreeMap<NodeId, ManagerStatus>> {
        async move { self.manager().map(|m| m.manager_statuses()).unwrap_or_default() }.boxed()
    }

    fn join_token(&self, root_certificate: &str) -> String {
        JoinToken::new(root_certificate, &mut self.ambient.chance()).to_string()
    }

    fn init(&self, request: InitRequest) -> Answer<'_, NodeId> {
        let this = self.handle();
        async move { this?.do_init(request).await }.boxed()
    }

    fn join(&self, request: JoinRequest) -> Answer<'_, ()> {
        let this = self.handle();
        async move { this?.do_join(request).await }.boxed()
    }

    fn leave(&self, force: bool) -> Answer<'_, ()> {
        let this = self.handle();
        async move { this?.do_leave(force).await }.boxed()
    }

    fn unlock(&self, key: UnlockKey) -> Answer<'_, ()> {
        let this = self.handle();
        async move { this?.do_unlock(key).await }.boxed()
    }

    fn new_unlock_key(&self) -> UnlockKey {
        UnlockKey::random(&mut self.ambient.chance())
    }

    fn add_plugin(
        &self,
        request: Option<RequestId>,
        component: Bytes,
        offer: PluginOffer,
    ) -> Answer<'_, Plugin> {
        async move {
            registry::check_signed(&self.plugin_keys, &offer)?;
            self.manager()?.add_plugin(request, component, &offer).await
        }
        .boxed()
    }

    fn report_plugin(
        &self,
        component: Bytes,
        offer: PluginOffer,
        plan: bool,
    ) -> Answer<'_, PluginReport> {
        async move {
            registry::check_signed(&self.plugin_keys, &offer)?;
            self.manager()?.report_plugin(component, &offer, plan).await
        }
        .boxed()
    }

    fn act_on_plugin(
        &self,
        request: Option<RequestId>,
        id: PluginId,
        act: PluginAct,
        consent: Consent,
    ) -> Answer<'_, Plugin> {
        async move { self.manager()?.act_on_plugin(request, id, act, &consent).await }.boxed()
    }

    fn fetch_component(&self, reference: String, auth: String) -> Answer<'_, Fetched> {
        async move {
            registry::fetch(&self.agent.registries, &self.plugin_keys, &reference, &auth).await
        }
        .boxed()
    }

    fn forwarded(&self) -> Vec<(&'static str, u64)> {
        let active = self.active.load();
        let counts = active.as_ref().map(|member| member.agent().forwarded());
        let counts = counts.unwrap_or_default();
        vec![("reached", counts.reached), ("failed", counts.failed)]
    }

    fn repairs(&self) -> BoxStream<'static, String> {
        self.agent.repairs.listen()
    }

    fn name_queries(&self) -> Vec<(&'static str, u64)> {
        let active = self.active.load();
        let counts = active.as_ref().and_then(|member| member.agent().name_queries());
        let Some(counts) = counts else { return Vec::new() };
        vec![
            ("answered", counts.answered),
            ("forwarded", counts.forwarded),
            ("failed", counts.failed),
            ("refused", counts.refused),
        ]
    }

    fn examine_networks(&self, nodes: Vec<NodeId>) -> Answer<'_, Vec<NetReport>> {
        async move { self.manager()?.examine_networks(&nodes).await }.boxed()
    }

    fn plugin_use(&self, plugin: &Plugin) -> (Option<PluginUse>, Option<ShadowReport>) {
        self.manager().map(|manager| manager.plugin_use(plugin)).unwrap_or_default()
    }

    fn plugin_lines(&self, plugin: &str, after: u64) -> Vec<PluginLine> {
        self.manager().map(|manager| manager.plugin_lines(plugin, after)).unwrap_or_default()
    }

    fn put_blob(&self, bytes: Bytes) -> Answer<'_, Blob> {
        async move { self.manager()?.put_blob(bytes).await }.boxed()
    }

    fn node_volumes(&self) -> Answer<'_, Vec<NodeVolume>> {
        async move {
            Ok(match self.active.load_full() {
                Some(active) => active.agent().volumes().await,
                None => Vec::new(),
            })
        }
        .boxed()
    }

    fn node_volume_sizes(&self) -> Answer<'_, BTreeMap<String, u64>> {
        async move {
            Ok(match self.active.load_full() {
                Some(active) => active.agent().volume_sizes().await,
                None => BTreeMap::new(),
            })
        }
        .boxed()
    }

    fn expand_node_volume(&self, spec: VolumeSpec, size: u64) -> Answer<'_, ()> {
        async move {
            let active = self.active.load_full().ok_or_else(swarmw_api::not_in_swarm)?;
            active.agent().expand_volume(&spec, size).await
        }
        .boxed()
    }

    fn volume_scope<'a>(&'a self, spec: &'a VolumeSpec) -> Answer<'a, Option<VolumeScope>> {
        async move {
            match self.active.load_full() {
                Some(active) => active.agent().volume_scope(spec).await,
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn create_node_volume(&self, spec: VolumeSpec) -> Answer<'_, ()> {
        async move {
            let active = self.active.load_full().ok_or_else(swarmw_api::not_in_swarm)?;
            active.agent().create_volume(&spec).await
        }
        .boxed()
    }

    fn remove_node_volume(&self, spec: VolumeSpec, id: Option<VolumeId>) -> Answer<'_, bool> {
        async move {
            match self.active.load_full() {
                Some(active) => {
                    // Its driver may need them here, where no task does.
                    let state = self.state();
                    let secrets: Vec<_> = spec
                        .secrets
                        .iter()
                        .filter_map(|s| state.as_ref()?.secret(s.id).cloned())
                        .collect();
                    active.agent().remove_volume(&spec, id, &secrets).await
                }
                None => Ok(false),
            }
        }
        .boxed()
    }

    fn logs(
        &self,
        request: LogsRequest,
    ) -> Answer<'_, BoxStream<'static, Result<LogLine, Refusal>>> {
        async move { logs::read(self.manager()?, request) }.boxed()
    }

    fn open_container(&self, task: TaskId) -> Answer<'_, Box<dyn Connection>> {
        async move {
            let opened = self.manager()?.open_container(task).await?;
            let opened: Box<dyn Connection> = Box::new(opened);
            Ok(opened)
        }
        .boxed()
    }

    fn open_manager(&self) -> Answer<'_, Box<dyn Connection>> {
        async move {
            let active = self.active.load_full().ok_or_else(swarmw_api::not_in_swarm)?;
            let opened: Box<dyn Connection> = Box::new(active.agent().open_manager().await?);
            Ok(opened)
        }
        .boxed()
    }

    fn look_up_image(&self, image: String, auth: String) -> Answer<'_, serde_json::Value> {
        async move {
            let AgentConfig { registries, credential_helpers, .. } = &self.agent;
            registry::look_up(registries, credential_helpers, &image, &auth).await
        }
        .boxed()
    }

    fn forward(&self, request: Request<Bytes>) -> Answer<'_, Response<Body>> {
        async move {
            let manager = self.manager()?;
            match manager.forward(request).await {
                Ok(response) => Ok(response.map(Body::from_stream)),
                Err(error) => {
                    tracing::debug!(%error, "no leader took a request");
                    Err(swarmw_api::no_leader())
                }
            }
        }
        .boxed()
    }

    fn changes(&self) -> Option<BoxStream<'static, Event>> {
        let subscription = self.manager().ok()?.changes();
        let batches = stream::unfold(subscription, |mut subscription| async move {
            match subscription.next().await {
                Some(Received::Batch(batch)) => Some((batch.events.to_vec(), subscription)),
                Some(Received::Lagged) | None => None,
            }
        });
        Some(batches.flat_map(stream::iter).boxed())
    }

    fn past(&self) -> Option<Box<dyn Past>> {
        Some(Box::new(PastOfManager(self.manager().ok()?.past())))
    }
}

/// What changed in this manager's state.
struct PastOfManager(swarmw_raft::Past);

impl Past for PastOfManager {
    fn since(&self, revision: u64, most: usize) -> Missed {
        self.0.since(revision, most)
    }

    fn state(&self) -> Arc<State> {
        self.0.state()
    }

    fn reaches_more_than(&self, revision: u64) -> BoxFuture<'_, bool> {
        self.0.reaches_more_than(revision).boxed()
    }
}
