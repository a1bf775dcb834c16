//! Answers of policies, kept per distinct tuple of values: a node that changes is
//! looked up again, and only a tuple never seen is asked.

use std::collections::HashMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use swarmw_model::Preference;

use crate::hash::FastMap;
use crate::table::{Row, Table};
use crate::{
    Class, ColumnRef, CompiledPreference, Constraint, Match, Plan, Policies, PolicyFailure,
    RawOptions, TupleColumn, Tuples,
};

/// Bytes of kept answers; the least recently used go first.
const ANSWERS_BYTES: usize = 64 << 20;
/// Compiled expressions kept; at more all are looked up again.
const COMPILED: usize = 20_000;
/// Rows in one question to a policy.
const BATCH_ROWS: usize = 10_000;
/// About what a kept tuple takes beside its codes.
const TUPLE_BYTES: usize = 64;

/// Everything that policies have answered within a generation.
#[derive(Default)]
pub(crate) struct Verdicts {
    generation: Option<u64>,
    constraints: HashMap<(String, Arc<RawOptions>), Arc<Constraint>>,
    preferences: HashMap<(Preference, Arc<RawOptions>), Arc<CompiledPreference>>,
    masks: FastMap<u64, Mask>,
    classes: FastMap<u64, Classes>,
    pass: u64,
}

/// The verdicts of one constraint.
struct Mask {
    bits: FixedBitSet,
    answers: Answers<bool>,
    /// The table's clock that `bits` stands for.
    seen: u64,
    used: u64,
}

/// The classes of one preference.
struct Classes {
    /// Per row; `None` where the row has no node.
    rows: Arc<Vec<Option<Arc<Class>>>>,
    answers: Answers<Arc<Class>>,
    seen: u64,
    used: u64,
}

/// Answers by tuple of codes.
struct Answers<T> {
    columns: Vec<usize>,
    /// The tuples' own codes; of a single column they are its codes.
    codes: FastMap<Box<[u32]>, u32>,
    /// By a tuple's code.
    known: Vec<Option<T>>,
}

// === impl Verdicts ===

impl Verdicts {
    /// Starts a pass. True where a new generation of plugins made it forget all.
    pub(crate) fn begin_pass(&mut self, generation: u64) -> bool {
        self.pass += 1;
        let renewed = self.generation != Some(generation);
        if renewed {
            self.forget();
            self.generation = Some(generation);
        }
        renewed
    }

    /// Forgets every answer.
    pub(crate) fn forget(&mut self) {
        self.constraints.clear();
        self.preferences.clear();
        self.masks.clear();
        self.classes.clear();
    }

    /// Drops what was not used lately, down to the bound.
    pub(crate) fn end_pass(&mut self) {
        let bytes = |bits: usize, tuples: usize, width: usize| {
            bits / 8 + tuples * (TUPLE_BYTES + width * 4)
        };
        let mut kept: Vec<(u64, bool, u64, usize)> = Vec::new();
        for (id, m) in &self.masks {
            let size = bytes(m.bits.len(), m.answers.known.len(), m.answers.columns.len());
            kept.push((m.used, true, *id, size));
        }
        for (id, c) in &self.classes {
            let size = bytes(c.rows.len() * 64, c.answers.known.len(), c.answers.columns.len());
            kept.push((c.used, false, *id, size));
        }
        let mut total: usize = kept.iter().map(|k| k.3).sum();
        if total <= ANSWERS_BYTES {
            return;
        }
        kept.sort_unstable();
        for (_, constraint, id, size) in kept {
            if total <= ANSWERS_BYTES {
                break;
            }
            total -= size;
            if constraint {
                self.masks.remove(&id);
            } else {
                self.classes.remove(&id);
            }
        }
    }

    /// A constraint, compiled at its first use in a generation.
    pub(crate) fn constraint(
        &mut self,
        expression: &str,
        options: &Arc<RawOptions>,
        policies: &mut dyn Policies,
    ) -> Result<Arc<Constraint>, PolicyFailure> {
        let key = (expression.to_owned(), options.clone());
        if let Some(known) = self.constraints.get(&key) {
            return Ok(known.clone());
        }
        let compiled = policies.constraint(expression, options)?;
        if self.constraints.len() >= COMPILED {
            self.constraints.clear();
        }
        self.constraints.insert(key, compiled.clone());
        Ok(compiled)
    }

