//! A cluster in a test: the state, the orchestrator, a scheduler that spreads, and
//! agents whose tasks do what their image's name says. Time is simulated: nothing
//! waits, and [`World::run`] jumps from one thing that is due to the next.
//!
//! | image | its task |
//! |---|---|
//! | `v1` | runs until it is told to stop |
//! | `v1 crash 2000` | fails 2 s after it began to run |
//! | `v1 exit 2000` | ends with exit code 0 after 2 s |
//! | `v1 bad` | is rejected before it starts |
//! | `v1 hang` | never gets from starting to running |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::*;
use swarmw_orchestrator::{Fits, Orchestrator, Query, UpdatePolicies};
use swarmw_state::{Change, State, TaskChange, Transaction};

/// Until an assigned task is ready.
pub const PREPARE: i64 = 100;
/// Until a ready task that may start runs.
pub const START: i64 = 400;
/// Until a query is answered.
pub const QUERY: i64 = 200;
/// Until a task that was told to stop has stopped.
pub const STOP: i64 = 900;
/// More ticks than that without rest: it does not converge.
const TICKS_MAX: usize = 60;

/// Whether a change gets lost between its decision and the log.
pub type Loss = Box<dyn FnMut(&Change) -> bool>;

/// A cluster that commits at once.
pub struct World<P> {
    pub state: State,
    pub policies: P,
    /// Milliseconds.
    pub clock: i64,
    /// How far the agents' clocks are from the leader's, in milliseconds.
    pub skew: i64,
    /// Every tick is a new leader's.
    pub fickle: bool,
    /// Says which changes are lost on their way into the log.
    pub lose: Option<Loss>,
    /// The busy tick of which only so many changes enter the log, with its leader
    /// lost.
    pub cut: Option<(usize, usize)>,
    /// Ticks that decided something, of all time.
    pub busy_ticks: usize,
    /// Tasks that were ever made, in order.
    pub made: Vec<Arc<Task>>,
    /// The most tasks of one slot that were ever up together.
    pub overlap: usize,
    orchestrator: Orchestrator,
    /// The node that constraints refuse since the plugins changed.
    refuses: Option<NodeId>,
    wake_at: Option<Time>,
    /// Queries under way, and when each is answered.
    queries: Vec<(i64, Query)>,
    /// Queries sent so far.
    pub asked: usize,
    /// What every query is told.
    pub told: Result<f64, String>,
    /// Nodes without power: their agents do nothing.
    dark: BTreeSet<NodeId>,
    /// Each task's states and since when it has them.
    since: BTreeMap<TaskId, (TaskState, TaskState, i64)>,
    index: u64,
    ids: u128,
}

/// `node.labels.KEY==VALUE` and `!=`, and no plugin.
pub struct Labels;

impl Fits for Labels {
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        let Some(node) = state.node(node) else { return false };
        spec.task_template.constraints().iter().all(|constraint| {
            let (key, value, equal) = match constraint.split_once("==") {
                Some((key, value)) => (key, value, true),
                None => {
                    let (key, value) = constraint.split_once("!=").expect("== or !=");
                    (key, value, false)
                }
            };
            let label = key.strip_prefix("node.labels.").expect("a label");
            (node.spec.labels.get(label).map(String::as_str) == Some(value)) == equal
        })
    }
}

/// [`Labels`], by plugins that besides refuse a node.
struct Judge {
    refuses: Option<NodeId>,
}

impl Fits for Judge {
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        self.refuses != Some(node) && Labels.satisfies(state, spec, node)
    }
}

