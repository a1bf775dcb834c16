//! Tasks of equal needs, constraints and preferences are one class: they share a
//! mask, the rooms of the branches and the nodes to choose from, whatever their service.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;

use fixedbitset::FixedBitSet;

use crate::explain::Filters;
use crate::failures::MANY;
use crate::hash::FastMap;
use crate::levels::{Balance, Candidates};
use crate::need::Need;
use crate::run::{OwnQueue, Run};
use crate::table::Row;
use crate::tree::Tree;
use crate::usage::Usage;

/// What a class of tasks shares within a pass.
pub(crate) struct Class {
    pub(crate) filters: Filters,
    /// Place of its tree among those of the batch.
    pub(crate) tree: usize,
    /// Rows that pass the static filters.
    pub(crate) mask: FixedBitSet,
    /// Per branch: how many more tasks fit, as of the last recount.
    pub(crate) room: Vec<u64>,
    /// Per branch: rows of the mask in it.
    pub(crate) eligible: Vec<u32>,
    /// Per branch, once the first task goes to a leaf: rows of the mask that have room.
    candidates: Vec<Candidates>,
    /// Why nothing fits any more, once it has been found out.
    pub(crate) explained: Option<std::sync::Arc<str>>,
}

// === impl Class ===

impl Class {
    pub(crate) fn new(filters: Filters, mask: FixedBitSet, tree: usize) -> Self {
        Self {
            filters,
            tree,
            mask,
            room: Vec::new(),
            eligible: Vec::new(),
            candidates: Vec::new(),
            explained: None,
        }
    }

