//! Services with one task on each node.

use std::collections::BTreeSet;

use swarmw_model::{Availability, ServiceId, TaskState, UpdateState};

use crate::swarm::Swarm;
use crate::world::*;

fn nodes(world: &World<Swarm>, id: ServiceId) -> BTreeSet<u128> {
    let running = world.running(id);
    let nodes: BTreeSet<_> = running.iter().filter_map(|t| t.node_id).map(|n| n.bits()).collect();
    assert_eq!(nodes.len(), running.len(), "two tasks on one node");
    nodes
}

#[test]
fn each_node_has_one_task() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(global("v1"));
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1, 2, 3].into());
    world.join(4);
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1, 2, 3, 4].into());
    world.power_off(1);
    world.remove_node(1);
    world.run(2_000);
    assert_eq!(nodes(&world, id), [2, 3, 4].into());
    assert!(world.state.tasks().all(|t| t.node_id != Some(node_id(1))), "its tasks are forgotten");
}

#[test]
fn draining_takes_the_task_and_activating_brings_another() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(global("v1"));
    world.run(2_000);
    world.set(2, Availability::Drain);
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1, 3].into());
    assert_eq!(world.live(id).len(), 2);
    world.set(2, Availability::Active);
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1, 2, 3].into());
}

#[test]
fn a_paused_node_keeps_its_task_and_gets_no_other() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(global("v1 crash 5000"));
    world.run(2_000);
    world.set(2, Availability::Pause);
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1, 2].into());
    world.run(60_000);
    let there = world.live(id).iter().filter(|t| t.node_id == Some(node_id(2))).count();
    assert_eq!(there, 0, "it has failed and is not replaced");
    world.set(2, Availability::Active);
    world.until(|w| w.running(id).iter().any(|t| t.node_id == Some(node_id(2))));
}

#[test]
fn constraints_choose_the_nodes() {
    let mut world = World::new(3, Swarm::default());
    world.label(1, "zone", "a");
    let mut spec = global("v1");
    constrain(&mut spec, &["node.labels.zone==a"]);
    let id = world.create(spec);
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1].into());
    world.label(2, "zone", "a");
    world.run(2_000);
    assert_eq!(nodes(&world, id), [1, 2].into());
    world.label(1, "zone", "b");
    world.run(2_000);
    assert_eq!(nodes(&world, id), [2].into());
}

#[test]
fn a_lost_node_is_not_replaced_and_has_a_task_again_when_it_returns() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(global("v1"));
    world.run(2_000);
    world.power_off(3);
    world.run(60_000);
    assert_eq!(world.live(id).len(), 2);
    world.power_on(3);
    world.run(10_000);
    assert_eq!(nodes(&world, id), [1, 2, 3].into());
}

#[test]
fn an_update_goes_from_node_to_node_and_passes_paused_ones() {
    let mut world = World::new(4, Swarm::default());
    let id = world.create(global("v1"));
    world.run(2_000);
    world.set(4, Availability::Pause);
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| w.status(id).0 == Some(UpdateState::Completed));
    assert_eq!((world.count(id, "v1"), world.count(id, "v2")), (1, 3));
    world.set(4, Availability::Active);
    world.run(5_000);
    assert_eq!(world.count(id, "v2"), 4);
    assert_eq!(world.status(id), (Some(UpdateState::Completed), "update completed".into()));
}

#[test]
fn a_node_that_is_drained_in_the_middle_of_an_update_does_not_hold_it_up() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(global("v1"));
    world.run(2_000);
    world.update(id, |spec| {
        image(spec, "v2");
        updating(spec).failure_action = "continue".into();
    });
    world.run(STOP);
    world.set(3, Availability::Drain);
    world.until(|w| w.status(id).0 == Some(UpdateState::Completed));
    assert_eq!(nodes(&world, id), [1, 2].into());
    assert_eq!(world.count(id, "v2"), 2);
    assert!(world.live(id).iter().all(|t| t.desired_state == TaskState::Running));
}
