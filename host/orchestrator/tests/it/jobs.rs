//! Jobs: tasks that are to end.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::*;
use swarmw_state::{Change, TaskChange};

use crate::swarm::Swarm;
use crate::world::*;

/// A job of so many completions, so many at a time.
fn job(image: &str, completions: u64, at_a_time: u64) -> ServiceSpec {
    let mode =
        ReplicatedJob { max_concurrent: Some(at_a_time), total_completions: Some(completions) };
    ServiceSpec { mode: ServiceMode::ReplicatedJob(mode), ..replicated(image, 0) }
}

/// A job of one completion on each node.
fn everywhere(image: &str) -> ServiceSpec {
    ServiceSpec { mode: ServiceMode::GlobalJob(GlobalJob {}), ..replicated(image, 0) }
}

/// The tasks of the present time in a state, by slot.
fn of_now(world: &World<Swarm>, id: ServiceId, state: TaskState) -> Vec<Arc<Task>> {
    let now = world.service(id).job_status.map(|status| status.job_iteration);
    let of_now = |t: &&Arc<Task>| t.job_iteration == now && t.status.state == state;
    world.state.tasks_of_service(id).filter(of_now).cloned().collect()
}

fn complete(world: &World<Swarm>, id: ServiceId) -> usize {
    of_now(world, id, TaskState::Complete).len()
}

fn iteration(world: &World<Swarm>, id: ServiceId) -> u64 {
    world.service(id).job_status.expect("a job").job_iteration.index
}

/// Lets time pass and says how many tasks were up together at most.
fn most_at_once(world: &mut World<Swarm>, millis: i64) -> usize {
    let end = world.clock + millis;
    let mut most = 0;
    while world.clock < end {
        world.run(100);
        let up = |t: &&Arc<Task>| t.status.state == TaskState::Running;
        most = most.max(world.state.tasks().filter(up).count());
    }
    most
}

#[test]
fn a_job_fills_its_slots_once_and_no_more_at_a_time_than_it_may() {
    for (completions, at_a_time, most) in [(5, 2, 2), (3, 10, 3), (4, 1, 1), (2, 2, 2)] {
        let mut world = World::new(3, Swarm::default());
        let id = world.create(job("v1 exit 1000", completions, at_a_time));
        let up = most_at_once(&mut world, 60_000);
        assert_eq!(up, most, "{completions}, {at_a_time} at a time");
        let done = of_now(&world, id, TaskState::Complete);
        let slots: BTreeSet<_> = done.iter().map(|t| t.slot).collect();
        assert_eq!(slots, (1..=completions).collect(), "{}", world.picture());
        assert_eq!(world.made.len() as u64, completions, "{}", world.picture());
        assert!(done.iter().all(|t| t.desired_state == TaskState::Complete));
    }
}

#[test]
fn a_job_of_none_or_of_none_at_a_time_does_nothing() {
    for (completions, at_a_time) in [(0, 5), (5, 0)] {
        let mut world = World::new(1, Swarm::default());
        world.create(job("v1 exit 1000", completions, at_a_time));
        world.run(10_000);
        assert_eq!(world.made.len(), 0);
    }
}

#[test]
fn a_task_that_fails_is_tried_again_after_its_delay_in_its_slot() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(job("v1 crash 1000", 3, 2));
    world.until(|w| w.slot(id, 1).len() == 2);
    let [old, new] = &world.slot(id, 1)[..] else { panic!("{}", world.picture()) };
    let desired = (old.desired_state, new.desired_state);
    assert_eq!(desired, (TaskState::Shutdown, TaskState::Ready));
    let waited = world.until(|w| w.slot(id, 1)[1].desired_state == TaskState::Complete);
    assert_eq!(waited, 5_000);
    assert_eq!(world.slot(id, 3).len(), 0, "whoever waits to try again holds its place");
}

