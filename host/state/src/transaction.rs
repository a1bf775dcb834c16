//! The one way to change the state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swarmw_model::{
    Attachment, AttachmentId, CandidateState, Cluster, ClusterSpec, ClusterVolume, Config,
    ConfigId, DataId, DataSpec, GenericResource, GrantRequest, Id, JoinTokens, Network,
    NetworkAttachment, NetworkId, Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState,
    Payload, Plugin, PluginId, PluginRelease, PluginState, Pool, PortConfig, RaftMember, Refusal,
    RequestId, Secret, SecretId, ServiceId, ServiceSpec, Slot, TaskId, TaskState, TaskStatus, Time,
    UnlockKey, UpdateStatus, Version, VirtualIp, VolumeId,
};

use crate::RolloutStep;

/// A tick's decisions are cut into transactions of at most this many changes…
pub const TRANSACTION_CHANGES: usize = 2_000;
/// …and at most about this many bytes.
pub const TRANSACTION_BYTES: usize = 1 << 20;
/// About what a task's addresses on one network take.
const ATTACHMENT_BYTES: usize = 128;
/// About what a generic resource takes beside its words.
const GENERIC_BYTES: usize = 64;

/// Changes that enter the log as one entry. Each stands for itself: one that is
/// refused or whose premise is gone does not keep the others out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// The leader's clock when it proposed: the only clock the state knows.
    pub at: Time,
    /// Names a client's write; a second transaction of the same name changes
    /// nothing and has the first one's outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// In order.
    pub changes: Vec<Change>,
}

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Founds the cluster; refused where there is one.
    InitCluster {
        /// The cluster; `version` and times are set by apply.
        cluster: Box<Cluster>,
        /// The first manager.
        node: Box<Node>,
        /// The built-in plugins.
        plugins: Vec<Plugin>,
    },
    /// Replaces the cluster's settings.
    UpdateCluster {
        /// The version the writer read.
        version: Version,
        /// All settings.
        spec: Box<ClusterSpec>,
        /// New join tokens; an empty one keeps the present token.
        rotate: JoinTokens,
        /// What unlocks managers from then on; `None` keeps the present key. Without effect
        /// where the settings say that managers do not lock themselves: there is no key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unlock_key: Option<UnlockKey>,
    },
    /// Raises the feature level, never lowers it.
    RaiseFeatureLevel(u32),

    /// A node joins. One that is there already keeps its spec and gets the new
    /// seat and address.
    AddNode(Box<Node>),
    /// Replaces what the operator says of a node.
    UpdateNode {
        /// The node.
        id: NodeId,
        /// The version the writer read.
        version: Version,
        /// All of it.
        spec: NodeSpec,
    },
    /// A node's agent has (again) a session with the leader.
    RegisterNode {
        /// The node.
        id: NodeId,
        /// What it says of itself.
        description: Box<NodeDescription>,
        /// The address the leader sees.
        addr: String,
    },
    /// The leader's verdict on a node.
    SetNodeState {
        /// The node.
        id: NodeId,
        /// The verdict.
        state: NodeState,
        /// Why.
        message: String,
    },
    /// The observed role and the seat in Raft, written by the role manager.
    SetNodeRole {
        /// The node.
        id: NodeId,
        /// The role its next certificate will prove.
        role: NodeRole,
        /// Its seat, or none. With id 0 it keeps the seat it has or gets one that
        /// nobody ever had: two that join at once must not get the same.
        member: Option<RaftMember>,
    },
    /// This manager goes on alone: every other one becomes a worker without a seat.
    KeepManager {
        /// The manager that stays.
        id: NodeId,
        /// Its seat, at the address that it has now.
        member: RaftMember,
    },
    /// Forgets a node; its tasks become orphans, its certificate is denied.
    RemoveNode {
        /// The node.
        id: NodeId,
        /// Even if it is not down.
        force: bool,
        /// Until when its certificate must be denied.
        deny_until: Time,
    },

    /// A new service.
    CreateService {
        /// Its id.
        id: ServiceId,
        /// What is wanted.
        spec: Box<ServiceSpec>,
    },
    /// Replaces a service's spec.
    UpdateService {
        /// The service.
        id: ServiceId,
        /// The version the writer read.
        version: Version,
        /// All of it.
        spec: Box<ServiceSpec>,
    },
    /// Returns to the previous spec: by the operator, who names the version he
    /// read, or by an update policy, which gives the status message.
    RollbackService {
        /// The service.
        id: ServiceId,
        /// The version the operator read; `None` for a policy.
        version: Option<Version>,
        /// Becomes the update status' message.
        message: String,
    },
    /// Forgets a service; its tasks are stopped and go later.
    RemoveService {
        /// The service.
        id: ServiceId,
    },
    /// Published ports and virtual addresses as the allocator chose them.
    SetEndpoint {
        /// The service.
        service: ServiceId,
        /// The service's version when the allocator chose.
        version: Version,
        /// Every port, with its published number.
        ports: Vec<PortConfig>,
        /// Every virtual address; `None` leaves them as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        virtual_ips: Option<Vec<VirtualIp>>,
    },
    /// How far an update has come.
    SetUpdateStatus {
        /// The service.
        service: ServiceId,
        /// The spec version it is about.
        spec_version: Version,
        /// The status.
        status: Option<UpdateStatus>,
    },
    /// One accepted outcome of an update policy.
    StepRollout(Box<RolloutStep>),

    /// A new task.
    CreateTask(NewTask),
    /// A change of a task.
    Task(TaskChange),
    /// Forgets a task.
    RemoveTask(TaskId),

    /// A new plugin, whose blob a majority of managers holds.
    AddPlugin(Box<Plugin>),
    /// Another release of a plugin.
    UpgradePlugin {
        /// The plugin.
        id: PluginId,
        /// Digest of the release that the writer saw serving.
        serving: String,
        /// The new release.
        release: Box<PluginRelease>,
        /// What it waits for, beside the one that serves; `None`: it serves.
        hold: Option<CandidateState>,
        /// The plugin's version that the writer saw; absent in logs of earlier releases.
        #[serde(default)]
        version: Option<Version>,
    },
    /// A plugin's candidate serves from now on.
    PromotePlugin {
        /// The plugin.
        id: PluginId,
        /// Digest of the candidate that the writer saw.
        candidate: String,
        /// The powers it gets.
        granted: Vec<GrantRequest>,
        /// The plugin's version that the writer saw; absent in logs of earlier releases.
        #[serde(default)]
        version: Option<Version>,
    },
    /// Forgets a plugin's candidate.
    DropCandidate(PluginId),
    /// Lets a plugin be called, or not.
    SetPluginState {
        /// The plugin.
        id: PluginId,
        /// Whether it is called.
        state: PluginState,
        /// Why not.
        message: String,
        /// Even if services need it.
        force: bool,
    },
    /// A plugin's breaker has opened on the leader.
    PluginTrouble {
        /// The plugin.
        id: PluginId,
        /// Digest of the release that failed.
        digest: String,
        /// The last fault.
        message: String,
    },
    /// Forgets a plugin; refused while a service needs it.
    RemovePlugin(PluginId),

    /// A new volume of the cluster; one that is there with the same settings is
    /// that one.
    CreateVolume(Box<ClusterVolume>),
    /// No task takes the volume any more; refused while somebody uses it.
    GiveUpVolume(VolumeId),
    /// Forgets a volume that was given up.
    RemoveVolume(VolumeId),
    /// A task alone may write to a volume; dropped while another may.
    ClaimVolume {
        /// The volume.
        volume: VolumeId,
        /// The task.
        task: TaskId,
        /// The volume's claims when it was decided.
        claims: u64,
    },
    /// A claim has ended.
    ReleaseVolume {
        /// The volume.
        volume: VolumeId,
        /// The claim's epoch.
        epoch: u64,
    },

    /// A new secret; `version` and times are set by apply.
    CreateSecret(Box<Secret>),
    /// Replaces a secret's labels.
    UpdateSecret {
        /// The secret.
        id: SecretId,
        /// The version the writer read.
        version: Version,
        /// As it was but for the labels.
        spec: Box<DataSpec>,
    },
    /// Forgets a secret; refused while a service or a volume names it.
    RemoveSecret(SecretId),
    /// Puts another version of a secret in the place of the present one, and has the services
    /// that have that take the other. From [`crate::VERSIONS_LEVEL`] on.
    RotateSecret(Box<Rotation<SecretId>>),
    /// A new config; `version` and times are set by apply.
    CreateConfig(Box<Config>),
    /// Replaces a config's labels.
    UpdateConfig {
        /// The config.
        id: ConfigId,
        /// The version the writer read.
        version: Version,
        /// As it was but for the labels.
        spec: Box<DataSpec>,
    },
    /// Forgets a config; refused while a service names it.
    RemoveConfig(ConfigId),
    /// The same of a config.
    RotateConfig(Box<Rotation<ConfigId>>),

    /// A new network with its subnets; `version` and times are set by apply. One whose
    /// subnet or identifier was chosen for it, and is taken meanwhile, is dropped.
    CreateNetwork(Box<Network>),
    /// Forgets a network; refused while a service, a task or a container is on it.
    RemoveNetwork(NetworkId),
    /// Gives a network further subnets.
    GrowNetwork {
        /// The network.
        id: NetworkId,
        /// Its version when it was decided.
        version: Version,
        /// What it gets.
        pools: Vec<Pool>,
    },
    /// A container that no service made joins a network; `version` and times are set by
    /// apply. Dropped where its address is taken meanwhile.
    AddAttachment(Box<Attachment>),
    /// What a container that joined is found by.
    NameAttachment {
        /// The attachment.
        id: AttachmentId,
        /// The engine's id of the container.
        container: String,
        /// All names.
        names: Vec<String>,
    },
    /// A container that joined has left.
    RemoveAttachment(AttachmentId),
}

