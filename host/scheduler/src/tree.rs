//! The tree that a list of preferences makes of the nodes: a level per
//! preference, a branch per bin, nodes at the leaves.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hash::FastMap;
use crate::table::{Row, Table};
use crate::usage::Usage;
use crate::verdicts::Verdicts;
use crate::{Bins, CompiledPreference, Policies, PolicyFailure};

/// Stands for the leaf of a row without a node.
const NOWHERE: u32 = u32::MAX;
/// The branch that holds all nodes.
pub(crate) const ROOT: u32 = 0;

/// All nodes, eligible or not, under one list of preferences.
pub(crate) struct Tree {
    /// Outermost first.
    pub(crate) levels: Vec<Arc<CompiledPreference>>,
    pub(crate) branches: Vec<Branch>,
    /// Per row.
    leaf: Vec<u32>,
    /// Per branch: active tasks of all services, as of the last recount.
    pub(crate) total: Vec<u32>,
}

/// A bin of a preference within a bin of the one before.
pub(crate) struct Branch {
    parent: u32,
    pub(crate) depth: usize,
    pub(crate) children: Vec<u32>,
    /// The least of its nodes' weights; 0 without any.
    pub(crate) weight: f64,
}

// === impl Tree ===

impl Tree {
    /// Sorts every node into its leaf. A preference that cannot tell its bins is
    /// named with its failure.
    pub(crate) fn grow(
        levels: Vec<Arc<CompiledPreference>>,
        table: &mut Table,
        verdicts: &mut Verdicts,
        policies: &mut dyn Policies,
    ) -> Result<Self, PolicyFailure> {
        let mut tree = Self {
            branches: vec![Branch::new(ROOT, 0)],
            leaf: vec![NOWHERE; table.len()],
            total: Vec::new(),
            levels: Vec::new(),
        };
        for row in table.live() {
            tree.leaf[row as usize] = ROOT;
        }
        for (depth, preference) in levels.iter().enumerate() {
            let bins = bins(preference, table, verdicts, policies)?;
            let mut children: FastMap<u64, u32> = FastMap::default();
            for row in table.live() {
                let (bin, weight) = (bins.of[row as usize], bins.weight(row));
                let parent = tree.leaf[row as usize];
                let key = u64::from(parent) << 32 | u64::from(bin);
                let branch = *children.entry(key).or_insert_with(|| {
                    let child = tree.branches.len() as u32;
                    tree.branches.push(Branch::new(parent, depth + 1));
                    tree.branches[parent as usize].children.push(child);
                    child
                });
                let kept = &mut tree.branches[branch as usize].weight;
                *kept = kept.min(weight);
                tree.leaf[row as usize] = branch;
            }
        }
        for branch in &mut tree.branches {
            if !branch.weight.is_finite() {
                branch.weight = 0.0;
            }
        }
        tree.levels = levels;
        Ok(tree)
    }

    /// The leaf of a row, where it has a node.
    pub(crate) fn leaf(&self, row: Row) -> Option<u32> {
        Some(self.leaf[row as usize]).filter(|leaf| *leaf != NOWHERE)
    }

    /// Whether a branch has nodes and no branches.
    pub(crate) fn is_leaf(&self, branch: u32) -> bool {
        self.branches[branch as usize].depth == self.levels.len()
    }

    /// The branches from a row's leaf up to the root.
    pub(crate) fn path(&self, row: Row) -> impl Iterator<Item = usize> {
        std::iter::successors(self.leaf(row), |branch| {
            (*branch != ROOT).then(|| self.branches[*branch as usize].parent)
        })
        .map(|branch| branch as usize)
    }

    /// Sums a number per row over the branches.
    pub(crate) fn sum(&self, rows: impl Iterator<Item = (Row, u64)>) -> Vec<u64> {
        let mut sums = vec![0u64; self.branches.len()];
        for (row, value) in rows {
            if let Some(leaf) = self.leaf(row) {
                let sum = &mut sums[leaf as usize];
                *sum = sum.saturating_add(value);
            }
        }
        // Children come after their parents.
        for branch in (1..self.branches.len()).rev() {
            let parent = self.branches[branch].parent as usize;
            sums[parent] = sums[parent].saturating_add(sums[branch]);
        }
        sums
    }

    /// Counts the active tasks of all services anew.
    pub(crate) fn recount(&mut self, usage: &Usage) {
        let active =
            (0..self.leaf.len() as Row).map(|row| (row, u64::from(usage.active[row as usize])));
        self.total = self.sum(active).into_iter().map(clamp).collect();
    }
}

/// At most what a question can say.
pub(crate) fn clamp(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

// === impl Branch ===

impl Branch {
    fn new(parent: u32, depth: usize) -> Self {
        Self { parent, depth, children: Vec::new(), weight: f64::INFINITY }
    }
}

/// The bin of each row under one preference.
struct RowBins {
    of: Vec<u32>,
    weights: Option<Vec<f64>>,
}

impl RowBins {
    fn weight(&self, row: Row) -> f64 {
        self.weights.as_ref().map_or(0.0, |w| w[row as usize])
    }
}

fn bins(
    preference: &CompiledPreference,
    table: &mut Table,
    verdicts: &mut Verdicts,
    policies: &mut dyn Policies,
) -> Result<RowBins, PolicyFailure> {
    if let Bins::ByColumn(name) = &preference.bins {
        let place = table.column(name);
        let column = table.column_at(place);
        // Absent counts as empty text.
        let bin = |code: &u32| match column.text(*code) {
            Some(text) if text.is_empty() => crate::column::ABSENT,
            _ => *code,
        };
        return Ok(RowBins { of: column.codes().iter().map(bin).collect(), weights: None });
    }
    let each = preference.bins == Bins::EachNode;
    if each && preference.reads.is_empty() {
        return Ok(RowBins { of: (0..table.len() as u32).collect(), weights: None });
    }
    let classes = verdicts.classes(preference, table, policies)?;
    let mut labels: HashMap<&str, u32> = HashMap::new();
    let mut of = Vec::with_capacity(classes.len());
    let mut weights = Vec::with_capacity(classes.len());
    for (row, class) in classes.iter().enumerate() {
        let label = class.as_ref().map_or("", |c| &c.label);
        let next = labels.len() as u32;
        let bin = if each { row as u32 } else { *labels.entry(label).or_insert(next) };
        of.push(bin);
        weights.push(class.as_ref().map_or(f64::INFINITY, |c| c.weight));
    }
    Ok(RowBins { of, weights: Some(weights) })
}
