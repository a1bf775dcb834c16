use std::sync::Arc;

use swarmw_model::{
    Placement, Plugin, PluginClaim, PluginId, RefusalKind, ServiceSpec, SwarmwOptions, TaskSpec,
};
use swarmw_plugin_host::builtin;
use swarmw_scheduler::{ColumnType, Match, Plan, Policies, TupleColumn, Tuples};

use crate::support::{added, guest, host, host_with, no_options};

fn addresses(all: &[Option<&str>]) -> Tuples {
    Tuples {
        rows: all.len(),
        columns: vec![TupleColumn {
            read_as: ColumnType::Ip,
            values: all.iter().map(|a| a.map(Arc::from)).collect(),
        }],
    }
}

pub fn service(constraint: &str) -> ServiceSpec {
    ServiceSpec {
        task_template: Arc::new(TaskSpec {
            placement: Some(Placement {
                constraints: vec![constraint.to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn expressions_become_plans() {
    let mut host = host();
    let one =
        |column: &str, value: &str| Match { column: column.into(), values: vec![value.into()] };
    for (text, plan) in [
        ("node.labels.region==east", Plan::Equals(one("node.labels.region", "east"))),
        ("Node.Role != manager", Plan::NotEquals(one("node.role", "manager"))),
        ("node.ip==nonsense", Plan::Never),
        ("node.ip==10.0.0.0/8", Plan::Ask),
    ] {
        let compiled = host.constraint(text, &no_options()).expect(text);
        assert_eq!(compiled.plan, plan, "{text}");
        assert_eq!(&*compiled.plugin, "swarmw/constraint");
        assert_eq!(&*compiled.reason, "scheduling constraints not satisfied");
    }
}

#[test]
fn verdicts_come_from_typed_columns() {
    let mut host = host();
    let nodes = addresses(&[Some("10.9.9.9"), Some("11.0.0.1"), Some("not an address"), None]);
    for (text, want) in [
        ("node.ip==10.0.0.0/8", [true, false, false, false]),
        ("node.ip!=10.0.0.0/8", [false, true, true, true]),
    ] {
        let constraint = host.constraint(text, &no_options()).expect(text);
        assert_eq!(constraint.reads[0].read_as, ColumnType::Ip);
        assert_eq!(host.test(&constraint, &nodes).expect(text), want, "{text}");
    }
}

#[test]
fn what_was_asked_before_is_not_asked_again() {
    let mut host = host();
    let text = "node.ip==10.0.0.0/8";
    let first = host.constraint(text, &no_options()).expect(text);
    let seen = addresses(&[Some("10.0.0.1"), Some("11.0.0.1")]);
    let verdicts = host.test(&first, &seen).expect("verdicts");
    // To compile, to test, and to see of both rows whether it is pure.
    assert_eq!(host.calls(), 4);

    let again = host.constraint(text, &no_options()).expect(text);
    assert_eq!(again.id, first.id);
    assert_eq!(host.test(&again, &seen).expect("verdicts"), verdicts);
    assert_eq!(host.calls(), 4, "the second time makes no Wasm call");

    let more = addresses(&[Some("11.0.0.1"), Some("10.0.0.2")]);
    assert_eq!(host.test(&again, &more).expect("verdicts"), [false, true]);
    assert_eq!(host.calls(), 5, "one call for the one new value");
}

#[test]
fn a_bad_expression_is_refused_with_swarms_words_status_and_a_caret() {
    let host = host();
    for (text, want) in [
        (
            "node.labels.a=b",
            "rpc error: code = Unknown desc = constraint expected one operator from ==, !=\n  \
             node.labels.a=b\n               ^ try == or !=",
        ),
        ("n==x", "rpc error: code = Unknown desc = key 'n' is invalid\n  n==x\n  ^"),
    ] {
        let refusal = host.check_service(&service(text)).expect_err(text);
        assert_eq!(refusal.to_string(), want);
        assert_eq!(refusal.kind.http_status(), 500);
    }
    assert_eq!(host.check_service(&service("node.labels.a==b")), Ok(()));
}

#[test]
fn an_unknown_key_names_the_keys_and_the_plugins() {
    let host = host_with(&["hostile"]);
    let refusal = host.check_service(&service("node.name==x")).expect_err("unknown");
    assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
    let lines: Vec<_> = refusal.message.lines().collect();
    assert_eq!(
        lines,
        [
            "key 'node.name' is unknown: node.id, node.hostname, node.ip, node.role, \
             node.platform.os, node.platform.arch, node.labels.KEY and engine.labels.KEY exist",
            "  node.name==x",
            "  ^^^^^^^^^ a label of a node is node.labels.name",
            "other plugins take hostile* (test/hostile)",
        ]
    );
}

#[test]
fn a_call_that_nobody_claims_is_told_to_be_nobodys() {
    let refusal = host().check_service(&service("in_subnets(10.0.0.0/8)")).expect_err("nobody's");
    let (first, last) = (refusal.message.lines().next(), refusal.message.lines().last());
    assert_eq!(first, Some("constraint expected one operator from ==, !="), "as Swarm says it");
    let want = "no plugin claims the call in_subnets(…): no plugin of the cluster has calls, see \
                `swarmw plugin ls`";
    assert_eq!(last, Some(want));
}

#[test]
fn an_option_of_a_plugin_that_is_not_used_is_refused() {
    let host = host_with(&["hostile"]);
    let mut spec = service("node.role==worker");
    let options = [("hostile.mood".to_owned(), "1s".to_owned())];
    let swarmw = SwarmwOptions { policy_options: options.into(), ..SwarmwOptions::default() };
    spec.swarmw = Some(swarmw.clone());
    let refusal = host.check_service(&spec).expect_err("it would do nothing");
    let want = "policy option hostile.mood: the service does not use the plugin hostile, it uses \
                swarmw/constraint: leave the option out, or take it away with --policy-opt-rm \
                hostile.mood";
    assert_eq!(refusal.message, want);
    let mut spec = service("hostile==good");
    spec.swarmw = Some(swarmw);
    assert_eq!(host.check_service(&spec), Ok(()));
}

/// A service that asks `hostile`, with options by flags and by labels.
fn optioned(flags: &[&str], labels: &[&str]) -> ServiceSpec {
    let pairs = |paths: &[&str], prefix: &str| {
        paths.iter().map(|path| (format!("{prefix}{path}"), "1s".to_owned())).collect()
    };
    let mut spec = service("hostile==good");
    spec.labels = pairs(labels, "swarmw.opt.");
    let policy_options = pairs(flags, "");
    spec.swarmw = Some(SwarmwOptions { policy_options, ..SwarmwOptions::default() });
    spec
}

#[test]
fn a_service_whose_option_came_to_nothing_is_still_updated() {
    let host = host_with(&["hostile"]);
    let zoned = |constraint: &str| {
        let swarmw = optioned(&["hostile.mood"], &[]).swarmw;
        ServiceSpec { swarmw, ..service(constraint) }
    };
    // Its plugin answered labels once.
    let before = zoned("node.labels.zone==b");
    let scaled = ServiceSpec { name: "web".into(), ..before.clone() };
    assert_eq!(host.check_update(&scaled, &before), Ok(()));
    host.check_service(&before).expect_err("a new one is refused");
    let dropped = host.check_update(&before, &zoned("hostile==good")).expect_err("it was used");
    assert!(dropped.message.contains("does not use the plugin hostile"), "{dropped}");
}

#[test]
fn a_service_that_has_an_option_by_two_names_is_still_updated() {
    let host = host_with(&["hostile"]);
    let before = optioned(&["hostile.mood", "test/hostile.mood"], &[]);
    let scaled = ServiceSpec { name: "web".into(), ..before.clone() };
    assert_eq!(host.check_update(&scaled, &before), Ok(()));
    let one = optioned(&["hostile.mood"], &[]);
    let second = host.check_update(&before, &one).expect_err("the second one is new");
    assert!(second.message.contains("it is the same as hostile.mood"), "{second}");
}

#[test]
fn an_option_stands_once_and_means_one_plugin() {
    let host = host_with(&["hostile"]);
    for (flags, labels, want) in [
        (&["hostile.mood"][..], &["test/hostile.mood"][..], None),
        (
            &["hostile.mood", "test/hostile.mood"],
            &[],
            Some(
                "policy option test/hostile.mood: it is the same as hostile.mood, option mood of \
                 plugin test/hostile: leave one of them out, or take it away with \
                 --policy-opt-rm hostile.mood",
            ),
        ),
        (
            &[],
            &["hostile.mood", "test/hostile.mood"],
            Some(
                "policy option test/hostile.mood: it is the same as hostile.mood, option mood of \
                 plugin test/hostile: leave one of them out, or take it away with --label-rm \
                 swarmw.opt.hostile.mood",
            ),
        ),
        (
            &["local-volume.size"],
            &[],
            Some(
                "policy option local-volume.size: swarmw/local-volume is a volume driver, and its \
                 options are those of a volume: write volume-opt=size=1s in the --mount, or --opt \
                 size=1s for `swarmw volume create`",
            ),
        ),
    ] {
        let said = host.check_service(&optioned(flags, labels)).map_err(|why| why.message);
        assert_eq!(said.as_ref().err().map(String::as_str), want, "{flags:?} {labels:?}");
    }
}

#[test]
fn a_short_name_that_two_plugins_bear_is_ambiguous() {
    let (first, bytes) = added(&guest("hostile"));
    let mut second = Plugin { id: PluginId::from_bits(7), ..first.clone() };
    second.name = "bob/hostile".to_owned();
    second.release.metadata.claims = vec![PluginClaim::Call("bobs".to_owned())];
    let host = host_with(&[]);
    host.set_plugins(vec![(first, bytes.clone()), (second, bytes)]);
    let refusal = host.check_service(&optioned(&["hostile.mood"], &[])).expect_err("of whom?");
    assert_eq!(
        refusal.message,
        "policy option hostile.mood: hostile is ambiguous, it can be test/hostile and \
         bob/hostile: write test/hostile.mood or bob/hostile.mood"
    );
    assert_eq!(host.check_service(&optioned(&["test/hostile.mood"], &[])), Ok(()));
    // It was not when it was written, and the service goes on.
    let stood = optioned(&["hostile.mood"], &[]);
    assert_eq!(host.check_update(&stood, &stood), Ok(()));
}

#[test]
fn a_call_that_is_not_closed_is_told_so() {
    let (mut plugin, bytes) = added(&guest("hostile"));
    plugin.release.metadata.claims.push(PluginClaim::Call("near".to_owned()));
    let host = host_with(&[]);
    let mut plugins: Vec<_> = builtin().iter().map(|b| added(b.bytes)).collect();
    plugins.push((plugin, bytes));
    host.set_plugins(plugins);
    for (text, want) in [
        ("near(a, 4", "the call near(…) lacks its `)` at the end\n  near(a, 4"),
        ("near (a, 4)", "the call near(…) has a blank before its `(`\n  near (a, 4)"),
    ] {
        let refusal = host.check_service(&service(text)).expect_err(text);
        assert_eq!(refusal.message, want);
    }
    let refusal = host.check_service(&service("far(a, 4")).expect_err("nobody's");
    assert!(refusal.message.starts_with("constraint expected one operator"), "{refusal}");
}

#[test]
fn options_reach_their_plugin_and_no_other() {
    let mut host = host_with(&["hostile"]);
    for (typed, want) in [
        (None, "Some(60000)"),
        (Some(("hostile.mood", "1s")), "Some(1000)"),
        (Some(("test/hostile.mood", "2s")), "Some(2000)"),
        (Some(("spread.mood", "2s")), "Some(60000)"),
        (
            Some(("hostile.mood", "bad")),
            "option mood: \"bad\" is not a duration such as 1m30s: how it is today",
        ),
        (Some(("hostile.hunger", "1")), "unknown option hunger: it has mood (how it is today)"),
    ] {
        let options = typed.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let refused = host.constraint("hostile==mood", &options).expect_err("refused");
        assert_eq!(refused.to_string(), want, "{typed:?}");
    }
    // A flag wins over a label, however each names the plugin.
    let both = [("swarmw.opt.hostile.mood", "1s"), ("test/hostile.mood", "2s")];
    let options = both.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let refused = host.constraint("hostile==mood", &options).expect_err("refused");
    assert_eq!(refused.to_string(), "Some(2000)");
}