    /// A preference, compiled at its first use in a generation.
    pub(crate) fn preference(
        &mut self,
        preference: &Preference,
        options: &Arc<RawOptions>,
        policies: &mut dyn Policies,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure> {
        let key = (preference.clone(), options.clone());
        if let Some(known) = self.preferences.get(&key) {
            return Ok(known.clone());
        }
        let compiled = policies.preference(preference, options)?;
        if self.preferences.len() >= COMPILED {
            self.preferences.clear();
        }
        self.preferences.insert(key, compiled.clone());
        Ok(compiled)
    }

    /// Brings a constraint's mask up to the table.
    pub(crate) fn refresh(
        &mut self,
        constraint: &Constraint,
        table: &mut Table,
        policies: &mut dyn Policies,
    ) -> Result<(), PolicyFailure> {
        let mask = self.masks.entry(constraint.id).or_insert_with(|| Mask {
            bits: FixedBitSet::new(),
            answers: Answers::over(&constraint.reads, table),
            seen: 0,
            used: 0,
        });
        mask.used = self.pass;
        if mask.seen == table.clock() {
            return Ok(());
        }
        let since = mask.seen;
        mask.bits.grow(table.len());
        match &constraint.plan {
            Plan::Always => mask.set(table, since, |_| true),
            Plan::Never => mask.bits.clear(),
            Plan::Equals(wanted) => mask.match_column(table, since, wanted, true),
            Plan::NotEquals(wanted) => mask.match_column(table, since, wanted, false),
            Plan::Ask => {
                let Mask { bits, answers, .. } = mask;
                let test = |batch: &Tuples| policies.test(constraint, batch);
                let learnt = answers.learn(&constraint.reads, table, since, test);
                learnt.map_err(|why| blame(why, &constraint.plugin))?;
                answers.each(table, since, |row, pass| bits.set(row, pass == Some(&true)));
            }
        }
        mask.seen = table.clock();
        Ok(())
    }

    /// The mask of a constraint that was refreshed in this pass.
    pub(crate) fn mask(&self, constraint: u64) -> &FixedBitSet {
        &self.masks[&constraint].bits
    }

    /// The class of every row under a preference.
    pub(crate) fn classes(
        &mut self,
        preference: &CompiledPreference,
        table: &mut Table,
        policies: &mut dyn Policies,
    ) -> Result<Arc<Vec<Option<Arc<Class>>>>, PolicyFailure> {
        let classes = self.classes.entry(preference.id).or_insert_with(|| Classes {
            rows: Arc::default(),
            answers: Answers::over(&preference.reads, table),
            seen: 0,
            used: 0,
        });
        classes.used = self.pass;
        if classes.seen != table.clock() {
            let Classes { rows, answers, seen, .. } = classes;
            let classify = |batch: &Tuples| {
                let answer = policies.classify(preference, batch)?;
                Ok(answer.into_iter().map(Arc::new).collect())
            };
            let learnt = answers.learn(&preference.reads, table, *seen, classify);
            learnt.map_err(|why| blame(why, &preference.plugin))?;
            let rows = Arc::make_mut(rows);
            rows.resize(table.len(), None);
            answers.each(table, *seen, |row, class| rows[row] = class.cloned());
            *seen = table.clock();
        }
        Ok(classes.rows.clone())
    }
}

/// Names the plugin whose answer had another number of rows than the question.
fn blame(failure: PolicyFailure, plugin: &Arc<str>) -> PolicyFailure {
    match failure {
        PolicyFailure::Broken { plugin: by, message } if by.is_empty() => {
            PolicyFailure::Broken { plugin: plugin.clone(), message }
        }
        other => other,
    }
}

// === impl Mask ===

impl Mask {
    fn set(&mut self, table: &Table, since: u64, pass: impl Fn(usize) -> bool) {
        set_rows(&mut self.bits, table, since, pass);
    }

