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
use swarmw_orchestrator::{Orchestrator, Query, UpdatePolicies};
use swarmw_state::{Change, State, Transaction};

use self::placing::Judge;

mod agents;
mod operator;
mod placing;
mod seen;
mod specs;

pub use self::specs::*;

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
        number: 0,
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
                unlock_key: None,
                removed_nodes: BTreeMap::new(),
                feature_level: FEATURE_LEVEL,
                address_pools: Default::default(),
                data_path_port: swarmw_model::DATA_PATH_PORT,
            }),
            node: Box::new(node(1)),
            plugins: Vec::new(),
        });
        for number in 2..=nodes {
            world.join(number);
        }
        world
    }

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

    fn next_due(&self) -> Option<i64> {
        let agents = self.state.tasks().filter_map(|task| self.next_of(task)).map(|(at, _)| at);
        let wake_at = self.wake_at.map(|at| (at.as_nanos() + 999_999) / 1_000_000);
        let queries = self.queries.iter().map(|(at, _)| *at);
        agents.chain(wake_at).chain(queries).min()
    }

    fn id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }
}
