//! The leader's loop: events in, one tick, transactions out, and again.
//!
//! A tick runs reconcile → allocate → schedule on a clone of the state, so a
//! service goes from its spec to assigned tasks in one step. At most one tick is
//! in flight; API writes pipeline beside it. Nothing here polls: a tick follows
//! an event or a time that the last tick named.

use std::sync::Arc;
use std::time::Duration;

use swarmw_allocator::{Addresses, Allocator};
use swarmw_ambient::Ambient;
use swarmw_model::{FEATURE_LEVEL, ServiceId, TaskId, TaskSpec, Time};
use swarmw_orchestrator::{Claims, Orchestrator, Query};
use swarmw_plugin_host::PluginHost;
use swarmw_raft::Received;
use swarmw_scheduler::{Consequence, Policies as _, Scheduler, Supply};
use swarmw_state::{Change, Event, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::observe::{Observer, Queries};
use crate::plugins::Told;
use crate::policies::SchedulerFits;
use crate::propose::Proposer;

/// After a tick that panicked, before the loops start over.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Tasks that wait for a constraint plugin that failed are tried again after this
/// time; no event need come before.
const BROKEN_POLICY_RETRY: swarmw_model::Duration = swarmw_model::Duration::from_secs(5);

/// What the loops remember while this manager leads.
struct Loops {
    orchestrator: Orchestrator,
    scheduler: Scheduler,
    claims: Claims,
    allocator: Allocator,
    policies: PluginHost,
    ambient: Ambient,
    told: Told,
    /// Why tasks got no address on the ingress network, as it was told last.
    off_mesh: Option<Arc<str>>,
    /// Of the plugins that the last tick was decided by.
    generation: Option<u64>,
}

/// What a tick wants.
#[derive(Default)]
struct Tick {
    changes: Vec<Change>,
    wake_at: Option<Time>,
    queries: Vec<Query>,
}

/// Leads until cancelled or until the leadership is lost.
pub(crate) async fn lead(
    log: Proposer,
    policies: PluginHost,
    mut loaded: watch::Receiver<()>,
    observer: Observer,
    cancel: CancellationToken,
) {
    let raft = &log.raft;
    let mut events = raft.subscribe();
    let mut queries = Queries::new(observer);
    let mut loops = Loops::new(&raft.state(), policies.clone(), log.ambient.clone());
    loop {
        let state = raft.state();
        let ticked = tokio::task::spawn_blocking(move || {
            let tick = loops.tick(&state);
            (loops, tick)
        });
        let tick;
        (loops, tick) = match ticked.await {
            Ok(done) => done,
            Err(panic) => {
                error!(%panic, "a tick of the leader panicked; its loops start over");
                tokio::time::sleep(PAUSE_AFTER_PANIC).await;
                let loops = Loops::new(&raft.state(), policies.clone(), log.ambient.clone());
                (loops, Tick::default())
            }
        };
        tick.queries.into_iter().for_each(|query| queries.ask(query));
        let busy = !tick.changes.is_empty();
        if busy && let Err(why) = log.decide(tick.changes).await {
            debug!(%why, "leadership lost while a tick was in flight");
            return;
        }
        if !busy {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = log.until(tick.wake_at) => {}
                // The log names a plugin before it is compiled and serves.
                changed = loaded.changed() => match changed {
                    Ok(()) => loops.orchestrator.policies_changed(),
                    Err(_) => return,
                },
                (query, told) = queries.next() => {
                    loops.orchestrator.answered(&query, log.now(), told);
                }
                received = events.next() => match received {
                    Some(received) => loops.take(received, &raft.state()),
                    None => return,
                },
            }
        }
        while let Some(received) = events.try_next() {
            loops.take(received, &raft.state());
        }
        if cancel.is_cancelled() {
            return;
        }
    }
}

// === impl Loops ===

impl Loops {
    fn new(state: &State, policies: PluginHost, ambient: Ambient) -> Self {
        Self {
            orchestrator: Orchestrator::new(state, ambient.now()),
            scheduler: Scheduler::new(state),
            claims: Claims::default(),
            told: Told::default(),
            off_mesh: None,
            allocator: Allocator::new(),
            policies,
            ambient,
            generation: None,
        }
    }

    fn take(&mut self, received: Received, state: &State) {
        match received {
            Received::Batch(batch) => batch.events.iter().for_each(|event| self.observe(event)),
            Received::Lagged => {
                *self = Self::new(state, self.policies.clone(), self.ambient.clone());
            }
        }
    }

    fn observe(&mut self, event: &Event) {
        self.allocator.observe(event);
        self.orchestrator.observe(event);
        self.scheduler.observe(event);
    }