    /// An index look-up: the codes of the wanted values, then a comparison a row.
    fn match_column(&mut self, table: &mut Table, since: u64, wanted: &Match, equal: bool) {
        let place = table.column(&wanted.column);
        let column = table.column_at(place);
        let matching = column.matching(&wanted.values);
        let codes = column.codes();
        self.set(table, since, |row| matching.contains(&codes[row]) == equal);
    }
}

/// Sets the bits of the rows that changed after `since`, rows without a node to 0.
fn set_rows(bits: &mut FixedBitSet, table: &Table, since: u64, pass: impl Fn(usize) -> bool) {
    for row in 0..table.len() {
        if table.changed_after(row, since) {
            bits.set(row, table.node(row as Row).is_some() && pass(row));
        }
    }
}

// === impl Answers ===

impl<T> Answers<T> {
    fn over(reads: &[ColumnRef], table: &mut Table) -> Self {
        Self {
            columns: reads.iter().map(|r| table.column(&r.name)).collect(),
            codes: FastMap::default(),
            known: Vec::new(),
        }
    }

    /// The code of a row's tuple, where it was seen before or stands by itself.
    fn code(&self, table: &Table, row: Row, tuple: &mut Vec<u32>) -> Option<u32> {
        let of_column = |place: &usize| table.column_at(*place).codes()[row as usize];
        if let [only] = &self.columns[..] {
            return Some(of_column(only));
        }
        tuple.clear();
        tuple.extend(self.columns.iter().map(of_column));
        self.codes.get(&tuple[..]).copied()
    }

    fn known(&self, code: u32) -> Option<&T> {
        self.known.get(code as usize)?.as_ref()
    }

    /// Tells the answer of each row that changed after `since`: `None` where it has
    /// no node.
    fn each(&self, table: &Table, since: u64, mut tell: impl FnMut(usize, Option<&T>)) {
        let mut tuple = Vec::new();
        for row in (0..table.len()).filter(|row| table.changed_after(*row, since)) {
            let node = table.node(row as Row);
            let code = node.and_then(|_| self.code(table, row as Row, &mut tuple));
            tell(row, code.and_then(|code| self.known(code)));
        }
    }

    /// Tuples without an answer of the rows that changed after `since`: the code of
    /// each, and a row that has it.
    fn unknown(&mut self, table: &Table, since: u64) -> Vec<(u32, Row)> {
        let mut tuple = Vec::new();
        let mut unknown = Vec::new();
        for row in table.live().filter(|row| table.changed_after(*row as usize, since)) {
            let code = self.code(table, row, &mut tuple).unwrap_or_else(|| {
                let next = self.codes.len() as u32;
                self.codes.insert(tuple.as_slice().into(), next);
                next
            });
            if self.known(code).is_none() {
                unknown.push((code, row));
            }
        }
        unknown.sort_unstable();
        unknown.dedup_by_key(|(code, _)| *code);
        unknown
    }

    /// Asks for the tuples that are new among the rows that changed after `since`.
    fn learn(
        &mut self,
        reads: &[ColumnRef],
        table: &Table,
        since: u64,
        mut ask: impl FnMut(&Tuples) -> Result<Vec<T>, PolicyFailure>,
    ) -> Result<(), PolicyFailure> {
        for part in self.unknown(table, since).chunks(BATCH_ROWS) {
            let column = |(at, read): (usize, &ColumnRef)| {
                let column = table.column_at(self.columns[at]);
                let text = |row: Row| column.text(column.codes()[row as usize]).cloned();
                TupleColumn {
                    read_as: read.read_as,
                    values: part.iter().map(|(_, row)| text(*row)).collect(),
                }
            };
            let answers = ask(&Tuples {
                rows: part.len(),
                columns: reads.iter().enumerate().map(column).collect(),
            })?;
            if answers.len() != part.len() {
                return Err(PolicyFailure::Broken {
                    plugin: "".into(),
                    message: format!("answered {} rows of {}", answers.len(), part.len()),
                });
            }
            let past = part.iter().map(|(code, _)| *code as usize + 1).max().unwrap_or(0);
            self.known.resize_with(past.max(self.known.len()), || None);
            for ((code, _), answer) in part.iter().zip(answers) {
                self.known[*code as usize] = Some(answer);
            }
        }
        Ok(())
    }
}
