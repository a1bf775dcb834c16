//! Nodes that are lost, drained, paused, relabelled; and come back.

use swarmw_model::{Availability, GenericResource, ResourceRequirements, Resources, TaskState};

use crate::swarm::Swarm;
use crate::world::*;

const DAY: i64 = 24 * 3_600_000;

#[test]
fn tasks_of_a_lost_node_are_replaced_elsewhere_and_stopped_when_it_returns() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(replicated("v1", 3));
    world.run(2_000);
    world.power_off(3);
    let ms = world.until(|w| w.running(id).len() == 3);
    assert!(ms >= 5_000, "the restart delay holds: {ms} ms");
    assert!(world.running(id).iter().all(|t| t.node_id != Some(node_id(3))));
    world.power_on(3);
    world.run(2_000);
    let left = world.state.tasks_of_node(node_id(3)).next().expect("its old task");
    assert_eq!(left.status.state, TaskState::Shutdown);
    assert_eq!(world.running(id).len(), 3);
    assert!(world.running(id).iter().all(|t| t.node_id != Some(node_id(3))), "nothing moves back");
}

#[test]
fn a_node_that_is_only_unknown_keeps_its_tasks() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    let made = world.made.len();
    world.set_state(2, swarmw_model::NodeState::Unknown);
    world.run(60_000);
    assert_eq!((world.made.len(), world.live(id).len()), (made, 2));
}

#[test]
fn a_drained_node_is_emptied_at_once_and_a_paused_one_is_not() {
    for (availability, moves) in [(Availability::Drain, true), (Availability::Pause, false)] {
        let mut world = World::new(2, Swarm::default());
        let id = world.create(replicated("v1", 2));
        world.run(2_000);
        world.set(2, availability);
        // Its predecessor stops, it starts: no restart delay.
        world.run(STOP + START);
        let there = world.running(id).iter().filter(|t| t.node_id == Some(node_id(2))).count();
        assert_eq!((there == 0, world.running(id).len()), (moves, 2), "{availability:?}");
        assert_eq!(world.overlap, 1, "the old one has stopped before the new one starts");
    }
}

#[test]
fn a_replacement_waits_a_minute_at_most_for_its_predecessor() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1", 1));
    world.run(2_000);
    let node = world.running(id)[0].node_id.expect("a node");
    let number = if node == node_id(1) { 1 } else { 2 };
    world.cut_off(number);
    world.set(number, Availability::Drain);
    let waited = world.until(|w| w.running(id).iter().any(|t| t.node_id != Some(node)));
    assert!((60_000..62_000).contains(&waited), "{waited} ms");
}

#[test]
fn tasks_of_a_node_that_stays_away_a_day_are_given_up() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    world.power_off(2);
    world.run(DAY - 1_000);
    let orphans = |w: &World<Swarm>| {
        w.state.tasks().filter(|t| t.status.state == TaskState::Orphaned).count()
    };
    assert_eq!(orphans(&world), 0);
    world.new_leader();
    world.run(2_000);
    assert_eq!((orphans(&world), world.running(id).len()), (1, 2));
}

#[test]
fn a_node_that_returns_within_a_day_has_its_tasks_asked() {
    let mut world = World::new(2, Swarm::default());
    world.create(replicated("v1", 2));
    world.run(2_000);
    world.power_off(2);
    world.run(DAY / 2);
    world.power_on(2);
    world.run(DAY);
    assert!(world.state.tasks().all(|t| t.status.state != TaskState::Orphaned));
}

#[test]
fn tasks_leave_a_node_that_no_longer_satisfies_the_constraints() {
    let mut world = World::new(3, Swarm::default());
    world.label(1, "zone", "a");
    world.label(2, "zone", "a");
    let mut spec = replicated("v1", 2);
    constrain(&mut spec, &["node.labels.zone==a"]);
    let id = world.create(spec);
    world.run(2_000);
    world.label(2, "zone", "b");
    let rejected: Vec<_> =
        world.state.tasks().filter(|t| t.status.state == TaskState::Rejected).collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(&*rejected[0].status.error, "assigned node no longer meets constraints");
    world.run(10_000);
    assert!(world.running(id).iter().all(|t| t.node_id == Some(node_id(1))));
    assert_eq!(world.running(id).len(), 2);
}

#[test]
fn tasks_leave_a_node_that_no_longer_has_what_it_gave_them() {
    let mut world = World::new(2, Swarm::default());
    let gpus = |count| vec![GenericResource::Discrete { kind: "gpu".into(), count }];
    for number in 1..=2 {
        world.describe(number, |node| node.resources.generic_resources = gpus(1));
    }
    let mut spec = replicated("v1", 2);
    let reserved = Resources { generic_resources: gpus(1), ..Default::default() };
    std::sync::Arc::make_mut(&mut spec.task_template).resources =
        Some(ResourceRequirements { reservations: Some(reserved), ..Default::default() });
    world.create(spec);
    world.run(2_000);
    let rejected = |world: &World<Swarm>| {
        world.state.tasks().filter(|t| t.status.state == TaskState::Rejected).count()
    };
    // What is away says nothing of what it has.
    world.describe(2, |node| {
        node.trouble = "the engine is away".into();
        node.resources.generic_resources.clear();
    });
    assert_eq!(rejected(&world), 0);
    world.describe(2, |node| node.trouble.clear());
    assert_eq!(rejected(&world), 1);
    let task = world.state.tasks().find(|t| t.status.state == TaskState::Rejected).expect("one");
    assert_eq!(task.node_id, Some(node_id(2)));
    assert_eq!(&*task.status.error, "assigned node no longer meets constraints");
}

#[test]
fn tasks_leave_a_node_that_other_plugins_than_before_refuse() {
    let mut world = World::new(2, Swarm::default());
    let mut spec = replicated("v1", 2);
    constrain(&mut spec, &["node.labels.zone!=x"]);
    let id = world.create(spec);
    let free =
        world.create(swarmw_model::ServiceSpec { name: "free".to_owned(), ..replicated("v1", 2) });
    world.run(2_000);
    world.change_plugins(2);
    world.run(10_000);
    assert!(world.running(id).iter().all(|t| t.node_id == Some(node_id(1))));
    assert_eq!(world.running(id).len(), 2);
    let rejected: Vec<_> =
        world.state.tasks().filter(|t| t.status.state == TaskState::Rejected).collect();
    assert!(rejected.iter().all(|t| t.service_id == id), "nobody asked for the other's");
    assert_eq!((rejected.len(), world.running(free).len()), (1, 2));
}

#[test]
fn a_paused_node_is_not_searched_for_tasks_that_do_not_fit() {
    let mut world = World::new(2, Swarm::default());
    world.label(1, "zone", "a");
    let mut spec = replicated("v1", 1);
    constrain(&mut spec, &["node.labels.zone==a"]);
    let id = world.create(spec);
    world.run(2_000);
    world.set(1, Availability::Pause);
    world.label(1, "zone", "b");
    world.run(10_000);
    assert_eq!(world.running(id).len(), 1);
}

#[test]
fn a_failed_task_of_a_paused_node_goes_elsewhere() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1 crash 3000", 1));
    world.run(2_000);
    let node = world.running(id)[0].node_id.expect("a node");
    world.set(if node == node_id(1) { 1 } else { 2 }, Availability::Pause);
    world.until(|w| w.running(id).iter().any(|t| t.node_id != Some(node)));
}
