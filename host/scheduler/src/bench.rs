//! Shapes to measure: a cluster of so many nodes, so many tasks, and the way from
//! the tasks' creation to their nodes. Pure: the caller holds the clock, and is
//! told when a phase ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{
    Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState, NodeStatus, Placement,
    PlacementPreference, Resources, ServiceId, ServiceMode, ServiceSpec, Slot, SpreadOver, TaskId,
    TaskSpec, TaskState, Time, Version,
};
use swarmw_state::{Change, NewTask, State, Transaction};

use crate::{Policies, Scheduler};

/// Distinct values of the label that constraints and the spread read.
const RACKS: usize = 10;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Nodes, all ready.
    pub nodes: usize,
    /// Tasks of all services together.
    pub tasks: usize,
    /// Services; as many as tasks makes each a one-off.
    pub services: usize,
    /// Constraints per service, each true on every node but those of one rack.
    pub constraints: usize,
    /// Whether they read the host names instead, of which no two are alike, and name as
    /// many of them as there are racks: the first is true on one node, the others on
    /// all nodes but one.
    pub unique: bool,
    /// Whether each service spreads over the racks.
    pub spread: bool,
}

/// A step whose end the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nodes and services are there; what follows is what Swarm's own benchmark times.
    Prepared,
    /// The tasks are created, and the scheduler has followed.
    Created,
    /// The scheduler has decided.
    Decided,
    /// The decisions are in the state, and the scheduler has followed.
    Applied,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Tasks with a node in the state.
    pub placed: usize,
    /// Changes that the scheduler decided.
    pub changes: usize,
    /// Events delivered to the scheduler after the preparation.
    pub events: usize,
}

/// Makes the shape, creates its tasks, schedules and applies, telling each phase.
pub fn run(shape: Shape, policies: &mut dyn Policies, told: &mut dyn FnMut(Phase)) -> Numbers {
    let mut numbers = Numbers::default();
    let mut state = State::default();
    apply(&mut state, &mut Scheduler::default(), nodes(shape));
    apply(&mut state, &mut Scheduler::default(), services(shape));
    let mut scheduler = Scheduler::new(&state);
    let creates = tasks(shape, &state);
    told(Phase::Prepared);
    numbers.events += apply(&mut state, &mut scheduler, creates);
    told(Phase::Created);
    let mut decisions = Vec::new();
    scheduler.schedule(&state, &mut decisions, at(&state), policies);
    numbers.changes = decisions.len();
    told(Phase::Decided);
    numbers.events += apply(&mut state, &mut scheduler, decisions);
    told(Phase::Applied);
    numbers.placed = state.tasks().filter(|t| t.node_id.is_some()).count();
    numbers
}

fn apply(state: &mut State, scheduler: &mut Scheduler, changes: Vec<Change>) -> usize {
    let mut events = 0;
    for part in Transaction::cut(at(state), changes) {
        let applied = state.apply(state.index() + 1, &part);
        events += applied.events.len();
        for event in &applied.events {
            scheduler.observe(event);
        }
    }
    events
}

fn at(state: &State) -> Time {
    Time::from_nanos(1_700_000_000_000_000_000 + state.index() as i64)
}

/// Ids in no order, as random ones are: an odd factor and a rotation lose nothing.
fn scattered(n: usize) -> u128 {
    (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).rotate_left(64)
}

fn nodes(shape: Shape) -> Vec<Change> {
    let node = |n: usize| {
        let label = ("rack".to_owned(), (n % RACKS).to_string());
        Change::AddNode(Box::new(Node {
            id: NodeId::from_bits(scattered(n)),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: NodeSpec { labels: BTreeMap::from([label]), ..NodeSpec::default() },
            description: NodeDescription {
                hostname: format!("node-{n}"),
                resources: Resources {
                    nano_cpus: 64_000_000_000,
                    memory_bytes: 256 << 30,
                    ..Resources::default()
                },
                ..NodeDescription::default()
            },
            status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
            role: NodeRole::Worker,
            member: None,
            number: 0,
        }))
    };
    (0..shape.nodes).map(node).collect()
}

fn services(shape: Shape) -> Vec<Change> {
    let service = |n: usize| {
        let constraint = |c: usize| match (shape.unique, c) {
            (false, _) => format!("node.labels.rack!={}", (n + c) % RACKS),
            (true, 0) => format!("node.hostname==node-{}", n % RACKS),
            (true, _) => format!("node.hostname!=node-{}", (n + c) % RACKS),
        };
        let over = PlacementPreference {
            spread: Some(SpreadOver { spread_descriptor: "node.labels.rack".into() }),
        };
        let placement = Placement {
            constraints: (0..shape.constraints).map(constraint).collect(),
            preferences: shape.spread.then_some(over).into_iter().collect(),
            ..Placement::default()
        };
        Change::CreateService {
            id: ServiceId::from_bits(scattered(n)),
            spec: Box::new(ServiceSpec {
                name: format!("service-{n}"),
                task_template: Arc::new(TaskSpec {
                    placement: Some(placement),
                    ..TaskSpec::default()
                }),
                mode: ServiceMode::default(),
                ..ServiceSpec::default()
            }),
        }
    };
    (0..shape.services).map(service).collect()
}

fn tasks(shape: Shape, state: &State) -> Vec<Change> {
    let services = shape.services.max(1);
    let task = |n: usize| {
        let service = ServiceId::from_bits(scattered(n % services));
        Some(Change::CreateTask(NewTask {
            id: TaskId::from_bits(scattered(n)),
            service,
            spec_version: state.service(service)?.spec_version,
            slot: Slot::Replica((n / services) as u64 + 1),
            node: None,
            desired: TaskState::Running,
            error: Arc::default(),
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        }))
    };
    (0..shape.tasks).filter_map(task).collect()
}
