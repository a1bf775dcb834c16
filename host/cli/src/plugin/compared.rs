//! What a change of plugins would mean, for people.

use std::fmt::{self, Write as _};

use swarmw_model::Comparison;

/// Differences, violations and moves shown of each; of more their number is.
pub(super) const SHOWN: usize = 20;

/// What differs, and what it means for running tasks.
pub(super) fn comparison(
    out: &mut String,
    found: &Comparison,
    now: &str,
    then: &str,
) -> fmt::Result {
    let verdicts = match (found.verdicts, found.differing) {
        // Nothing of it is a verdict about a node.
        (0, 0) => String::new(),
        (0, n) => format!("{} otherwise, ", many(n, "answer")),
        (verdicts, n) => format!("{n} of {} differ, ", many(verdicts, "verdict")),
    };
    writeln!(
        out,
        "It concerns {}: {verdicts}{} would be violated, {} would stand elsewhere.",
        many(found.services, "service"),
        many(found.violated, "running task"),
        many(found.moved.len(), "service"),
    )?;
    for violation in found.violations.iter().take(SHOWN) {
        let (task, node) = (&violation.task, &violation.node);
        writeln!(out, " violated\t{task} on {node}: {}", violation.constraint)?;
    }
    rest(out, found.violated)?;
    for moved in found.moved.iter().take(SHOWN) {
        let waiting = match moved.waiting {
            0 => String::new(),
            n => format!(", {n} would wait"),
        };
        let (service, count, tasks) = (&moved.service, moved.moved, moved.tasks);
        writeln!(
            out,
            " moved\t\t{service}: {count} of {tasks} tasks, were they placed anew{waiting}"
        )?;
    }
    rest(out, found.moved.len())?;
    for one in found.differences.iter().take(SHOWN) {
        let node = if one.node.is_empty() { String::new() } else { format!(" on {}", one.node) };
        let (service, text) = (&one.service, &one.text);
        writeln!(out, " differs\t{service}: {text}{node}: {now} {}, {then} {}", one.now, one.then)?;
    }
    rest(out, found.differing)
}

pub(super) fn many(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn rest(out: &mut String, count: usize) -> fmt::Result {
    match count.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, " …\t\tand {more} more"),
    }
}