/// A task to be made from its service's present spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Its service.
    pub service: ServiceId,
    /// The spec version it was decided for: another one drops it.
    pub spec_version: Version,
    /// Replica number, or the node of a global service; of a job's tasks as well.
    pub slot: Slot,
    /// Its node, where the same tick found one. For [`Slot::Node`] the slot's
    /// node is meant even before the scheduler has agreed to it.
    pub node: Option<NodeId>,
    /// Where to bring it first.
    pub desired: TaskState,
    /// Why it waits, where no node was found.
    pub error: Arc<str>,
    /// Its addresses; it has them with its node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<NetworkAttachment>,
    /// What it is given of its node's generic resources, with its node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// A change of a task. What is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChange {
    /// The task.
    pub id: TaskId,
    /// A later desired state; one that is not later is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<TaskState>,
    /// Its node, by the scheduler; dropped where it has been assigned before, has
    /// ended, or where the node no longer takes tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<NodeId>,
    /// Its addresses, which it has with its node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<NetworkAttachment>,
    /// What it is given of its node's generic resources, with its node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
    /// A new status; one of an earlier state than the stored one is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Moves it to its service's present spec of this version without replacing
    /// it: only its placement differs, and its node still fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Version>,
}

/// Another version of a secret or a config under its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "I: DataId")]
pub struct Rotation<I> {
    /// The present one.
    pub id: I,
    /// Its version as the writer read it.
    pub version: Version,
    /// What comes in its place.
    pub to: Successor<I>,
}

