//! What operators agree to of plugins: powers, and claims on what others answer.

use swarmw_model::{
    CandidateState, Consent, GrantRequest, Plugin, PluginClaim, PluginGrant, PluginKind,
    PluginState, PluginStatus, ServiceSpec,
};
use swarmw_state::{Change, Outcome};

use crate::build::*;
use crate::plugins::{PACK, add, pack, set, upgrade, with_pack};

/// A cluster with Swarm's constraints built in, `me/labels`, which takes labels and moods,
/// and `web`, whose constraint is this.
fn with_labels(constraint: &str) -> Log {
    let mut log = Log::founded();
    log.done(create(WEB, web(constraint)));
    let every = [PluginClaim::KeyPrefix(String::new())];
    log.done(add(Plugin { built_in: true, ..asker(2, "swarmw/constraint", &every) }));
    log
}

/// `web` with this constraint.
fn web(constraint: &str) -> ServiceSpec {
    let mut spec = service("web");
    spec.task_template = constrained("app:1", constraint);
    spec
}

fn asker(id: u128, name: &str, claims: &[PluginClaim]) -> Plugin {
    let mut plugin = plugin(id, name, &[]);
    plugin.kind = PluginKind::Constraint;
    plugin.release.metadata.claims = claims.to_vec();
    plugin
}

fn labels() -> Plugin {
    let claims = [PluginClaim::KeyPrefix("node.labels.".into()), PluginClaim::Key("mood".into())];
    asker(1, "me/labels", &claims)
}

#[test]
fn what_a_plugin_would_take_from_another_is_told_with_the_services() {
    let takes = |log: &Log, plugin: &Plugin| -> Vec<String> {
        let taken = log.state.taken_by(plugin);
        taken.iter().map(|grant| format!("{} ({})", grant.request, grant.reason)).collect()
    };
    let mut log = with_labels("node.labels.zone==b");
    let want = "claim=node.labels.* (takes node.labels.zone==b of web from swarmw/constraint)";
    assert_eq!(takes(&log, &labels()), [want]);
    let disabled = PluginStatus { state: PluginState::Disabled, ..Default::default() };
    let later = Plugin { status: disabled, ..labels() };
    assert_eq!(takes(&log, &later), [want], "it can be enabled");
    log.done(add(labels()));
    assert_eq!(takes(&log, &labels()), [""; 0], "they are its own already");

    for (constraint, why) in [
        ("node.hostname==a", "nobody uses what it claims"),
        ("mood==good", "the built-in one only refuses it"),
    ] {
        assert_eq!(takes(&with_labels(constraint), &labels()), [""; 0], "{why}");
    }
}

