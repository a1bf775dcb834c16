//! Components that do wrong harm nothing and are named.

use std::sync::Arc;

use swarmw_model::RefusalKind;
use swarmw_plugin_host::{AddError, COMPONENT, PluginHost, What, inspect};
use swarmw_scheduler::{ColumnType, Policies, TupleColumn, Tuples};

use crate::constraints::service;
use crate::support::{compiler, guest, host_with, no_options};

fn fault(host: &mut PluginHost, what: &str) -> String {
    let failure = host.constraint(&format!("hostile=={what}"), &no_options());
    failure.expect_err(what).to_string()
}

#[test]
fn faults_are_named_and_the_next_call_is_served() {
    for (what, want) in [
        ("loop", "plugin test/hostile: compile ran for more than 50 ms"),
        ("trap", "plugin test/hostile: compile trapped: wasm `unreachable` instruction executed"),
        ("memory", "plugin test/hostile: compile wanted more than 64 MiB of memory"),
        ("stack", "plugin test/hostile: compile trapped: call stack exhausted"),
        ("huge", "plugin test/hostile: compile failed: "),
        ("column", "plugin test/hostile: compile reads column \"node.shoe\", which nodes have not"),
    ] {
        let mut host = host_with(&["hostile"]);
        let said = fault(&mut host, what);
        assert!(said.starts_with(want), "{what}: {said}");
        host.constraint("hostile==good", &no_options()).expect("a fresh instance");
        host.constraint("node.id==x", &no_options()).expect("others are untouched");
    }
}

#[test]
fn what_failed_three_times_is_set_aside_and_the_rest_is_answered() {
    let mut host = host_with(&["hostile"]);
    for _ in 0..3 {
        fault(&mut host, "trap");
    }
    let calls = host.calls();
    let said = fault(&mut host, "trap");
    assert!(
        said.starts_with(
            "plugin test/hostile failed 3 times at this within 10 minutes and is not asked it \
             for as long, or until it is enabled again; the last time compile trapped: wasm `unreachable`"
        ),
        "{said}"
    );
    assert_eq!(host.calls(), calls, "it is not asked any more");
    host.constraint("hostile==good", &no_options()).expect("somebody else's expression");
    let breaker = host.used("test/hostile").expect("it is there").breaker;
    assert_eq!((breaker.open, breaker.set_aside, breaker.faults), (false, 1, 3));
    assert!(breaker.closes_at.is_none() && breaker.set_aside_until.is_some());

    // Another option makes it another question.
    let mood = [("hostile.mood".to_owned(), "1s".to_owned())].into();
    let asked = host.constraint("hostile==trap", &mood).expect_err("it traps").to_string();
    assert!(asked.starts_with("plugin test/hostile: compile trapped"), "{asked}");
}

#[test]
fn typos_of_specs_that_are_refused_stop_nobody() {
    let mut host = host_with(&["hostile"]);
    let typos = ["trap", "loop", "memory", "stack", "huge", "column"];
    for what in typos {
        let refused = host.check_service(&service(&format!("hostile=={what}")));
        assert_eq!(refused.expect_err(what).kind, RefusalKind::Unavailable, "{what}");
    }
    let breaker = host.used("test/hostile").expect("it is there").breaker;
    assert_eq!((breaker.open, breaker.faults), (false, typos.len() as u32));
    host.constraint("hostile==good", &no_options()).expect("it is called for everybody");
}

#[test]
fn three_different_faults_open_the_breaker() {
    let mut host = host_with(&["hostile"]);
    for what in ["trap", "loop", "memory"] {
        fault(&mut host, what);
    }
    let calls = host.calls();
    let said = fault(&mut host, "good");
    assert!(
        said.starts_with(
            "plugin test/hostile failed 3 different questions within 10 minutes and is not \
             called for as long, or until it is enabled again; the last time compile "
        ),
        "{said}"
    );
    assert_eq!(host.calls(), calls, "it is not called any more");
    host.constraint("node.id==x", &no_options()).expect("others are untouched");
}

#[test]
fn too_few_verdicts_are_a_fault() {
    let mut host = host_with(&["hostile"]);
    let constraint = host.constraint("hostile==short", &no_options()).expect("compiles");
    let failure = host.test(&constraint, &two_rows()).expect_err("too few");
    assert_eq!(failure.to_string(), "plugin test/hostile: test gave 0 verdicts for 2 rows");
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let mut host = host_with(&["hostile"]);
    host.constraint("hostile==log", &no_options()).expect("no fault");
    let lines = host.lines("test/hostile", 0);
    assert!((1..300).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines.iter().all(|l| !l.text.contains(char::is_control)));
    assert_eq!(host.lines("test/hostile", lines.last().expect("a line").number), []);
}