/// What comes in the place of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "I: DataId")]
pub enum Successor<I> {
    /// New bytes; all else is as it was.
    New {
        /// Of what is made.
        id: I,
        /// The bytes.
        data: Payload,
    },
    /// An earlier version.
    Earlier(I),
}

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; the id of the object made, where one was made.
    Done(Option<Id>),
    /// What it was decided on is gone; the next tick decides again.
    Dropped(Dropped),
    /// Refused, and why.
    Refused(Refusal),
}

/// Why a decision was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dropped {
    /// The object is not there.
    Gone,
    /// The object has changed since.
    Changed,
    /// It would not change anything, or would go back.
    Stale,
}

/// About what these take.
fn generic_bytes(given: &[GenericResource]) -> usize {
    given.iter().map(|one| GENERIC_BYTES + one.kind().len() + one.name().len()).sum()
}

// === impl TaskChange ===

impl TaskChange {
    /// A change of nothing, to be filled in.
    pub fn of(id: TaskId) -> Self {
        Self {
            id,
            desired: None,
            assign: None,
            attachments: Vec::new(),
            generic_resources: Vec::new(),
            status: None,
            adopt: None,
        }
    }

    /// Changes the desired state.
    pub fn desire(id: TaskId, desired: TaskState) -> Self {
        Self { desired: Some(desired), ..Self::of(id) }
    }
}

