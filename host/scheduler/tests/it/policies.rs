//! What policies are asked, and what their failures mean.

use swarmw_scheduler::Consequence;

use crate::cluster::*;
use crate::fake::Calls;

fn regions() -> Cluster {
    let regions = ["region=east", "region=west", "region=EAST", ""];
    let nodes = (0..40).map(|n| labelled(&format!("n{n:02}"), &[regions[n % 4]]));
    Cluster::new(nodes.collect())
}

const EAST: [&str; 2] = ["node.labels.region==east", "node.role!=manager"];

#[test]
fn a_pass_that_meets_no_new_value_asks_nothing() {
    let mut cluster = regions();
    let web = cluster.run(constrained("web", &EAST), 3);
    // Four distinct regions, one role; one batch per constraint.
    let first = Calls { constraint: 2, test: 2, rows: 5, ..Default::default() };
    assert_eq!(cluster.policies.calls, first);
    cluster.start(web, 4..=20);
    assert_eq!(cluster.schedule().placed, 17);
    // Another service with the same constraints, a node that goes and comes back.
    cluster.run(constrained("api", &EAST), 5);
    cluster.set_state("n00", swarmw_model::NodeState::Down);
    cluster.run(constrained("db", &EAST), 5);
    assert_eq!(cluster.policies.calls, first);
}

#[test]
fn a_changed_node_asks_only_for_the_tuple_never_seen() {
    let mut cluster = regions();
    let web = cluster.run(constrained("web", &EAST), 1);
    let before = cluster.policies.calls;
    cluster.edit("n01", |n| drop(n.labels.insert("region".into(), "east".into())));
    cluster.start(web, [2]);
    cluster.schedule();
    assert_eq!(cluster.policies.calls, before, "a known value");
    cluster.edit("n05", |n| drop(n.labels.insert("region".into(), "north".into())));
    cluster.start(web, [3]);
    cluster.schedule();
    let after = cluster.policies.calls;
    assert_eq!((after.test - before.test, after.rows - before.rows), (1, 1));
    assert_eq!(cluster.on(web, "n05").len(), 0);
}

#[test]
fn exact_matches_are_looked_up_and_never_asked() {
    let mut cluster = regions();
    cluster.policies.indexed = true;
    let east = cluster.run(constrained("east", &["node.labels.region==East"]), 40);
    let other = cluster.run(constrained("other", &["node.labels.region!=east"]), 40);
    let named = cluster.run(constrained("named", &["node.hostname==N07"]), 1);
    assert_eq!(cluster.policies.calls.test, 0);
    assert_eq!(cluster.on(east, "n00").len() + cluster.on(east, "n02").len(), 4);
    assert_eq!(cluster.on(east, "n01").len() + cluster.on(east, "n03").len(), 0);
    assert_eq!(cluster.on(other, "n00").len() + cluster.on(other, "n02").len(), 0);
    assert_eq!(cluster.on(named, "n07").len(), 1);
    // A value that comes later is found too.
    cluster.edit("n01", |n| drop(n.labels.insert("region".into(), "EaSt".into())));
    cluster.start(east, [41]);
    cluster.schedule();
    assert_eq!(cluster.on(east, "n01").len(), 1);
}

#[test]
fn a_new_generation_of_plugins_is_asked_again() {
    let mut cluster = regions();
    let web = cluster.run(constrained("web", &EAST), 1);
    cluster.policies.generation += 1;
    cluster.start(web, [2]);
    cluster.schedule();
    assert_eq!(cluster.policies.calls.test, 4);
}

#[test]
fn what_waits_is_tried_again_under_new_plugins_whoever_asks_them_first() {
    let mut cluster = regions();
    let web = cluster.run(constrained("web", &["node.labels.region==north"]), 2);
    assert!(cluster.tasks(web).iter().all(|task| task.node_id.is_none()));
    cluster.policies.generation += 1;
    cluster.policies.lax = true;
    // As the orchestrator asks before each pass.
    let Cluster { scheduler, state, policies, .. } = &mut cluster;
    let spec = constrained("other", &EAST);
    scheduler.satisfies(state, &spec, node_id("n00"), policies).expect("no failure");
    assert_eq!(cluster.schedule().placed, 2);
}

#[test]
fn a_broken_constraint_fails_closed_and_is_tried_again() {
    let mut cluster = regions();
    cluster.policies.broken = vec!["constraint"];
    let web = cluster.create(constrained("web", &EAST));
    cluster.start(web, 1..=2);
    let pass = cluster.schedule();
    assert_eq!((pass.placed, pass.waiting), (0, 2));
    assert_eq!(pass.events.len(), 1);
    assert_eq!(pass.events[0].consequence, Consequence::Waits);
    assert_eq!(cluster.why(web), "no suitable node (plugin constraint: trapped)");
    cluster.policies.broken.clear();
    assert_eq!(cluster.schedule().placed, 2);
}

#[test]
fn a_constraint_that_no_plugin_claims_holds_its_tasks_alone() {
    let mut cluster = regions();
    let odd = cluster.create(constrained("odd", &["moon"]));
    let web = cluster.create(constrained("web", &EAST));
    cluster.start(odd, [1]);
    cluster.start(web, [1]);
    assert_eq!(cluster.schedule().placed, 1);
    assert_eq!(cluster.why(odd), "no suitable node (no plugin claims moon)");
}

#[test]
fn a_node_satisfies_constraints_and_platform_whatever_else_it_lacks() {
    let mut cluster = regions();
    cluster.edit("n00", |n| n.availability = swarmw_model::Availability::Drain);
    for (node, fits) in [("n00", true), ("n01", false), ("n02", true), ("nowhere", false)] {
        let Cluster { state, scheduler, policies, .. } = &mut cluster;
        let spec = constrained("web", &EAST);
        assert_eq!(scheduler.satisfies(state, &spec, node_id(node), policies), Ok(fits), "{node}");
    }
    let before = cluster.policies.calls;
    let Cluster { state, scheduler, policies, .. } = &mut cluster;
    let _ = scheduler.satisfies(state, &constrained("web", &EAST), node_id("n00"), policies);
    assert_eq!(cluster.policies.calls, before);
}
