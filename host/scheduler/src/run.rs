//! One group of tasks on its way through a pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::failures::MANY;
use crate::hash::FastMap;
use crate::table::{Row, Table};
use crate::usage::{Counts, Usage};

/// The tasks of one service and spec version, alike but for their slots.
#[derive(Default)]
pub(crate) struct Run {
    /// Place of its group among those of the pass.
    pub(crate) group: usize,
    /// Place of its class among those of the batch.
    pub(crate) class: usize,
    /// Tasks still to be placed.
    pub(crate) left: u32,
    /// Active tasks of its service, those of this pass included as far as
    /// [`Run::settle`] has counted them.
    pub(crate) counts: Counts,
    /// How many of `placed` are in `counts`.
    pub(crate) settled: usize,
    /// Recent failures of its version.
    pub(crate) failures: FastMap<Row, u32>,
    /// A row per task placed, in order.
    pub(crate) placed: Vec<Row>,
    /// Why preferences took no more: reason and number of nodes.
    pub(crate) refusals: Vec<(String, usize)>,
    /// Per leaf: the rows that rank by more than their total, once they are needed.
    /// Made anew each time the run's leaves are filled, as other runs move the totals.
    pub(crate) marked: Option<FastMap<u32, OwnQueue>>,
}

/// Rows by [`Run::key`], the best first.
pub(crate) type OwnQueue = BinaryHeap<Reverse<u128>>;

// === impl Run ===

impl Run {
    /// The rows that rank by more than their total of tasks: those with tasks of the
    /// service, and those where its tasks keep failing.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Row> {
        let failing = self.failures.iter().filter(|(_, n)| **n >= MANY).map(|(row, _)| row);
        self.counts.keys().chain(&self.placed[self.settled..]).chain(failing).copied()
    }

    /// Counts the tasks placed since it was last done: most runs never need to know.
    pub(crate) fn settle(&mut self) {
        for row in &self.placed[self.settled..] {
            *self.counts.entry(*row).or_default() += 1;
        }
        self.settled = self.placed.len();
    }

    /// How many tasks the service has on a row.
    pub(crate) fn count(&mut self, row: Row) -> u32 {
        self.settle();
        self.counts.get(&row).copied().unwrap_or(0)
    }

    /// Failures as they rank: few count as none.
    fn rank_of_failures(&self, row: Row) -> u32 {
        self.failures.get(&row).copied().filter(|n| *n >= MANY).unwrap_or(0)
    }

    /// The row's rank for the next task, less is better: failures where they are
    /// many, tasks of the service, tasks in all, order of node ids. Valid after
    /// [`Run::settle`].
    pub(crate) fn key(&self, row: Row, table: &Table, usage: &Usage) -> u128 {
        let count = self.counts.get(&row).copied().unwrap_or(0);
        u128::from(self.rank_of_failures(row)) << 96
            | u128::from(count) << 64
            | u128::from(usage.active[row as usize]) << 32
            | u128::from(table.rank(row))
    }

    /// Notes a placement and says how many tasks the service has on the row now.
    pub(crate) fn place(&mut self, row: Row) -> u32 {
        self.placed.push(row);
        self.count(row)
    }
}