/// A service of some replicas.
pub fn replicated(image: &str, replicas: u64) -> ServiceSpec {
    ServiceSpec {
        name: "web".to_owned(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec { image: image.to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
        ..Default::default()
    }
}

/// A service with one task on each node.
pub fn global(image: &str) -> ServiceSpec {
    ServiceSpec { mode: ServiceMode::Global(Global {}), ..replicated(image, 0) }
}

/// What a spec's tasks are, to be edited.
pub fn template(spec: &mut ServiceSpec) -> &mut TaskSpec {
    Arc::make_mut(&mut spec.task_template)
}

/// Another image.
pub fn image(spec: &mut ServiceSpec, image: &str) {
    let container = template(spec).container_spec.get_or_insert_default();
    container.image = image.to_owned();
}

/// Other constraints.
pub fn constrain(spec: &mut ServiceSpec, constraints: &[&str]) {
    let placement = template(spec).placement.get_or_insert_default();
    placement.constraints = constraints.iter().map(|c| (*c).to_owned()).collect();
}

/// Update settings to be edited, from Swarm's defaults.
pub fn updating(spec: &mut ServiceSpec) -> &mut UpdateConfig {
    spec.update_config.get_or_insert_with(UpdateConfig::swarm_default)
}

/// Rollback settings to be edited, from Swarm's defaults.
pub fn rolling_back(spec: &mut ServiceSpec) -> &mut UpdateConfig {
    spec.rollback_config.get_or_insert_with(UpdateConfig::swarm_default)
}

/// The restart policy, to be edited.
pub fn restarting(spec: &mut ServiceSpec) -> &mut RestartPolicy {
    template(spec).restart_policy.get_or_insert_default()
}

/// The node of a number.
pub fn node_id(number: u32) -> NodeId {
    NodeId::from_bits(u128::from(number))
}

fn node(number: u32) -> Node {
    Node {
        id: node_id(number),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec::default(),
        description: NodeDescription { hostname: format!("n{number}"), ..Default::default() },
        status: NodeStatus { state: NodeState::Ready, ..Default::default() },
        role: NodeRole::Worker,
        member: None,
    }
}

impl<P: UpdatePolicies> World<P> {
    /// A cluster of nodes 1, 2, ….
    pub fn new(nodes: u32, policies: P) -> Self {
        let state = State::default();
        let orchestrator = Orchestrator::new(&state, Time::ZERO);
        let mut world = Self {
            state,
            policies,
            clock: 1_000_000_000,
            skew: 0,
            fickle: false,
            lose: None,
            cut: None,
            busy_ticks: 0,
            made: Vec::new(),
            overlap: 0,
            orchestrator,
            refuses: None,
            wake_at: None,
            queries: Vec::new(),
            asked: 0,
            told: Err("nobody knows".into()),
            dark: BTreeSet::new(),
            since: BTreeMap::new(),
            index: 0,
            ids: 1,
        };
        world.commit(Change::InitCluster {
            cluster: Box::new(Cluster {
                id: ClusterId::from_bits(1),
                version: Version::default(),
                created_at: Time::ZERO,
                updated_at: Time::ZERO,
                spec: ClusterSpec::default(),
                root_ca: RootCa::default(),
                join_tokens: JoinTokens::default(),
                removed_nodes: BTreeMap::new(),
                feature_level: FEATURE_LEVEL,
            }),
            node: Box::new(node(1)),
            plugins: Vec::new(),
        });
        for number in 2..=nodes {
            world.join(number);
        }
        world
    }

    // What an operator does.

    pub fn create(&mut self, spec: ServiceSpec) -> ServiceId {
        let id = ServiceId::from_bits(self.id());
        self.commit(Change::CreateService { id, spec: Box::new(spec) });
        self.settle();
        id
    }

    pub fn update(&mut self, id: ServiceId, edit: impl FnOnce(&mut ServiceSpec)) {
        self.write(id, edit);
        self.settle();
    }

    /// An update that the leader's loops have not seen yet.
    pub fn write(&mut self, id: ServiceId, edit: impl FnOnce(&mut ServiceSpec)) {
        let service = self.service(id);
        let mut spec = service.spec.clone();
        edit(&mut spec);
        let version = service.version;
        self.commit(Change::UpdateService { id, version, spec: Box::new(spec) });
    }

    pub fn scale(&mut self, id: ServiceId, replicas: u64) {
        self.update(id, |spec| {
            spec.mode = ServiceMode::Replicated(Replicated { replicas: Some(replicas) });
        });
    }

    pub fn roll_back(&mut self, id: ServiceId) {
        let version = Some(self.service(id).version);
        let message = "manually requested rollback".to_owned();
        self.commit(Change::RollbackService { id, version, message });
        self.settle();
    }

    pub fn remove(&mut self, id: ServiceId) {
        self.commit(Change::RemoveService { id });
        self.settle();
    }

    pub fn join(&mut self, number: u32) {
        self.commit(Change::AddNode(Box::new(node(number))));
        self.settle();
    }

    pub fn edit_node(&mut self, number: u32, edit: impl FnOnce(&mut NodeSpec)) {
        let Some(node) = self.state.node(node_id(number)) else { return };
        let mut spec = node.spec.clone();
        edit(&mut spec);
        let change = Change::UpdateNode { id: node.id, version: node.version, spec };
        self.commit(change);
        self.settle();
    }

    pub fn set(&mut self, number: u32, availability: Availability) {
        self.edit_node(number, |spec| spec.availability = availability);
    }

    pub fn label(&mut self, number: u32, key: &str, value: &str) {
        self.edit_node(number, |spec| {
            spec.labels.insert(key.to_owned(), value.to_owned());
        });
    }

    pub fn remove_node(&mut self, number: u32) {
        let id = node_id(number);
        self.dark.remove(&id);
        self.commit(Change::RemoveNode { id, force: true, deny_until: Time::ZERO });
        self.settle();
    }

    /// A node loses its power and the leader knows.
    pub fn power_off(&mut self, number: u32) {
        let id = node_id(number);
        self.dark.insert(id);
        let message = "heartbeat failure".to_owned();
        self.commit(Change::SetNodeState { id, state: NodeState::Down, message });
        self.settle();
    }

    /// The node is back; its tasks survived.
    pub fn power_on(&mut self, number: u32) {
        let id = node_id(number);
        self.dark.remove(&id);
        let message = String::new();
        self.commit(Change::SetNodeState { id, state: NodeState::Ready, message });
        self.settle();
    }

    /// The agent hears nothing and says nothing; the leader does not know yet.
    pub fn cut_off(&mut self, number: u32) {
        self.dark.insert(node_id(number));
    }

    /// A task fails now.
    pub fn fail(&mut self, id: TaskId) {
        let status =
            TaskStatus { timestamp: self.now(), state: TaskState::Failed, ..TaskStatus::default() };
        let status = Some(status);
        self.commit(Change::Task(TaskChange { status, ..TaskChange::of(id) }));
        self.settle();
    }

    /// What the leader makes of a node.
    pub fn set_state(&mut self, number: u32, state: NodeState) {
        let message = String::new();
        self.commit(Change::SetNodeState { id: node_id(number), state, message });
        self.settle();
    }

    pub fn history(&mut self, limit: i64) {
        let cluster = self.state.cluster().expect("a cluster");
        let mut spec = cluster.spec.clone();
        spec.orchestration.task_history_retention_limit = limit;
        let version = cluster.version;
        let rotate = JoinTokens::default();
        self.commit(Change::UpdateCluster { version, spec: Box::new(spec), rotate });
    }

    /// Another manager leads; it knows nothing but the state.
    pub fn new_leader(&mut self) {
        self.orchestrator = Orchestrator::new(&self.state, self.now());
        self.settle();
    }

    // What can be seen.

    pub fn now(&self) -> Time {
        Time::from_nanos(self.clock * 1_000_000)
    }

    pub fn service(&self, id: ServiceId) -> Arc<Service> {
        self.state.service(id).expect("the service").clone()
    }

    /// The update status: its state and message; an empty message where there is none.
    pub fn status(&self, id: ServiceId) -> (Option<UpdateState>, String) {
        match &self.service(id).update_status {
            Some(status) => (Some(status.state), status.message.clone()),
            None => (None, String::new()),
        }
    }

    /// Tasks that should run, by slot.
    pub fn live(&self, id: ServiceId) -> Vec<Arc<Task>> {
        let wanted = |t: &&Arc<Task>| t.desired_state <= TaskState::Running;
        self.state.tasks_of_service(id).filter(wanted).cloned().collect()
    }

    /// Tasks that should run and do.
    pub fn running(&self, id: ServiceId) -> Vec<Arc<Task>> {
        let mut live = self.live(id);
        live.retain(|t| t.status.state == TaskState::Running);
        live
    }

    /// The images of the tasks that run, by slot.
    pub fn images(&self, id: ServiceId) -> Vec<String> {
        self.running(id).iter().map(|t| t.spec.image().to_owned()).collect()
    }

    /// How many of the running tasks have this image.
    pub fn count(&self, id: ServiceId, image: &str) -> usize {
        self.images(id).iter().filter(|i| *i == image).count()
    }

    /// All tasks of a replica's slot, oldest first.
    pub fn slot(&self, id: ServiceId, slot: u64) -> Vec<Arc<Task>> {
        let mut tasks: Vec<_> =
            self.state.tasks_of_slot(id, Slot::Replica(slot)).cloned().collect();
        tasks.sort_by_key(|t| (t.created_at, t.id));
        tasks
    }

    /// Everything, for the message of a test that fails.
    pub fn picture(&self) -> String {
        let mut lines = Vec::new();
        for service in self.state.services() {
            lines.push(format!("{} {:?}", service.spec_version.index, service.update_status));
            lines.push(format!(
                "{:#?}",
                self.state.rollout(service.id).map(|r| (
                    r.spec_version.index,
                    r.seq,
                    r.targets.clone()
                ))
            ));
        }
        let mut tasks: Vec<_> = self.state.tasks().collect();
        tasks.sort_by_key(|t| (t.slot(), t.created_at, t.id));
        for t in tasks {
            lines.push(format!(
                "slot {} of {}: {} wants {} is {} on {:?}, since {} ms",
                t.slot,
                t.spec_version.index,
                t.spec.image(),
                t.desired_state,
                t.status.state,
                t.node_id.map(|n| n.bits()),
                self.clock - self.since.get(&t.id).map_or(0, |s| s.2),
            ));
        }
        lines.join("\n")
    }

    // Time.

    /// Lets time pass. At its end nothing is due any more.
    pub fn run(&mut self, millis: i64) {
        let end = self.clock + millis;
        loop {
            self.settle();
            let due = self.next_due().filter(|at| *at <= end);
            let Some(at) = due else { break };
            self.clock = self.clock.max(at);
            self.agents();
        }
        self.clock = end;
        self.settle();
    }

    /// Lets time pass until something is so; says how much passed.
    pub fn until(&mut self, mut so: impl FnMut(&Self) -> bool) -> i64 {
        let begun = self.clock;
        loop {
            self.settle();
            if so(self) {
                return self.clock - begun;
            }
            let at = self.next_due().unwrap_or(i64::MAX);
            assert!(at < begun + 3_600_000, "not within an hour:\n{}", self.picture());
            self.clock = self.clock.max(at);
            self.agents();
        }
    }

    /// Ticks until the orchestrator wants nothing more.
    pub fn settle(&mut self) {
        for _ in 0..TICKS_MAX {
            if !self.tick() {
                let busy = self.wake_at.is_some_and(|at| at <= self.now());
                assert!(!busy, "it wants to be woken for nothing");
                return;
            }
        }
        panic!("no rest after {TICKS_MAX} ticks");
    }

    /// One tick, and what the scheduler adds; whether there was anything to do.
    pub fn tick(&mut self) -> bool {
        let now = self.now();
        if self.fickle {
            self.orchestrator = Orchestrator::new(&self.state, now);
        }
        let ids = &mut self.ids;
        let mut judge = Judge { refuses: self.refuses };
        let decided =
            self.orchestrator.tick(&self.state, now, &mut judge, &mut self.policies, &mut || {
                *ids += 1;
                TaskId::from_bits(*ids)
            });
        self.wake_at = decided.wake_at;
        for query in decided.queries {
            self.asked += 1;
            self.queries.push((self.clock + QUERY, query));
        }
        let mut changes = decided.changes;
        self.schedule(&mut changes);
        let busy = !changes.is_empty();
        let cut = self.cut.filter(|(at, _)| busy && *at == self.busy_ticks);
        self.busy_ticks += usize::from(busy);
        if let Some(lose) = &mut self.lose {
            changes.retain(|change| !lose(change));
        }
        if let Some((_, kept)) = cut {
            changes.truncate(kept);
        }
        for part in Transaction::cut(now, changes) {
            self.apply(&part);
        }
        if cut.is_some() {
            self.orchestrator = Orchestrator::new(&self.state, now);
        }
        busy
    }

    /// One change enters the log.
    pub fn commit(&mut self, change: Change) {
        let at = self.now();
        self.apply(&Transaction { at, request: None, changes: vec![change] });
    }

    fn apply(&mut self, transaction: &Transaction) {
        self.index += 1;
        let applied = self.state.apply(self.index, transaction);
        for event in &applied.events {
            if let swarmw_state::Event::Task { old: None, new: Some(task) } = event {
                self.made.push(task.clone());
            }
            self.orchestrator.observe(event);
        }
        let mut up: BTreeMap<_, usize> = BTreeMap::new();
        for task in self.state.tasks() {
            let key = (task.status.state, task.desired_state);
            let since = self.since.entry(task.id).or_insert((key.0, key.1, self.clock));
            if (since.0, since.1) != key {
                *since = (key.0, key.1, self.clock);
            }
            let lives = task.node_id.is_some_and(|node| !self.dark.contains(&node));
            if lives && task.status.state == TaskState::Running {
                *up.entry((task.service_id, task.slot())).or_default() += 1;
            }
        }
        self.overlap = self.overlap.max(up.values().copied().max().unwrap_or(0));
    }

    /// Other plugins judge constraints from now on; they refuse this node.
    pub fn change_plugins(&mut self, refuse: u32) {
        self.refuses = Some(node_id(refuse));
        self.orchestrator.policies_changed();
    }

    /// Gives each task that waits the node with the fewest tasks.
    fn schedule(&mut self, changes: &mut Vec<Change>) {
        let mut load: BTreeMap<NodeId, usize> = BTreeMap::new();
        for node in self.state.nodes() {
            let ready = node.status.state == NodeState::Ready;
            if ready && node.spec.availability == Availability::Active {
                let active = self.state.tasks_of_node(node.id).filter(|t| t.is_active()).count();
                load.insert(node.id, active);
            }
        }
        let (state, refuses) = (&self.state, self.refuses);
        let mut place = |service: ServiceId, slot: Option<Slot>| {
            let spec = &state.service(service)?.spec;
            let fits = |id: &NodeId| Judge { refuses }.satisfies(state, spec, *id);
            let node = match slot {
                Some(Slot::Node(node)) => load.keys().copied().find(|id| *id == node),
                _ => load
                    .iter()
                    .filter(|(id, _)| fits(id))
                    .min_by_key(|(_, n)| **n)
                    .map(|(id, _)| *id),
            }?;
            *load.get_mut(&node)? += 1;
            Some(node)
        };
        for change in changes.iter_mut() {
            if let Change::CreateTask(new) = change {
                new.node = place(new.service, Some(new.slot));
            }
        }
        for task in state.tasks().filter(|t| waits(t)) {
            if let Some(node) = place(task.service_id, task.slot()) {
                let assign = Some(node);
                changes.push(Change::Task(TaskChange { assign, ..TaskChange::of(task.id) }));
            }
        }
    }

    fn next_due(&self) -> Option<i64> {
        let agents = self.state.tasks().filter_map(|task| self.next_of(task)).map(|(at, _)| at);
        let wake_at = self.wake_at.map(|at| (at.as_nanos() + 999_999) / 1_000_000);
        let queries = self.queries.iter().map(|(at, _)| *at);
        agents.chain(wake_at).chain(queries).min()
    }

    fn agents(&mut self) {
        let (due, waiting) = self.queries.drain(..).partition(|(at, _)| *at <= self.clock);
        self.queries = waiting;
        for (_, query) in due as Vec<(i64, Query)> {
            self.orchestrator.answered(&query, self.now(), self.told.clone());
        }
        let mut changes = Vec::new();
        for task in self.state.tasks() {
            let Some((at, state)) = self.next_of(task) else { continue };
            if at > self.clock {
                continue;
            }
            let exit_code = i64::from(state == TaskState::Failed);
            let status = TaskStatus {
                timestamp: Time::from_nanos((self.clock + self.skew) * 1_000_000),
                state,
                container_status: (state.is_terminal() && state < TaskState::Rejected)
                    .then(|| Box::new(ContainerStatus { exit_code, ..Default::default() })),
                ..Default::default()
            };
            let status = Some(status);
            changes.push(Change::Task(TaskChange { status, ..TaskChange::of(task.id) }));
        }
        if !changes.is_empty() {
            let at = self.now();
            self.apply(&Transaction { at, request: None, changes });
        }
    }

    /// When a task's agent sees what next.
    fn next_of(&self, task: &Task) -> Option<(i64, TaskState)> {
        let node = task.node_id?;
        if self.dark.contains(&node) || self.state.node(node).is_none() {
            return None;
        }
        let state = task.status.state;
        if state < TaskState::Assigned || state.is_terminal() {
            return None;
        }
        let since = self.since.get(&task.id)?.2;
        if task.desired_state >= TaskState::Shutdown {
            return Some((since + STOP, TaskState::Shutdown));
        }
        let mut words = task.spec.image().split(' ').skip(1);
        let fate = words.next().unwrap_or("");
        let mut after = || words.next().and_then(|w| w.parse::<i64>().ok()).expect("milliseconds");
        match state {
            TaskState::Assigned if fate == "bad" => Some((since + PREPARE, TaskState::Rejected)),
            TaskState::Assigned => Some((since + PREPARE, TaskState::Ready)),
            TaskState::Ready if task.desired_state == TaskState::Ready => None,
            TaskState::Ready if fate == "hang" => Some((since + START, TaskState::Starting)),
            TaskState::Ready => Some((since + START, TaskState::Running)),
            TaskState::Running if fate == "crash" => Some((since + after(), TaskState::Failed)),
            TaskState::Running if fate == "exit" => Some((since + after(), TaskState::Complete)),
            _ => None,
        }
    }

    fn id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }
}

/// Whether a task waits for the scheduler.
fn waits(task: &Task) -> bool {
    task.status.state <= TaskState::Pending && task.desired_state <= TaskState::Complete
}
