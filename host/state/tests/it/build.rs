//! Small builders.

use std::sync::Arc;

use swarmw_model::{
    Blob, Cluster, ClusterId, ClusterSpec, ContainerSpec, DATA_PATH_PORT, EndpointSpec, JoinTokens,
    Node, NodeId, NodeRole, NodeSpec, NodeState, NodeStatus, Placement, Plugin, PluginClaim,
    PluginId, PluginKind, PluginMetadata, PluginRelease, PortConfig, PortProtocol, PublishMode,
    RaftMember, ServiceId, ServiceSpec, Slot, TaskId, TaskSpec, TaskState, TaskStatus, Time,
    Version,
};
use swarmw_state::{Applied, Change, Dropped, NewTask, Outcome, State, TaskChange, Transaction};

pub const WEB: ServiceId = ServiceId::from_bits(1);
pub const API: ServiceId = ServiceId::from_bits(2);
pub const N1: NodeId = NodeId::from_bits(11);
pub const N2: NodeId = NodeId::from_bits(12);
pub const T1: TaskId = TaskId::from_bits(21);
pub const T2: TaskId = TaskId::from_bits(22);

/// A state and its log's index.
pub struct Log {
    pub state: State,
}

impl Log {
    /// A founded cluster with two nodes that take tasks; the first is a manager.
    pub fn founded() -> Self {
        let mut log = Self { state: State::default() };
        let change = Change::InitCluster {
            cluster: Box::new(cluster()),
            node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
            plugins: Vec::new(),
        };
        assert_eq!(log.one(change), Outcome::Done(None));
        log.done(Change::AddNode(Box::new(node(N2, NodeRole::Worker))));
        log
    }

    /// With a service of one replica, `web`.
    pub fn with_web() -> Self {
        let mut log = Self::founded();
        log.done(create(WEB, service("web")));
        log
    }

    /// With `web` and a task of it that waits.
    pub fn with_task() -> Self {
        let mut log = Self::with_web();
        let task = log.new_task(T1, WEB, Slot::Replica(1));
        log.done(Change::CreateTask(task));
        log
    }

    pub fn apply(&mut self, changes: Vec<Change>) -> Applied {
        let index = self.state.index() + 1;
        let at = Time::from_nanos(i64::try_from(index).unwrap() * 1_000);
        self.state.apply(index, &Transaction { at, request: None, changes })
    }

    pub fn one(&mut self, change: Change) -> Outcome {
        self.apply(vec![change]).outcomes.remove(0)
    }

    pub fn done(&mut self, change: Change) {
        let outcome = self.one(change);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }

    /// The text with which a change is refused.
    pub fn refusal(&mut self, change: Change) -> String {
        match self.one(change) {
            Outcome::Refused(why) => why.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn dropped(&mut self, change: Change, why: Dropped) {
        assert_eq!(self.one(change), Outcome::Dropped(why));
    }

    pub fn version(&self, id: ServiceId) -> Version {
        self.state.service(id).unwrap().version
    }

    pub fn spec_version(&self, id: ServiceId) -> Version {
        self.state.service(id).unwrap().spec_version
    }

    pub fn new_task(&self, id: TaskId, service: ServiceId, slot: Slot) -> NewTask {
        NewTask {
            id,
            service,
            spec_version: self.spec_version(service),
            slot,
            node: None,
            desired: TaskState::Running,
            error: "".into(),
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        }
    }

    pub fn update(&mut self, id: ServiceId, edit: impl FnOnce(&mut ServiceSpec)) {
        let old = self.state.service(id).unwrap().clone();
        let mut spec = old.spec.clone();
        edit(&mut spec);
        self.done(Change::UpdateService { id, version: old.version, spec: Box::new(spec) });
    }

    pub fn node_spec(&mut self, id: NodeId, edit: impl FnOnce(&mut NodeSpec)) -> Outcome {
        let old = self.state.node(id).unwrap().clone();
        let mut spec = old.spec.clone();
        edit(&mut spec);
        self.one(Change::UpdateNode { id, version: old.version, spec })
    }
}

pub fn cluster() -> Cluster {
    Cluster {
        id: ClusterId::from_bits(1),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: ClusterSpec::default(),
        root_ca: Default::default(),
        join_tokens: JoinTokens { worker: "w".into(), manager: "m".into() },
        unlock_key: None,
        removed_nodes: Default::default(),
        feature_level: 1,
        address_pools: Default::default(),
        data_path_port: DATA_PATH_PORT,
    }
}

pub fn node(id: NodeId, role: NodeRole) -> Node {
    Node {
        id,
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec { role, ..NodeSpec::default() },
        description: Default::default(),
        status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
        role,
        member: None,
        number: 0,
    }
}

pub fn seat(raft_id: u64) -> RaftMember {
    RaftMember { raft_id, addr: format!("m{raft_id}:2377") }
}

pub fn service(name: &str) -> ServiceSpec {
    ServiceSpec { name: name.to_owned(), task_template: template("app:1"), ..Default::default() }
}

pub fn template(image: &str) -> Arc<TaskSpec> {
    Arc::new(TaskSpec {
        container_spec: Some(ContainerSpec { image: image.to_owned(), ..Default::default() }),
        ..Default::default()
    })
}

pub fn constrained(image: &str, constraint: &str) -> Arc<TaskSpec> {
    let mut spec = TaskSpec::clone(&template(image));
    spec.placement =
        Some(Placement { constraints: vec![constraint.to_owned()], ..Default::default() });
    Arc::new(spec)
}

pub fn create(id: ServiceId, spec: ServiceSpec) -> Change {
    Change::CreateService { id, spec: Box::new(spec) }
}

pub fn port(published: u16, mode: PublishMode) -> PortConfig {
    PortConfig {
        protocol: PortProtocol::Tcp,
        target_port: 80,
        published_port: published,
        publish_mode: mode,
        ..Default::default()
    }
}

pub fn publishing(name: &str, ports: Vec<PortConfig>) -> ServiceSpec {
    let endpoint_spec = Some(EndpointSpec { ports, ..Default::default() });
    ServiceSpec { endpoint_spec, ..service(name) }
}

pub fn status(state: TaskState) -> TaskStatus {
    TaskStatus { state, timestamp: Time::from_nanos(5), ..Default::default() }
}

pub fn report(id: TaskId, state: TaskState) -> Change {
    Change::Task(TaskChange { status: Some(status(state)), ..TaskChange::of(id) })
}

pub fn assign(id: TaskId, node: NodeId) -> Change {
    Change::Task(TaskChange { assign: Some(node), ..TaskChange::of(id) })
}

/// A preference that claims these names.
pub fn plugin(id: u128, name: &str, claims: &[&str]) -> Plugin {
    let release = release("1.0.0", claims);
    Plugin::new(PluginId::from_bits(id), name.to_owned(), PluginKind::Preference, release)
}

/// A version of a plugin; its digest is told by the version.
pub fn release(version: &str, claims: &[&str]) -> PluginRelease {
    PluginRelease::new(
        Blob { digest: format!("sha256:{version}"), size: 1 },
        PluginMetadata {
            version: version.to_owned(),
            summary: String::new(),
            claims: claims.iter().map(|c| PluginClaim::Name((*c).into())).collect(),
            options: Vec::new(),
            grants: Vec::new(),
        },
    )
}
