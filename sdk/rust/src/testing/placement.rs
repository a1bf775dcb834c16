//! Cases of constraints and preferences.

use std::collections::BTreeMap;

use super::case::{Case, Expected, What};
use super::words::{size, whole};
use super::{Failure, NodeLine, Rows, Subject};
use crate::raw::constraint::{Compiled, Match, Plan};
use crate::raw::preference::{Bins, Questions};
use crate::{ColumnRef, Problem};

/// The line of the case that did not come true, and what came.
type Played = Result<(), (usize, String)>;

/// Plays a case of a constraint.
pub fn constraint(case: &Case, subject: &mut dyn Subject) -> Played {
    let What::Constraint { expression } = &case.what else { return Ok(()) };
    let compiled = match subject.constraint(expression, &case.options) {
        Ok(compiled) => compiled,
        Err(failure) => return refused(case, &failure),
    };
    let verdicts = verdicts(case, expression, &compiled, subject)
        .map_err(|failure| (case.line, told(&failure)))?;
    for (line, expected) in &case.expected {
        let wrong = match expected {
            Expected::Passes(names) => {
                let passed: Vec<&str> =
                    verdicts.iter().filter(|(_, pass)| *pass).map(|(node, _)| *node).collect();
                let unknown = names.iter().find(|n| verdicts.iter().all(|(node, _)| node != n));
                let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut found = passed.clone();
                wanted.sort_unstable();
                found.sort_unstable();
                match unknown {
                    Some(name) => {
                        Some(format!("there is no node {name}: add a line `node {name} …`"))
                    }
                    None => (wanted != found).then(|| match passed[..] {
                        [] => "no node passed".to_owned(),
                        _ => format!("passed: {}", list(&passed)),
                    }),
                }
            }
            Expected::Reason(text) => {
                (*text != compiled.reason).then(|| format!("the reason is: {}", compiled.reason))
            }
            other => Some(unmet(other)),
        };
        if let Some(wrong) = wrong {
            return Err((*line, wrong));
        }
    }
    Ok(())
}

fn verdicts<'a>(
    case: &'a Case,
    expression: &str,
    compiled: &Compiled,
    subject: &mut dyn Subject,
) -> Result<Vec<(&'a str, bool)>, Failure> {
    let rows = Rows {
        reads: compiled.reads.clone(),
        values: case.nodes.iter().map(|node| row(node, &compiled.reads)).collect(),
    };
    let asked = match compiled.plan {
        Plan::Ask => subject.test(expression, &case.options, &rows)?,
        _ => Vec::new(),
    };
    let verdict = |(at, node): (usize, &'a NodeLine)| {
        let pass = match &compiled.plan {
            Plan::Always => true,
            Plan::Never => false,
            Plan::Equals(wanted) => equals(node, wanted),
            Plan::NotEquals(unwanted) => !equals(node, unwanted),
            Plan::Ask => asked.get(at).copied().unwrap_or(false),
        };
        (node.name.as_str(), pass)
    };
    Ok(case.nodes.iter().enumerate().map(verdict).collect())
}

fn equals(node: &NodeLine, wanted: &Match) -> bool {
    let value = node.attribute(&wanted.column);
    value.is_some_and(|v| wanted.values.iter().any(|w| w.to_lowercase() == v.to_lowercase()))
}

/// The values of a node in these columns.
fn row(node: &NodeLine, reads: &[ColumnRef]) -> Vec<Option<String>> {
    reads.iter().map(|read| node.attribute(&read.name)).collect()
}

impl NodeLine {
    /// An attribute; the host name is the node's name unless it says otherwise.
    pub fn attribute(&self, column: &str) -> Option<String> {
        let own = self.values.get(column).cloned();
        own.or_else(|| ["node.hostname", "node.id"].contains(&column).then(|| self.name.clone()))
    }

    fn figure(&self, name: &str, absent: u32) -> Result<u32, String> {
        self.values.get(name).map_or(Ok(absent), |text| whole(text))
    }

    fn load(&self, name: &str) -> Result<f64, String> {
        self.values.get(name).map_or(Ok(0.0), |text| size(text).map(|n| n as f64))
    }
}

/// Room of a node that says nothing of it.
const ROOM: u32 = 1_000;

/// A bin as it is summed up.
#[derive(Default)]
struct Sum {
    room: u32,
    tasks: u32,
    total: u32,
    failures: u32,
    weight: Option<f64>,
    loads: Vec<f64>,
    eligible: bool,
}

