//! The front door of a manager.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use swarmw_ca::Tls;
use swarmw_model::{
    Blob, Id, ManagerStatus, NetReport, NetworkId, NetworkSpec, Node, NodeId, Outlook, RaftMember,
    Reachability, Refusal, RefusalKind, RequestId, ServiceSpec, TaskId, Wish,
};
use swarmw_plugin_host::{Compiler, PluginHost};
use swarmw_proto::{Channels, Wire};
use swarmw_raft::{Past, Raft, RaftConfig, Role, Subscription};
use swarmw_state::{Change, State, Transaction};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::blobs::BlobStore;
use crate::config::{Lock, ManagerConfig, ManagerError};
use crate::dispatcher::Dispatcher;
use crate::forward::{ForwardError, Handler, StreamedResponse, WholeRequest, forward};
use crate::found::Founded;
use crate::logs::{Lines, LogBroker, LogsRequest};
use crate::observe::Observer;
use crate::propose::Proposer;
use crate::reach::Reach;
use crate::{
    authority, collect, containers, doctor, lead, level, membership, networks, plan, plugins,
    replicate,
};

/// A manager node, running. Cheap to clone.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) node: NodeId,
    pub(crate) log: Proposer,
    pub(crate) blobs: BlobStore,
    pub(crate) channels: Channels,
    pub(crate) policies: PluginHost,
    pub(crate) given: tokio::sync::Mutex<plugins::Given>,
    /// Told whenever other plugins serve than before, or more can be called.
    pub(crate) loaded: watch::Sender<()>,
    pub(crate) compiling: plugins::Compiling,
    pub(crate) shadows: plugins::Shadows,
    pub(crate) troubles: plugins::Troubles,
    pub(crate) rehearsals: plugins::Rehearsals,
    pub(crate) compiler: Compiler,
    pub(crate) handler: Handler,
    pub(crate) reach: Reach,
    pub(crate) observer: Observer,
    pub(crate) logs: LogBroker,
    tls: Tls,
    lock: watch::Sender<Lock>,
    leading: Mutex<Option<Leading>>,
    pub(crate) cancel: CancellationToken,
}

/// What exists while this manager leads.
#[derive(Clone)]
struct Leading {
    dispatcher: Dispatcher,
}

// === impl Manager ===

impl Manager {
    /// Founds a cluster with this node as its first manager.
    ///
    /// # Errors
    /// The disk, or a log that is there already.
    pub async fn found(config: ManagerConfig, founded: &Founded) -> Result<Self, ManagerError> {
        const FIRST: u64 = 1;
        let manager = Self::open(config, FIRST).await?;
        let inner = &manager.0;
        let plugins = plugins::built_in(&inner.blobs, &inner.compiler, &inner.log.ambient)
            .await
            .map_err(ManagerError::Refused)?;
        let identity = &founded.credentials.identity;
        let mut node = authority::new_node(identity.node, identity.role, Default::default());
        node.spec.availability = founded.availability;
        node.member =
            Some(RaftMember { raft_id: FIRST, addr: inner.log.raft.address().to_owned() });
        let change = Change::InitCluster {
            cluster: Box::new(founded.cluster.clone()),
            node: Box::new(node),
            plugins,
        };
        let first = Transaction { at: inner.log.now(), request: None, changes: vec![change] };
        inner.log.raft.found(first).await?;
        manager.run();
        Ok(manager)
    }

    /// Goes on as a manager: after a restart, or with the seat that the leader has
    /// given this node.
    ///
    /// # Errors
    /// The disk, or a log that another seat has written.
    pub async fn resume(config: ManagerConfig, raft_id: u64) -> Result<Self, ManagerError> {
        let manager = Self::open(config, raft_id).await?;
        manager.run();
        Ok(manager)
    }

    /// Goes on without the other managers, which are gone for good: they become
    /// workers without a seat.
    ///
    /// # Errors
    /// The disk.
    pub async fn resume_alone(config: ManagerConfig, raft_id: u64) -> Result<Self, ManagerError> {
        let member = RaftMember { raft_id, addr: config.address.clone() };
        let first = Transaction::alone(config.ambient.now(), config.node, member);
        let manager = Self::begin(config, raft_id, Some(first)).await?;
        manager.run();
        Ok(manager)
    }

