//! Plugins that break a law are told so.

use crate::support::Desk;

#[test]
fn a_constraint_that_counts_its_calls_is_caught() {
    let desk = Desk::new();
    desk.well("new --kind constraint @moody");
    desk.edit(
        "moody/src/lib.rs",
        "node.number(0).map_or(settings.absent, |value| value >= self.least)",
        "use std::sync::atomic::{AtomicU32, Ordering};
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let odd = CALLS.fetch_add(1, Ordering::Relaxed) % 61 == 60;
        odd || node.number(0).map_or(settings.absent, |value| value >= self.least)",
    );
    let (said, ended) = desk.plugin("test @moody");
    let line = |part: &str| said.lines().find(|line| line.contains(part)).expect(part);
    assert!(line("the same answer twice").contains("FAILED"), "{said}");
    assert!(line("rows in parts").contains("FAILED"), "{said}");
    assert!(said.contains("the verdicts were"), "{said}");
    assert!(ended.is_err_and(|e| e.contains("things are wrong with me/moody")), "{said}");
}

#[test]
fn a_policy_that_panics_on_another_ones_state_is_caught_and_a_case_that_misses_is_told() {
    let desk = Desk::new();
    desk.well("new --kind update-policy @rash");
    desk.edit(
        "rash/src/lib.rs",
        "        let options = &rollout.options;",
        "        assert!(self.failed < 3);\n        let options = &rollout.options;",
    );
    desk.edit("rash/cases/rash.cases", "at 5s replaced 1", "at 5s replaced 2");
    let (said, ended) = desk.plugin("test @rash");
    let line = |part: &str| said.lines().find(|line| line.contains(part)).expect(part);
    assert!(line("bytes of something else").contains("FAILED"), "{said}");
    assert!(line("native").contains("FAILED") && line("host ").contains("FAILED"), "{said}");
    assert!(said.contains("cases/rash.cases:6: it went so:"), "{said}");
    assert!(said.contains("31.0s  replaces 2"), "{said}");
    assert!(ended.is_err());
}
