//! The laws of constraints.

use anyhow::Result;
use swarmw_sdk::raw::constraint::{Compiled, Plan};
use swarmw_sdk::testing::{CaseFile, Failure, Rows, Subject, Texts, What};
use swarmw_sdk::{ColumnRef, ColumnType};

use super::{Law, hostile, told};
use crate::random::Random;
use crate::subject::Component;

/// Rows that each expression is tried with.
const ROWS: usize = 60;
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
    let mut shuffled = Law::new("each row by itself: rows shuffled");
    let mut split = Law::new("each row by itself: rows in parts");
    let mut full = Law::new("the most rows in one call");
    for (expression, options, values) in &asked {
        let Ok(compiled) = component.constraint(expression, options) else { continue };
        let same = component.constraint(expression, options);
        again.ask(same.as_ref() == Ok(&compiled), || {
            format!("{expression}: compiled to {compiled:?}, then to {same:?}")
        });
        component.refresh()?;
        let same = component.constraint(expression, options);
        fresh.ask(same.as_ref() == Ok(&compiled), || {
            format!("{expression}: compiled to {compiled:?}, in a fresh instance to {same:?}")
        });
        if compiled.plan != Plan::Ask {
            continue;
        }
        let rows = rows(&compiled, values, random, ROWS);
        let verdicts = component.test(expression, options, &rows);
        let told = |other: &dyn std::fmt::Debug| {
            format!("{expression}: the verdicts were {verdicts:?}, then {other:?}; rows: {rows:?}")
        };
        let same = component.test(expression, options, &rows);
        again.ask(same == verdicts, || told(&same));
        component.refresh()?;
        let same = component.test(expression, options, &rows);
        fresh.ask(same == verdicts, || told(&same));
        let Ok(verdicts) = &verdicts else { continue };

        let mut order: Vec<usize> = (0..rows.values.len()).collect();
        random.shuffle(&mut order);
        let other = component.test(expression, options, &pick(&rows, &order));
        let wanted: Vec<bool> = order.iter().map(|at| verdicts[*at]).collect();
        shuffled.ask(other.as_ref() == Ok(&wanted), || told(&other));
        for part in (0..rows.values.len()).collect::<Vec<_>>().chunks(7) {
            let other = component.test(expression, options, &pick(&rows, part));
            let wanted: Vec<bool> = part.iter().map(|at| verdicts[*at]).collect();
            split.ask(other.as_ref() == Ok(&wanted), || told(&other));
        }
        let many = self::rows(&compiled, values, random, ROWS_MAX);
        let answer = component.test(expression, options, &many);
        full.ask(answer.is_ok(), || format!("{expression}: {answer:?}"));
    }
    let seeds: Vec<String> = asked.into_iter().map(|(text, ..)| text).collect();
    Ok(vec![again, fresh, shuffled, split, full, bad_texts(&seeds, random, component)])
}

/// Bad texts are refused, or taken; never a fault.
fn bad_texts(seeds: &[String], random: &mut Random, component: &mut Component<'_>) -> Law {
    let mut law = Law::new("bad expressions are refused, not fatal");
    for text in hostile::texts(seeds, random) {
        let answer = component.constraint(&text, &Texts::new());
        // What is not routed here is no question to this plugin.
        let elsewhere = told(&answer).is_some_and(|t| t.starts_with("no plugin takes"));
        if elsewhere {
            continue;
        }
        let fault = told(&answer).or_else(|| spans_outside(&text, &answer));
        law.ask(fault.is_none(), || format!("{text:?}: {}", fault.unwrap_or_default()));
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
