use super::*;
use swarmw_sdk::raw::{Cells, Column, Ip};

fn compile(text: &str) -> Result<Compiled, Vec<Problem>> {
    SwarmConstraint::compile(text, &Options::default())
}

fn refusal(text: &str) -> Problem {
    let mut problems = compile(text).expect_err(text);
    assert_eq!(problems.len(), 1, "{text}");
    problems.remove(0)
}

fn addresses(all: &[Option<&str>]) -> Tuples {
    let bits = |text: &str| match text.parse().expect("an address") {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    Tuples {
        rows: all.len() as u32,
        columns: vec![Column {
            present: all.iter().map(Option::is_some).collect(),
            cells: Cells::Ip(
                all.iter()
                    .map(|a| a.map_or(0, bits))
                    .map(|b| Ip { high: (b >> 64) as u64, low: b as u64 })
                    .collect(),
            ),
        }],
    }
}

#[test]
fn text_keys_become_look_ups() {
    for (text, column, value) in [
        ("node.id==abc", "node.id", "abc"),
        ("NODE.Hostname == web-1", "node.hostname", "web-1"),
        ("node.role==manager", "node.role", "manager"),
        ("node.platform.arch==x86_64", "node.platform.arch", "x86_64"),
        ("Node.Labels.Region==East", "node.labels.Region", "East"),
        ("engine.labels.os==a b", "engine.labels.os", "a b"),
        ("node.labels.a==b!=c", "", ""),
    ] {
        let compiled = compile(text);
        if column.is_empty() {
            assert!(compiled.is_err(), "{text}");
            continue;
        }
        let plan = compiled.expect(text).plan;
        assert_eq!(plan, Plan::Equals(Match::one(column, value)), "{text}");
    }
    assert_eq!(
        compile("node.labels.a != *").expect("literal").plan,
        Plan::NotEquals(Match::one("node.labels.a", "*"))
    );
}

#[test]
fn faults_are_told_in_swarms_words_with_their_place() {
    for (text, message, at) in [
        ("node.id=x", "constraint expected one operator from ==, !=", (7, 8)),
        ("node.id>=3", "constraint expected one operator from ==, !=", (7, 8)),
        ("nodeid", "constraint expected one operator from ==, !=", (0, 6)),
        ("", "constraint expected one operator from ==, !=", (0, 0)),
        ("n==x", "key 'n' is invalid", (0, 1)),
        ("9a==x", "key '9a' is invalid", (0, 2)),
        ("no de==x", "key 'no de' is invalid", (0, 5)),
        ("==x", "key '' is invalid", (0, 0)),
        ("node.id==", "value '' is invalid", (9, 9)),
        ("node.id== ", "value '' is invalid", (9, 10)),
        ("node.id==a,b", "value 'a,b' is invalid", (9, 12)),
        ("node.id== é", "value 'é' is invalid", (10, 12)),
        ("node.id===x", "value '=x' is invalid", (9, 11)),
    ] {
        let problem = refusal(text);
        assert_eq!(problem.message, message, "{text}");
        let at_said = problem.at.map(|s| (s.start, s.end));
        assert_eq!(at_said, Some(at), "{text}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_those_that_exist() {
    let problem = refusal("node.name==x");
    assert_eq!(problem.code, "unknown-key");
    for key in KEYS {
        assert!(problem.message.contains(key), "{key}");
    }
    assert_eq!(problem.at.map(|s| (s.start, s.end)), Some((0, 9)));
    assert_eq!(refusal("engine.hostname==x").hint.as_deref(), Some("try node.hostname"));
    for text in ["node.labels.==x", "engine.version==1", "region==east"] {
        assert_eq!(refusal(text).code, "unknown-key", "{text}");
    }
}

#[test]
fn addresses_are_asked_for_and_compared_as_networks() {
    let nodes = [Some("10.0.0.7"), Some("10.1.0.7"), Some("fe80::1"), None];
    for (text, want) in [
        ("node.ip==10.0.0.7", [true, false, false, false]),
        ("node.ip!=10.0.0.7", [false, true, true, true]),
        ("node.ip==10.0.0.0/8", [true, true, false, false]),
        ("node.ip==10.0.3.9/16", [true, false, false, false]),
        ("node.ip==0.0.0.0/0", [true, true, false, false]),
        ("node.ip==fe80::/10", [false, false, true, false]),
        ("node.ip==::ffff:10.0.0.7", [true, false, false, false]),
        ("node.ip==::/0", [true, true, true, false]),
    ] {
        let compiled = compile(text).expect(text);
        assert_eq!(compiled.plan, Plan::Ask, "{text}");
        assert_eq!(compiled.reads, [column("node.ip", ColumnType::Ip)]);
        let verdicts = SwarmConstraint::test(text, &Options::default(), &addresses(&nodes));
        assert_eq!(verdicts, want, "{text}");
    }
}

#[test]
fn a_malformed_address_never_matches() {
    for text in [
        "node.ip==10.0.0",
        "node.ip!=10.0.0",
        "node.ip==10.0.0.0/33",
        "node.ip!=host",
        "node.ip==10.0.0.0/+8",
    ] {
        assert_eq!(compile(text).expect(text).plan, Plan::Never, "{text}");
    }
}
