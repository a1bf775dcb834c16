//! The laws of preferences.

use anyhow::Result;
use swarmw_sdk::raw::preference::{Bins, Compiled, Questions};
use swarmw_sdk::testing::{CaseFile, Failure, Rows, Subject, Texts, What};

use super::{Law, fault, hostile};
use crate::random::Random;
use crate::subject::Component;

/// Batches of questions that each argument is asked.
const BATCHES: usize = 40;
/// Services and bins of the largest batch, as a pass over a large cluster asks.
const LARGE: (usize, usize) = (1_000, 10);

pub fn laws(
    files: &[CaseFile],
    random: &mut Random,
    component: &mut Component<'_>,
) -> Result<Vec<Law>> {
    let asked = arguments(files);
    let mut again = Law::new("the same answer twice");
    let mut fresh = Law::new("the same answer of a fresh instance");
    let mut bounds = Law::new("no bin above its room, no service above its tasks");
    let mut alone =
        Law::new("each row by itself").unless("its bins are a column's values: it classifies none");
    let mut large = Law::new("1,000 services in one call");
    for (name, argument, options) in &asked {
        let typed = format!("{name}={argument}");
        let first = component.preference(name, argument, options);
        if matches!(first, Err(Failure::Refused(_))) {
            continue;
        }
        let same = component.preference(name, argument, options);
        let told = |same: &_| format!("compiled to {first:?}, then to {same:?}");
        again.same(&typed, &first, &same, || told(&same));
        component.refresh()?;
        let same = component.preference(name, argument, options);
        fresh.same(&typed, &first, &same, || told(&same));
        let Ok(compiled) = &first else { continue };
        for _ in 0..BATCHES {
            let ask = questions(1 + random.below(4), 1 + random.below(6), compiled, random);
            // The host checks the bounds: an answer beyond them is a fault.
            let answer = component.allocate(name, argument, options, &ask);
            bounds.ask(answer.is_ok(), || {
                format!("{typed}: {}; asked: {ask:?}", fault(&answer).unwrap_or_default())
            });
            let same = component.allocate(name, argument, options, &ask);
            again.same(&typed, &answer, &same, || {
                format!("{answer:?}, then {same:?}; asked: {ask:?}")
            });
        }
        let ask = questions(2, 4, compiled, random);
        let answer = component.allocate(name, argument, options, &ask);
        component.refresh()?;
        let same = component.allocate(name, argument, options, &ask);
        fresh.same(&typed, &answer, &same, || format!("{answer:?}, then {same:?}; asked: {ask:?}"));
        let ask = questions(LARGE.0, LARGE.1, compiled, random);
        let answer = component.allocate(name, argument, options, &ask);
        large.ask(answer.is_ok(), || format!("{typed}: {}", fault(&answer).unwrap_or_default()));
        classes(&mut alone, component, (name, argument, options), compiled);
    }
    let seeds: Vec<String> = asked.iter().map(|(_, argument, _)| argument.clone()).collect();
    let mut bad = Law::new("bad arguments are refused, not fatal");
    if let Some((name, ..)) = asked.first() {
        for text in hostile::texts(&seeds, random) {
            let answer = component.preference(name, &text, &Texts::new());
            let fault = fault(&answer);
            bad.ask(fault.is_none(), || format!("{text:?}: {}", fault.unwrap_or_default()));
        }
    }
    Ok(vec![again, fresh, bounds, alone, large, bad])
}

/// A row's class must not depend on the rows beside it.
fn classes(
    law: &mut Law,
    component: &mut Component<'_>,
    (name, argument, options): (&str, &str, &Texts),
    compiled: &Compiled,
) {
    if matches!(compiled.bins, Bins::ByColumn(_)) || compiled.reads.is_empty() {
        return;
    }
    let values = ["", "a", "b", "1", "-1", "1.5", "10.0.0.1", "1.2.3", "x y"];
    let row = |at: usize| vec![Some(values[at % values.len()].to_owned()); compiled.reads.len()];
    let rows = |values| Rows { reads: compiled.reads.clone(), values };
    let all = component.classify(name, argument, options, &rows((0..9).map(row).collect()));
    for at in 0..9 {
        let one = component.classify(name, argument, options, &rows(vec![row(at)]));
        let among = all.as_ref().map(|all| vec![all[at].clone()]).map_err(Failure::clone);
        law.same(&format!("{name}={argument}"), &among, &one, || {
            format!("row {:?} is {among:?} among others, {one:?} alone", row(at))
        });
    }
}

fn arguments(files: &[CaseFile]) -> Vec<(String, String, Texts)> {
    let mut all = Vec::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        if let What::Preference { name, argument, .. } = &case.what {
            let asked = (name.clone(), argument.clone(), case.options.clone());
            if !all.contains(&asked) {
                all.push(asked);
            }
        }
    }
    all
}

/// So many services over so many bins each, with figures from everyday to odd.
fn questions(services: usize, bins: usize, compiled: &Compiled, random: &mut Random) -> Questions {
    let all = services * bins;
    let odd = |random: &mut Random| match random.below(8) {
        0 => u32::MAX,
        1 => 0,
        _ => random.below(12) as u32,
    };
    let small = |random: &mut Random| random.below(9) as u32;
    let load = |random: &mut Random, name: &str| match random.below(6) {
        0 => 0.0,
        // Only this one may be infinite.
        1 if name == "skew.total" => f64::NEG_INFINITY,
        1 => 1e18,
        _ => random.below(1 << 34) as f64,
    };
    Questions {
        first: (0..=services).map(|q| (q * bins) as u32).collect(),
        tasks: (0..services).map(|_| odd(random).max(1)).collect(),
        cpu: (0..services).map(|_| u64::from(odd(random))).collect(),
        memory: (0..services).map(|_| u64::from(odd(random)) << 20).collect(),
        priority: (0..services).map(|_| small(random) as i32 - 4).collect(),
        room: (0..all).map(|_| odd(random)).collect(),
        service_tasks: (0..all).map(|_| small(random)).collect(),
        total_tasks: (0..all).map(|_| small(random) + 9).collect(),
        failures: (0..all).map(|_| small(random)).collect(),
        weight: (0..all).map(|_| random.below(100) as f64 - 10.0).collect(),
        extra: compiled
            .loads
            .iter()
            .map(|name| (0..all).map(|_| load(random, name)).collect())
            .collect(),
    }
}