#[test]
fn a_plugin_whose_constraints_another_answers_can_go() {
    for (constraint, needed) in [
        ("node.labels.zone==b", false),
        ("mood==good", true),
        // The built-in one would refuse it.
        ("node.labels.zone>4", true),
    ] {
        let mut log = with_labels(constraint);
        log.done(add(labels()));
        let users: Vec<_> = log.state.users_of_plugin(&labels());
        assert_eq!(users.len(), 1, "it is asked: {constraint}");
        for change in [set(PluginState::Disabled, false), Change::RemovePlugin(PACK)] {
            match log.one(change) {
                Outcome::Done(_) => assert!(!needed, "{constraint}"),
                Outcome::Refused(why) => {
                    assert!(needed && why.message.contains("service: web; end that"), "{why}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn claims(prefix: &str, operators: &[&str]) -> Vec<PluginClaim> {
    let operators = operators.iter().map(|o| PluginClaim::Operator((*o).into()));
    operators.chain([PluginClaim::KeyPrefix(prefix.into())]).collect()
}

#[test]
fn what_is_taken_is_told_with_the_operators_that_the_plugin_claims() {
    let taken = |log: &Log, plugin: &Plugin| -> Vec<String> {
        let taken = log.state.taken_by(plugin);
        taken.iter().map(|grant| format!("{} ({})", grant.request, grant.reason)).collect()
    };
    let log = with_labels("node.labels.a!=b");
    for (prefix, operators, want) in [
        ("node.labels.", &["!="][..], "claim=node.labels.* !="),
        ("", &["!=", ">="], "claim=* !="),
        ("node.labels.", &[], "claim=node.labels.*"),
    ] {
        let plugin = asker(1, "me/some", &claims(prefix, operators));
        let want = format!("{want} (takes node.labels.a!=b of web from swarmw/constraint)");
        assert_eq!(taken(&log, &plugin), [want], "{prefix} {operators:?}");
    }
    let other = asker(1, "me/some", &claims("node.labels.", &["=="]));
    assert_eq!(taken(&log, &other), [""; 0], "nobody uses that operator");

    // An operator that ends a key where none did before sends it to somebody else.
    let mut log = with_labels("mood.of=the==day");
    log.done(add(asker(3, "me/of", &claims("mood.of=", &[]))));
    log.done(add(asker(4, "me/mood", &[PluginClaim::Key("mood.of".into())])));
    let splits = asker(1, "me/splits", &claims("else", &["="]));
    assert_eq!(
        taken(&log, &splits),
        ["claim=* = (takes mood.of=the==day of web from me/of to me/mood)"]
    );
}

#[test]
fn what_a_plugin_leaves_goes_to_nobody_who_was_not_agreed_to() {
    let heir = |granted: &[&str]| {
        let mut heir = asker(3, "me/heir", &claims("", &[">="]));
        heir.release.granted = granted.iter().map(|text| text.parse().expect("a power")).collect();
        heir
    };
    let disabled = |mut plugin: Plugin| {
        plugin.release.granted = vec![GrantRequest::Claim("*".into())];
        plugin
    };
    let cases: [(Plugin, bool, Option<&str>); 4] = [
        (
            heir(&[]),
            false,
            Some(
                "; some would go to me/heir, which takes them with your consent alone: `swarmw \
                 plugin grant --grant 'claim=* >=' me/heir`",
            ),
        ),
        (heir(&["claim=* =="]), false, Some("some would go to me/heir")),
        (heir(&["claim=* >="]), false, None),
        (disabled(heir(&[])), true, Some("in use by the following service: web")),
    ];
    for (heir, disable, want) in cases {
        let mut log = with_labels("node.labels.mem>=4");
        log.done(add(asker(1, "me/labels", &claims("node.labels.", &[">="]))));
        let (id, granted) = (heir.id, heir.release.granted.clone());
        log.done(add(heir));
        if disable {
            let state = PluginState::Disabled;
            log.done(Change::SetPluginState { id, state, message: String::new(), force: true });
        }
        match (log.one(Change::RemovePlugin(PACK)), want) {
            (Outcome::Done(_), None) => {}
            (Outcome::Refused(why), Some(want)) => {
                assert!(why.message.contains(want), "{granted:?}: {why}");
            }
            (other, _) => panic!("{granted:?}: {other:?}"),
        }
    }
}

#[test]
fn the_component_that_serves_gets_other_powers_and_nothing_else() {
    let mut log = with_pack();
    log.done(set(PluginState::Disabled, false));
    let mut again = release("1.0.0", &["pack"]);
    again.source = Some("elsewhere".into());
    again.granted = vec![GrantRequest::Helper("a".into())];
    log.done(upgrade("1.0.0", again.clone(), None));
    let now = pack(&log);
    assert_eq!((&now.release.granted, &now.release.source), (&again.granted, &None));
    assert_eq!(now.status.state, PluginState::Disabled);
    let same = log.refusal(upgrade("1.0.0", again, None));
    assert!(same.contains("runs this very component already"), "{same}");
}

#[test]
fn what_is_revoked_does_not_come_back_with_the_version_that_waits() {
    let powers = |texts: &[&str]| -> Vec<GrantRequest> {
        texts.iter().map(|text| text.parse().expect("a power")).collect()
    };
    for (has, want) in [(&["helper=a"][..], &["helper=a"][..]), (&["secret=s3"], &["secret=s3"])] {
        let mut log = with_pack();
        let mut first = release("1.0.0", &["pack"]);
        first.granted = powers(&["secret=*", "helper=a"]);
        log.done(upgrade("1.0.0", first.clone(), None));
        let mut second = release("2.0.0", &["pack"]);
        let grant = |request| PluginGrant { request, reason: "why not".into() };
        second.metadata.grants =
            powers(&["secret=*", "helper=a", "helper=x"]).into_iter().map(grant).collect();
        second.granted.clone_from(&first.granted);
        log.done(upgrade("1.0.0", second.clone(), Some(CandidateState::Consent)));

        first.granted = powers(has);
        log.done(upgrade("1.0.0", first, None));
        let candidate = pack(&log).candidate.as_ref().expect("it waits");
        assert_eq!(candidate.release.granted, powers(want), "{has:?}");
        let consent = Consent::These { granted: powers(&["helper=x"]), revoked: Vec::new() };
        let given = log.state.candidate_powers(pack(&log), &consent).expect("a candidate");
        let given = given.expect("powers");
        assert_eq!(given.granted, powers(&[want, &["helper=x"]].concat()), "{has:?}");
    }
}

#[test]
fn of_two_who_change_powers_at_once_the_second_is_told() {
    let mut log = with_pack();
    let seen = pack(&log).version;
    let grants = |text: &str| {
        let mut release = release("1.0.0", &["pack"]);
        release.granted = vec![text.parse().expect("a power")];
        Change::UpgradePlugin {
            id: PACK,
            serving: "sha256:1.0.0".into(),
            release: Box::new(release),
            hold: None,
            version: Some(seen),
        }
    };
    log.done(grants("helper=a"));
    assert!(log.refusal(grants("helper=b")).contains("update out of sequence"));
    assert_eq!(pack(&log).release.granted, [GrantRequest::Helper("a".into())]);
}

#[test]
fn a_plugin_that_is_disabled_asks_for_what_it_would_take_when_it_is_enabled() {
    let mut log = with_labels("node.hostname==a");
    log.done(add(labels()));
    log.done(set(PluginState::Disabled, false));
    log.done(create(API, ServiceSpec { name: "api".into(), ..web("node.labels.zone==b") }));
    let plugin = pack(&log);
    assert_eq!(log.state.asked_by(plugin).taken, []);
    assert_eq!(log.state.taken_by(plugin).len(), 1);
}