    async fn open(config: ManagerConfig, raft_id: u64) -> Result<Self, ManagerError> {
        Self::begin(config, raft_id, None).await
    }

    async fn begin(
        config: ManagerConfig,
        raft_id: u64,
        alone: Option<Transaction>,
    ) -> Result<Self, ManagerError> {
        let blobs = BlobStore::open(config.blobs)?;
        let seat = RaftConfig {
            storage: config.storage,
            raft_id,
            address: config.address,
            timing: config.timing,
        };
        let raft = match alone {
            Some(first) => Raft::open_alone(seat, config.peers, first).await?,
            None => Raft::open(seat, config.peers).await?,
        };
        let policies = PluginHost::new(config.compiler.clone());
        Ok(Self(Arc::new(Inner {
            node: config.node,
            log: Proposer { raft, ambient: config.ambient },
            blobs,
            channels: config.channels,
            troubles: plugins::Troubles::of(&policies),
            rehearsals: plugins::Rehearsals::of(&policies),
            policies,
            given: tokio::sync::Mutex::default(),
            loaded: watch::Sender::new(()),
            compiling: plugins::Compiling::default(),
            shadows: plugins::Shadows::default(),
            compiler: config.compiler,
            handler: config.handler,
            reach: Reach::new(config.reach),
            observer: config.observer,
            logs: LogBroker::default(),
            tls: config.tls,
            lock: config.lock,
            leading: Mutex::default(),
            cancel: CancellationToken::new(),
        })))
    }

    fn run(&self) {
        tokio::spawn(self.clone().follow_role());
        tokio::spawn(self.clone().follow_state());
        let this = self.clone();
        tokio::spawn(async move { plugins::follow(&this.0, this.0.cancel.clone()).await });
        tokio::spawn(collect::sweep(self.0.clone(), self.0.cancel.clone()));
    }

    /// Begins and ends the leader's work with the leadership.
    async fn follow_role(self) {
        let mut role = self.0.log.raft.watch_role();
        loop {
            if role.borrow_and_update().leading {
                let end = self.0.cancel.child_token();
                let work = tokio::spawn(self.clone().lead(end.clone()));
                while role.borrow_and_update().leading {
                    let changed = tokio::select! {
                        changed = role.changed() => changed.is_ok(),
                        () = self.0.cancel.cancelled() => false,
                    };
                    if !changed {
                        break;
                    }
                }
                end.cancel();
                *self.leading() = None;
                if let Err(panic) = work.await {
                    error!(%panic, "the leader's work ended badly");
                }
            }
            tokio::select! {
                changed = role.changed() => if changed.is_err() { return },
                () = self.0.cancel.cancelled() => return,
            }
        }
    }

    async fn lead(self, end: CancellationToken) {
        let inner = &self.0;
        info!("this manager leads");
        plugins::sync(inner).await;
        let dispatcher = Dispatcher::new(inner.log.clone(), inner.logs.clone(), end.clone());
        *self.leading() = Some(Leading { dispatcher: dispatcher.clone() });
        tokio::join!(
            lead::lead(
                inner.log.clone(),
                inner.policies.clone(),
                inner.loaded.subscribe(),
                Arc::clone(&inner.observer),
                end.clone()
            ),
            dispatcher.run(),
            membership::keep_roles(inner.log.clone(), inner.node, end.clone()),
            plugins::keep_shadows(inner, end.clone()),
            plugins::keep_troubles(inner, end.clone()),
        );
        info!("this manager leads no more");
    }

