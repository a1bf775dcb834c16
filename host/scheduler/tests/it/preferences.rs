//! Spread, nested and not, and preferences of other plugins.

use swarmw_scheduler::Consequence;

use crate::cluster::*;

fn racks(nodes: &[(&str, &str)]) -> Cluster {
    Cluster::new(nodes.iter().map(|(name, rack)| labelled(name, &[rack])).collect())
}

#[test]
fn branches_level_though_they_have_unequal_numbers_of_nodes() {
    let mut cluster =
        racks(&[("a", "rack=1"), ("b", "rack=2"), ("c", "rack=2"), ("d", "rack=2"), ("e", "")]);
    let web = cluster.run(spread("web", &["rack"]), 9);
    // The node without the label is a branch of its own.
    assert_eq!(cluster.counts(web, &["a", "b", "c", "d", "e"]), [3, 1, 1, 1, 3]);
}

#[test]
fn scaling_up_levels_an_uneven_start() {
    let mut cluster = racks(&[("a", "rack=1")]);
    let web = cluster.run(spread("web", &["rack"]), 3);
    for name in ["b", "c"] {
        cluster.add(labelled(name, &["rack=2"]));
    }
    cluster.start(web, 4..=8);
    cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [4, 2, 2]);
}

#[test]
fn an_outer_preference_goes_before_an_inner_one() {
    let mut cluster = Cluster::new(vec![
        labelled("a", &["zone=1", "rack=1"]),
        labelled("b", &["zone=2", "rack=1"]),
        labelled("c", &["zone=2", "rack=2"]),
        labelled("d", &["zone=2", "rack=2"]),
    ]);
    let web = cluster.run(spread("web", &["zone", "rack"]), 8);
    assert_eq!(cluster.counts(web, &["a", "b", "c", "d"]), [4, 2, 1, 1]);
    cluster.add(labelled("e", &["zone=3", "rack=1"]));
    cluster.start(web, 9..=12);
    cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b", "c", "d", "e"]), [4, 2, 1, 1, 4]);
}

#[test]
fn tasks_on_nodes_that_take_no_more_still_weigh_in_their_branch() {
    let mut cluster = racks(&[("a", "rack=1"), ("b", "rack=1"), ("c", "rack=2")]);
    let web = cluster.run(spread("web", &["rack"]), 4);
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [1, 1, 2]);
    cluster.edit("a", |n| n.availability = swarmw_model::Availability::Pause);
    cluster.start(web, 5..=6);
    cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [1, 2, 3]);
}

#[test]
fn a_full_branch_leaves_its_share_to_the_others() {
    let mut small = sized("a", 1, 0);
    small.spec.labels.insert("rack".into(), "1".into());
    let mut large = sized("b", 8, 0);
    large.spec.labels.insert("rack".into(), "2".into());
    let mut cluster = Cluster::new(vec![small, large]);
    let mut spec = reserving("web", 1, 0);
    placement(&mut spec).preferences = placement(&mut spread("x", &["rack"])).preferences.clone();
    let web = cluster.run(spec, 6);
    assert_eq!(cluster.counts(web, &["a", "b"]), [1, 5]);
}

#[test]
fn services_of_one_preference_are_asked_about_together_even_when_they_contend() {
    let mut cluster = Cluster::new(vec![sized("a", 1, 0), sized("b", 1, 0), sized("c", 2, 0)]);
    for name in ["one", "two", "three", "four"] {
        let mut spec = reserving(name, 1, 0);
        placement(&mut spec).preferences =
            placement(&mut spread("x", &["rack"])).preferences.clone();
        let id = cluster.create(spec);
        cluster.start(id, [1]);
    }
    assert_eq!(cluster.schedule().placed, 4);
    assert_eq!(cluster.policies.calls.allocate, 1);
}

#[test]
fn a_broken_preference_falls_to_native_balance_and_is_reported() {
    let mut cluster = racks(&[("a", "rack=1"), ("b", "rack=2"), ("c", "rack=2")]);
    cluster.policies.broken = vec!["spread"];
    let web = cluster.create(spread("web", &["rack"]));
    cluster.start(web, 1..=6);
    let pass = cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [2, 2, 2]);
    assert_eq!(pass.events.len(), 1);
    assert_eq!(pass.events[0].consequence, Consequence::NativeBalance);
    assert_eq!(pass.events[0].failure.to_string(), "plugin spread: trapped");
}

#[test]
fn tasks_wait_for_a_preference_that_is_being_compiled() {
    let mut cluster = racks(&[("a", "rack=1"), ("b", "rack=2"), ("c", "rack=2")]);
    cluster.policies.compiling = vec!["spread"];
    let web = cluster.create(spread("web", &["rack"]));
    cluster.start(web, 1..=4);
    let pass = cluster.schedule();
    assert_eq!((pass.placed, pass.waiting), (0, 4));
    assert_eq!(pass.events[0].consequence, Consequence::Waits);
    cluster.policies.compiling.clear();
    let pass = cluster.schedule();
    assert_eq!((pass.placed, pass.events.len()), (4, 0));
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [2, 1, 1]);
}

#[test]
fn an_inner_preference_that_breaks_takes_the_whole_service_to_native_balance() {
    let mut cluster = racks(&[("a", "rack=1"), ("b", "rack=2"), ("c", "rack=2")]);
    cluster.policies.broken = vec!["each"];
    let mut spec = preferring("web", "each", "");
    placement(&mut spec).preferences = placement(&mut spread("x", &["rack"])).preferences.clone();
    spec.swarmw.as_mut().expect("ours").preferences[0].after = 1;
    let web = cluster.create(spec);
    cluster.start(web, 1..=6);
    assert_eq!(cluster.schedule().placed, 6);
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [2, 2, 2]);
}

#[test]
fn a_preference_that_refuses_leaves_tasks_waiting_with_its_reason() {
    let mut cluster = racks(&[("a", "rack=1"), ("b", "rack=2"), ("c", "rack=2")]);
    let web = cluster.run(preferring("web", "refuse", "node.labels.rack"), 2);
    assert_eq!(cluster.why(web), "no suitable node (not today on 3 nodes)");
}

#[test]
fn classes_of_a_plugin_make_bins_and_are_asked_once() {
    let mut cluster = racks(&[("a", "rack=x1"), ("b", "rack=x2"), ("c", "rack=y1")]);
    let web = cluster.run(preferring("web", "initial", "node.labels.rack"), 4);
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [1, 1, 2]);
    cluster.start(web, 5..=6);
    cluster.schedule();
    assert_eq!(cluster.policies.calls.classify, 1);
}

#[test]
fn every_node_can_be_a_bin() {
    let mut cluster = racks(&[("a", ""), ("b", ""), ("c", "")]);
    let web = cluster.run(preferring("web", "each", ""), 6);
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [2, 2, 2]);
}

#[test]
fn a_load_tells_of_what_the_same_pass_has_confirmed_before() {
    let zones = [("a", "zone=1"), ("b", "zone=2"), ("c", "zone=3")];
    let mut cluster = racks(&zones);
    let near = cluster.create(service("near"));
    cluster.start_on(near, "b");
    let web = cluster.create(preferring("web", "near", "near"));
    cluster.start(web, 1..=4);
    assert_eq!(cluster.schedule().placed, 5);
    assert_eq!(cluster.counts(web, &["a", "b", "c"]), [0, 4, 0]);
}
