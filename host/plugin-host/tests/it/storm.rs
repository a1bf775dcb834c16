//! Components that attack, one of each kind, and how each of their functions is reached:
//! `FUNCTION-loop`, `-trap`, `-memory` and `-stack`, besides what they answer wrongly.

use std::sync::Arc;

use swarmw_model::{Preference, Time};
use swarmw_orchestrator::{Policy, RolloutFacts, UpdatePolicies, View};
use swarmw_plugin_host::PluginHost;
use swarmw_plugin_host::volumes::{NamedVolume, Node};
use swarmw_scheduler::{ColumnType, Policies, Questions, TupleColumn, Tuples};

use crate::support::no_options;

/// The guests.
pub const STORMS: [&str; 4] =
    ["storm-constraint", "storm-preference", "storm-update", "storm-volume"];

fn rows() -> Tuples {
    let values = vec![Some(Arc::from("n1")), None];
    Tuples { rows: 2, columns: vec![TupleColumn { read_as: ColumnType::Text, values }] }
}

/// Everything a constraint is asked about `storm==ATTACK`; what went wrong, or nothing.
pub fn constraint(host: &mut PluginHost, attack: &str) -> String {
    let compiled = host.constraint(&format!("storm=={attack}"), &no_options());
    let tested = compiled.and_then(|compiled| host.test(&compiled, &rows()));
    tested.map(|_| String::new()).unwrap_or_else(|failure| failure.to_string())
}

/// Everything a preference is asked about `storm=ATTACK`.
pub fn preference(host: &mut PluginHost, attack: &str) -> String {
    let wanted = Preference { name: "storm".into(), argument: attack.into() };
    let ask = Questions {
        first: vec![0],
        tasks: vec![3],
        cpu: vec![0],
        memory: vec![0],
        priority: vec![0],
        room: vec![9, 9],
        service_tasks: vec![0, 0],
        total_tasks: vec![0, 0],
        failures: vec![0, 0],
        weight: vec![0.0, 0.0],
        extra: Vec::new(),
    };
    let answered = host.preference(&wanted, &no_options()).and_then(|compiled| {
        host.classify(&compiled, &rows())?;
        host.allocate(&compiled, &ask)
    });
    match answered {
        Ok(answer) => answer.refusals.into_iter().map(|(_, reason)| reason).collect(),
        Err(failure) => failure.to_string(),
    }
}

/// Everything a policy is asked of the rollout that attacks.
pub fn update(host: &mut PluginHost, attack: &str) -> String {
    let options = [("storm.attack".to_owned(), attack.to_owned())].into();
    let policy = Policy { failure_action: "storm".into(), options, ..Policy::default() };
    let facts = RolloutFacts {
        service_id: "s".into(),
        service_name: "web".into(),
        policy: policy.clone(),
        rolling_back: false,
        total: 3,
        started_at: Time::ZERO,
    };
    let component = host.component("storm").expect("a policy");
    let view = View { seq: 1, ..View::default() };
    let answered = host.check(&policy).and_then(|_| {
        host.begin(&component.digest, &facts, &[], &view)?;
        host.step(&component.digest, &facts, &[], &view)
    });
    match answered {
        Ok(outcome) => format!("{:?}", outcome.actions),
        Err(failure) => failure.to_string(),
    }
}

/// Everything a driver is asked of the volume ATTACK.
pub fn volume(host: &mut PluginHost, attack: &str) -> String {
    let node = Node { hostname: "n1".into(), engine: false };
    let volume =
        NamedVolume { driver: "storm".into(), name: attack.into(), options: Default::default() };
    let answered = host.volume_check(&volume).and_then(|_| {
        host.volume_plan_create(&volume, &node)?;
        host.volume_plan_mount(&volume, &node, false)?;
        host.volume_plan_remove(&volume, &node)?;
        host.volume_expand(&volume, &node, 1)?;
        host.volume_usage(&volume, &node)
    });
    answered.map(|_| String::new()).unwrap_or_else(|failure| failure.to_string())
}

/// Asks a kind; what went wrong, or nothing.
pub type Ask = fn(&mut PluginHost, &str) -> String;

/// Each kind: its guest, how it is asked, and its functions.
pub const KINDS: [(&str, Ask, &[&str]); 4] = [
    ("test/storm-constraint", constraint, &["compile", "test"]),
    ("test/storm-preference", preference, &["compile", "classify", "allocate"]),
    ("test/storm-update", update, &["check", "begin", "step"]),
    (
        "test/storm-volume",
        volume,
        &["check", "plan-create", "plan-mount", "plan-remove", "expand", "usage"],
    ),
];
