//! A number of replicas: up, down, which ones go, what is kept as history.

use std::collections::BTreeSet;

use swarmw_model::{Slot, TaskState};

use crate::swarm::Swarm;
use crate::world::*;

fn slots(world: &World<Swarm>, id: swarmw_model::ServiceId) -> Vec<u64> {
    let slots: BTreeSet<_> = world.live(id).iter().map(|t| t.slot).collect();
    slots.into_iter().collect()
}

#[test]
fn a_new_service_has_its_replicas_and_no_update_status() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(replicated("v1", 5));
    world.run(2_000);
    assert_eq!(slots(&world, id), [1, 2, 3, 4, 5]);
    assert_eq!(world.count(id, "v1"), 5);
    assert_eq!(world.status(id), (None, String::new()));
}

#[test]
fn scaling_is_no_update() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    let before: BTreeSet<_> = world.live(id).iter().map(|t| t.id).collect();
    world.scale(id, 4);
    world.run(2_000);
    assert_eq!(slots(&world, id), [1, 2, 3, 4]);
    assert!(world.live(id).iter().map(|t| t.id).collect::<BTreeSet<_>>().is_superset(&before));
    assert_eq!((world.status(id).0, world.policies.begun), (None, 0));
}

#[test]
fn new_slots_take_the_lowest_free_numbers() {
    let mut world = World::new(1, Swarm::default());
    let id = world.create(replicated("v1", 5));
    world.run(2_000);
    world.scale(id, 2);
    world.run(2_000);
    assert_eq!(slots(&world, id), [1, 2]);
    world.scale(id, 4);
    assert_eq!(slots(&world, id), [1, 2, 3, 4]);
}

#[test]
fn scaling_down_empties_the_fullest_node_first() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    // The other two land on the first node alone.
    world.set(2, swarmw_model::Availability::Pause);
    world.scale(id, 4);
    world.run(2_000);
    world.scale(id, 2);
    let nodes: BTreeSet<_> = world.live(id).iter().filter_map(|t| t.node_id).collect();
    assert_eq!(nodes, BTreeSet::from([node_id(1), node_id(2)]));
}

#[test]
fn scaling_down_prefers_slots_that_do_not_run() {
    let mut world = World::new(4, Swarm::default());
    let id = world.create(replicated("v1", 3));
    world.run(2_000);
    // The first slot is restarting when the order comes.
    restart_slot_by_power(&mut world, id, 1);
    world.scale(id, 2);
    assert_eq!(slots(&world, id), [2, 3]);
}

fn restart_slot_by_power(world: &mut World<Swarm>, id: swarmw_model::ServiceId, slot: u64) {
    let node = world.slot(id, slot)[0].node_id.expect("a node");
    let number = (1..=4).find(|n| node_id(*n) == node).expect("its number");
    world.power_off(number);
}

#[test]
fn tasks_of_a_removed_service_go_once_they_have_stopped() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1", 3));
    world.run(2_000);
    world.remove(id);
    let desired: BTreeSet<_> = world.state.tasks().map(|t| t.desired_state).collect();
    assert_eq!(desired, BTreeSet::from([TaskState::Remove]));
    assert_eq!(world.state.task_count(), 3);
    world.run(STOP);
    assert_eq!(world.state.task_count(), 0);
}

#[test]
fn removed_tasks_go_only_once_they_have_stopped() {
    let mut world = World::new(1, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    world.scale(id, 1);
    assert_eq!(world.state.task_count(), 2);
    world.run(STOP - 1);
    assert_eq!(world.state.task_count(), 2);
    world.run(1);
    assert_eq!(world.state.task_count(), 1);
}

#[test]
fn a_slot_given_up_and_wanted_again_is_filled_when_its_old_task_has_stopped() {
    let mut world = World::new(1, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    world.scale(id, 0);
    world.scale(id, 2);
    world.run(STOP);
    assert_eq!(slots(&world, id), [1, 2]);
    world.run(1_000);
    // No restart, so no restart delay either.
    assert_eq!(world.count(id, "v1"), 2);
    assert_eq!((world.state.task_count(), world.overlap), (2, 1));
}

/// The limit of the cluster, that of the restart policy, how many tasks of a slot
/// that crashes without end are kept.
#[test]
fn history_is_kept_within_its_limit() {
    for (limit, attempts, want) in
        [(5, None, 5), (2, None, 2), (1, None, 1), (0, None, 1), (2, Some(3), 4), (5, Some(1), 2)]
    {
        let mut world = World::new(1, Swarm::default());
        world.history(limit);
        let mut spec = replicated("v1 crash 1000", 1);
        restarting(&mut spec).max_attempts = attempts;
        let id = world.create(spec);
        world.run(120_000);
        let kept = world.slot(id, 1).len();
        assert_eq!(kept, want, "limit {limit}, max attempts {attempts:?}");
    }
    let mut world = World::new(1, Swarm::default());
    world.history(-1);
    let id = world.create(replicated("v1 crash 1000", 1));
    world.run(120_000);
    assert!(world.slot(id, 1).len() > 10, "a negative limit keeps all");
}

#[test]
fn other_services_are_not_looked_at() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(replicated("v1", 2));
    world.run(2_000);
    let before = world.busy_ticks;
    world.label(1, "zone", "a");
    world.run(60_000);
    assert_eq!(world.busy_ticks, before, "a label that nothing asks for decides nothing");
    assert!(world.state.tasks_of_slot(id, Slot::Replica(1)).next().is_some());
}
