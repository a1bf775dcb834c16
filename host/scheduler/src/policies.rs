//! What the scheduler asks of placement policies, in the shapes of `wit/`.
//!
//! The policies are components; `swarmw-plugin-host` answers for them. A compiled
//! constraint says which columns of the node table it reads, verdicts are asked
//! per distinct tuple of values and kept, so a pass that meets no new value asks
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{NOT_YET, Preference, Problem};

/// Options of plugins as typed, `PLUGIN.OPTION` to text; see
/// [`swarmw_model::ServiceSpec::policy_options`].
pub type RawOptions = BTreeMap<String, String>;

/// Answers for the placement plugins of the cluster.
pub trait Policies {
    /// Changes whenever a plugin came, went or was replaced: handles and verdicts
    /// of an earlier generation must not be used any more.
    fn generation(&self) -> u64;

    /// Told how many answers of a plugin a pass needs, known or not: one per node and
    /// expression.
    fn needed(&mut self, plugin: &Arc<str>, rows: usize) {
        let _ = (plugin, rows);
    }

    /// Routes a constraint to the plugin that claims it and compiles it there.
    /// Compiling the same text with the same options again costs a look-up.
    fn constraint(
        &mut self,
        expression: &str,
        options: &RawOptions,
    ) -> Result<Arc<Constraint>, PolicyFailure>;

    /// One verdict per row. Only for [`Plan::Ask`].
    fn test(&mut self, constraint: &Constraint, batch: &Tuples)
    -> Result<Vec<bool>, PolicyFailure>;

    /// Routes a preference to the plugin of its name and compiles it there.
    fn preference(
        &mut self,
        preference: &Preference,
        options: &RawOptions,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure>;

    /// One class per row. Only for [`Bins::ByClass`] and [`Bins::EachNode`].
    fn classify(
        &mut self,
        preference: &CompiledPreference,
        batch: &Tuples,
    ) -> Result<Vec<Class>, PolicyFailure>;

    /// Tasks per bin for many questions at once. The answer is within bounds: the
    /// host has checked it.
    fn allocate(
        &mut self,
        preference: &CompiledPreference,
        questions: &Questions,
    ) -> Result<Allocation, PolicyFailure>;
}

/// Why a policy gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFailure {
    /// No plugin claims the key or the name; what exists is listed for people.
    #[error("{message}")]
    Unclaimed {
        /// What was asked for, and what there is.
        message: String,
    },
    /// The plugin refuses what the operator typed.
    #[error("{}", problems.first().map_or("refused", |p| p.message.as_str()))]
    Refused {
        /// The plugin.
        plugin: Arc<str>,
        /// At least one.
        problems: Vec<Problem>,
    },
    /// The plugin trapped, ran out of time or memory, or gave an answer that
    /// breaks a rule. Constraints fail closed, preferences fall to native balance.
    #[error("plugin {plugin}: {message}")]
    Broken {
        /// The plugin.
        plugin: Arc<str>,
        /// What went wrong.
        message: String,
    },
    /// The plugin is not called; what that means is what it means of one that is broken.
    #[error("plugin {plugin} {why}")]
    NotCalled {
        /// The plugin.
        plugin: Arc<str>,
        /// Why, after its name: `is disabled: …`.
        why: String,
    },
    /// The plugin is being compiled: whoever needs it waits, also for a preference.
    #[error("plugin {plugin} {NOT_YET}")]
    NotYet {
        /// The plugin.
        plugin: Arc<str>,
    },
}

// === impl PolicyFailure ===

impl PolicyFailure {
    /// Whether there is an answer soon, so that nothing is to be decided without it.
    pub fn is_soon(&self) -> bool {
        matches!(self, Self::NotYet { .. })
    }
}