/// Plays a case of a preference.
pub fn preference(case: &Case, subject: &mut dyn Subject) -> Played {
    let What::Preference { name, argument, tasks, cpu, memory, priority } = &case.what else {
        return Ok(());
    };
    let here = |error: String| (case.line, error);
    let compiled = match subject.preference(name, argument, &case.options) {
        Ok(compiled) => compiled,
        Err(failure) => return refused(case, &failure),
    };
    let rows = Rows {
        reads: compiled.reads.clone(),
        values: case.nodes.iter().map(|node| row(node, &compiled.reads)).collect(),
    };
    let classes = match (&compiled.bins, compiled.reads.is_empty()) {
        (Bins::ByColumn(_), _) | (Bins::EachNode, true) => Vec::new(),
        _ => subject
            .classify(name, argument, &case.options, &rows)
            .map_err(|failure| here(told(&failure)))?,
    };
    let mut bins: BTreeMap<String, Sum> = BTreeMap::new();
    for (at, node) in case.nodes.iter().enumerate() {
        let label = match &compiled.bins {
            Bins::ByColumn(column) => node.attribute(column).unwrap_or_default(),
            Bins::ByClass => classes.get(at).map(|c| c.label.clone()).unwrap_or_default(),
            Bins::EachNode => node.name.clone(),
        };
        let weight = classes.get(at).map_or(0.0, |class| class.weight);
        let sum = bins.entry(label).or_default();
        sum.add(node, weight, &compiled.loads).map_err(here)?;
    }
    fill_skew(&mut bins, &compiled.loads);
    bins.retain(|_, bin| bin.eligible);
    if bins.is_empty() {
        return Err(here("no bin has an eligible node".to_owned()));
    }
    let of = |read: fn(&Sum) -> u32| bins.values().map(read).collect::<Vec<u32>>();
    let ask = Questions {
        first: vec![0, bins.len() as u32],
        tasks: vec![*tasks],
        cpu: vec![*cpu],
        memory: vec![*memory],
        priority: vec![*priority],
        room: of(|b| b.room),
        service_tasks: of(|b| b.tasks),
        total_tasks: of(|b| b.total),
        failures: of(|b| b.failures),
        weight: bins.values().map(|b| b.weight.unwrap_or(0.0)).collect(),
        extra: (0..compiled.loads.len())
            .map(|load| bins.values().map(|b| b.loads[load]).collect())
            .collect(),
    };
    let answer = subject
        .allocate(name, argument, &case.options, &ask)
        .map_err(|failure| here(told(&failure)))?;
    let placed: u32 = answer.counts.iter().sum();
    let given: Vec<(String, u32)> =
        bins.keys().cloned().zip(answer.counts).filter(|(_, n)| *n > 0).collect();
    for (line, expected) in &case.expected {
        let wrong = match expected {
            Expected::Gives(wanted) => {
                let mut wanted: Vec<_> = wanted.iter().filter(|(_, n)| *n > 0).cloned().collect();
                wanted.sort();
                let given_list: Vec<String> =
                    given.iter().map(|(bin, n)| format!("{bin}={n}")).collect();
                (wanted != given).then(|| match given_list[..] {
                    [] => "no bin got a task".to_owned(),
                    _ => format!("gave: {}", list(&given_list)),
                })
            }
            Expected::Leaves(count, text) => {
                let left = tasks - placed.min(*tasks);
                let reasons: Vec<&str> =
                    answer.refusals.iter().map(|r| r.reason.as_str()).collect();
                let heard = text.is_empty() || reasons.iter().any(|r| r.contains(text.as_str()));
                (left != *count || !heard).then(|| match reasons[..] {
                    [] => format!("left {left}, without a reason"),
                    _ => format!("left {left}, with the reasons: {}", list(&reasons)),
                })
            }
            other => Some(unmet(other)),
        };
        if let Some(wrong) = wrong {
            return Err((*line, wrong));
        }
    }
    Ok(())
}

impl Sum {
    fn add(&mut self, node: &NodeLine, weight: f64, loads: &[String]) -> Result<(), String> {
        let tasks = node.figure("tasks", 0)?;
        let eligible = !node.values.contains_key("filtered");
        self.tasks += tasks;
        self.total += node.figure("total", tasks)?;
        self.failures += node.figure("failures", 0)?;
        self.weight = Some(self.weight.map_or(weight, |least| least.min(weight)));
        self.loads.resize(loads.len(), 0.0);
        if eligible {
            self.eligible = true;
            self.room += node.figure("room", ROOM)?;
        }
        for (sum, load) in self.loads.iter_mut().zip(loads) {
            // Free resources count where the task may go, tasks everywhere.
            if eligible || !load.starts_with("node.free.") {
                *sum += node.load(load)?;
            }
        }
        Ok(())
    }
}

