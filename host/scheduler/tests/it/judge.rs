//! Verdicts and placements that are looked at and not carried out.

use swarmw_scheduler::{Scheduler, place_anew};

use crate::cluster::*;

fn zones() -> Cluster {
    Cluster::new(vec![labelled("a", &["zone=x"]), labelled("b", &["zone=y"]), node("c")])
}

#[test]
fn a_service_is_judged_on_every_node_by_each_of_its_constraints() {
    let mut cluster = zones();
    let expressions = ["node.labels.zone==x", "node.labels.zone!=y"];
    let web = cluster.run(constrained("web", &expressions), 1);
    let spec = cluster.state.service(web).expect("a service").spec.clone();
    let mut scheduler = Scheduler::new(&cluster.state);
    let judged = scheduler.judge(&spec, &mut cluster.policies);
    let texts: Vec<_> = judged.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, expressions);
    let passing = |at: usize| -> Vec<bool> {
        let verdicts = judged[at].1.as_ref().expect("verdicts");
        ["a", "b", "c"].map(|name| verdicts[&node_id(name)]).to_vec()
    };
    assert_eq!((passing(0), passing(1)), (vec![true, false, false], vec![true, false, true]));

    cluster.policies.broken.push("constraint");
    let mut scheduler = Scheduler::new(&cluster.state);
    let judged = scheduler.judge(&spec, &mut cluster.policies);
    assert!(judged.iter().all(|(_, verdicts)| verdicts.is_err()), "{judged:?}");
}

#[test]
fn tasks_are_placed_anew_and_stay_where_they_are() {
    let mut cluster = zones();
    let web = cluster.run(constrained("web", &["node.labels.zone==x"]), 3);
    let other = cluster.run(service("other"), 4);
    let before: Vec<_> = cluster.state.tasks().cloned().collect();
    // The label moves to another node; nobody moves the tasks.
    cluster.edit("a", |n| drop(n.labels.remove("zone")));
    cluster.edit("b", |n| drop(n.labels.insert("zone".into(), "x".into())));
    let placed = place_anew(&cluster.state, &[web], &mut cluster.policies);
    assert_eq!(placed[&web], vec![Some(node_id("b")); 3]);
    assert!(!placed.contains_key(&other));
    let after: Vec<_> = cluster.state.tasks().cloned().collect();
    assert_eq!(after, before);
    cluster.edit("b", |n| drop(n.labels.remove("zone")));
    let placed = place_anew(&cluster.state, &[web], &mut cluster.policies);
    assert_eq!(placed[&web], vec![None; 3]);
}
