//! A cluster in a test: a state, the scheduler that follows it, native policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::*;
use swarmw_scheduler::{Pass, Scheduler};
use swarmw_state::{Change, NewTask, Outcome, State, TaskChange, Transaction};

use crate::fake::Native;

/// A cluster that commits at once.
pub struct Cluster {
    pub state: State,
    pub scheduler: Scheduler,
    pub policies: Native,
    /// Seconds since some day.
    pub clock: i64,
    next: u128,
}

/// A node to be added.
pub fn node(name: &str) -> Node {
    Node {
        id: node_id(name),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec::default(),
        description: NodeDescription { hostname: name.to_owned(), ..Default::default() },
        status: NodeStatus { state: NodeState::Ready, ..Default::default() },
        role: NodeRole::Worker,
        member: None,
        number: 0,
    }
}

/// A node's id: its name read as a number, so names order as ids do.
pub fn node_id(name: &str) -> NodeId {
    NodeId::from_bits(name.bytes().fold(0, |id, b| id << 8 | u128::from(b)))
}

/// A node with labels, `k=v` each.
pub fn labelled(name: &str, labels: &[&str]) -> Node {
    let mut node = node(name);
    node.spec.labels = labels
        .iter()
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect::<BTreeMap<_, _>>();
    node
}

/// A node with CPUs and bytes.
pub fn sized(name: &str, cpus: i64, memory: i64) -> Node {
    let mut node = node(name);
    node.description.resources =
        Resources { nano_cpus: cpus * 1_000_000_000, memory_bytes: memory, ..Default::default() };
    node
}

/// A service to be created.
pub fn service(name: &str) -> ServiceSpec {
    ServiceSpec { name: name.to_owned(), ..Default::default() }
}

/// What a spec's tasks are, to be edited.
pub fn template(spec: &mut ServiceSpec) -> &mut TaskSpec {
    Arc::make_mut(&mut spec.task_template)
}

/// A spec's placement, to be edited.
pub fn placement(spec: &mut ServiceSpec) -> &mut Placement {
    template(spec).placement.get_or_insert_default()
}

/// A service with constraints.
pub fn constrained(name: &str, constraints: &[&str]) -> ServiceSpec {
    let mut spec = service(name);
    placement(&mut spec).constraints = constraints.iter().map(|c| (*c).to_owned()).collect();
    spec
}

/// A service that spreads over node labels, outermost first.
pub fn spread(name: &str, labels: &[&str]) -> ServiceSpec {
    let mut spec = service(name);
    placement(&mut spec).preferences = labels
        .iter()
        .map(|label| PlacementPreference {
            spread: Some(SpreadOver { spread_descriptor: format!("node.labels.{label}") }),
        })
        .collect();
    spec
}

/// A service with one preference of a plugin's.
pub fn preferring(name: &str, preference: &str, argument: &str) -> ServiceSpec {
    let mut spec = service(name);
    spec.swarmw = Some(SwarmwOptions {
        preferences: vec![PlacedPreference {
            preference: Preference { name: preference.to_owned(), argument: argument.to_owned() },
            after: 0,
        }],
        ..Default::default()
    });
    spec
}

/// A service whose tasks reserve CPUs and bytes.
pub fn reserving(name: &str, cpus: i64, memory: i64) -> ServiceSpec {
    let mut spec = service(name);
    template(&mut spec).resources = Some(ResourceRequirements {
        reservations: Some(Resources {
            nano_cpus: cpus * 1_000_000_000,
            memory_bytes: memory,
            ..Default::default()
        }),
        ..Default::default()
    });
    spec
}

/// A service with a fixed port on its tasks' nodes.
pub fn publishing(name: &str, port: u16) -> ServiceSpec {
    let mut spec = service(name);
    spec.endpoint_spec = Some(EndpointSpec {
        ports: vec![PortConfig {
            target_port: 80,
            published_port: port,
            publish_mode: PublishMode::Host,
            ..Default::default()
        }],
        ..Default::default()
    });
    spec
}

impl Cluster {
    pub fn new(nodes: Vec<Node>) -> Self {
        let mut cluster = Self {
            state: State::default(),
            scheduler: Scheduler::default(),
            policies: Native::default(),
            clock: 1_700_000_000,
            next: 1,
        };
        cluster.scheduler = Scheduler::new(&cluster.state);
        for node in nodes {
            cluster.add(node);
        }
        cluster
    }

    /// The same, with a manager that takes no tasks, whose binary knows everything.
    pub fn founded(nodes: Vec<Node>) -> Self {
        let mut cluster = Self::new(Vec::new());
        let mut manager = node("m");
        manager.spec.availability = Availability::Drain;
        cluster.commit(vec![Change::InitCluster {
            cluster: Box::new(swarmw_model::Cluster {
                id: ClusterId::from_bits(1),
                version: Version::default(),
                created_at: Time::ZERO,
                updated_at: Time::ZERO,
                spec: Default::default(),
                root_ca: Default::default(),
                join_tokens: Default::default(),
                unlock_key: None,
                removed_nodes: Default::default(),
                feature_level: FEATURE_LEVEL,
                address_pools: Default::default(),
                data_path_port: DATA_PATH_PORT,
            }),
            node: Box::new(manager),
            plugins: Vec::new(),
        }]);
        for node in nodes {
            cluster.add(node);
        }
        cluster
    }

