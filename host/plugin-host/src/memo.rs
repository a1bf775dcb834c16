//! What has been asked before: compiled expressions, verdicts and classes by
//! tuple. All by the plugins of one time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::bindings::types::OptionEntry;
use crate::breaker::Question;
use swarmw_scheduler::{Class, CompiledPreference, Constraint, TupleColumn, Tuples};

/// The most compiled expressions kept; beyond, all are forgotten.
const EXPRESSIONS_MAX: usize = 50_000;
/// The most rows of verdicts, and of classes, kept; beyond, all are forgotten.
const ROWS_MAX: usize = 200_000;

/// An expression and the options of its plugin, as typed.
pub type Key = (String, Vec<(String, String)>);

/// The values of one row.
type Row = Box<[Option<Arc<str>>]>;

/// See the module.
#[derive(Default)]
pub struct Memo {
    /// Constraints compiled.
    pub constraints: Bounded<Key, Arc<Constraint>>,
    /// Preferences compiled; the key's text is `NAME=ARGUMENT`.
    pub preferences: Bounded<Key, Arc<CompiledPreference>>,
    /// The text and options that an id was compiled from.
    arguments: Bounded<u64, Arc<Asked>>,
    /// Verdicts by constraint and row.
    pub verdicts: Rows<bool>,
    /// Classes by preference and row.
    pub classes: Rows<Class>,
    /// Changes when what was compiled is no longer valid.
    generation: u64,
}

/// What was asked of a plugin.
pub struct Asked {
    /// The expression, or the argument.
    pub text: String,
    /// The plugin's own options.
    pub options: Vec<OptionEntry>,
    /// The question that it is.
    pub question: Question,
}

/// A map that forgets all when it is full.
pub struct Bounded<K, V>(HashMap<K, V>);

/// Answers by expression and row.
pub struct Rows<V> {
    by_id: HashMap<u64, HashMap<Row, V>>,
    held: usize,
}

impl Memo {
    /// An empty one.
    pub fn new(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Another number whenever something compiled is no longer valid.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Remembers what an expression was compiled from. `number` gives one that was
    /// never given before: of the expression, and of a new generation when all had
    /// to be forgotten.
    pub fn remember(&mut self, number: impl Fn() -> u64, asked: Asked) -> u64 {
        if self.arguments.is_full() {
            *self = Self::new(number());
        }
        let id = number();
        self.arguments.insert(id, Arc::new(asked));
        id
    }

    /// What an id was compiled from, unless it was forgotten.
    pub fn recall(&self, id: u64) -> Option<Arc<Asked>> {
        self.arguments.get(&id)
    }
}

impl<K: Hash + Eq, V: Clone> Bounded<K, V> {
    /// What is kept of this key.
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).cloned()
    }

    fn is_full(&self) -> bool {
        self.0.len() >= EXPRESSIONS_MAX
    }

    /// Keeps a value.
    pub fn insert(&mut self, key: K, value: V) {
        if self.is_full() {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Self { by_id: HashMap::new(), held: 0 }
    }
}

impl<V: Clone> Rows<V> {
    /// What is known of each row.
    pub fn known(&self, id: u64, batch: &Tuples) -> Vec<Option<V>> {
        let rows = self.by_id.get(&id);
        (0..batch.rows).map(|at| rows?.get(&row(batch, at)).cloned()).collect()
    }

    /// Keeps the answers of these rows.
    pub fn insert(&mut self, id: u64, batch: &Tuples, answers: &[V]) {
        if self.held + answers.len() > ROWS_MAX {
            self.by_id.clear();
            self.held = 0;
        }
        let rows = self.by_id.entry(id).or_default();
        for (at, answer) in answers.iter().enumerate() {
            if rows.insert(row(batch, at), answer.clone()).is_none() {
                self.held += 1;
            }
        }
    }
}

fn row(batch: &Tuples, at: usize) -> Row {
    let value = |c: &TupleColumn| c.values.get(at).cloned().flatten();
    batch.columns.iter().map(value).collect()
}

/// The rows of a batch at these places.
pub fn select(batch: &Tuples, rows: &[usize]) -> Tuples {
    let pick = |column: &TupleColumn| TupleColumn {
        read_as: column.read_as,
        values: rows.iter().map(|at| column.values.get(*at).cloned().flatten()).collect(),
    };
    Tuples { rows: rows.len(), columns: batch.columns.iter().map(pick).collect() }
}