/// The condition, whether a task that failed and one that ended well are replaced.
#[test]
fn the_restart_condition_decides_who_tries_again_and_done_is_done() {
    use RestartCondition::{Any, None, OnFailure};
    for (condition, again) in [(Any, true), (OnFailure, true), (None, false)] {
        for (image, fails) in [("v1 exit 500", false), ("v1 crash 500", true), ("v1 bad", true)] {
            let mut world = World::new(1, Swarm::default());
            let mut spec = job(image, 1, 1);
            restarting(&mut spec).condition = condition;
            let id = world.create(spec);
            world.run(30_000);
            let tries = world.made.len();
            assert_eq!(tries > 1, again && fails, "{condition:?} {image}: {tries}");
            assert_eq!(complete(&world, id), usize::from(!fails), "{condition:?} {image}");
        }
    }
}

#[test]
fn what_is_given_up_makes_room_for_the_rest_and_is_not_begun_again() {
    let mut world = World::new(1, Swarm::default());
    let mut spec = job("v1 crash 500", 3, 1);
    restarting(&mut spec).max_attempts = Some(1);
    restarting(&mut spec).delay = Some(Duration::ZERO);
    world.create(spec);
    world.run(60_000);
    world.new_leader();
    world.label(1, "a", "b");
    world.run(60_000);
    assert_eq!(world.made.len(), 6, "each slot twice:\n{}", world.picture());
}

#[test]
fn every_write_has_it_done_once_more() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(job("v1 exit 1000", 2, 2));
    world.run(10_000);
    assert_eq!((iteration(&world, id), complete(&world, id)), (0, 2));
    let labels = |spec: &mut ServiceSpec| drop(spec.labels.insert("a".into(), "b".into()));
    world.update(id, labels);
    assert_eq!((iteration(&world, id), complete(&world, id)), (1, 0));
    world.run(10_000);
    assert_eq!(complete(&world, id), 2);
    // The same spec, too, and the spec before.
    world.update(id, |_| {});
    world.run(10_000);
    world.roll_back(id);
    world.run(10_000);
    assert_eq!((iteration(&world, id), complete(&world, id)), (3, 2));
    assert_eq!(world.status(id), (None, String::new()), "there is no rollout");
    assert_eq!(world.made.len(), 8);
}

#[test]
fn what_still_runs_of_an_earlier_time_goes_before_others_take_its_place() {
    let mut world = World::new(3, Swarm::default());
    let id = world.create(job("v1 exit 60000", 6, 3));
    world.until(|w| of_now(w, id, TaskState::Running).len() == 3);
    world.update(id, |spec| image(spec, "v2 exit 1000"));
    let up = most_at_once(&mut world, 30_000);
    assert_eq!(up, 3, "never more than may run at a time");
    assert_eq!(complete(&world, id), 6);
    let old = world.state.tasks_of_service(id).filter(|t| t.spec.image() == "v1 exit 60000");
    assert_eq!(old.count(), 0, "it is forgotten:\n{}", world.picture());
}

#[test]
fn a_task_that_does_not_stop_holds_up_the_next_time_for_a_minute() {
    let mut world = World::new(1, Swarm::default());
    let id = world.create(job("v1 exit 600000", 1, 1));
    world.until(|w| of_now(w, id, TaskState::Running).len() == 1);
    world.cut_off(1);
    world.set(1, Availability::Pause);
    world.join(2);
    world.update(id, |spec| image(spec, "v2 exit 1000"));
    let waited = world.until(|w| complete(w, id) == 1);
    assert!((60_000..62_000).contains(&waited), "{waited} ms");
}

#[test]
fn fewer_completions_leave_no_history_of_slots_that_are_no_more() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(job("v1 exit 500", 4, 4));
    world.run(10_000);
    world.update(id, |spec| spec.mode = job("", 2, 2).mode);
    world.run(10_000);
    let slots: Vec<_> = world.state.tasks_of_service(id).map(|t| t.slot).collect();
    assert_eq!(slots, [1, 1, 2, 2], "{}", world.picture());
}

