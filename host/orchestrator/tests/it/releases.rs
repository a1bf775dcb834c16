//! Another release of an update policy, while updates are under way.

use swarmw_model::UpdateState;

use crate::swarm::Later;
use crate::update::{completed, up};
use crate::world::*;

/// How an update ends that was begun by one release and is half-way when another
/// comes: whether it completes, calls of the later one, attempts to take over.
fn halfway(later: Later, first_is_gone: bool) -> (bool, usize, usize, String) {
    let (mut world, id) = up(4, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| w.count(id, "v2") == 1);
    world.policies.later = Some(later);
    world.policies.first_is_gone = first_is_gone;
    world.until(|w| w.status(id).0 != Some(UpdateState::Updating));
    let policies = &world.policies;
    let (calls, migrations) = (policies.later_calls, policies.migrations);
    (completed(&world, id), calls, migrations, world.status(id).1)
}

#[test]
fn an_update_ends_with_the_release_it_began_with() {
    let later = Later { adopts: false, migrates: true };
    let (completed, calls, migrations, _) = halfway(later, false);
    assert_eq!((completed, calls, migrations), (true, 0, 0));
}

#[test]
fn a_release_that_adopts_goes_on_with_what_is_under_way() {
    let later = Later { adopts: true, migrates: true };
    let (completed, calls, migrations, _) = halfway(later, false);
    assert!(completed && calls > 1, "{calls} calls");
    assert_eq!(migrations, 1, "once it is in charge it stays");
}

#[test]
fn one_that_cannot_go_on_leaves_the_old_one_in_charge() {
    let later = Later { adopts: true, migrates: false };
    let (completed, calls, migrations, _) = halfway(later, false);
    assert_eq!((completed, calls, migrations), (true, 0, 1));
}

#[test]
fn where_the_old_one_is_gone_the_present_one_goes_on() {
    let later = Later { adopts: false, migrates: true };
    let (completed, calls, migrations, _) = halfway(later, true);
    assert!(completed && calls > 1, "{calls} calls");
    assert_eq!(migrations, 1);
}

#[test]
fn where_nobody_can_go_on_the_update_pauses_and_says_so() {
    let later = Later { adopts: false, migrates: false };
    let (completed, calls, _, message) = halfway(later, true);
    assert!(!completed && calls == 0);
    assert_eq!(message, "update policy test/swarm: does not go on from 1");
}

#[test]
fn who_took_over_is_in_the_log() {
    let (mut world, id) = up(4, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| w.count(id, "v2") == 1);
    world.policies.later = Some(Later { adopts: true, migrates: true });
    world.until(|w| w.count(id, "v2") == 2);
    let rollout = world.state.rollout(id).expect("a rollout");
    assert_eq!((&*rollout.component, &*rollout.writer), ("e", "2"));
    world.new_leader();
    world.until(|w| completed(w, id));
    assert_eq!(world.policies.migrations, 1);
}

#[test]
fn an_update_waits_for_a_policy_that_is_being_compiled_and_goes_on_when_it_is() {
    let (mut world, id) = up(4, |_| {});
    world.policies.compiling = true;
    world.update(id, |spec| image(spec, "v2"));
    world.run(60_000);
    let waits = |w: &World<_>| (w.count(id, "v2"), w.status(id).0);
    assert_eq!(waits(&world), (0, None), "it neither begins nor pauses");
    world.policies.compiling = false;
    world.compiled();
    world.until(|w| w.count(id, "v2") == 1);

    // A new leader has to compile it anew, and then goes on where the old one was.
    world.policies.compiling = true;
    world.new_leader();
    world.run(60_000);
    let half = waits(&world);
    assert_eq!(half.1, Some(UpdateState::Updating), "it does not pause");
    assert!(half.0 < 4, "nobody replaced the rest");
    world.policies.compiling = false;
    world.compiled();
    world.until(|w| completed(w, id));
    assert_eq!(world.policies.migrations, 0);
}
