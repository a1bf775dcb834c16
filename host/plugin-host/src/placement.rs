//! What the scheduler asks.

use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{PluginKind, Preference};
use swarmw_scheduler::{
    Allocation, Bins, Class, CompiledPreference, Constraint, Match, Plan, Policies, PolicyFailure,
    Questions, RawOptions, Tuples,
};
use wasmtime::Store;

use crate::answers::{
    check_allocation, check_classes, check_constraint, check_preference, one_per_row,
};
use crate::bindings::PreferencePlugin;
use crate::bindings::constraint::exports::swarmw::constraint::constraint as wit_c;
use crate::bindings::preference::exports::swarmw::preference::preference as wit_p;
use crate::bindings::types::{self, OptionEntry};
use crate::breaker::Question;
use crate::engine::{ALLOCATE_BUDGET, BIN_BUDGET, COMPILE_BUDGET, ROW_BUDGET, ROWS_BUDGET};
use crate::host::{PluginHost, Runtime, Table};
use crate::interface::AnyConstraint;
use crate::journal::one_line;
use crate::loaded::{Call, Kind, Loaded};
use crate::memo::{self, Asked, Key};
use crate::no_answer::NoAnswer;
use crate::sandbox::Guest;
use crate::spec_options::own_options;
use crate::{columns, convert, options};

/// The longest expression, and argument of a preference.
pub const EXPRESSION_MAX: usize = 4 << 10;
/// The most rows of one call.
const BATCH_MAX: usize = 10_000;

impl Policies for PluginHost {
    fn needed(&mut self, plugin: &Arc<str>, rows: usize) {
        self.table().needed(plugin, rows);
    }

    fn generation(&self) -> u64 {
        self.table().memo().generation()
    }

