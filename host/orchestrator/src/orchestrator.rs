//! What the leader remembers between ticks, and one tick.

use std::collections::BTreeSet;

use swarmw_model::{NodeId, ServiceId, ServiceSpec, TaskId, Time};
use swarmw_state::{Change, Event, State};

use crate::UpdatePolicies;
use crate::reap;
use crate::reconcile::Reconcile;

/// Answers whether a node satisfies a service's constraints.
pub trait Fits {
    /// Constraints and platforms alone; resources are the scheduler's business.
    fn satisfies(&mut self, state: &State, spec: &ServiceSpec, node: NodeId) -> bool;
}

/// What a tick wants.
#[derive(Debug, Default)]
pub struct Decisions {
    /// In order; each stands for itself.
    pub changes: Vec<Change>,
    /// When something is due next.
    pub wake_at: Option<Time>,
}

/// The leader's orchestrator.
#[derive(Debug)]
pub struct Orchestrator {
    dirty: BTreeSet<ServiceId>,
    /// Services for which something is due at a time.
    due: BTreeSet<(Time, ServiceId)>,
}

// === impl Orchestrator ===

impl Orchestrator {
    /// A new leader's: it looks at everything once.
    pub fn new(state: &State, _now: Time) -> Self {
        let services = state.services().map(|s| s.id);
        Self { dirty: services.chain(state.services_with_tasks()).collect(), due: BTreeSet::new() }
    }

    /// Notes what may have changed.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Service { old, new } => {
                self.dirty.extend(old.iter().chain(new).map(|s| s.id));
            }
            Event::Task { old, new } => {
                self.dirty.extend(old.iter().chain(new).map(|t| t.service_id));
            }
            Event::Node { .. } => {
                self.dirty.insert(ServiceId::from_bits(ALL));
            }
            Event::Cluster | Event::Plugin { .. } => {}
        }
    }

    /// Decides for all services that may need it.
    pub fn tick(
        &mut self,
        state: &State,
        now: Time,
        fits: &mut dyn Fits,
        _policies: &mut dyn UpdatePolicies,
        ids: &mut dyn FnMut() -> TaskId,
    ) -> Decisions {
        while let Some((at, service)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, service));
            self.dirty.insert(service);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        if dirty.remove(&ServiceId::from_bits(ALL)) {
            dirty.extend(state.services().map(|s| s.id));
        }
        let mut decisions = Decisions::default();
        for id in dirty {
            let mut reconcile =
                Reconcile { state, now, fits, ids, changes: &mut decisions.changes, due: None };
            reconcile.service(id);
            if let Some(at) = reconcile.due {
                self.due.insert((at, id));
            }
            reap::service(state, id, &mut decisions.changes);
        }
        decisions.wake_at = self.due.first().map(|(at, _)| *at);
        decisions
    }
}

/// Stands for every service: a node has changed.
const ALL: u128 = 0;
