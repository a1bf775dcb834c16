//! What the API asks of the daemon that it stands in front of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use swarmw_model::{
    AddressPools, Availability, Blob, ClusterId, ClusterSpec, Consent, EngineSocket, Id,
    ManagerStatus, NetReport, NetworkId, NetworkNews, NetworkSpec, NodeDescription, NodeId,
    NodeVolume, Outlook, Plugin, PluginAct, PluginId, PluginLine, PluginOffer, PluginReport,
    PluginUse, Refusal, RequestId, ServiceId, ServiceSpec, ShadowReport, TaskId, Time, UnlockKey,
    VolumeId, VolumeScope, VolumeSpec, Wish,
};
use swarmw_state::{Change, Event, Missed, State};

/// What a question to the daemon comes back with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Refusal>>;

/// Bytes both ways.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// The daemon behind the API. Methods said to be the leader's are called only
/// where [`Node::standing`] has just said that this node leads. When that turned out
/// wrong meanwhile, or it cannot be known whether a write went through, they refuse
/// with [`crate::no_leader`], and the API tries again with the same request id.
pub trait Node: Send + Sync + 'static {
    /// Where this node stands in a cluster, now.
    fn standing(&self) -> Standing;

    /// What this node says of itself, in a cluster or not.
    fn description(&self) -> NodeDescription;

    /// The socket of the node's container engine, where there is one.
    fn engine(&self) -> Option<PathBuf>;

    /// What containers get that mount that socket.
    fn engine_socket(&self) -> EngineSocket;

    /// The present time.
    fn now(&self) -> Time;

    /// 128 random bits, for ids and names.
    fn random(&self) -> u128;

    /// The state as this manager last applied it, which may be old; `None` on
    /// other nodes.
    fn state(&self) -> Option<Arc<State>>;

    /// The leader's: a state that has in it every write acknowledged before.
    fn read(&self) -> Answer<'_, Arc<State>>;

    /// The leader's: makes one change. A second call with the same `request` changes
    /// nothing and is answered as the first one was.
    fn write(&self, request: Option<RequestId>, change: Change) -> Answer<'_, Option<Id>>;

    /// The leader's: asks the plugins whether they accept their parts of a spec, which
    /// follows another where the service is there already.
    fn check_service<'a>(
        &'a self,
        spec: &'a ServiceSpec,
        before: Option<&'a ServiceSpec>,
    ) -> Answer<'a, ()>;

    /// The leader's: what would come of writes. Changes nothing.
    fn plan(&self, wish: Wish) -> Answer<'_, Outlook>;

    /// The leader's: makes a network of the cluster, with subnets for those that the spec
    /// leaves open. A second call with the same `request` makes none and is answered as
    /// the first one was.
    fn create_network(
        &self,
        request: Option<RequestId>,
        spec: NetworkSpec,
    ) -> Answer<'_, NetworkId>;

    /// The engine's id of the network that stands for one of the cluster in this node's
    /// engine, made where it is not there yet: containers that no service made join by
    /// it. The network is named by its id; on a worker, by what the client typed where
    /// the engine has no shadow of this name. `None` where the cluster has no such
    /// network; refuses with [`swarmw_model::RefusalKind::PermissionDenied`] where it is
    /// not attachable.
    fn shadow_network(&self, network: String) -> Answer<'_, Option<String>>;

    /// What this node was last told of the cluster's networks: of those that somebody of it
    /// is on, and who else is. Nothing outside a cluster.
    fn networks_heard(&self) -> NetworkNews;

    /// The leader's: how each manager stands.
    fn manager_statuses(&self) -> BoxFuture<'_, BTreeMap<NodeId, ManagerStatus>>;

    /// A new join token for the cluster of this root certificate, in PEM.
    fn join_token(&self, root_certificate: &str) -> String;

    /// Founds a cluster with this node as its first manager.
    fn init(&self, request: InitRequest) -> Answer<'_, NodeId>;

    /// Joins a cluster. Refuses with [`crate::join_timed_out`] when it takes long,
    /// and goes on trying.
    fn join(&self, request: JoinRequest) -> Answer<'_, ()>;

    /// Leaves the cluster. The guards on managers have been passed, or `force`d.
    fn leave(&self, force: bool) -> Answer<'_, ()>;

    /// Unlocks this node, which is locked. Refuses with [`crate::not_locked`] or
    /// [`crate::invalid_unlock_key`].
    fn unlock(&self, key: UnlockKey) -> Answer<'_, ()>;

    /// The leader's: a new key that unlocks managers.
    fn new_unlock_key(&self) -> UnlockKey;

    /// The leader's: inspects a component, stores it, and names it in the state.
    fn add_plugin(
        &self,
        request: Option<RequestId>,
        component: Bytes,
        offer: PluginOffer,
    ) -> Answer<'_, Plugin>;

    /// The leader's: what would become of a component, and what that would mean for
    /// tasks. Changes nothing.
    fn report_plugin(
        &self,
        component: Bytes,
        offer: PluginOffer,
        plan: bool,
    ) -> Answer<'_, PluginReport>;

    /// The leader's: puts the version of a plugin that waits, or runs in shadow, in its
    /// place; enables a plugin; or gives it other powers.
    fn act_on_plugin(
        &self,
        request: Option<RequestId>,
        id: PluginId,
        act: PluginAct,
        consent: Consent,
    ) -> Answer<'_, Plugin>;

    /// Fetches a component from its registry, with the client's credentials as encoded
    /// in their header, and checks who signed it, where that is asked for.
    fn fetch_component(&self, reference: String, auth: String) -> Answer<'_, Fetched>;

    /// The leader's: what a plugin did on this manager, and what its version in shadow
    /// said otherwise.
    fn plugin_use(&self, plugin: &Plugin) -> (Option<PluginUse>, Option<ShadowReport>);

    /// What became of containers' questions for names on this node, and how often, since its
    /// daemon started: `answered`, for example. Nothing where it joins no networks.
    fn name_queries(&self) -> Vec<(&'static str, u64)>;

    /// What somebody took from networks in this node's kernel, and was put back: a sentence
    /// for each thing, from now on.
    fn repairs(&self) -> BoxStream<'static, String>;

    /// The leader's: has nodes look at their own networks and says of each how it stands, in
    /// this order. One that does not answer is told so, after 5 s.
    fn examine_networks(&self, nodes: Vec<NodeId>) -> Answer<'_, Vec<NetReport>>;

    /// What became of connections that this node's daemon made over networks, for components
    /// and to them, and how often, since it started: `reached`, `failed`.
    fn forwarded(&self) -> Vec<(&'static str, u64)>;

    /// The leader's: the last lines of a plugin's log on this manager, after the one of
    /// this number.
    fn plugin_lines(&self, plugin: &str, after: u64) -> Vec<PluginLine>;

    /// The leader's: stores bytes with a majority of managers.
    fn put_blob(&self, bytes: Bytes) -> Answer<'_, Blob>;

    /// The volumes that plugins keep on this node.
    fn node_volumes(&self) -> Answer<'_, Vec<NodeVolume>>;

    /// The bytes that the data of each of them take, by name, where that is known.
    fn node_volume_sizes(&self) -> Answer<'_, BTreeMap<String, u64>>;

    /// Grows a volume of this node to so many bytes.
    fn expand_node_volume(&self, spec: VolumeSpec, size: u64) -> Answer<'_, ()>;

    /// Where a volume's data would be; `None` where no plugin has the driver.
    fn volume_scope<'a>(&'a self, spec: &'a VolumeSpec) -> Answer<'a, Option<VolumeScope>>;

    /// Makes a volume on this node.
    fn create_node_volume(&self, spec: VolumeSpec) -> Answer<'_, ()>;

    /// Deletes a volume and its data; whether there was one on this node. One of the
    /// cluster, by its id, is deleted from here wherever its data are.
    fn remove_node_volume(&self, spec: VolumeSpec, id: Option<VolumeId>) -> Answer<'_, bool>;

    /// The leader's: log lines of tasks, as they come from their nodes. What is refused at
    /// the end is what could not be got.
    fn logs(
        &self,
        request: LogsRequest,
    ) -> Answer<'_, BoxStream<'static, Result<LogLine, Refusal>>>;

    /// A connection that speaks HTTP, as to an engine, to the container of a task on another
    /// node: its requests are about that container, or a command in it, whatever they name.
    /// Refuses within seconds, with the node's name, where the node is not reached.
    fn open_container(&self, task: TaskId) -> Answer<'_, Box<dyn Connection>>;

    /// On a worker: a connection that speaks HTTP, as to an engine, to a manager's
    /// [`crate::Api::reached`]. Refuses with [`swarmw_model::RefusalKind::PermissionDenied`]
    /// where the cluster lets only managers reach all tasks, and, naming those that were asked,
    /// where no manager answers within seconds.
    fn open_manager(&self) -> Answer<'_, Box<dyn Connection>>;

    /// Asks an image's registry what the image is, with the client's credentials as
    /// encoded in their header; the answer has the shape of the engine API's
    /// `/distribution/NAME/json`.
    fn look_up_image(&self, image: String, auth: String) -> Answer<'_, serde_json::Value>;

    /// Passes a whole request on to the leader, once; the leader hands it to
    /// [`crate::Api::forwarded`]. Refuses with [`crate::no_leader`] where none is
    /// known or the answer got lost: the API tries again, and the header
    /// [`crate::REQUEST_ID`] makes that safe.
    fn forward(&self, request: Request<Bytes>) -> Answer<'_, Response<Body>>;

    /// What changes in this manager's state from now on; `None` on other nodes. The
    /// stream ends when its reader falls too far behind.
    fn changes(&self) -> Option<BoxStream<'static, Event>>;

    /// What changed in this manager's state lately, and from then on; `None` on other nodes.
    fn past(&self) -> Option<Box<dyn Past>>;
}

/// What changed in the state of a manager, as far back as that is kept. Revisions are the
/// indexes of the cluster's log, the same on all managers.
pub trait Past: Send + Sync + 'static {
    /// What came after a revision, at most about so many changes at once.
    fn since(&self, revision: u64, most: usize) -> Missed;

    /// A state that holds at least what was told.
    fn state(&self) -> Arc<State>;

    /// Returns once this manager has applied more than up to `revision`; `false` when it is
    /// a manager no more.
    fn reaches_more_than(&self, revision: u64) -> BoxFuture<'_, bool>;
}