    /// Rows of the mask.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.mask.ones().map(|row| row as Row)
    }

    /// Counts anew how many more tasks fit in each branch, of a service that has
    /// none yet.
    pub(crate) fn recount(&mut self, tree: &Tree, usage: &Usage) {
        let need = &self.filters.need;
        if self.eligible.is_empty() {
            let ones = self.rows().map(|row| (row, 1));
            self.eligible = tree.sum(ones).into_iter().map(crate::tree::clamp).collect();
        }
        self.room = if need.is_boundless() {
            let any = |nodes: &u32| if *nodes > 0 { u64::MAX } else { 0 };
            self.eligible.iter().map(any).collect()
        } else {
            let room = |row| (row, u64::from(need.room(usage, row, 0)));
            tree.sum(self.rows().map(room))
        };
    }

    /// How many more tasks of the run's service fit in each branch: less than the
    /// class's room where the service has tasks already and a limit per node.
    pub(crate) fn room_for(&self, run: &Run, tree: &Tree, usage: &Usage) -> Option<Vec<u64>> {
        let need = &self.filters.need;
        if need.max_replicas == 0 || run.counts.is_empty() {
            return None;
        }
        let mut room = self.room.clone();
        for (row, count) in &run.counts {
            if self.mask.contains(*row as usize) {
                let less = need.room(usage, *row, 0) - need.room(usage, *row, *count);
                for branch in tree.path(*row) {
                    room[branch] = room[branch].saturating_sub(u64::from(less));
                }
            }
        }
        Some(room)
    }

    /// Places up to `want` tasks of the run in a leaf, each on the best node of the
    /// moment, and says how many found one.
    ///
    /// A node without a mark ranks before every one that has one, so those go first,
    /// by their totals.
    pub(crate) fn fill(
        &mut self,
        leaf: u32,
        want: u32,
        run: &mut Run,
        tree: &Tree,
        balance: &mut Balance<'_>,
    ) -> u32 {
        self.open_leaves(tree, balance);
        let placed = self.fill_unmarked(leaf, want, run, balance);
        if placed == want {
            return placed;
        }
        let mut queues = match run.marked.take() {
            Some(queues) => queues,
            None => self.marked_queues(run, tree, balance),
        };
        let more = match queues.get_mut(&leaf) {
            Some(queue) => self.fill_marked(queue, want - placed, run, balance),
            None => 0,
        };
        run.marked = Some(queues);
        placed + more
    }

    fn fill_unmarked(
        &mut self,
        leaf: u32,
        want: u32,
        run: &mut Run,
        balance: &mut Balance<'_>,
    ) -> u32 {
        let candidates = &mut self.candidates[leaf as usize];
        let need = &self.filters.need;
        let (mut placed, mut from) = (0, 0);
        while placed < want {
            let left = (want - placed) as usize;
            let Balance { table, usage, levels, marks, taken } = balance;
            let is_full = |rank| {
                let row = table.at_rank(rank);
                !need.has_resources(usage, row) || !need.has_ports(usage, row)
            };
            let total = match need.is_boundless() {
                true => levels.take(from, left, candidates, marks, |_| false, taken),
                false => levels.take(from, left, candidates, marks, is_full, taken),
            };
            let Some(total) = total else {
                break;
            };
            for rank in taken.iter() {
                let row = table.at_rank(*rank);
                usage.place(row, need);
                run.placed.push(row);
                marks.insert(*rank as usize);
            }
            if run.marked.is_some() {
                queue_taken(leaf, need, run, balance);
            }
            balance.levels.raise(total, balance.taken);
            placed += balance.taken.len() as u32;
            from = total + 1;
        }
        placed
    }

    fn fill_marked(
        &self,
        queue: &mut OwnQueue,
        want: u32,
        run: &mut Run,
        balance: &mut Balance<'_>,
    ) -> u32 {
        let need = &self.filters.need;
        let Balance { table, usage, levels, .. } = balance;
        let mut placed = 0;
        while placed < want {
            let Some(mut head) = queue.peek_mut() else {
                break;
            };
            let rank = head.0 as u32;
            let row = table.at_rank(rank);
            levels.raise(usage.active[row as usize], &[rank]);
            usage.place(row, need);
            let count = run.place(row);
            placed += 1;
            if need.has_room(usage, row, count) {
                *head = Reverse(run.key(row, table, usage));
            } else {
                PeekMut::pop(head);
            }
        }
        placed
    }

    /// The run's nodes that rank by more than their total, per leaf: those with tasks
    /// of its service, and those where its tasks keep failing.
    fn marked_queues(
        &self,
        run: &mut Run,
        tree: &Tree,
        Balance { table, usage, .. }: &Balance<'_>,
    ) -> FastMap<u32, OwnQueue> {
        let need = &self.filters.need;
        let mut queues: FastMap<u32, Vec<Reverse<u128>>> = FastMap::default();
        run.settle();
        let failing = run.failures.iter().filter(|(_, n)| **n >= MANY).map(|(row, _)| row);
        let unused = failing.filter(|row| !run.counts.contains_key(row));
        for row in run.counts.keys().chain(unused) {
            let count = run.counts.get(row).copied().unwrap_or(0);
            let fits = self.mask.contains(*row as usize) && need.has_room(usage, *row, count);
            if let Some(leaf) = tree.leaf(*row).filter(|_| fits) {
                queues.entry(leaf).or_default().push(Reverse(run.key(*row, table, usage)));
            }
        }
        queues.into_iter().map(|(leaf, keys)| (leaf, keys.into())).collect()
    }

    fn open_leaves(&mut self, tree: &Tree, Balance { table, usage, .. }: &Balance<'_>) {
        if !self.candidates.is_empty() {
            return;
        }
        self.candidates.resize_with(tree.branches.len(), Candidates::default);
        for (rank, row) in table.by_rank().iter().enumerate() {
            if self.mask.contains(*row as usize)
                && let Some(leaf) = tree.leaf(*row)
            {
                let total = usage.active[*row as usize];
                self.candidates[leaf as usize].push(rank as u32, total);
            }
        }
    }
}

/// Rows just taken have a task of the run's service now and may get another one.
fn queue_taken(leaf: u32, need: &Need, run: &mut Run, balance: &Balance<'_>) {
    let Balance { table, usage, taken, .. } = balance;
    for rank in taken.iter() {
        let row = table.at_rank(*rank);
        let count = run.count(row);
        if need.has_room(usage, row, count) {
            let key = Reverse(run.key(row, table, usage));
            run.marked.get_or_insert_default().entry(leaf).or_default().push(key);
        }
    }
}