    fn constraint(
        &mut self,
        expression: &str,
        options: &RawOptions,
    ) -> Result<Arc<Constraint>, PolicyFailure> {
        let table = self.table();
        too_long("constraint", expression)?;
        let loaded =
            table.routes.constraint(expression).ok_or_else(|| PolicyFailure::Unclaimed {
                message: format!("no plugin takes the constraint '{expression}'"),
            })?;
        let key = key(loaded, expression.to_owned(), options);
        if let Some(known) = table.memo().constraints.get(&key) {
            return Ok(known);
        }
        let entries = entries(loaded, options)?;
        let question = self.question(&key);
        let info = compiled(
            &self.shared.runtime,
            loaded,
            question,
            |plugin: &AnyConstraint, store| plugin.compile(store, expression, &entries),
            check_constraint,
        )?;
        let reads = columns::references(info.reads).map_err(|m| fault(loaded, m))?;
        let mut memo = table.memo();
        let number = || self.shared.runtime.number();
        let compiled = Arc::new(Constraint {
            id: memo.remember(
                number,
                Asked { text: expression.to_owned(), options: entries, question },
            ),
            plugin: Arc::clone(&loaded.name),
            plan: plan(info.plan),
            reads,
            reason: one_line(&info.reason).into(),
        });
        memo.constraints.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn test(
        &mut self,
        constraint: &Constraint,
        batch: &Tuples,
    ) -> Result<Vec<bool>, PolicyFailure> {
        let table = self.table();
        let loaded = present(&table, PluginKind::Constraint, &constraint.plugin)?;
        let known = table.memo().verdicts.known(constraint.id, batch);
        let asked = recall(&table, constraint.id, loaded)?;
        complete(known, batch, |missing| {
            let verdicts = audited(
                &self.shared.runtime,
                loaded,
                ("test", self.put(asked.question)),
                missing,
                |plugin: &AnyConstraint, store, rows| {
                    plugin.test(store, &asked.text, &asked.options, rows)
                },
                |verdicts, rows| one_per_row("verdicts", verdicts.len(), rows),
            )?;
            table.memo().verdicts.insert(constraint.id, missing, &verdicts);
            Ok(verdicts)
        })
    }

    fn preference(
        &mut self,
        preference: &Preference,
        options: &RawOptions,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure> {
        let table = self.table();
        let Preference { name, argument } = preference;
        too_long("preference", argument)?;
        let loaded = table.routes.name(PluginKind::Preference, name).ok_or_else(|| {
            PolicyFailure::Unclaimed {
                message: format!(
                    "unknown placement preference {name}: {}",
                    exist(&table.routes.names(PluginKind::Preference))
                ),
            }
        })?;
        let key = key(loaded, format!("{name}={argument}"), options);
        if let Some(known) = table.memo().preferences.get(&key) {
            return Ok(known);
        }
        let entries = entries(loaded, options)?;
        let question = self.question(&key);
        let info = compiled(
            &self.shared.runtime,
            loaded,
            question,
            |plugin: &PreferencePlugin, store| {
                let preference = plugin.swarmw_preference_preference();
                preference.call_compile(store, name, argument, &entries)
            },
            check_preference,
        )?;
        let reads = columns::references(info.reads).map_err(|m| fault(loaded, m))?;
        let mut memo = table.memo();
        let number = || self.shared.runtime.number();
        let compiled = Arc::new(CompiledPreference {
            id: memo.remember(number, Asked { text: argument.clone(), options: entries, question }),
            plugin: Arc::clone(&loaded.name),
            preference: preference.clone(),
            bins: match info.bins {
                wit_p::Bins::ByColumn(column) => Bins::ByColumn(column),
                wit_p::Bins::ByClass => Bins::ByClass,
                wit_p::Bins::EachNode => Bins::EachNode,
            },
            reads,
            loads: info.loads,
        });
        memo.preferences.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn classify(
        &mut self,
        preference: &CompiledPreference,
        batch: &Tuples,
    ) -> Result<Vec<Class>, PolicyFailure> {
        let table = self.table();
        let loaded = present(&table, PluginKind::Preference, &preference.plugin)?;
        let known = table.memo().classes.known(preference.id, batch);
        let asked = recall(&table, preference.id, loaded)?;
        complete(known, batch, |missing| {
            let name = &preference.preference.name;
            let classes = audited(
                &self.shared.runtime,
                loaded,
                ("classify", self.put(asked.question)),
                missing,
                |plugin: &PreferencePlugin, store, rows| {
                    let preference = plugin.swarmw_preference_preference();
                    preference.call_classify(store, name, &asked.text, &asked.options, rows)
                },
                check_classes,
            )?;
            let class = |c: wit_p::Class| Class { label: c.label, weight: c.weight };
            let classes: Vec<Class> = classes.into_iter().map(class).collect();
            table.memo().classes.insert(preference.id, missing, &classes);
            Ok(classes)
        })
    }

    fn allocate(
        &mut self,
        preference: &CompiledPreference,
        questions: &Questions,
    ) -> Result<Allocation, PolicyFailure> {
        let table = self.table();
        let loaded = present(&table, PluginKind::Preference, &preference.plugin)?;
        let asked = recall(&table, preference.id, loaded)?;
        let name = &preference.preference.name;
        let ask = wit_questions(questions);
        let answer = loaded
            .call(
                &self.shared.runtime,
                Call {
                    name: "allocate",
                    question: self.put(asked.question),
                    budget: ALLOCATE_BUDGET + BIN_BUDGET * questions.room.len() as u32,
                },
                |plugin: &PreferencePlugin, store| {
                    let preference = plugin.swarmw_preference_preference();
                    preference.call_allocate(store, name, &asked.text, &asked.options, &ask)
                },
                |answer| check_allocation(questions, answer),
            )
            .map_err(|why| why.of_policy(&loaded.name))?;
        Ok(Allocation {
            counts: answer.counts,
            refusals: answer
                .refusals
                .into_iter()
                .map(|refusal| (refusal.bin, one_line(&refusal.reason)))
                .collect(),
        })
    }
}

/// What an expression was compiled from; gone when it is of an earlier generation or
/// was forgotten, and then the caller compiles again.
fn recall(table: &Table, id: u64, loaded: &Loaded) -> Result<Arc<Asked>, PolicyFailure> {
    let found = table.memo().recall(id);
    found.ok_or_else(|| fault(loaded, "was compiled before the plugins changed".to_owned()))
}

/// Asks for what a text compiles to.
fn compiled<K: Kind + ?Sized, T>(
    runtime: &Runtime,
    loaded: &Loaded,
    question: Question,
    call: impl FnOnce(&K, &mut Store<Guest>) -> wasmtime::Result<Result<T, Vec<types::Problem>>>,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T, PolicyFailure> {
    let check = |answer: &Result<T, _>| answer.as_ref().map_or(Ok(()), &check);
    loaded
        .call(runtime, Call { name: "compile", question, budget: COMPILE_BUDGET }, call, check)
        .map_err(|why| why.of_policy(&loaded.name))?
        .map_err(|problems| refused(loaded, problems))
}

/// Asks about rows, and about some of them again in a fresh instance when that is
/// due: answers are kept for good, so they must not depend on what was asked before.
fn audited<K: Kind + ?Sized, T: PartialEq>(
    runtime: &Runtime,
    loaded: &Loaded,
    (name, question): (&'static str, Question),
    rows: &Tuples,
    call: impl Fn(&K, &mut Store<Guest>, &types::Tuples) -> wasmtime::Result<Vec<T>>,
    check: impl Fn(&[T], usize) -> Result<(), String>,
) -> Result<Vec<T>, PolicyFailure> {
    let typed = columns::typed(rows);
    let answers = loaded
        .call(
            runtime,
            Call { name, question, budget: rows_budget(rows.rows) },
            |plugin: &K, store| call(plugin, store, &typed),
            |answers| check(answers, rows.rows),
        )
        .map_err(|why| why.of_policy(&loaded.name))?;
    for at in loaded.audit_due(rows.rows) {
        let one = columns::typed(&memo::select(rows, &[at]));
        let again = loaded
            .call_fresh(
                runtime,
                Call { name, question, budget: rows_budget(1) },
                |plugin: &K, store| call(plugin, store, &one),
                |answers| check(answers, 1),
            )
            .map_err(|why| why.of_policy(&loaded.name))?;
        if again.first() != answers.get(at) {
            return Err(loaded.quarantine(runtime, name).of_policy(&loaded.name));
        }
    }
    Ok(answers)
}

fn present<'a>(
    table: &'a Table,
    kind: PluginKind,
    name: &Arc<str>,
) -> Result<&'a Arc<Loaded>, PolicyFailure> {
    table.named(kind, name).ok_or_else(|| PolicyFailure::NotCalled {
        plugin: Arc::clone(name),
        why: "is not in the cluster any more".to_owned(),
    })
}

fn key(loaded: &Loaded, text: String, options: &RawOptions) -> Key {
    let own = own_options(loaded, options);
    let own = own.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
    (text, own.collect())
}

fn entries(loaded: &Loaded, options: &RawOptions) -> Result<Vec<OptionEntry>, PolicyFailure> {
    let own = own_options(loaded, options);
    options::parse(&loaded.plugin.release.metadata.options, &own)
        .map_err(|problems| PolicyFailure::Refused { plugin: Arc::clone(&loaded.name), problems })
}

// === answers ===

/// Asks for the rows that are not known, in batches.
fn complete<V: Clone>(
    mut known: Vec<Option<V>>,
    batch: &Tuples,
    mut ask: impl FnMut(&Tuples) -> Result<Vec<V>, PolicyFailure>,
) -> Result<Vec<V>, PolicyFailure> {
    let unknown: Vec<usize> = (0..batch.rows).filter(|at| known[*at].is_none()).collect();
    for rows in unknown.chunks(BATCH_MAX) {
        let answers = ask(&memo::select(batch, rows))?;
        for (at, answer) in rows.iter().zip(answers) {
            known[*at] = Some(answer);
        }
    }
    Ok(known.into_iter().flatten().collect())
}

fn rows_budget(rows: usize) -> Duration {
    ROWS_BUDGET + ROW_BUDGET * rows as u32
}

fn too_long(what: &str, text: &str) -> Result<(), PolicyFailure> {
    if text.len() <= EXPRESSION_MAX {
        return Ok(());
    }
    Err(PolicyFailure::Unclaimed {
        message: format!("the {what} has {} bytes; at most {EXPRESSION_MAX}", text.len()),
    })
}

fn plan(plan: wit_c::Plan) -> Plan {
    let wanted = |m: wit_c::Match| Match { column: m.column, values: m.values };
    match plan {
        wit_c::Plan::Always => Plan::Always,
        wit_c::Plan::Never => Plan::Never,
        wit_c::Plan::Equals(m) => Plan::Equals(wanted(m)),
        wit_c::Plan::NotEquals(m) => Plan::NotEquals(wanted(m)),
        wit_c::Plan::Ask => Plan::Ask,
    }
}

fn wit_questions(q: &Questions) -> wit_p::Questions {
    wit_p::Questions {
        first: q.first.clone(),
        tasks: q.tasks.clone(),
        cpu: q.cpu.clone(),
        memory: q.memory.clone(),
        priority: q.priority.clone(),
        room: q.room.clone(),
        service_tasks: q.service_tasks.clone(),
        total_tasks: q.total_tasks.clone(),
        failures: q.failures.clone(),
        weight: q.weight.clone(),
        extra: q.extra.clone(),
    }
}

fn refused(loaded: &Loaded, said: Vec<crate::bindings::types::Problem>) -> PolicyFailure {
    PolicyFailure::Refused { plugin: Arc::clone(&loaded.name), problems: convert::problems(said) }
}

fn fault(loaded: &Loaded, what: String) -> PolicyFailure {
    NoAnswer::Fault(what).of_policy(&loaded.name)
}

/// What there is instead: `pause and rollback exist`.
pub fn exist(names: &[&str]) -> String {
    match names {
        [] => "none exists".to_owned(),
        [one] => format!("only {one} exists"),
        [head @ .., last] => format!("{} and {last} exist", head.join(", ")),
    }
}
