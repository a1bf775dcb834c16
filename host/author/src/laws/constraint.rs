//! The laws of constraints.

use anyhow::Result;
use swarmw_sdk::raw::constraint::{Compiled, Plan};
use swarmw_sdk::testing::{CaseFile, Failure, Rows, Subject, Texts, What};
use swarmw_sdk::{ColumnRef, ColumnType};

use super::rows::{culprit, difference};
use super::{Law, fault, hostile};
use crate::random::Random;
use crate::subject::Component;

/// Rows that each expression is tried with.
const ROWS: usize = 60;
/// Rows of each part when they are asked about in parts.
const PART: usize = 7;
/// The most rows that the host sends in one call. A host that was built without
/// optimisation spends the call's budget on handing them over, so it sends fewer.
const ROWS_MAX: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

pub fn laws(
    files: &[CaseFile],
    random: &mut Random,
    component: &mut Component<'_>,
) -> Result<Vec<Law>> {
    let asked = expressions(files);
    let mut again = Law::new("the same answer twice");
    let mut fresh = Law::new("the same answer of a fresh instance");
    let mut by_row = ByRow::new();
    for (expression, options, values) in &asked {
        let first = component.constraint(expression, options);
        if matches!(first, Err(Failure::Refused(_))) {
            continue;
        }
        let same = component.constraint(expression, options);
        let told = |same: &_| format!("compiled to {first:?}, then to {same:?}");
        again.same(expression, &first, &same, || told(&same));
        component.refresh()?;
        let same = component.constraint(expression, options);
        fresh.same(expression, &first, &same, || told(&same));
        let Ok(compiled) = &first else { continue };
        if compiled.plan != Plan::Ask {
            continue;
        }
        let rows = rows(compiled, values, random, ROWS);
        let verdicts = component.test(expression, options, &rows);
        let other = |other: &Result<Vec<bool>, Failure>| match (&verdicts, other) {
            (Ok(first), Ok(second)) => difference(&rows, first, second),
            _ => String::new(),
        };
        let same = component.test(expression, options, &rows);
        again.same(expression, &verdicts, &same, || other(&same));
        component.refresh()?;
        let same = component.test(expression, options, &rows);
        fresh.same(expression, &verdicts, &same, || other(&same));
        let asked = (expression.as_str(), options);
        match &verdicts {
            Ok(verdicts) => {
                by_row.alone(asked, (&rows, verdicts), random, component);
                by_row.many(asked, &self::rows(compiled, values, random, ROWS_MAX), component);
            }
            Err(_) => by_row.faulty(asked, &rows, &fault(&verdicts).unwrap_or_default(), component),
        }
    }
    let seeds: Vec<String> = asked.into_iter().map(|(text, ..)| text).collect();
    let bad = bad_texts(&seeds, random, component);
    Ok(vec![again, fresh, by_row.shuffled, by_row.split, by_row.full, bad])
}

/// The laws of verdicts per row.
struct ByRow {
    shuffled: Law,
    split: Law,
    full: Law,
}

impl ByRow {
    fn new() -> Self {
        let law = |name| Law::new(name).unless("no case's expression has a verdict per row");
        Self {
            shuffled: law("each row by itself: rows shuffled"),
            split: law("each row by itself: rows in parts"),
            full: law("the most rows in one call"),
        }
    }

    /// Asks for the verdicts again, with the rows in another order and in parts.
    fn alone(
        &mut self,
        asked: (&str, &Texts),
        answered: (&Rows, &[bool]),
        random: &mut Random,
        component: &mut Component<'_>,
    ) {
        let mut order: Vec<usize> = (0..answered.1.len()).collect();
        random.shuffle(&mut order);
        alone(&mut self.shuffled, component, asked, answered, &order);
        order.sort_unstable();
        for part in order.chunks(PART) {
            alone(&mut self.split, component, asked, answered, part);
        }
    }

    /// Asks about as many rows as the host ever does.
    fn many(
        &mut self,
        (expression, options): (&str, &Texts),
        rows: &Rows,
        component: &mut Component<'_>,
    ) {
        let answer = component.test(expression, options, rows);
        self.full.ask(answer.is_ok(), || {
            format!("{expression}: {}", fault(&answer).unwrap_or_default())
        });
    }