/// A compiled constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The same number stands for the same verdicts within a generation.
    pub id: u64,
    /// The plugin.
    pub plugin: Arc<str>,
    /// How verdicts are had.
    pub plan: Plan,
    /// Columns for [`Policies::test`], in this order.
    pub reads: Vec<ColumnRef>,
    /// Shown as `<reason> on 12 nodes`.
    pub reason: Arc<str>,
}

/// How verdicts of a constraint are had; all but `Ask` cost no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Every node passes.
    Always,
    /// No node passes.
    Never,
    /// The column's value is present and equals one of these, whatever the case.
    Equals(Match),
    /// The value is absent or equals none of these.
    NotEquals(Match),
    /// Ask for each tuple not seen before.
    Ask,
}

/// A column against values, compared as text under Unicode simple case folding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The column's name.
    pub column: String,
    /// The values.
    pub values: Vec<String>,
}

/// How the text of a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// As it is.
    Text,
    /// A decimal integer.
    Integer,
    /// A finite decimal number.
    Number,
    /// `1.2`, `v1.2.3`, `1.2.3-rc.1`.
    Version,
    /// An IPv4 or IPv6 address.
    Ip,
}

/// A static node attribute, as named in `column-ref` of `wit/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnRef {
    /// Such as `node.hostname` or `node.labels.region`.
    pub name: String,
    /// How it is read.
    pub read_as: ColumnType,
}

/// Distinct tuples of values over the columns read, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuples {
    /// How many rows each column has.
    pub rows: usize,
    /// In the order of `reads`.
    pub columns: Vec<TupleColumn>,
}

/// One column of [`Tuples`]: the raw texts, `None` where the node lacks the
/// attribute. The host reads them as `read_as` says; what cannot be read is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct TupleColumn {
    /// How the texts are read.
    pub read_as: ColumnType,
    /// One per row.
    pub values: Vec<Option<Arc<str>>>,
}

/// A compiled preference.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledPreference {
    /// The same number stands for the same classes within a generation.
    pub id: u64,
    /// The plugin.
    pub plugin: Arc<str>,
    /// As typed.
    pub preference: Preference,
    /// What a bin is.
    pub bins: Bins,
    /// Columns for [`Policies::classify`].
    pub reads: Vec<ColumnRef>,
    /// Rows wanted in [`Questions::extra`]; see `loads` in `wit/`.
    pub loads: Vec<String>,
}

/// What a bin of a preference is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bins {
    /// One per value of this column; absent counts as empty text.
    ByColumn(String),
    /// One per label that `classify` gives.
    ByClass,
    /// Each node its own; only the last preference may ask for it.
    EachNode,
}

/// The bin of a tuple, and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Names the bin.
    pub label: String,
    /// Of its rows' weights a bin gets the least.
    pub weight: f64,
}

/// Many questions, flattened; see `questions` in `wit/deps/preference`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// Question q owns bins `first[q]..first[q+1]`.
    pub first: Vec<u32>,
    /// Per question: tasks to place.
    pub tasks: Vec<u32>,
    /// Per question: nano-CPUs that a task reserves.
    pub cpu: Vec<u64>,
    /// Per question: bytes that a task reserves.
    pub memory: Vec<u64>,
    /// Per question: its priority.
    pub priority: Vec<i32>,
    /// Per bin: how many more of these tasks fit.
    pub room: Vec<u32>,
    /// Per bin: running tasks of this service, over all nodes.
    pub service_tasks: Vec<u32>,
    /// Per bin: running tasks of all services, over all nodes.
    pub total_tasks: Vec<u32>,
    /// Per bin: recent failures of this service's version.
    pub failures: Vec<u32>,
    /// Per bin: from `classify`; 0 for [`Bins::ByColumn`].
    pub weight: Vec<f64>,
    /// Per entry of `loads`: one value per bin.
    pub extra: Vec<Vec<f64>>,
}

/// Tasks per bin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    /// Per bin; at most its room.
    pub counts: Vec<u32>,
    /// Why bins with room took no more: bin and reason.
    pub refusals: Vec<(u32, String)>,
}
