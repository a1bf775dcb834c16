//! Restart policies.

use swarmw_model::{Duration, RestartCondition, TaskState};

use crate::swarm::Swarm;
use crate::world::*;

/// The condition, how tasks end, whether there is a second one.
#[test]
fn conditions_decide_who_is_replaced() {
    use RestartCondition::{Any, None, OnFailure};
    for (condition, image, replaced) in [
        (Any, "v1 exit 1000", true),
        (Any, "v1 crash 1000", true),
        (Any, "v1 bad", true),
        (OnFailure, "v1 exit 1000", false),
        (OnFailure, "v1 crash 1000", true),
        (OnFailure, "v1 bad", true),
        (None, "v1 exit 1000", false),
        (None, "v1 crash 1000", false),
        (None, "v1 bad", false),
    ] {
        let mut world = World::new(1, Swarm::default());
        let mut spec = replicated(image, 1);
        restarting(&mut spec).condition = condition;
        let id = world.create(spec);
        world.run(20_000);
        assert_eq!(world.slot(id, 1).len() > 1, replaced, "{condition:?} {image}");
        assert_eq!(world.slot(id, 2).len(), 0, "{condition:?} {image}");
        let last = world.slot(id, 1).pop().expect("a task");
        if !replaced {
            assert_eq!(last.desired_state, TaskState::Shutdown, "{condition:?} {image}");
        }
    }
}

#[test]
fn the_replacement_is_ready_and_waits_for_the_delay() {
    for (set, want) in [(None, 5_000), (Some(0), 0), (Some(700), 700), (Some(20_000), 20_000)] {
        let mut world = World::new(1, Swarm::default());
        let mut spec = replicated("v1 crash 1000", 1);
        restarting(&mut spec).delay = set.map(Duration::from_millis);
        let id = world.create(spec);
        world.until(|w| w.slot(id, 1).len() == 2);
        assert_eq!(world.slot(id, 1)[0].desired_state, TaskState::Shutdown);
        let started = |w: &World<Swarm>| w.slot(id, 1)[1].desired_state == TaskState::Running;
        let waited = world.until(started);
        assert_eq!(waited, want, "a delay of {set:?} ms");
    }
}

#[test]
fn what_fails_before_it_may_start_does_not_spin() {
    let mut world = World::new(1, Swarm::default());
    world.history(-1);
    let id = world.create(replicated("v1 bad", 1));
    world.run(60_000);
    let tries = world.slot(id, 1).len();
    assert!((6..=14).contains(&tries), "{tries} tasks in a minute with a delay of 5 s");
}

#[test]
fn attempts_are_counted_per_slot_and_end() {
    for most in [1, 2, 4] {
        let mut world = World::new(2, Swarm::default());
        let mut spec = replicated("v1 crash 500", 2);
        restarting(&mut spec).max_attempts = Some(most);
        let id = world.create(spec);
        world.run(300_000);
        for slot in [1, 2] {
            let tasks = world.slot(id, slot);
            assert_eq!(tasks.len() as u64, most + 1);
            assert!(tasks.iter().all(|t| t.desired_state == TaskState::Shutdown));
        }
    }
}

/// Window in seconds, whether a task that runs 10 s goes on being replaced after
/// two attempts, with a delay of 5 s: one replacement each 15.5 s.
#[test]
fn only_attempts_within_the_window_count() {
    for (window, without_end) in [(0, false), (60, false), (20, true), (5, true)] {
        for skew in [0, 3_600_000, -3_600_000] {
            let mut world = World::new(1, Swarm::default());
            world.skew = skew;
            let mut spec = replicated("v1 crash 10000", 1);
            restarting(&mut spec).max_attempts = Some(2);
            restarting(&mut spec).window = Some(Duration::from_secs(window));
            world.create(spec);
            world.run(300_000);
            let made = world.made.len();
            assert_eq!(made > 3, without_end, "{made} tasks, window {window} s, skew {skew}");
        }
    }
}

#[test]
fn an_update_forgets_the_attempts() {
    let mut world = World::new(1, Swarm::default());
    let mut spec = replicated("v1 crash 500", 1);
    restarting(&mut spec).max_attempts = Some(1);
    let id = world.create(spec);
    world.run(60_000);
    assert_eq!(world.live(id).len(), 0);
    world.update(id, |spec| image(spec, "v2 crash 500"));
    world.run(60_000);
    let tries = world.made.iter().filter(|t| t.spec.image() == "v2 crash 500").count();
    assert_eq!(tries, 2, "the first of the new spec and one attempt more");
}

#[test]
fn a_slot_whose_policy_wants_no_other_task_counts_as_filled() {
    let mut world = World::new(1, Swarm::default());
    let mut spec = replicated("v1 exit 500", 3);
    restarting(&mut spec).condition = RestartCondition::OnFailure;
    let id = world.create(spec);
    world.run(10_000);
    world.new_leader();
    world.label(1, "a", "b");
    world.run(10_000);
    assert_eq!(world.made.len(), 3);
    world.scale(id, 4);
    assert_eq!(world.made.len(), 4, "only the new slot is filled");
}

#[test]
fn a_new_leader_waits_for_the_rest_of_the_delay() {
    let mut world = World::new(1, Swarm::default());
    let id = world.create(replicated("v1 crash 1000", 1));
    world.until(|w| w.slot(id, 1).len() == 2);
    world.run(3_000);
    world.new_leader();
    let waited = world.until(|w| w.slot(id, 1)[1].desired_state == TaskState::Running);
    assert_eq!(waited, 2_000);
}
