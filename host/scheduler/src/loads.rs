//! The rows of [`crate::Questions::extra`]: what a preference asked to know of its
//! bins beyond the fixed columns.

use swarmw_state::State;

use crate::Scheduler;
use crate::class::Class;
use crate::table::Row;
use crate::tree::Tree;

/// What the loads of one question are computed from.
pub(crate) struct Loads<'a> {
    pub(crate) class: &'a Class,
    pub(crate) tree: &'a Tree,
    pub(crate) scheduler: &'a Scheduler,
    pub(crate) state: &'a State,
    /// Per branch: active tasks of the run's service.
    pub(crate) of_service: &'a [u64],
}

// === impl Loads ===

impl Loads<'_> {
    /// One value per branch; what the grammar does not know is 0 everywhere.
    pub(crate) fn per_branch(&self, load: &str, bins: &[u32]) -> Vec<f64> {
        let usage = &self.scheduler.usage;
        if load == "skew.total" {
            return self.skew(bins);
        }
        let sums = match load {
            "node.free.cpu" => self.of_eligible(&usage.free_cpu),
            "node.free.memory" => self.of_eligible(&usage.free_memory),
            _ => {
                if let Some(name) =
                    load.strip_prefix("service.").and_then(|l| l.strip_suffix(".tasks"))
                {
                    let id = self.state.service_named(name).map(|s| s.id);
                    self.of_services(id.into_iter())
                } else if let Some((key, value)) =
                    load.strip_prefix("tasks.label.").and_then(|l| l.split_once('='))
                {
                    let has = |s: &&std::sync::Arc<swarmw_model::Service>| {
                        s.spec.labels.get(key).is_some_and(|v| v == value)
                    };
                    self.of_services(self.state.services().filter(has).map(|s| s.id))
                } else if let Some(kind) = load.strip_prefix("node.free.") {
                    let free = |row: Row| (row, usage.free_of(row, kind).max(0) as u64);
                    self.tree.sum(self.class.rows().map(free))
                } else {
                    vec![0; self.tree.branches.len()]
                }
            }
        };
        sums.into_iter().map(|n| n as f64).collect()
    }

    fn of_eligible(&self, free: &[i64]) -> Vec<u64> {
        let value = |row: Row| (row, free[row as usize].max(0) as u64);
        self.tree.sum(self.class.rows().map(value))
    }

    fn of_services(&self, services: impl Iterator<Item = swarmw_model::ServiceId>) -> Vec<u64> {
        let usage = &self.scheduler.usage;
        let counts = services.filter_map(|id| usage.of_settled(id));
        self.tree.sum(counts.flatten().map(|(row, n)| (*row, u64::from(*n))))
    }

    /// Tasks of the service less the least of the branches that have no eligible
    /// node and so cannot catch up.
    fn skew(&self, bins: &[u32]) -> Vec<f64> {
        let stuck = bins
            .iter()
            .filter(|bin| self.class.eligible[**bin as usize] == 0)
            .map(|bin| self.of_service[*bin as usize])
            .min();
        let skew = |n: &u64| stuck.map_or(f64::NEG_INFINITY, |least| *n as f64 - least as f64);
        self.of_service.iter().map(skew).collect()
    }
}