#[test]
fn a_plugin_that_gives_two_answers_to_one_question_is_quarantined() {
    let mut host = host_with(&["fickle"]);
    let (told, heard) = std::sync::mpsc::channel();
    host.on_incident(move |incident| told.send(incident).expect("the test listens"));
    let constraint = host.constraint("fickle==x", &no_options()).expect("compiles");
    let said = host.test(&constraint, &two_rows()).expect_err("it lied").to_string();
    let want = "plugin test/fickle is quarantined: its test answered one question in two ways; \
                upgrade it, or enable it again";
    assert_eq!(said, want);
    let calls = host.calls();
    let again = host.test(&constraint, &two_rows()).expect_err("it lied").to_string();
    assert_eq!((again.as_str(), host.calls()), (want, calls), "it is not called any more");
    let incident = heard.try_recv().expect("it is told");
    assert_eq!((incident.what, &*incident.name), (What::Lied, "test/fickle"));
    assert!(heard.try_recv().is_err(), "it is told once");
}

#[test]
fn what_is_set_aside_and_a_breaker_that_opens_are_told_once() {
    let mut host = host_with(&["hostile"]);
    let (told, heard) = std::sync::mpsc::channel();
    host.on_incident(move |incident| told.send(incident).expect("the test listens"));
    for _ in 0..5 {
        fault(&mut host, "trap");
    }
    let incident = heard.try_recv().expect("it is told");
    assert_eq!(incident.what, What::SetAside);
    assert!(incident.message.starts_with("compile trapped: wasm"), "{}", incident.message);
    for what in ["loop", "memory", "stack", "huge"] {
        fault(&mut host, what);
    }
    assert_eq!(heard.try_recv().expect("it is told").what, What::BreakerOpened);
    assert!(heard.try_recv().is_err(), "it is told once");
}

#[test]
fn what_a_plugin_did_is_counted() {
    let mut host = host_with(&["hostile"]);
    let constraint = host.constraint("hostile==good", &no_options()).expect("compiles");
    host.test(&constraint, &two_rows()).expect("verdicts");
    host.test(&constraint, &two_rows()).expect("known verdicts");
    host.needed(&Arc::from("test/hostile"), 20);
    fault(&mut host, "trap");
    fault(&mut host, "loop");
    fault(&mut host, "column");
    let used = host.used("test/hostile").expect("it is there");
    let compile = used.calls["compile"];
    assert_eq!((compile.count, compile.traps, compile.late, compile.invalid), (4, 1, 1, 1));
    assert!(compile.longest >= 50_000_000 && compile.nanos >= compile.longest, "{compile:?}");
    // One call, and one for each row in a fresh instance to see whether it is pure.
    assert_eq!((used.calls["test"].count, used.faults()), (3, 3));
    assert_eq!(used.rows.hit_rate(), Some(0.9), "{:?}", used.rows);
    assert!(used.breaker.open && used.breaker.closes_at.is_some(), "{:?}", used.breaker);
    assert_eq!(used.last_fault.expect("a fault").call, "compile");
}

fn two_rows() -> Tuples {
    let values = vec![Some(Arc::from("good")), None];
    Tuples { rows: 2, columns: vec![TupleColumn { read_as: ColumnType::Text, values }] }
}

#[test]
fn a_service_that_meets_a_broken_plugin_is_refused_with_its_name() {
    let host = host_with(&["hostile"]);
    let refusal = host.check_service(&service("hostile==trap")).expect_err("refused");
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(refusal.message.starts_with("plugin test/hostile: compile trapped"), "{refusal}");
}

#[test]
fn what_is_no_plugin_is_not_added() {
    let said =
        |bytes: &[u8]| inspect(bytes, COMPONENT, &compiler()).expect_err("refused").to_string();
    assert_eq!(
        said(&guest("wide")),
        "the component imports evil:corp/network@1.0.0; a plugin may import \
         swarmw:types/host@0.1.0 and swarmw:types/types@0.1.0 only"
    );
    assert_eq!(
        said(&guest("liar")),
        "the plugin describes itself wrongly: a constraint claims keys, operators and calls, \
         not \"spread\""
    );
    let told = "the file is no WebAssembly component: it begins with \"not wasm\"; ";
    assert!(said(b"not wasm").starts_with(told), "{}", said(b"not wasm"));
    assert_eq!(
        said(&vec![0; (16 << 20) + 1]),
        "the component has 16777217 bytes; at most 16777216 are taken"
    );
    let cut = &guest("hostile")[..5_000];
    assert!(matches!(inspect(cut, COMPONENT, &compiler()), Err(AddError::Compile(_))));
}
