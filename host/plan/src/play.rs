//! The leader's loops on a copy of the state, until nothing is left to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_allocator::{Addresses, Allocator};
use swarmw_model::{
    Duration, NodeId, NodeState, ServiceId, ServiceSpec, Task, TaskId, TaskSpec, TaskState,
    TaskStatus, Time,
};
use swarmw_orchestrator::{Claims, Fits, Orchestrator, UpdatePolicies};
use swarmw_scheduler::{Policies, Scheduler, Supply};
use swarmw_state::{Change, Event, State, TaskChange, Transaction};

use crate::Asked;

/// Rounds that are played at most: a rolling update of some thousand tasks, one by one.
const ROUNDS_MAX: usize = 10_000;
/// Time that may pass at most.
const HORIZON: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A copy of the cluster when all is done.
pub(crate) struct Played {
    pub(crate) state: State,
    /// Until the last thing happened.
    pub(crate) took: Duration,
    /// Whether nothing was left to do.
    pub(crate) is_settled: bool,
}

struct Play<'a> {
    state: State,
    now: Time,
    placement: &'a mut dyn Policies,
    updates: &'a mut dyn UpdatePolicies,
    random: &'a mut dyn FnMut() -> u128,
    orchestrator: Orchestrator,
    scheduler: Scheduler,
    claims: Claims,
    allocator: Allocator,
    /// Tasks whose nodes may have something to do.
    open: BTreeSet<TaskId>,
}

/// What a round came to.
struct Round {
    happened: bool,
    wake_at: Option<Time>,
}

/// Plays until nothing happens any more.
pub(crate) fn play<'a>(
    state: State,
    begun: Time,
    asked: Asked<'a>,
    random: &'a mut dyn FnMut() -> u128,
) -> Played {
    let open = |task: &&Arc<Task>| !task.status.state.is_terminal();
    let mut play = Play {
        now: begun,
        placement: asked.placement,
        updates: asked.updates,
        random,
        orchestrator: Orchestrator::new(&state, begun),
        scheduler: Scheduler::new(&state),
        claims: Claims::default(),
        allocator: Allocator::new(),
        open: state.tasks().filter(open).map(|task| task.id).collect(),
        state,
    };
    let (mut last, mut is_settled) = (begun, false);
    for _ in 0..ROUNDS_MAX {
        let round = play.round();
        if round.happened {
            last = play.now;
            continue;
        }
        // Whoever wants to be woken at a time that has come would want so for ever.
        let next = round.wake_at.filter(|at| *at > play.now);
        match next {
            Some(at) if at.since(begun) <= HORIZON => play.now = at,
            Some(_) => break,
            None => {
                is_settled = true;
                break;
            }
        }
    }
    Played { state: play.state, took: last.since(begun), is_settled }
}

// === impl Play ===

impl Play<'_> {
    /// A tick of the leader's, and what nodes do then.
    fn round(&mut self) -> Round {
        let (changes, wake_at) = self.tick();
        let decided = self.apply(changes);
        let done = self.nodes();
        let reported = self.apply(done);
        Round { happened: decided || reported, wake_at }
    }

    /// The same steps in the same order as the leader's (`manager/src/lead.rs`).
    fn tick(&mut self) -> (Vec<Change>, Option<Time>) {
        let (state, now) = (&self.state, self.now);
        let mut addresses = self.allocator.addresses(state, now);
        let (mut changes, _) = self.allocator.services(&mut addresses);
        let mut fits = Judge { scheduler: &mut self.scheduler, policies: &mut *self.placement };
        let random = &mut *self.random;
        let decided =
            self.orchestrator.tick(state, now, &mut fits, &mut *self.updates, &mut || {
                TaskId::from_bits(random())
            });
        changes.extend(decided.changes);
        let claimed = self.claims.tick(state, now);
        changes.extend(claimed.changes);
        let mut supply = Supplied { allocator: &self.allocator, addresses: &mut addresses };
        let policies = &mut *self.placement;
        self.scheduler.schedule_with(state, &mut changes, now, policies, &mut supply);
        let taken_back = self.allocator.tasks(&mut addresses, &mut changes, now);
        taken_back.told_before.into_iter().for_each(|task| self.scheduler.stays_waiting(task));
        if taken_back.any {
            self.scheduler.try_again();
        }
        changes.splice(0..0, addresses.growth());
        (changes, decided.wake_at.into_iter().chain(claimed.wake_at).min())
    }

    /// Whether anything came of it.
    fn apply(&mut self, changes: Vec<Change>) -> bool {
        let mut happened = false;
        for part in Transaction::cut(self.now, changes) {
            let applied = self.state.apply(self.state.index() + 1, &part);
            happened |= !applied.events.is_empty();
            for event in &applied.events {
                if let Event::Task { new: Some(task), .. } = event {
                    self.open.insert(task.id);
                }
                self.allocator.observe(event);
                self.orchestrator.observe(event);
                self.scheduler.observe(event);
            }
        }
        happened
    }

    /// What nodes report: they do at once what they are told.
    fn nodes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for id in std::mem::take(&mut self.open) {
            let Some(state) = self.state.task(id).and_then(|task| self.next_of(task)) else {
                continue;
            };
            let status = TaskStatus { timestamp: self.now, state, ..TaskStatus::default() };
            changes.push(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(id) }));
        }
        changes
    }

    fn next_of(&self, task: &Task) -> Option<TaskState> {
        let node = self.state.node(task.node_id?)?;
        let (is, wanted) = (task.status.state, task.desired_state);
        if node.status.state != NodeState::Ready || is.is_terminal() || is < TaskState::Assigned {
            return None;
        }
        let next = match wanted {
            // A job's task is where it is wanted; when it ends nobody can say.
            TaskState::Running | TaskState::Complete => TaskState::Running,
            wanted if wanted > TaskState::Complete => TaskState::Shutdown,
            TaskState::Ready => TaskState::Ready,
            _ => return None,
        };
        (is < next).then_some(next)
    }
}

/// The scheduler, asked whether a node satisfies a service's constraints.
struct Judge<'a> {
    scheduler: &'a mut Scheduler,
    policies: &'a mut dyn Policies,
}

impl Fits for Judge<'_> {
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool {
        // As the leader has it: running tasks stay where a plugin that fails left them.
        self.scheduler.satisfies(state, spec, node, self.policies).unwrap_or(true)
    }
}

/// How many tasks there are addresses for.
struct Supplied<'a, 'b> {
    allocator: &'a Allocator,
    addresses: &'a mut Addresses<'b>,
}

impl Supply for Supplied<'_, '_> {
    fn enough(
        &mut self,
        service: ServiceId,
        spec: &TaskSpec,
        wanted: usize,
    ) -> Result<(), (usize, Arc<str>)> {
        self.allocator.enough(self.addresses, service, spec, wanted)
    }
}