    /// Keeps the list of removed nodes that connections are checked against, and tells
    /// this node how it is to lock its files.
    async fn follow_state(self) {
        let mut events = self.0.log.raft.subscribe();
        loop {
            let state = self.0.log.raft.state();
            if let Some(cluster) = state.cluster() {
                let removed = cluster.removed_nodes.keys().filter_map(|id| id.parse().ok());
                self.0.tls.deny(removed.collect());
                let lock = Lock { version: cluster.version, key: cluster.unlock_key.clone() };
                self.0.lock.send_if_modified(|told| {
                    let is_news = *told != lock;
                    *told = lock;
                    is_news
                });
            }
            tokio::select! {
                () = self.0.cancel.cancelled() => return,
                received = events.next() => if received.is_none() { return },
            }
            while events.try_next().is_some() {}
        }
    }

    /// The state as this manager has it: for what need not be fresh.
    pub fn state(&self) -> Arc<State> {
        self.0.log.raft.state()
    }

    /// What changes from now on.
    pub fn changes(&self) -> Subscription {
        self.0.log.raft.subscribe()
    }

    /// What changed after an entry of the log that somebody has seen, and from then on.
    pub fn past(&self) -> Past {
        self.0.log.raft.past()
    }

    /// Whether this manager leads and is ready to.
    pub fn leads(&self) -> bool {
        self.0.log.raft.role().leading
    }

    /// Who leads, from now on, as this manager knows it.
    pub fn watch_role(&self) -> watch::Receiver<Role> {
        self.0.log.raft.watch_role()
    }

    /// The leader's address, while there is one.
    pub fn leader_address(&self) -> Option<String> {
        self.0.log.raft.role().leader.map(|(_, address)| address)
    }

    /// A state that holds every write acknowledged before the call.
    ///
    /// # Errors
    /// This manager does not lead, or cannot prove it to itself.
    pub async fn read(&self) -> Result<Arc<State>, Refusal> {
        match self.0.log.raft.read_index().await {
            Ok(()) => Ok(self.0.log.raft.state()),
            Err(_) => Err(Refusal::rpc(RefusalKind::Unknown, crate::propose::NO_LEADER)),
        }
    }

    /// One write. With a request id a retry has the first try's answer.
    ///
    /// # Errors
    /// What `apply` refused, or what a manager is too old for; or that the leader was lost,
    /// see [`crate::is_leader_lost`].
    pub async fn write(
        &self,
        request: Option<RequestId>,
        change: Change,
    ) -> Result<Option<Id>, Refusal> {
        level::check(&self.0.log.raft.state(), &change)?;
        self.0.log.write(request, change).await
    }

    /// Makes a network, with the subnets that its spec names or the next free ones of the
    /// default pools. With a request id a retry has the first try's answer.
    ///
    /// # Errors
    /// What is wrong with the spec, what is taken or exhausted; or that the leader was
    /// lost, see [`crate::is_leader_lost`].
    pub async fn create_network(
        &self,
        request: Option<RequestId>,
        spec: &NetworkSpec,
    ) -> Result<NetworkId, Refusal> {
        networks::create(&self.0.log, request, spec).await
    }

    /// Removes a network that nobody uses.
    ///
    /// # Errors
    /// Who uses it; or that the leader was lost, see [`crate::is_leader_lost`].
    pub async fn remove_network(
        &self,
        request: Option<RequestId>,
        id: NetworkId,
    ) -> Result<(), Refusal> {
        self.0.log.write(request, Change::RemoveNetwork(id)).await.map(drop)
    }

    /// Asks the plugins whether they can work with a spec, which follows another where
    /// the service is there already.
    ///
    /// # Errors
    /// The plugin's words, for the operator.
    pub async fn check_service(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        plugins::check(&self.0, spec, before).await
    }

    /// What would come of writes: the leader's loops are played on a copy of the state, with
    /// the cluster's plugins. Changes nothing.
    ///
    /// # Errors
    /// What one of the writes would be refused with.
    pub async fn plan(&self, wish: Wish) -> Result<Outlook, Refusal> {
        plan::plan(&self.0, wish).await
    }