    pub fn now(&self) -> Time {
        Time::from_nanos(self.clock * 1_000_000_000)
    }

    /// Commits changes; none may be refused or dropped.
    pub fn commit(&mut self, changes: Vec<Change>) {
        let transaction = Transaction { at: self.now(), request: None, changes };
        let applied = self.state.apply(self.state.index() + 1, &transaction);
        for (outcome, change) in applied.outcomes.iter().zip(&transaction.changes) {
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?} of {change:?}");
        }
        for event in &applied.events {
            self.scheduler.observe(event);
        }
    }

    pub fn add(&mut self, node: Node) {
        self.commit(vec![Change::AddNode(Box::new(node))]);
    }

    /// Edits what the operator says of a node.
    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut NodeSpec)) {
        let node = self.state.node(node_id(name)).expect("a node").clone();
        let mut spec = node.spec.clone();
        edit(&mut spec);
        self.commit(vec![Change::UpdateNode { id: node.id, version: node.version, spec }]);
    }

    /// Edits what a node says of itself.
    pub fn describe(&mut self, name: &str, edit: impl FnOnce(&mut NodeDescription)) {
        let node = self.state.node(node_id(name)).expect("a node").clone();
        let mut description = node.description.clone();
        edit(&mut description);
        self.commit(vec![Change::RegisterNode {
            id: node.id,
            description: Box::new(description),
            addr: node.status.addr.clone(),
        }]);
    }

    pub fn set_state(&mut self, name: &str, state: NodeState) {
        self.commit(vec![Change::SetNodeState {
            id: node_id(name),
            state,
            message: String::new(),
        }]);
    }

    pub fn create(&mut self, spec: ServiceSpec) -> ServiceId {
        let id = ServiceId::from_bits(self.fresh());
        let spec = Box::new(spec);
        self.commit(vec![Change::CreateService { id, spec }]);
        id
    }

    /// Another version of a service, to be run by tasks made from now on.
    pub fn renew(&mut self, service: ServiceId) {
        let known = self.state.service(service).expect("a service").clone();
        let mut spec = known.spec.clone();
        template(&mut spec).force_update += 1;
        let (id, version, spec) = (service, known.version, Box::new(spec));
        self.commit(vec![Change::UpdateService { id, version, spec }]);
    }

    /// Creates a service with so many tasks, and schedules.
    pub fn run(&mut self, spec: ServiceSpec, tasks: u64) -> ServiceId {
        let service = self.create(spec);
        self.start(service, 1..=tasks);
        self.schedule();
        service
    }

    fn fresh(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    pub fn new_task(&mut self, service: ServiceId, slot: Slot) -> Change {
        Change::CreateTask(NewTask {
            id: TaskId::from_bits(self.fresh()),
            service,
            spec_version: self.state.service(service).expect("a service").spec_version,
            slot,
            node: None,
            desired: TaskState::Running,
            error: "".into(),
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        })
    }

    /// Makes tasks for slots, not yet scheduled.
    pub fn start(&mut self, service: ServiceId, slots: impl IntoIterator<Item = u64>) {
        let changes: Vec<_> =
            slots.into_iter().map(|n| self.new_task(service, Slot::Replica(n))).collect();
        self.commit(changes);
    }

    /// Makes a global service's task for a node, not yet scheduled.
    pub fn start_on(&mut self, service: ServiceId, node: &str) {
        let change = self.new_task(service, Slot::Node(node_id(node)));
        self.commit(vec![change]);
    }

    /// A pass whose decisions are committed.
    pub fn schedule(&mut self) -> Pass {
        let (pass, changes) = self.decide();
        self.commit(changes);
        pass
    }

    /// A pass whose decisions are not committed.
    pub fn decide(&mut self) -> (Pass, Vec<Change>) {
        let mut changes = Vec::new();
        let now = self.now();
        let pass = self.scheduler.schedule(&self.state, &mut changes, now, &mut self.policies);
        (pass, changes)
    }

    /// Moves a task to a state.
    pub fn report(&mut self, task: &Task, state: TaskState) {
        let status = TaskStatus { timestamp: self.now(), state, ..Default::default() };
        self.commit(vec![Change::Task(TaskChange {
            status: Some(status),
            ..TaskChange::of(task.id)
        })]);
    }

    pub fn tasks(&self, service: ServiceId) -> Vec<Arc<Task>> {
        self.state.tasks_of_service(service).cloned().collect()
    }

    pub fn on(&self, service: ServiceId, node: &str) -> Vec<Arc<Task>> {
        let here = |t: &Arc<Task>| {
            t.node_id == Some(node_id(node)) && t.status.state < TaskState::Complete
        };
        self.tasks(service).into_iter().filter(here).collect()
    }

    /// Tasks of a service on each of the nodes.
    pub fn counts(&self, service: ServiceId, nodes: &[&str]) -> Vec<usize> {
        nodes.iter().map(|n| self.on(service, n).len()).collect()
    }

    /// Why the service's waiting tasks wait; all must say the same.
    pub fn why(&self, service: ServiceId) -> String {
        let mut all: Vec<_> = self
            .tasks(service)
            .into_iter()
            .filter(|t| t.status.state == TaskState::Pending)
            .map(|t| t.status.error.to_string())
            .collect();
        all.dedup();
        assert!(all.len() <= 1, "one reason: {all:?}");
        all.pop().unwrap_or_default()
    }
}
