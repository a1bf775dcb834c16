//! The node table: a row per node, a dictionary-coded column per attribute that
//! some policy reads. Only static attributes stand here; what tasks take of a
//! node is in [`crate::usage`].

use std::collections::HashMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use swarmw_model::{EngineDescription, Node, NodeId, Platform};

use crate::column::Column;
use crate::dictionary::Dictionary;
use crate::hash::FastMap;

/// A node's place in every column and bitmap. Rows of removed nodes are reused.
pub(crate) type Row = u32;

/// Attribute values kept beyond four per row, before the columns are made anew:
/// values of nodes long gone are forgotten then.
const SPARE_VALUES: usize = 10_000;

/// The static side of all nodes.
#[derive(Default)]
pub(crate) struct Table {
    rows: FastMap<NodeId, Row>,
    nodes: Vec<Option<Arc<Node>>>,
    /// Per row: its node's id, where a hundred thousand answers find it at hand.
    ids: Vec<NodeId>,
    free: Vec<Row>,
    /// Rows of nodes that take tasks.
    pub(crate) ready: FixedBitSet,
    /// Per row: the table's clock when its node last changed.
    changed: Vec<u64>,
    clock: u64,
    columns: Vec<Column>,
    names: HashMap<String, usize>,
    platforms: Dictionary<Vec<Platform>>,
    platform_of: Vec<u32>,
    engines: Dictionary<EngineDescription>,
    engine_of: Vec<u32>,
    /// Rows in the order of node ids, the last key of every ranking; made when asked.
    by_rank: Vec<Row>,
    rank: Vec<u32>,
}

// === impl Table ===

impl Table {
    /// Rows in use or reusable: the length of every bitmap.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The table's clock: moves whenever a node changes.
    pub(crate) fn clock(&self) -> u64 {
        self.clock
    }

    /// Whether the row's node changed after `since`.
    pub(crate) fn changed_after(&self, row: usize, since: u64) -> bool {
        self.changed[row] > since
    }

    /// The row of a node.
    pub(crate) fn row(&self, node: NodeId) -> Option<Row> {
        self.rows.get(&node).copied()
    }

    /// The node of a row.
    pub(crate) fn node(&self, row: Row) -> Option<&Arc<Node>> {
        self.nodes.get(row as usize)?.as_ref()
    }

    /// The id of the row's node.
    pub(crate) fn id(&self, row: Row) -> Option<NodeId> {
        self.node(row).map(|_| self.ids[row as usize])
    }

    /// Rows with a node.
    pub(crate) fn live(&self) -> impl Iterator<Item = Row> {
        (0..self.nodes.len() as Row).filter(|row| self.nodes[*row as usize].is_some())
    }

    /// Takes in a node, new or changed, and says its row.
    pub(crate) fn put(&mut self, node: &Arc<Node>) -> Row {
        let row = match self.rows.get(&node.id) {
            Some(row) => *row,
            None => self.seat(node.id),
        };
        let at = row as usize;
        self.clock += 1;
        self.changed[at] = self.clock;
        self.ready.set(at, node.takes_tasks());
        for column in &mut self.columns {
            column.set(at, node);
        }
        self.platform_of[at] = self.platforms.code(&runs(node));
        self.engine_of[at] = self.engines.code(&node.description.engine);
        self.nodes[at] = Some(node.clone());
        row
    }