#[test]
fn history_is_kept_per_slot_and_what_is_done_always() {
    for (limit, want) in [(0, 1), (1, 1), (3, 3), (-1, 5)] {
        let mut world = World::new(1, Swarm::default());
        world.history(limit);
        let id = world.create(job("v1 exit 500", 1, 1));
        world.run(10_000);
        for _ in 1..5 {
            world.update(id, |_| {});
            world.run(10_000);
        }
        assert_eq!(world.slot(id, 1).len(), want, "limit {limit}:\n{}", world.picture());
        assert_eq!((complete(&world, id), world.made.len()), (1, 5), "limit {limit}");
    }
}

#[test]
fn a_failure_that_is_not_retried_outlives_a_history_of_none() {
    let mut world = World::new(1, Swarm::default());
    world.history(0);
    let mut spec = job("v1 crash 500", 1, 1);
    restarting(&mut spec).condition = RestartCondition::None;
    world.create(spec);
    world.run(60_000);
    assert_eq!(world.made.len(), 1, "forgotten, it would be tried without end");
}

#[test]
fn what_was_never_begun_of_an_earlier_time_is_history() {
    let mut world = World::new(1, Swarm::default());
    world.history(1);
    let id = world.create(job("v1 bad", 1, 1));
    for image in ["v1 bad", "v1 bad", "v1 exit 500"] {
        world.run(12_000);
        world.update(id, |spec| *spec = job(image, 1, 1));
    }
    world.run(12_000);
    assert_eq!(complete(&world, id), 1, "{}", world.picture());
    assert_eq!(world.slot(id, 1).len(), 1, "{}", world.picture());
}

#[test]
fn a_node_that_dies_or_is_drained_has_its_part_done_elsewhere() {
    use RestartCondition::{Any, None};
    for (drained, condition) in [(false, Any), (false, None), (true, Any), (true, None)] {
        let mut world = World::new(2, Swarm::default());
        let mut spec = job("v1 exit 20000", 4, 4);
        // To be taken from its node is no failure.
        restarting(&mut spec).condition = condition;
        let id = world.create(spec);
        world.until(|w| of_now(w, id, TaskState::Running).len() == 4);
        if drained {
            world.set(1, Availability::Drain);
        } else {
            world.power_off(1);
        }
        world.run(60_000);
        let done = of_now(&world, id, TaskState::Complete);
        assert_eq!(done.len(), 4, "{}", world.picture());
        assert!(done.iter().all(|t| t.node_id == Some(node_id(2))), "drained {drained}");
        assert_eq!(world.made.len(), 6);
    }
}

#[test]
fn what_ended_well_on_a_node_that_is_gone_is_done() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(job("v1 exit 500", 4, 4));
    world.run(10_000);
    world.power_off(1);
    world.remove_node(1);
    world.run(100_000);
    assert_eq!((complete(&world, id), world.made.len()), (4, 4));
}

#[test]
fn a_slot_that_two_have_done_is_done_once() {
    let mut world = World::new(2, Swarm::default());
    let id = world.create(job("v1 exit 20000", 1, 1));
    world.until(|w| of_now(w, id, TaskState::Running).len() == 1);
    let first = world.slot(id, 1)[0].node_id.expect("a node");
    let number = if first == node_id(1) { 1 } else { 2 };
    // Out of reach, not dead: it ends, and that is heard later.
    world.power_off(number);
    world.until(|w| of_now(w, id, TaskState::Running).len() == 2);
    let lost = world.slot(id, 1)[0].id;
    let status = TaskStatus { state: TaskState::Complete, ..TaskStatus::default() };
    let done = TaskChange { status: Some(status), ..TaskChange::of(lost) };
    world.commit(Change::Task(done));
    world.run(10_000);
    let second = world.slot(id, 1)[1].clone();
    assert_eq!(second.desired_state, TaskState::Shutdown, "nobody needs it any more");
    assert_eq!(world.made.len(), 2);
}