/// `skew.total`: what a bin has more than the least that cannot catch up.
fn fill_skew(bins: &mut BTreeMap<String, Sum>, loads: &[String]) {
    let Some(at) = loads.iter().position(|load| load == "skew.total") else { return };
    let stuck = bins.values().filter(|b| !b.eligible).map(|b| b.tasks).min();
    for bin in bins.values_mut() {
        bin.loads[at] = stuck.map_or(f64::NEG_INFINITY, |n| f64::from(bin.tasks) - f64::from(n));
    }
}

/// A case whose plugin gave no answer.
pub fn refused(case: &Case, failure: &Failure) -> Played {
    for (line, expected) in &case.expected {
        let wrong = match (expected, failure) {
            (Expected::Refused(code), Failure::Refused(problems)) => problems
                .iter()
                .all(|p| p.code != *code)
                .then(|| format!("refused with: {}", said(problems))),
            (Expected::Says(text), Failure::Refused(problems)) => problems
                .iter()
                .all(|p| !p.message.contains(text.as_str()))
                .then(|| format!("refused with: {}", said(problems))),
            // What is wrong with an option is wrong in its own line.
            _ => return Err((option_line(case, failure).unwrap_or(*line), told(failure))),
        };
        if let Some(wrong) = wrong {
            return Err((*line, wrong));
        }
    }
    Ok(())
}

/// The line of the option that is refused.
fn option_line(case: &Case, failure: &Failure) -> Option<usize> {
    let Failure::Refused(problems) = failure else { return None };
    let name = problems.iter().find_map(|problem| problem.option_name.as_ref())?;
    case.option_lines.get(name).copied()
}

/// A failure in one line.
pub fn told(failure: &Failure) -> String {
    match failure {
        Failure::Refused(problems) => format!("refused: {}", said(problems)),
        Failure::Broken(text) => text.clone(),
    }
}

/// Problems in one line, each with its code.
fn said(problems: &[Problem]) -> String {
    let all: Vec<_> = problems.iter().map(|p| format!("{} ({})", p.message, p.code)).collect();
    all.join("; ")
}

/// An expectation that a case of this kind cannot meet.
pub fn unmet(expected: &Expected) -> String {
    match expected {
        Expected::Refused(code) => format!("it was not refused with {code}: it was taken"),
        _ => "this line does not go with what the case asks".to_owned(),
    }
}

/// `a, b`, or `nothing`.
pub fn list<T: AsRef<str>>(all: &[T]) -> String {
    match all {
        [] => "nothing".to_owned(),
        _ => all.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{CaseFile, Texts, play};
    use super::*;
    use crate::problem;

    /// Takes `zone` alone, with rows that have none; refuses all else, and bad options.
    struct Picky;

    impl Subject for Picky {
        fn constraint(&mut self, expression: &str, options: &Texts) -> Result<Compiled, Failure> {
            let known = BTreeSet::from(["strict"]);
            if let Some(name) = options.keys().find(|name| !known.contains(name.as_str())) {
                let wrong = problem("unknown-option", format!("unknown option {name}"));
                return Err(Failure::Refused(vec![wrong.of_option(name)]));
            }
            match expression {
                "zone" => Ok(Compiled::plan(Plan::Never)),
                _ => Err(Failure::Refused(vec![problem("bad", "no such zone")])),
            }
        }
    }

    #[test]
    fn a_miss_is_told_once_and_where_it_stands() {
        for (case, told) in [
            ("constraint x\nrefused worse", "4: refused with: no such zone (bad)"),
            ("constraint x\npasses a", "4: refused: no such zone (bad)"),
            ("constraint zone\npasses a", "4: no node passed"),
            (
                "constraint zone\noption strict=1\noption room=1\npasses a",
                "5: refused: unknown option room (unknown-option)",
            ),
        ] {
            let text = format!("node a\ncase one\n{case}\n");
            let file = CaseFile::parse("cases/x.cases", &text).expect("a case");
            let missed = play(&file, &mut Picky);
            assert_eq!(missed.len(), 1, "{case}");
            assert_eq!(missed[0].message, format!("cases/x.cases:{told}"));
        }
    }
}