/// A component from a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub component: Bytes,
    /// The reference, with the digest of the manifest that it named.
    pub reference: String,
    /// Whose signature on it was checked.
    pub signer: Option<String>,
}

/// Where a node stands in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In none.
    Inactive,
    /// Joining, or starting again: not yet heard from the cluster.
    Pending(Membership),
    /// A manager whose files are locked: it takes no part before it is unlocked.
    Locked,
    /// In one, and something is wrong that keeps it from taking part.
    Error(String),
    /// Runs tasks.
    Worker(Membership),
    /// Holds the state.
    Manager {
        /// In which cluster, as whom.
        membership: Membership,
        /// Whether it leads.
        leading: bool,
        /// Whether it has caught up with the cluster; one that has not answers no
        /// Swarm request.
        ready: bool,
    },
}

/// A node's place in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The node's id; `None` before the cluster gave it one.
    pub node: Option<NodeId>,
    /// The cluster's id; `None` before it is known.
    pub cluster: Option<ClusterId>,
    /// The node's own address, an IP.
    pub address: String,
    /// The managers that the node knows.
    pub managers: Vec<RemoteManager>,
}

/// A manager that a node knows, as `/info` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemoteManager {
    /// Its id.
    #[serde(rename = "NodeID")]
    pub node_id: NodeId,
    /// `host:port`.
    pub addr: String,
}

