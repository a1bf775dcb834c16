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
    // The row that differs, not all of them.
    assert!(said.contains(" of 60 (node.labels.cores"), "{said}");
    assert!(said.contains("look for a static, a clock, a random number"), "{said}");
    assert!(!said.contains("upgrade it"), "an operator's advice: {said}");
    assert!(said.lines().all(|line| line.len() < 400), "{said}");
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

/// A faulty expression after the good ones: what it does wrong is told of it alone.
fn faulty(desk: &Desk, name: &str, body: &str) {
    desk.well(&format!("new --kind constraint @{name}"));
    desk.edit(
        &format!("{name}/src/lib.rs"),
        "node.number(0).map_or(settings.absent, |value| value >= self.least)",
        &format!(
            "if self.least == 66.0 {{ {body} }}
             node.number(0).map_or(settings.absent, |value| value >= self.least)"
        ),
    );
    let word = name.replace('-', "_");
    let last = format!("constraint {word}(cores, many)\nrefused bad-number\n");
    let faulty = |n: usize| format!("case faulty {n}\nconstraint {word}(cores, 66)\npasses\n");
    let cases: String = (1..=4).map(faulty).collect();
    let well = format!("case well\nconstraint {word}(cores, 5)\npasses large\n");
    desk.edit(&format!("{name}/cases/{name}.cases"), &last, &format!("{last}{cases}{well}"));
}

#[test]
fn calls_that_trap_break_the_laws_and_no_other_case() {
    let desk = Desk::new();
    faulty(&desk, "rash", "panic!(\"no such rack\")");
    let (said, ended) = desk.plugin("test @rash");
    ended.expect_err("it traps");
    let line = |part: &str| said.lines().find(|line| line.contains(part)).expect(part);
    for law in ["twice", "fresh", "shuffled", "in parts", "the most rows"] {
        assert!(line(law).contains("FAILED"), "{law}: {said}");
    }
    assert!(line("bad expressions").contains(" ok "), "{said}");
    // The law names the question, the row, the call and the fault.
    let told = "rash(cores, 66): row 1 of 60 (node.labels.cores";
    assert!(said.contains(told) && said.contains("test trapped: "), "{said}");
    assert!(said.contains("no such rack"), "and the panic is in the log: {said}");
    // Four faults, and the case after them is asked all the same.
    assert!(!said.contains("is not called for"), "{said}");
    assert!(!said.contains("well\n  cases/"), "{said}");
}

#[test]
fn a_call_that_loops_ends_the_tests_with_its_name() {
    let desk = Desk::new();
    faulty(&desk, "turtles", "loop { std::hint::black_box(()) }");
    let (said, ended) = desk.plugin("test @turtles");
    ended.expect_err("it loops");
    let native = "faulty 1\n  `test` did not come back within 10 s: does it loop?";
    assert!(said.contains(native), "{said}");
    assert!(said.contains("test ran for more than 20 ms"), "{said}");
    assert!(!said.contains("well\n  cases/"), "{said}");
}

#[test]
fn an_answer_that_hangs_on_a_maps_order_is_explained() {
    let desk = Desk::new();
    faulty(
        &desk,
        "moody-map",
        "let all: std::collections::HashSet<u32> = (0..64).collect();
         return all.iter().next().is_some_and(|first| first % 2 == 0);",
    );
    let (said, ended) = desk.plugin("test @moody-map");
    ended.expect_err("two answers");
    assert!(said.contains("HashMap whose order is used"), "{said}");
    assert!(said.contains("moody_map(cores, 66): row "), "the row, too: {said}");
    assert!(!said.contains("upgrade it"), "an operator's advice: {said}");
}

#[test]
fn laws_without_a_question_say_so() {
    let desk = Desk::new();
    desk.well("new --kind constraint @idle");
    std::fs::write(
        desk.path("idle/cases/idle.cases"),
        "case a number that is none\nconstraint idle(cores, many)\nrefused bad-number\n",
    )
    .expect("written");
    let said = desk.well("test @idle");
    let line = |part: &str| said.lines().find(|line| line.contains(part)).expect(part);
    for law in ["twice", "shuffled", "in parts", "the most rows"] {
        assert!(line(law).contains(" --  no case"), "{law}: {said}");
    }
    assert!(said.contains(" ok  1 case "), "{said}");

    // And where nothing was asked at all, nothing is well.
    std::fs::remove_file(desk.path("idle/cases/idle.cases")).expect("it was there");
    let (_, ended) = desk.plugin("test @idle");
    let why = ended.expect_err("nothing was tried").to_string();
    assert!(why.contains("nothing that me/idle decides was tried"), "{why}");
}