// === impl Change ===

impl Change {
    /// About how many bytes it takes in the log.
    pub fn weight(&self) -> usize {
        match self {
            Self::CreateTask(task) => {
                160 + task.error.len()
                    + ATTACHMENT_BYTES * task.attachments.len()
                    + generic_bytes(&task.generic_resources)
            }
            Self::Task(change) => {
                let status =
                    change.status.as_ref().map_or(0, |s| 64 + s.message.len() + s.error.len());
                96 + status
                    + ATTACHMENT_BYTES * change.attachments.len()
                    + generic_bytes(&change.generic_resources)
            }
            Self::RemoveTask(_) => 32,
            Self::StepRollout(step) => step.weight(),
            Self::CreateSecret(secret) => 2_048 + secret.spec.data.bytes().len(),
            Self::RotateSecret(rotation) => 2_048 + rotation.to.size(),
            Self::RotateConfig(rotation) => 2_048 + rotation.to.size(),
            Self::CreateConfig(config) => 2_048 + config.spec.data.bytes().len(),
            _ => 2_048,
        }
    }
}

// === impl Successor ===

impl<I> Successor<I> {
    fn size(&self) -> usize {
        match self {
            Self::New { data, .. } => data.bytes().len(),
            Self::Earlier(_) => 0,
        }
    }
}

// === impl Transaction ===

impl Transaction {
    /// With which a manager goes on alone: every other one becomes a worker without a seat.
    ///
    /// It may have missed seats that were given before. So that it takes no message of theirs,
    /// and gives none of them again, those that it gives are numbered from now on by
    /// milliseconds: so many, nobody had.
    pub fn alone(at: Time, id: NodeId, member: RaftMember) -> Self {
        let beyond = RaftMember { raft_id: at.as_millis(), ..member.clone() };
        let skip = Change::SetNodeRole { id, role: NodeRole::Manager, member: Some(beyond) };
        Self { at, request: None, changes: vec![skip, Change::KeepManager { id, member }] }
    }

    /// Cuts decisions into transactions within [`TRANSACTION_CHANGES`] and
    /// [`TRANSACTION_BYTES`], keeping their order.
    pub fn cut(at: Time, changes: Vec<Change>) -> Vec<Self> {
        let mut all = Vec::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        for change in changes {
            let weight = change.weight();
            let full = part.len() >= TRANSACTION_CHANGES || bytes + weight > TRANSACTION_BYTES;
            if full && !part.is_empty() {
                all.push(Self { at, request: None, changes: std::mem::take(&mut part) });
                bytes = 0;
            }
            bytes += weight;
            part.push(change);
        }
        if !part.is_empty() {
            all.push(Self { at, request: None, changes: part });
        }
        all
    }
}
