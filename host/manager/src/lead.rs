//! The leader's loop: events in, one tick, transactions out, and again.
//!
//! A tick runs reconcile → allocate → schedule on a clone of the state, so a
//! service goes from its spec to assigned tasks in one step. At most one tick is
//! in flight; API writes pipeline beside it. Nothing here polls: a tick follows
//! an event or a time that the last tick named.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use swarmw_allocator::allocate;
use swarmw_model::{ServiceId, TaskId, Time};
use swarmw_orchestrator::{Orchestrator, Query};
use swarmw_plugin_host::PluginHost;
use swarmw_raft::{Raft, Received};
use swarmw_scheduler::{Consequence, Scheduler};
use swarmw_state::{Change, Event, State, Transaction};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::clock::now;
use crate::observe::{Observer, Queries};
use crate::policies::SchedulerFits;

/// After a tick that panicked, before the loops start over.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Tasks that wait for a constraint plugin that failed are tried again after this
/// time; no event need come before.
const BROKEN_POLICY_RETRY: swarmw_model::Duration = swarmw_model::Duration::from_secs(5);

/// What the loops remember while this manager leads.
struct Loops {
    orchestrator: Orchestrator,
    scheduler: Scheduler,
    endpoints: BTreeSet<ServiceId>,
    policies: PluginHost,
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
    raft: Raft,
    policies: PluginHost,
    observer: Observer,
    cancel: CancellationToken,
) {
    let mut events = raft.subscribe();
    let mut queries = Queries::new(observer);
    let mut loops = Loops::new(&raft.state(), policies.clone());
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
                (Loops::new(&raft.state(), policies.clone()), Tick::default())
            }
        };
        tick.queries.into_iter().for_each(|query| queries.ask(query));
        let busy = !tick.changes.is_empty();
        if busy && !commit(&raft, tick.changes).await {
            debug!("leadership lost while a tick was in flight");
            return;
        }
        if !busy {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep_until(tick.wake_at) => {}
                (query, told) = queries.next() => {
                    loops.orchestrator.answered(&query, now(), told);
                }
                received = events.next() => match received {
                    Some(received) => loops.take(received, &raft),
                    None => return,
                },
            }
        }
        while let Some(received) = events.try_next() {
            loops.take(received, &raft);
        }
        if cancel.is_cancelled() {
            return;
        }
    }
}

/// Proposes a tick's changes, all parts at once, and waits for every outcome.
/// `false` when this manager no longer leads.
async fn commit(raft: &Raft, changes: Vec<Change>) -> bool {
    let parts = Transaction::cut(now(), changes);
    join_all(parts.into_iter().map(|part| raft.propose(part))).await.iter().all(|outcome| {
        if let Err(why) = outcome {
            warn!(%why, "a tick's transaction was not accepted");
        }
        outcome.is_ok()
    })
}

async fn sleep_until(at: Option<Time>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(now()).to_std()).await,
        None => std::future::pending().await,
    }
}

// === impl Loops ===

impl Loops {
    fn new(state: &State, policies: PluginHost) -> Self {
        Self {
            orchestrator: Orchestrator::new(state, now()),
            scheduler: Scheduler::new(state),
            endpoints: state.services().map(|s| s.id).collect(),
            policies,
        }
    }

    fn take(&mut self, received: Received, raft: &Raft) {
        match received {
            Received::Batch(batch) => batch.events.iter().for_each(|event| self.observe(event)),
            Received::Lagged => *self = Self::new(&raft.state(), self.policies.clone()),
        }
    }

    fn observe(&mut self, event: &Event) {
        if let Event::Service { new: Some(service), .. } = event {
            self.endpoints.insert(service.id);
        }
        self.orchestrator.observe(event);
        self.scheduler.observe(event);
    }

    fn tick(&mut self, state: &State) -> Tick {
        let now = now();
        let dirty = std::mem::take(&mut self.endpoints);
        let (mut changes, exhausted) = allocate(state, &dirty);
        for failure in exhausted {
            warn!(service = %failure.service, reason = %failure.reason, "no port to publish on");
        }
        let mut fits =
            SchedulerFits { scheduler: &mut self.scheduler, policies: self.policies.clone() };
        let mut rng = rand::rng();
        let decided =
            self.orchestrator.tick(state, now, &mut fits, &mut self.policies.clone(), &mut || {
                TaskId::random(&mut rng)
            });
        changes.extend(decided.changes);
        let mut wake_at = decided.wake_at;
        for trouble in self.scheduler.schedule(state, &mut changes, now, &mut self.policies).events
        {
            let (service, consequence) = (trouble.service, trouble.consequence);
            warn!(%service, failure = %trouble.failure, ?consequence, "a placement plugin failed");
            if consequence == Consequence::Waits {
                let again = now + BROKEN_POLICY_RETRY;
                wake_at = Some(wake_at.map_or(again, |at| at.min(again)));
            }
        }
        Tick { changes, wake_at, queries: decided.queries }
    }
}
