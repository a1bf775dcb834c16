//! Which nodes a service's tasks failed on lately. Kept by the leader alone, and
//! forgotten with it, as Swarm does.

use std::collections::VecDeque;

use swarmw_model::{Duration, ServiceId, Task, TaskState, Time, Version};

use crate::hash::FastMap;
use crate::table::Row;

/// How long a failure counts.
const RECENT: Duration = Duration::from_secs(5 * 60);
/// From this many recent failures on, a node is used only where no better is left.
pub(crate) const MANY: u32 = 5;
/// Failures kept per node and service: the latest.
const KEPT: usize = 64;

/// Recent failures by service. A newer spec version starts clean.
#[derive(Default)]
pub(crate) struct Failures {
    of: FastMap<ServiceId, (Version, FastMap<Row, VecDeque<Time>>)>,
}

// === impl Failures ===

impl Failures {
    /// Notes that a task went from `old` to `new`, where that is a failure. Tasks
    /// of global services have nowhere else to go and are not counted.
    pub(crate) fn note(&mut self, row: Row, old: &Task, new: &Task) {
        let failed = |t: &Task| matches!(t.status.state, TaskState::Failed | TaskState::Rejected);
        if failed(old) || !failed(new) || new.slot == 0 {
            return;
        }
        let (version, rows) = self.of.entry(new.service_id).or_default();
        if *version > new.spec_version {
            return;
        }
        if *version < new.spec_version {
            *version = new.spec_version;
            rows.clear();
        }
        let times = rows.entry(row).or_default();
        if times.len() == KEPT {
            times.pop_front();
        }
        times.push_back(new.updated_at);
    }

    /// Recent failures of a service's version per row. Old ones are forgotten.
    pub(crate) fn recent(
        &mut self,
        service: ServiceId,
        version: Version,
        now: Time,
    ) -> FastMap<Row, u32> {
        let Some((seen, rows)) = self.of.get_mut(&service) else {
            return FastMap::default();
        };
        rows.retain(|_, times| {
            while times.front().is_some_and(|at| now.since(*at) > RECENT) {
                times.pop_front();
            }
            !times.is_empty()
        });
        if *seen != version {
            return FastMap::default();
        }
        let recent: FastMap<_, _> =
            rows.iter().map(|(row, times)| (*row, times.len() as u32)).collect();
        if recent.is_empty() {
            self.of.remove(&service);
        }
        recent
    }

    /// A service is gone.
    pub(crate) fn forget_service(&mut self, service: ServiceId) {
        self.of.remove(&service);
    }

    /// A row is no node's any more.
    pub(crate) fn forget_row(&mut self, row: Row) {
        for (_, rows) in self.of.values_mut() {
            rows.remove(&row);
        }
    }
}
