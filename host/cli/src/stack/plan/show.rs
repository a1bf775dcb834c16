//! A plan for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use swarmw_model::{Duration, FieldChange, PlannedAct, ServiceOutlook};

use super::{Plan, Planned};

/// Tasks that move, shown of each service; of more their number is.
const MOVES: usize = 10;

/// All of it.
pub(super) fn pretty(plan: &Plan, stack: &str) -> String {
    if plan.is_empty() {
        return format!("Nothing to do: stack {stack} is as its files say.\n");
    }
    let mut out = String::new();
    for (heading, objects) in
        [("Networks", &plan.networks), ("Secrets", &plan.secrets), ("Configs", &plan.configs)]
    {
        if !objects.is_empty() {
            line(&mut out, heading);
            objects.iter().for_each(|one| object(&mut out, one));
        }
    }
    let services: Vec<_> = plan.outlook.services.iter().filter(|one| !one.is_quiet()).collect();
    if !services.is_empty() {
        line(&mut out, "Services");
        services.iter().for_each(|one| service(&mut out, one));
    }
    out.push('\n');
    line(&mut out, &summary(plan));
    if plan.outlook.duration > Duration::ZERO {
        line(&mut out, &format!("It takes at least {}.", plan.outlook.duration));
    }
    if !plan.outlook.is_settled {
        line(
            &mut out,
            "Not all came to rest in what was looked at: updates go on, or wait for something.",
        );
    }
    out
}

fn summary(plan: &Plan) -> String {
    let of = |act| plan.outlook.services.iter().filter(|one| one.act == act).count();
    let sum =
        |count: fn(&ServiceOutlook) -> u64| plan.outlook.services.iter().map(count).sum::<u64>();
    let pending = |one: &ServiceOutlook| one.pending.values().sum::<u64>();
    let waiting = match sum(pending) {
        0 => String::new(),
        n => format!(", {n} would wait for a node"),
    };
    format!(
        "Services: {} to create, {} to change, {} to remove. Tasks: {} to add, {} to replace, \
         {} to stop{waiting}.",
        of(PlannedAct::Create),
        of(PlannedAct::Update),
        of(PlannedAct::Remove),
        sum(|one| one.added),
        sum(|one| one.replaced),
        sum(|one| one.stopped),
    )
}

fn object(out: &mut String, one: &Planned) {
    line(out, &format!("  {} {}", sign(one.act), one.name));
    one.changes.iter().for_each(|change| field(out, change));
    if !one.trouble.is_empty() {
        line(out, &format!("      ! {}", one.trouble));
    }
}

fn service(out: &mut String, one: &ServiceOutlook) {
    line(out, &format!("  {} {}", sign(one.act), one.name));
    one.changes.iter().for_each(|change| field(out, change));
    let counts = [
        (one.added, "added"),
        (one.replaced, "replaced"),
        (one.moved.len() as u64, "of them moved"),
        (one.stopped, "stopped"),
        (one.kept, "kept"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    if !counts.is_empty() {
        line(out, &format!("      tasks: {}", counts.join(", ")));
    }
    if !one.placed.is_empty() {
        line(out, &format!("      then on {}", places(&one.placed)));
    }
    for moved in one.moved.iter().take(MOVES) {
        line(out, &format!("      {} moves from {} to {}", moved.task, moved.from, moved.to));
    }
    if let more @ 1.. = one.moved.len().saturating_sub(MOVES) {
        line(out, &format!("      and {more} more"));
    }
    for (reason, count) in &one.pending {
        line(out, &format!("      ! {count} would wait: {reason}"));
    }
    if !one.trouble.is_empty() {
        line(out, &format!("      ! {}", one.trouble));
    }
}

fn places(placed: &BTreeMap<String, u64>) -> String {
    let one = |(node, count): (&String, &u64)| match count {
        1 => node.clone(),
        count => format!("{node} ({count})"),
    };
    placed.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn field(out: &mut String, change: &FieldChange) {
    let said = match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{} → {}", word(old), word(new)),
        (None, Some(new)) => format!("+ {}", word(new)),
        (Some(old), None) => format!("- {}", word(old)),
        (None, None) => String::new(),
    };
    line(out, &format!("      {}: {said}", change.field));
}

fn word(value: &Value) -> String {
    value.to_string()
}

fn sign(act: PlannedAct) -> char {
    match act {
        PlannedAct::Keep => ' ',
        PlannedAct::Create => '+',
        PlannedAct::Update => '~',
        PlannedAct::Remove => '-',
    }
}

fn line(out: &mut String, text: &str) {
    // A text takes all that is written.
    let _ = writeln!(out, "{text}");
}