#[test]
fn a_running_task_leaves_a_node_that_its_constraints_refuse() {
    let mut world = World::new(2, Swarm::default());
    world.label(1, "zone", "a");
    world.label(2, "zone", "a");
    let mut spec = job("v1 exit 20000", 2, 2);
    constrain(&mut spec, &["node.labels.zone==a"]);
    let id = world.create(spec);
    world.until(|w| of_now(w, id, TaskState::Running).len() == 2);
    world.label(1, "zone", "b");
    world.run(60_000);
    let done = of_now(&world, id, TaskState::Complete);
    assert!(done.len() == 2 && done.iter().all(|t| t.node_id == Some(node_id(2))));
    // Where it is done it stays done.
    world.label(2, "zone", "b");
    world.run(60_000);
    assert_eq!((complete(&world, id), world.made.len()), (2, 3));
}

#[test]
fn a_global_job_is_done_once_on_each_node_that_fits() {
    let mut world = World::new(4, Swarm::default());
    for number in [1, 2, 3] {
        world.label(number, "zone", "a");
    }
    world.set(3, Availability::Pause);
    let mut spec = everywhere("v1 exit 1000");
    constrain(&mut spec, &["node.labels.zone==a"]);
    let id = world.create(spec);
    world.run(10_000);
    let nodes = |world: &World<Swarm>| {
        let done = of_now(world, id, TaskState::Complete);
        done.iter().filter_map(|t| t.node_id).map(|node| node.bits()).collect::<Vec<_>>()
    };
    assert_eq!(nodes(&world), [1, 2]);
    world.set(3, Availability::Active);
    world.run(10_000);
    assert_eq!(nodes(&world), [1, 2, 3], "it is active again");
    world.label(4, "zone", "a");
    world.run(10_000);
    assert_eq!(nodes(&world), [1, 2, 3, 4], "it fits since");
    world.join(5);
    world.label(5, "zone", "a");
    world.run(10_000);
    assert_eq!(nodes(&world), [1, 2, 3, 4, 5], "it is new");
    assert_eq!(world.made.len(), 5);
    world.update(id, |_| {});
    world.run(10_000);
    assert_eq!((nodes(&world).len(), world.made.len()), (5, 10));
}

#[test]
fn a_global_job_that_is_interrupted_is_begun_again_when_its_node_is_back() {
    for drained in [false, true] {
        let mut world = World::new(2, Swarm::default());
        let id = world.create(everywhere("v1 exit 20000"));
        world.until(|w| of_now(w, id, TaskState::Running).len() == 2);
        match drained {
            true => world.set(1, Availability::Drain),
            false => world.power_off(1),
        }
        world.run(60_000);
        assert_eq!(complete(&world, id), 1, "{}", world.picture());
        match drained {
            true => world.set(1, Availability::Active),
            false => world.power_on(1),
        }
        world.run(60_000);
        assert_eq!((complete(&world, id), world.made.len()), (2, 3), "{}", world.picture());
        assert_eq!(world.overlap, 1, "one after the other");
    }
}

#[test]
fn a_removed_job_takes_its_tasks_with_it() {
    let mut world = World::new(2, Swarm::default());
    for spec in [job("v1 exit 1000", 4, 2), everywhere("v1 exit 1000")] {
        let id = world.create(spec);
        world.until(|w| complete(w, id) > 0);
        world.remove(id);
        world.run(60_000);
        assert_eq!(world.state.tasks_of_service(id).count(), 0, "{}", world.picture());
    }
}

#[test]
fn a_new_leader_at_every_tick_and_lost_changes_do_not_do_it_twice() {
    for (spec, want) in [(job("v1 exit 700", 7, 3), 7), (everywhere("v1 exit 700"), 3)] {
        let mut world = World::new(3, Swarm::default());
        world.fickle = true;
        let mut count = 0;
        world.lose = Some(Box::new(move |change| {
            count += 1;
            matches!(change, Change::CreateTask(_)) && count % 3 == 0
        }));
        let id = world.create(spec);
        let up = most_at_once(&mut world, 60_000);
        assert!(up <= 3, "{up} at a time");
        assert_eq!((complete(&world, id), world.made.len()), (want, want), "{}", world.picture());
    }
}
