//! The filters in Swarm's order, and how they say why nothing fits.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use crate::Constraint;
use crate::need::Need;
use crate::table::{Row, Table};
use crate::usage::Usage;
use crate::verdicts::Verdicts;

/// The static filters of a need, as bitmaps over the rows.
pub(crate) struct Filters {
    pub(crate) need: Need,
    /// `None` where every node passes.
    engine: Option<FixedBitSet>,
    /// `None` where every swarmw knows what the tasks are on.
    known: Option<FixedBitSet>,
    /// Of each helper of the need, the nodes that allow it.
    helpers: Vec<FixedBitSet>,
    constraints: Vec<Arc<Constraint>>,
    platform: FixedBitSet,
    /// `None` where every node reaches the volumes.
    volumes: Option<FixedBitSet>,
}

/// The first filter that a node fails. The order is that of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Ready,
    Resources,
    Engine,
    Known,
    /// By place among the need's helpers.
    Helper(usize),
    /// By place among the constraints.
    Constraint(usize),
    Platform,
    HostPort,
    Volumes,
    MaxReplicas,
}

// === impl Filters ===

impl Filters {
    pub(crate) fn new(need: Need, constraints: Vec<Arc<Constraint>>, table: &Table) -> Self {
        Self {
            engine: (!need.engine_plugins.is_empty())
                .then(|| table.rows_by_engine(|engine| need.served_by(engine))),
            known: (need.level > 0).then(|| table.rows_by_node(|node| need.is_known_to(node))),
            helpers: need
                .helpers
                .iter()
                .map(|helper| table.rows_by_engine(|engine| Need::allows(engine, helper)))
                .collect(),
            platform: table.rows_by_platform(|runs| need.runs_on(runs)),
            volumes: (!need.volumes.is_empty())
                .then(|| table.rows_by_node(|node| need.reached_from(&node.spec.labels))),
            constraints,
            need,
        }
    }

    /// Rows that pass every filter that tasks have no part in.
    pub(crate) fn mask(&self, table: &Table, verdicts: &Verdicts) -> FixedBitSet {
        let mut mask = table.ready.clone();
        let fixed = self.engine.iter().chain(&self.known).chain(&self.helpers);
        let fixed = fixed.chain([&self.platform]).chain(&self.volumes);
        let asked = self.constraints.iter().map(|c| verdicts.mask(c.id));
        for bits in fixed.chain(asked) {
            mask.intersect_with(bits);
        }
        mask
    }

    /// The first filter that the row fails, with `count` tasks of the service there.
    pub(crate) fn first_miss(
        &self,
        row: Row,
        count: u32,
        table: &Table,
        usage: &Usage,
        verdicts: &Verdicts,
    ) -> Option<Miss> {
        let at = row as usize;
        if !table.ready.contains(at) {
            return Some(Miss::Ready);
        }
        if !self.need.has_resources(usage, row) {
            return Some(Miss::Resources);
        }
        if self.engine.as_ref().is_some_and(|rows| !rows.contains(at)) {
            return Some(Miss::Engine);
        }
        if self.known.as_ref().is_some_and(|rows| !rows.contains(at)) {
            return Some(Miss::Known);
        }
        if let Some(first) = self.helpers.iter().position(|rows| !rows.contains(at)) {
            return Some(Miss::Helper(first));
        }
        let unmet = |c: &Arc<Constraint>| !verdicts.mask(c.id).contains(at);
        if let Some(first) = self.constraints.iter().position(unmet) {
            return Some(Miss::Constraint(first));
        }
        if !self.platform.contains(at) {
            return Some(Miss::Platform);
        }
        if !self.need.has_ports(usage, row) {
            return Some(Miss::HostPort);
        }
        if self.volumes.as_ref().is_some_and(|rows| !rows.contains(at)) {
            return Some(Miss::Volumes);
        }
        (!self.need.has_place(count)).then_some(Miss::MaxReplicas)
    }

    /// What `nodes` nodes that fail at `miss` are told as.
    pub(crate) fn explain(&self, miss: Miss, nodes: usize) -> String {
        let of = |what: &str| on_nodes(what, nodes);
        match miss {
            Miss::Ready if nodes == 1 => "1 node not available for new tasks".into(),
            Miss::Ready => format!("{nodes} nodes not available for new tasks"),
            Miss::Resources => of("insufficient resources"),
            Miss::Engine => of("missing plugin"),
            Miss::Known => of(&format!("swarmw too old for {}", self.need.news())),
            Miss::Helper(at) => {
                let helper = &self.need.helpers[at];
                let allow = format!("swarmw daemon --volume-helper {helper}=/path/to/{helper}");
                format!(
                    "{}, which `{allow}` allows",
                    of(&format!("volume helper {helper} not allowed"))
                )
            }
            Miss::Constraint(at) => of(&self.constraints[at].reason),
            Miss::Platform => of("unsupported platform"),
            Miss::Volumes => of("cannot reach its volumes"),
            Miss::HostPort => of("host-mode port already in use"),
            Miss::MaxReplicas => "max replicas per node limit exceed".into(),
        }
    }

    /// Why no node takes one more task, with `refusals` of preferences: reason and
    /// number of nodes.
    pub(crate) fn explain_all(
        &self,
        count: impl Fn(Row) -> u32,
        refusals: &[(String, usize)],
        table: &Table,
        usage: &Usage,
        verdicts: &Verdicts,
    ) -> String {
        let mut misses: Vec<(Miss, usize)> = Vec::new();
        for row in table.live() {
            let Some(miss) = self.first_miss(row, count(row), table, usage, verdicts) else {
                continue;
            };
            // Constraints that give one reason are told as one.
            let reason = |at: usize| &self.constraints[at].reason;
            let known = misses.iter_mut().find(|(other, _)| match (other, &miss) {
                (Miss::Constraint(a), Miss::Constraint(b)) => reason(*a) == reason(*b),
                (a, b) => a == b,
            });
            match known {
                Some((_, nodes)) => *nodes += 1,
                None => misses.push((miss, 1)),
            }
        }
        misses.sort_by_key(|(miss, _)| miss.place());
        let mut told: Vec<(String, usize)> =
            misses.into_iter().map(|(miss, nodes)| (self.explain(miss, nodes), nodes)).collect();
        told.extend(refusals.iter().map(|(why, nodes)| (on_nodes(why, *nodes), *nodes)));
        told.sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
        let texts: Vec<_> = told.into_iter().map(|(text, _)| text).collect();
        if texts.is_empty() {
            "no suitable node".into()
        } else {
            no_suitable_node(&texts.join("; "))
        }
    }
}

// === impl Miss ===

impl Miss {
    /// Its place in the pipeline.
    fn place(self) -> usize {
        match self {
            Self::Ready => 0,
            Self::Resources => 1,
            Self::Engine => 2,
            Self::Known => 3,
            Self::Helper(_) => 4,
            Self::Constraint(at) => 5 + at,
            Self::Platform => usize::MAX - 3,
            Self::HostPort => usize::MAX - 2,
            Self::Volumes => usize::MAX - 1,
            Self::MaxReplicas => usize::MAX,
        }
    }
}

/// Swarm's sentence around the reasons.
pub(crate) fn no_suitable_node(reasons: &str) -> String {
    format!("no suitable node ({reasons})")
}

fn on_nodes(what: &str, nodes: usize) -> String {
    let s = if nodes == 1 { "" } else { "s" };
    format!("{what} on {nodes} node{s}")
}
