//! Components that do wrong harm nothing and are named.

use std::sync::Arc;

use swarmw_model::RefusalKind;
use swarmw_plugin_host::{AddError, PluginHost, inspect};
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
        ("loop", "plugin test/hostile: ran for more than 50 ms"),
        ("trap", "plugin test/hostile: trapped: wasm `unreachable` instruction executed"),
        ("memory", "plugin test/hostile: forcing trap when growing memory to"),
        ("stack", "plugin test/hostile: trapped: call stack exhausted"),
        ("huge", "plugin test/hostile: "),
        ("column", "plugin test/hostile: reads column \"node.shoe\", which nodes have not"),
    ] {
        let mut host = host_with(&["hostile"]);
        let said = fault(&mut host, what);
        assert!(said.starts_with(want), "{what}: {said}");
        host.constraint("hostile==good", &no_options()).expect("a fresh instance");
        host.constraint("node.id==x", &no_options()).expect("others are untouched");
    }
}

#[test]
fn three_faults_open_the_breaker() {
    let mut host = host_with(&["hostile"]);
    for _ in 0..3 {
        fault(&mut host, "trap");
    }
    let calls = host.calls();
    let said = fault(&mut host, "good");
    assert!(
        said.starts_with(
            "plugin test/hostile: failed 3 times within 10 minutes and is not called for now; \
             the last time it trapped: wasm `unreachable`"
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
    let rows = Tuples {
        rows: 2,
        columns: vec![TupleColumn {
            read_as: ColumnType::Text,
            values: vec![Some(Arc::from("good")), None],
        }],
    };
    let failure = host.test(&constraint, &rows).expect_err("too few");
    assert_eq!(failure.to_string(), "plugin test/hostile: gave 0 verdicts for 2 rows");
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let mut host = host_with(&["hostile"]);
    host.constraint("hostile==log", &no_options()).expect("no fault");
}

#[test]
fn a_service_that_meets_a_broken_plugin_is_refused_with_its_name() {
    let host = host_with(&["hostile"]);
    let refusal = host.check_service(&service("hostile==trap")).expect_err("refused");
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(refusal.message.starts_with("plugin test/hostile: trapped"), "{refusal}");
}

#[test]
fn what_is_no_plugin_is_not_added() {
    let said = |bytes: &[u8]| inspect(bytes, &compiler()).expect_err("refused").to_string();
    assert_eq!(
        said(&guest("wide")),
        "the component imports evil:corp/network@1.0.0; a plugin may import \
         swarmw:types/host@0.1.0 and swarmw:types/types@0.1.0 only"
    );
    assert_eq!(
        said(&guest("liar")),
        "the plugin describes itself wrongly: a constraint claims keys, operators and calls, \
         not spread"
    );
    assert!(said(b"not wasm").starts_with("the component does not compile: "), "not wasm");
    assert_eq!(
        said(&vec![0; (16 << 20) + 1]),
        "the component has 16777217 bytes; at most 16777216 are taken"
    );
    let cut = &guest("hostile")[..5_000];
    assert!(matches!(inspect(cut, &compiler()), Err(AddError::Compile(_))));
}