    /// There were no verdicts to begin with: the row is named that is at fault.
    fn faulty(
        &mut self,
        (expression, options): (&str, &Texts),
        rows: &Rows,
        fault: &str,
        component: &mut Component<'_>,
    ) {
        let row = culprit(component, expression, options, rows);
        let row = row.unwrap_or_else(|| "all rows together".to_owned());
        for law in [&mut self.shuffled, &mut self.split, &mut self.full] {
            law.ask(false, || format!("{expression}: {row}: {fault}"));
        }
    }
}

/// Asks about some of the rows, in this order: each must have the verdict that it has
/// among all.
fn alone(
    law: &mut Law,
    component: &mut Component<'_>,
    (expression, options): (&str, &Texts),
    (rows, verdicts): (&Rows, &[bool]),
    picked: &[usize],
) {
    let rows = pick(rows, picked);
    let wanted: Result<Vec<bool>, Failure> = Ok(picked.iter().map(|at| verdicts[*at]).collect());
    let other = component.test(expression, options, &rows);
    law.same(expression, &wanted, &other, || match (&wanted, &other) {
        (Ok(among), Ok(other)) => format!("among others, {}", difference(&rows, among, other)),
        _ => String::new(),
    });
}

/// Bad texts are refused, or taken; never a fault.
fn bad_texts(seeds: &[String], random: &mut Random, component: &mut Component<'_>) -> Law {
    let mut law = Law::new("bad expressions are refused, not fatal");
    for text in hostile::texts(seeds, random) {
        let answer = component.constraint(&text, &Texts::new());
        // What is not routed here is no question to this plugin.
        let elsewhere = fault(&answer).is_some_and(|t| t.starts_with("no plugin takes"));
        if elsewhere {
            continue;
        }
        let wrong = fault(&answer).or_else(|| spans_outside(&text, &answer));
        law.ask(wrong.is_none(), || format!("{text:?}: {}", wrong.unwrap_or_default()));
    }
    law
}

/// A caret must stand under the text.
fn spans_outside(text: &str, answer: &Result<Compiled, Failure>) -> Option<String> {
    let Err(Failure::Refused(problems)) = answer else { return None };
    let spans = problems.iter().filter(|p| p.option_name.is_none()).filter_map(|p| p.at);
    spans
        .filter(|at| at.start > at.end || at.end as usize > text.len())
        .map(|at| format!("a problem stands at {}..{} of {} bytes", at.start, at.end, text.len()))
        .next()
}

type Asked = (String, Texts, Vec<Texts>);

/// The expressions of the cases, their options, and the values of their nodes.
fn expressions(files: &[CaseFile]) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        let What::Constraint { expression } = &case.what else { continue };
        let nodes = case.nodes.iter().map(|node| node.values.clone()).collect();
        if !all.iter().any(|(text, options, _)| text == expression && *options == case.options) {
            all.push((expression.clone(), case.options.clone(), nodes));
        }
    }
    all
}

/// Rows of the values that the cases' nodes have, of odd ones, and of none.
fn rows(compiled: &Compiled, nodes: &[Texts], random: &mut Random, count: usize) -> Rows {
    let value = |read: &ColumnRef, random: &mut Random| {
        let own = nodes.get(random.below(nodes.len())).and_then(|node| node.get(&read.name));
        match random.below(4) {
            0 => None,
            1 => Some(odd(read.read_as, random)),
            _ => own.cloned().or_else(|| Some(odd(read.read_as, random))),
        }
    };
    let row = |_| compiled.reads.iter().map(|read| value(read, random)).collect();
    Rows { reads: compiled.reads.clone(), values: (0..count).map(row).collect() }
}

/// Values that are possible, and seldom thought of.
fn odd(read_as: ColumnType, random: &mut Random) -> String {
    let all: &[&str] = match read_as {
        ColumnType::Text => &["", " ", "é", "A", "a", "0", "\u{1b}[31m", "x y", "true", "-1"],
        ColumnType::Integer => {
            &["0", "-1", "9223372036854775807", "-9223372036854775808", "007", "1.5", "x"]
        }
        ColumnType::Number => &["0", "-0", "1e308", "-1e308", "5e-324", "0.1", "NaN", "x"],
        ColumnType::Version => &["0", "1.2", "v1.2.3-rc.1", "4294967295.0.0", "1.2.3.4", "x"],
        ColumnType::Ip => &["0.0.0.0", "255.255.255.255", "::1", "::ffff:10.0.0.1", "fe80::1", "x"],
    };
    all[random.below(all.len())].to_owned()
}

fn pick(rows: &Rows, at: &[usize]) -> Rows {
    Rows {
        reads: rows.reads.clone(),
        values: at.iter().map(|row| rows.values[*row].clone()).collect(),
    }
}