    fn seat(&mut self, node: NodeId) -> Row {
        let row = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.ids.push(node);
            self.changed.push(0);
            self.platform_of.push(0);
            self.engine_of.push(0);
            self.ready.grow(self.nodes.len());
            for column in &mut self.columns {
                column.grow(self.nodes.len());
            }
            self.nodes.len() as Row - 1
        });
        self.ids[row as usize] = node;
        self.rows.insert(node, row);
        self.by_rank.clear();
        row
    }

    /// Forgets a node and says the row it had.
    pub(crate) fn remove(&mut self, node: NodeId) -> Option<Row> {
        let row = self.rows.remove(&node)?;
        let at = row as usize;
        self.clock += 1;
        self.changed[at] = self.clock;
        self.nodes[at] = None;
        self.ready.set(at, false);
        for column in &mut self.columns {
            column.clear(at);
        }
        self.free.push(row);
        self.by_rank.clear();
        Some(row)
    }

    /// The place of a column, made now if nobody has read it yet.
    pub(crate) fn column(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let mut column = Column::new(name, self.nodes.len());
        let live = self.nodes.iter().enumerate();
        column.fill(live.filter_map(|(row, node)| Some((row, &**node.as_ref()?))));
        self.columns.push(column);
        self.names.insert(name.to_owned(), self.columns.len() - 1);
        self.columns.len() - 1
    }

    /// A column by its place.
    pub(crate) fn column_at(&self, place: usize) -> &Column {
        &self.columns[place]
    }

    /// Forgets all columns once they hold too many values of nodes long gone;
    /// whoever kept codes must forget them too.
    pub(crate) fn forget_stale_columns(&mut self) -> bool {
        let bound = self.nodes.len() * 4 + SPARE_VALUES;
        let stale = self.columns.iter().any(|c| c.distinct() > bound)
            || self.platforms.len() > bound
            || self.engines.len() > bound;
        if stale {
            self.columns.clear();
            self.names.clear();
            self.platforms = Dictionary::default();
            self.engines = Dictionary::default();
            for (row, node) in self.nodes.iter().enumerate() {
                if let Some(node) = node {
                    self.platform_of[row] = self.platforms.code(&runs(node));
                    self.engine_of[row] = self.engines.code(&node.description.engine);
                }
            }
        }
        stale
    }

    /// The rows whose node's platforms pass, asked once per distinct list.
    pub(crate) fn rows_by_platform(&self, pass: impl Fn(&Vec<Platform>) -> bool) -> FixedBitSet {
        self.rows_by(&self.platforms.judge(pass), &self.platform_of)
    }

    /// Whether a row's platforms pass.
    pub(crate) fn platform_passes(&self, row: Row, pass: impl Fn(&Vec<Platform>) -> bool) -> bool {
        self.node(row).is_some()
            && self.platforms.get(self.platform_of[row as usize]).is_some_and(pass)
    }

    /// The rows whose node passes.
    pub(crate) fn rows_by_node(&self, pass: impl Fn(&Node) -> bool) -> FixedBitSet {
        let mut rows = FixedBitSet::with_capacity(self.nodes.len());
        for (row, node) in self.nodes.iter().enumerate() {
            if node.as_ref().is_some_and(|node| pass(node)) {
                rows.insert(row);
            }
        }
        rows
    }

    /// The rows whose engine passes, asked once per distinct engine.
    pub(crate) fn rows_by_engine(&self, pass: impl Fn(&EngineDescription) -> bool) -> FixedBitSet {
        self.rows_by(&self.engines.judge(pass), &self.engine_of)
    }

    fn rows_by(&self, verdicts: &[bool], codes: &[u32]) -> FixedBitSet {
        let mut rows = FixedBitSet::with_capacity(self.nodes.len());
        for (row, node) in self.nodes.iter().enumerate() {
            if node.is_some() && verdicts[codes[row] as usize] {
                rows.insert(row);
            }
        }
        rows
    }

    /// Orders the rows by node id, where nodes came or went.
    pub(crate) fn order(&mut self) {
        if self.by_rank.is_empty() {
            self.by_rank = self.by_id();
            self.rank = vec![u32::MAX; self.nodes.len()];
            for (rank, row) in self.by_rank.iter().enumerate() {
                self.rank[*row as usize] = rank as u32;
            }
        }
    }

    /// Rows in the order of node ids. The leading bits of an id and the row make one word
    /// to sort; ids that begin alike are set right after that.
    fn by_id(&self) -> Vec<Row> {
        let row_bits = usize::BITS - self.nodes.len().leading_zeros();
        let head = |row: Row| (self.ids[row as usize].bits() >> (64 + row_bits)) as u64;
        let word = |row: Row| head(row) << row_bits | u64::from(row);
        let mut words: Vec<u64> = self.live().map(word).collect();
        words.sort_unstable();
        let row = |word: u64| (word & ((1 << row_bits) - 1)) as Row;
        let mut rows: Vec<Row> = words.into_iter().map(row).collect();
        for alike in rows.chunk_by_mut(|a, b| head(*a) == head(*b)) {
            alike.sort_unstable_by_key(|row| self.ids[*row as usize]);
        }
        rows
    }

    /// A row's place in the order of node ids; valid after [`Table::order`].
    pub(crate) fn rank(&self, row: Row) -> u32 {
        self.rank[row as usize]
    }

    /// Rows in the order of node ids; valid after [`Table::order`].
    pub(crate) fn by_rank(&self) -> &[Row] {
        &self.by_rank
    }

    /// The row at a place in the order of node ids.
    pub(crate) fn at_rank(&self, rank: u32) -> Row {
        self.by_rank[rank as usize]
    }
}

/// What a node's executors run; its machine's own platform where it does not say.
fn runs(node: &Node) -> Vec<Platform> {
    match node.description.runs.as_slice() {
        [] => vec![node.description.platform.clone()],
        runs => runs.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use swarmw_model::{NodeDescription, NodeRole, NodeSpec, NodeStatus, Time, Version};

    use super::*;

    fn node(id: u128) -> Arc<Node> {
        Arc::new(Node {
            id: NodeId::from_bits(id),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: NodeSpec::default(),
            description: NodeDescription::default(),
            status: NodeStatus::default(),
            role: NodeRole::Worker,
            member: None,
            number: 0,
        })
    }

    #[test]
    fn rows_stand_in_the_order_of_ids_whichever_bits_tell_them_apart() {
        let ids = [u128::MAX, 5 << 64, 7, 1 << 127, 3, (5 << 64) + 9, u128::MAX - 1, 5 << 65, 4];
        let mut table = Table::default();
        for id in ids {
            table.put(&node(id));
        }
        table.remove(NodeId::from_bits(7));
        table.order();
        let found: Vec<u128> =
            table.by_rank().iter().map(|row| table.ids[*row as usize].bits()).collect();
        let mut wanted: Vec<u128> = ids.into_iter().filter(|id| *id != 7).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        for rank in 0..wanted.len() as u32 {
            assert_eq!(table.rank(table.at_rank(rank)), rank);
        }
    }
}