    fn tick(&mut self, state: &State) -> Tick {
        let now = self.ambient.now();
        // One tick is decided by one set of releases, whatever comes meanwhile.
        let mut policies = self.policies.pin();
        let generation = Some(policies.generation());
        if self.generation != generation && self.generation.is_some() {
            self.orchestrator.policies_changed();
        }
        self.generation = generation;
        let mut addresses = self.allocator.addresses(state, now);
        let (mut changes, exhausted) = self.allocator.services(&mut addresses);
        for failure in exhausted {
            warn!(service = %failure.service, reason = %failure.reason, "a service lacks something");
        }
        changes.extend(next_feature_level(state).map(Change::RaiseFeatureLevel));
        let mut fits = SchedulerFits { scheduler: &mut self.scheduler, policies: policies.clone() };
        let mut chance = self.ambient.chance();
        let decided =
            self.orchestrator.tick(state, now, &mut fits, &mut policies.clone(), &mut || {
                TaskId::random(&mut chance)
            });
        changes.extend(decided.changes);
        let mut wake_at = decided.wake_at;
        let claimed = self.claims.tick(state, now);
        changes.extend(claimed.changes);
        if let Some(at) = claimed.wake_at {
            wake_at = Some(wake_at.map_or(at, |sooner| sooner.min(at)));
        }
        let mut supply = Supplied { allocator: &self.allocator, addresses: &mut addresses };
        let pass =
            self.scheduler.schedule_with(state, &mut changes, now, &mut policies, &mut supply);
        for trouble in pass.events {
            let (service, consequence) = (trouble.service, trouble.consequence);
            if !trouble.failure.is_soon()
                && let Some(held_back) = self.told.tell(&trouble.failure, now)
            {
                let failure = &trouble.failure;
                warn!(%service, %failure, ?consequence, held_back, "a placement plugin failed");
            }
            if consequence == Consequence::Waits {
                let again = now + BROKEN_POLICY_RETRY;
                wake_at = Some(wake_at.map_or(again, |at| at.min(again)));
            }
        }
        let taken_back = self.allocator.tasks(&mut addresses, &mut changes, now);
        taken_back.told_before.into_iter().for_each(|task| self.scheduler.stays_waiting(task));
        if let Some(reason) = taken_back.off_mesh
            && self.off_mesh.as_ref() != Some(&reason)
        {
            warn!(
                %reason,
                "tasks get no address on the ingress network: their ports are served in user \
                 space, where clients' addresses are lost, until they are replaced while one is \
                 free"
            );
            self.off_mesh = Some(reason);
        }
        if taken_back.any {
            // What they took of their nodes in the pass may be what others wait for.
            self.scheduler.try_again();
        }
        // What is given of new subnets comes after them.
        changes.splice(0..0, addresses.growth());
        Tick { changes, wake_at, queries: decided.queries }
    }
}

/// Tells a pass how many tasks there are addresses for.
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

/// The feature level that every manager can do, where it is higher than the cluster's.
fn next_feature_level(state: &State) -> Option<u32> {
    let present = state.cluster()?.feature_level;
    if present >= FEATURE_LEVEL {
        return None;
    }
    // One that was admitted and never came has no seat; a seat asks for the level.
    let managers = state.nodes().filter(|node| node.member.is_some());
    let level = managers.map(|node| node.description.feature_level).min()?.min(FEATURE_LEVEL);
    (level > present).then_some(level)
}

#[cfg(test)]
mod tests {
    use swarmw_model::{NodeDescription, NodeId, NodeRole, RaftMember};
    use swarmw_state::Transaction;

    use super::*;
    use crate::authority::new_node;
    use crate::found::tests::founded;

    /// A cluster of this level whose nodes say these: managers and one worker.
    fn state(level: u32, managers: &[u32], worker: u32) -> State {
        let mut founded = founded();
        founded.cluster.feature_level = level;
        let node = |(n, (role, level)): (usize, (NodeRole, u32))| {
            let id = NodeId::from_bits(n as u128 + 1);
            let mut node = new_node(id, role, Default::default());
            node.description = NodeDescription { feature_level: level, ..Default::default() };
            let raft_id = n as u64 + 1;
            node.member = (role == NodeRole::Manager)
                .then(|| RaftMember { raft_id, addr: format!("m{raft_id}:2377") });
            node
        };
        let all = managers.iter().map(|level| (NodeRole::Manager, *level));
        let mut nodes = all.chain([(NodeRole::Worker, worker)]).enumerate().map(node);
        let first = Change::InitCluster {
            cluster: Box::new(founded.cluster),
            node: Box::new(nodes.next().expect("one")),
            plugins: Vec::new(),
        };
        let others = nodes.map(|node| Change::AddNode(Box::new(node)));
        let changes = [first].into_iter().chain(others).collect();
        let mut state = State::default();
        state.apply(1, &Transaction { at: Time::ZERO, request: None, changes });
        state
    }

    #[test]
    fn the_feature_level_follows_the_manager_that_can_least() {
        for (level, managers, worker, want) in [
            (1, &[2, 2][..], 0, Some(2)),
            (1, &[2, 1], 2, None),
            (1, &[2, 0], 2, None),
            (2, &[2, 2], 2, None),
            // One that is newer does not know what comes after us.
            (1, &[9, 9], 2, Some(FEATURE_LEVEL)),
            (0, &[1], 2, Some(1)),
        ] {
            let next = next_feature_level(&state(level, managers, worker));
            assert_eq!(next, want, "{level} {managers:?} {worker}");
        }
    }

    #[test]
    fn a_manager_that_was_admitted_and_never_came_keeps_nobody_waiting() {
        let mut state = state(1, &[2], 2);
        let absent = NodeId::from_bits(9);
        let node = Box::new(new_node(absent, NodeRole::Manager, Default::default()));
        let changes = vec![Change::AddNode(node)];
        state.apply(2, &Transaction { at: Time::ZERO, request: None, changes });
        assert_eq!(next_feature_level(&state), Some(2));
        let why = state.needs_networks().expect_err("not yet").message;
        assert!(why.ends_with("it is about to begin, try again"), "{why}");
        // One that has a seat and has not said its name is told by its id.
        let member = Some(RaftMember { raft_id: 9, addr: "m9:2377".into() });
        let changes = vec![Change::SetNodeRole { id: absent, role: NodeRole::Manager, member }];
        state.apply(3, &Transaction { at: Time::ZERO, request: None, changes });
        assert_eq!(next_feature_level(&state), None);
        let why = state.needs_networks().expect_err("not yet").message;
        assert!(why.ends_with(&format!("these run an older one: {absent}")), "{why}");
    }
}
