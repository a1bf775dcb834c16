//! Tasks of equal needs, constraints and preferences are one class: they share a
//! mask, the rooms of the branches and the queues of nodes, whatever their service.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use fixedbitset::FixedBitSet;

use crate::explain::Filters;
use crate::failures::MANY;
use crate::hash::FastMap;
use crate::run::Run;
use crate::table::{Row, Table};
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
    /// Per leaf, once the first task goes there: total tasks and rank, least first.
    queues: FastMap<u32, Queue>,
    /// Why nothing fits any more, once it has been found out.
    pub(crate) explained: Option<std::sync::Arc<str>>,
}

type Queue = BinaryHeap<Reverse<u64>>;
type OwnQueue = BinaryHeap<Reverse<u128>>;

// === impl Class ===

impl Class {
    pub(crate) fn new(filters: Filters, mask: FixedBitSet, tree: usize) -> Self {
        Self {
            filters,
            tree,
            mask,
            room: Vec::new(),
            eligible: Vec::new(),
            queues: FastMap::default(),
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
    pub(crate) fn fill(
        &mut self,
        leaf: u32,
        want: u32,
        run: &mut Run,
        tree: &Tree,
        table: &Table,
        usage: &mut Usage,
    ) -> u32 {
        self.open_queues(tree, table, usage);
        let Some(queue) = self.queues.get_mut(&leaf) else {
            return 0;
        };
        let need = &self.filters.need;
        let mut own = run.own.remove(&leaf).unwrap_or_default();
        // Rows taken off the shared queue, which go back at the end.
        let mut off: Vec<Row> = Vec::new();
        let mut placed = 0;
        while placed < want {
            let shared = fresh_head(
                queue,
                &mut off,
                |row| {
                    if !need.has_resources(usage, row) || !need.has_ports(usage, row) {
                        Head::Full
                    } else if run.is_marked(row) {
                        Head::Own
                    } else {
                        Head::At(usage.active[row as usize])
                    }
                },
                table,
            );
            let mine = own.peek().map(|Reverse(key)| *key);
            let row = match (shared, mine) {
                (None, None) => break,
                (Some(key), mine) if mine.is_none_or(|m| u128::from(key) < m) => {
                    queue.pop();
                    let row = table.at_rank(key as u32);
                    off.push(row);
                    row
                }
                _ => table.at_rank(mine.map_or(0, |m| m as u32)),
            };
            usage.place(row, need.reserved, &need.ports);
            let count = run.place(row);
            placed += 1;
            let fits = need.has_resources(usage, row)
                && need.has_ports(usage, row)
                && need.has_place(count);
            let key = fits.then(|| run.key(row, table, usage));
            let came_from_own = mine.is_some_and(|m| m as u32 == table.rank(row));
            match (key, came_from_own) {
                (Some(key), true) => {
                    if let Some(mut top) = own.peek_mut() {
                        *top = Reverse(key);
                    }
                }
                (Some(key), false) => own.push(Reverse(key)),
                (None, true) => drop(own.pop()),
                (None, false) => {}
            }
        }
        queue.extend(off.into_iter().map(|row| Reverse(shared_key(row, table, usage))));
        run.own.insert(leaf, own);
        placed
    }

    /// The run's nodes that rank by more than their total: those with tasks of its
    /// service, and those where its tasks keep failing.
    pub(crate) fn own_queues(
        &self,
        run: &Run,
        tree: &Tree,
        table: &Table,
        usage: &Usage,
    ) -> FastMap<u32, OwnQueue> {
        let need = &self.filters.need;
        let mut own: FastMap<u32, Vec<Reverse<u128>>> = FastMap::default();
        let failing = run.failures.iter().filter(|(_, n)| **n >= MANY).map(|(row, _)| row);
        let unused = failing.filter(|row| !run.counts.contains_key(row));
        for row in run.counts.keys().chain(unused) {
            let fits = self.mask.contains(*row as usize)
                && need.has_resources(usage, *row)
                && need.has_ports(usage, *row)
                && need.has_place(run.counts.get(row).copied().unwrap_or(0));
            if let Some(leaf) = tree.leaf(*row).filter(|_| fits) {
                own.entry(leaf).or_default().push(Reverse(run.key(*row, table, usage)));
            }
        }
        own.into_iter().map(|(leaf, keys)| (leaf, keys.into())).collect()
    }

    fn open_queues(&mut self, tree: &Tree, table: &Table, usage: &Usage) {
        if !self.queues.is_empty() {
            return;
        }
        let mut rows: FastMap<u32, Vec<Reverse<u64>>> = FastMap::default();
        for row in self.mask.ones().map(|row| row as Row) {
            if let Some(leaf) = tree.leaf(row) {
                rows.entry(leaf).or_default().push(Reverse(shared_key(row, table, usage)));
            }
        }
        self.queues = rows.into_iter().map(|(leaf, keys)| (leaf, keys.into())).collect();
    }
}

/// What is to be done with the head of a shared queue.
enum Head {
    /// No room any more in this pass.
    Full,
    /// It ranks in the run's own queue.
    Own,
    /// It ranks by this many tasks.
    At(u32),
}

/// The key at the head of a shared queue, after rows that other runs filled or
/// used meanwhile have been put right.
fn fresh_head(
    queue: &mut Queue,
    off: &mut Vec<Row>,
    look: impl Fn(Row) -> Head,
    table: &Table,
) -> Option<u64> {
    loop {
        let mut head = queue.peek_mut()?;
        let key = head.0;
        let row = table.at_rank(key as u32);
        match look(row) {
            Head::Full => drop(PeekMut::pop(head)),
            Head::Own => {
                PeekMut::pop(head);
                off.push(row);
            }
            Head::At(total) if u64::from(total) == key >> 32 => return Some(key),
            Head::At(total) => *head = Reverse(u64::from(total) << 32 | u64::from(key as u32)),
        }
    }
}

fn shared_key(row: Row, table: &Table, usage: &Usage) -> u64 {
    u64::from(usage.active[row as usize]) << 32 | u64::from(table.rank(row))
}