/// Founding a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InitRequest {
    /// `ip:port`, or an interface; empty for the daemon's own choice.
    pub listen_addr: String,
    /// `ip[:port]`, or an interface; empty where the daemon shall find it.
    pub advertise_addr: String,
    /// An ip or an interface for the traffic of networks; empty for the advertised one.
    pub data_path_addr: String,
    /// The UDP port of that traffic, on every node.
    pub data_path_port: u16,
    /// Where networks that name no subnet get one.
    pub address_pools: AddressPools,
    /// Starts again from this manager's state alone.
    pub force_new_cluster: bool,
    /// Of the first node.
    pub availability: Availability,
    /// Settings of the cluster.
    pub spec: ClusterSpec,
}

/// Joining a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinRequest {
    /// `ip:port`, or an interface; empty for the daemon's own choice.
    pub listen_addr: String,
    /// `ip[:port]`, or an interface; empty where the daemon shall find it.
    pub advertise_addr: String,
    /// An ip or an interface for the traffic of networks; empty for the advertised one.
    pub data_path_addr: String,
    /// Managers to ask; at least one.
    pub remote_addrs: Vec<String>,
    /// `SWMTKN-1-…`.
    pub join_token: String,
    /// Of this node.
    pub availability: Availability,
}

/// Which log lines are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsRequest {
    /// Whose.
    pub source: LogSource,
    /// Lines to come too, also of tasks that the service gets later.
    pub follow: bool,
    /// Lines per task from the end; `None` for all.
    pub tail: Option<u64>,
    /// Only lines from then on.
    pub since: Time,
    /// Lines of the standard output.
    pub stdout: bool,
    /// Lines of the standard error.
    pub stderr: bool,
    /// With the attributes of the log driver.
    pub details: bool,
}

/// Whose log lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// Of all tasks of a service.
    Service(ServiceId),
    /// Of one task.
    Task(TaskId),
}

/// One line of a task's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The task.
    pub task: TaskId,
    /// Its service.
    pub service: ServiceId,
    /// Its node.
    pub node: NodeId,
    /// Which output it was written to.
    pub output: LogOutput,
    /// When it was written.
    pub at: Time,
    /// With its line end, if it had one.
    pub text: Bytes,
    /// What the log driver was told to add (`labels`, `env`, `tag`), where it was asked for.
    pub attributes: BTreeMap<String, String>,
}

/// Which output a line was written to; the number is Docker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogOutput {
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

// === impl Standing ===

impl Standing {
    /// The node's place in its cluster, where it has one.
    pub fn membership(&self) -> Option<&Membership> {
        match self {
            Self::Inactive | Self::Locked | Self::Error(_) => None,
            Self::Pending(membership)
            | Self::Worker(membership)
            | Self::Manager { membership, .. } => Some(membership),
        }
    }

    /// Docker's word for it.
    pub fn local_node_state(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending(_) => "pending",
            Self::Locked => "locked",
            Self::Error(_) => "error",
            Self::Worker(_) | Self::Manager { .. } => "active",
        }
    }

    /// Whether Swarm's requests are answered here.
    pub fn controls(&self) -> bool {
        matches!(self, Self::Manager { ready: true, .. })
    }
}