    /// Stores bytes on a majority of managers.
    ///
    /// # Errors
    /// Too few managers answer, or disks are full.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Blob, Refusal> {
        let inner = &self.0;
        let state = inner.log.raft.state();
        replicate::store(&inner.blobs, &inner.channels, &state, inner.node, bytes).await
    }

    /// Calls into plugins on this manager so far; at rest they stay the same.
    pub fn wasm_calls(&self) -> u64 {
        self.0.policies.calls()
    }

    /// How each manager stands, as this one sees it.
    pub fn manager_statuses(&self) -> BTreeMap<NodeId, ManagerStatus> {
        let role = self.0.log.raft.role();
        let leader = role.leader.map(|(id, _)| id);
        let members = self.0.log.raft.members();
        let state = self.0.log.raft.state();
        let status = |node: &Arc<Node>| {
            let seat = node.member.as_ref()?;
            let reachable = members.iter().find(|m| m.raft_id == seat.raft_id)?.reachable;
            let status = ManagerStatus {
                leader: leader == Some(seat.raft_id),
                reachability: match reachable {
                    true => Reachability::Reachable,
                    false => Reachability::Unreachable,
                },
                addr: seat.addr.clone(),
            };
            Some((node.id, status))
        };
        state.nodes().filter_map(status).collect()
    }

    /// Log lines of tasks, from the nodes that have them.
    ///
    /// # Errors
    /// This manager does not lead.
    pub fn logs(&self, request: &LogsRequest) -> Result<Lines, Refusal> {
        let Some(Leading { dispatcher }) = self.leading().clone() else {
            return Err(Refusal::rpc(RefusalKind::Unknown, crate::propose::NO_LEADER));
        };
        let (wanted, lines) = self.0.logs.open(request);
        for (node, wanted) in wanted {
            let subscription = wanted.subscription;
            if !dispatcher.ask_logs(node, wanted) {
                self.0.logs.unavailable(subscription, node);
            }
        }
        Ok(lines)
    }

    /// Has nodes look at their own networks, all at a time, and says of each how it stands;
    /// in the order of the question, without those that are gone.
    ///
    /// # Errors
    /// This manager does not lead.
    pub async fn examine_networks(&self, nodes: &[NodeId]) -> Result<Vec<NetReport>, Refusal> {
        if !self.leads() {
            return Err(Refusal::rpc(RefusalKind::Unknown, crate::propose::NO_LEADER));
        }
        Ok(doctor::examine(&self.0, nodes).await)
    }

    /// A connection that speaks HTTP, as to an engine, to the container of a task on its node.
    /// Any manager opens one, by what it last knew of the cluster.
    ///
    /// # Errors
    /// The task's node is down, is not reached within seconds, or has no such task.
    pub async fn open_container(&self, task: TaskId) -> Result<Box<dyn Wire>, Refusal> {
        containers::open(&self.0, task).await
    }

    /// Passes a request of the API on to the leader.
    ///
    /// # Errors
    /// No leader took it in time.
    pub async fn forward(&self, request: WholeRequest) -> Result<StreamedResponse, ForwardError> {
        forward(&self.0.log.raft, &self.0.channels, request).await
    }

    /// Hands the leadership on, if this manager has it and there is another.
    pub async fn step_down(&self) {
        if self.leads()
            && self.0.log.raft.member_ids().len() > 1
            && let Err(why) = self.0.log.raft.transfer_leadership().await
        {
            info!(%why, "the leadership could not be handed on");
        }
    }

    /// Seals what this manager keeps on disk by the key that its storage's seal has now.
    ///
    /// # Errors
    /// The disk, or this manager stops.
    pub async fn reseal(&self) -> Result<(), ManagerError> {
        Ok(self.0.log.raft.reseal().await?)
    }

    /// Waits until this manager has failed, and says why; see [`Raft::failed`]. It is
    /// to be stopped then, and may be resumed.
    pub async fn failed(&self) -> String {
        self.0.log.raft.failed().await
    }

    /// Ends this manager. Its files stay.
    pub async fn stop(&self) {
        self.0.cancel.cancel();
        self.0.log.raft.shutdown().await;
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn dispatcher(&self) -> Option<Dispatcher> {
        self.leading().as_ref().map(|l| l.dispatcher.clone())
    }

    fn leading(&self) -> std::sync::MutexGuard<'_, Option<Leading>> {
        self.0.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
