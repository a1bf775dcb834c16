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
    known: HashMap<Box<[u32]>, T>,
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
                let rows: Vec<Row> =
                    table.live().filter(|row| table.changed_after(*row as usize, since)).collect();
                mask.answers
                    .learn(&constraint.reads, table, &rows, |batch| {
                        policies.test(constraint, batch)
                    })
                    .map_err(|why| blame(why, &constraint.plugin))?;
                let Mask { bits, answers, .. } = mask;
                set_rows(bits, table, since, |row| {
                    answers.of(table, row).copied().unwrap_or(false)
                });
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
            let rows: Vec<Row> = table
                .live()
                .filter(|row| table.changed_after(*row as usize, classes.seen))
                .collect();
            classes
                .answers
                .learn(&preference.reads, table, &rows, |batch| {
                    let answer = policies.classify(preference, batch)?;
                    Ok(answer.into_iter().map(Arc::new).collect())
                })
                .map_err(|why| blame(why, &preference.plugin))?;
            let of_row = |row: usize| {
                table.node(row as Row)?;
                classes.answers.of(table, row).cloned()
            };
            classes.rows = Arc::new((0..table.len()).map(of_row).collect());
            classes.seen = table.clock();
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
            known: HashMap::new(),
        }
    }

    fn tuple(&self, table: &Table, row: usize) -> Box<[u32]> {
        let code = |place: &usize| table.column_at(*place).codes()[row];
        self.columns.iter().map(code).collect()
    }

    fn of(&self, table: &Table, row: usize) -> Option<&T> {
        self.known.get(&self.tuple(table, row))
    }

    /// Asks for the tuples of `rows` that are new.
    fn learn(
        &mut self,
        reads: &[ColumnRef],
        table: &Table,
        rows: &[Row],
        mut ask: impl FnMut(&Tuples) -> Result<Vec<T>, PolicyFailure>,
    ) -> Result<(), PolicyFailure> {
        let mut new: Vec<_> = rows
            .iter()
            .map(|row| self.tuple(table, *row as usize))
            .filter(|tuple| !self.known.contains_key(tuple))
            .collect();
        new.sort_unstable();
        new.dedup();
        for part in new.chunks(BATCH_ROWS) {
            let column = |(at, read): (usize, &ColumnRef)| {
                let texts = table.column_at(self.columns[at]);
                TupleColumn {
                    read_as: read.read_as,
                    values: part.iter().map(|t| texts.text(t[at]).cloned()).collect(),
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
            self.known.extend(part.iter().cloned().zip(answers));
        }
        Ok(())
    }
}
