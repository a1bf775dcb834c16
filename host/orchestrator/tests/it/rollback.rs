//! Back to an older spec: by the policy, by the operator.

use std::cell::RefCell;
use std::rc::Rc;

use swarmw_model::{Duration, ServiceId, UpdateState};
use swarmw_orchestrator::Action;
use swarmw_state::Change;

use crate::swarm::Swarm;
use crate::update::{completed, up};
use crate::world::*;

fn rolled_back(world: &World<Swarm>, id: ServiceId) -> bool {
    world.status(id) == (Some(UpdateState::RollbackCompleted), "rollback completed".into())
}

#[test]
fn a_failed_update_rolls_back_by_itself() {
    let (mut world, id) = up(4, |u| u.failure_action = "rollback".into());
    world.update(id, |spec| image(spec, "v2 crash 500"));
    world.until(|w| w.status(id).0 == Some(UpdateState::RollbackStarted));
    let message = world.status(id).1;
    let want = "update rolled back due to failure or early termination of task ";
    assert!(message.starts_with(want), "{message}");
    let survivors: Vec<_> = world.running(id).iter().map(|t| t.id).collect();
    world.until(|w| rolled_back(w, id));
    assert_eq!(world.count(id, "v1"), 4);
    let live: Vec<_> = world.live(id).iter().map(|t| t.id).collect();
    let kept = world.made.iter().filter(|t| t.spec.image() == "v1");
    let kept = kept.filter(|t| survivors.contains(&t.id) && live.contains(&t.id)).count();
    assert!(kept >= 2, "old tasks that had survived stay: {kept}");
    assert!(world.service(id).previous_spec.is_none(), "there is nothing to return to");
}

#[test]
fn a_rollback_is_driven_by_the_settings_of_the_restored_spec() {
    let mut world = World::new(3, Swarm::default());
    let mut spec = replicated("v1", 4);
    updating(&mut spec).failure_action = "rollback".into();
    updating(&mut spec).parallelism = 0;
    rolling_back(&mut spec).parallelism = 1;
    let id = world.create(spec);
    world.run(2_000);
    world.update(id, |spec| {
        image(spec, "v2");
        rolling_back(spec).parallelism = 4;
    });
    world.until(|w| w.count(id, "v2") == 4);
    let task = world.running(id)[0].id;
    world.fail(task);
    world.until(|w| w.status(id).0 == Some(UpdateState::RollbackStarted));
    let mut most = 0;
    world.until(|w| {
        let ready = |t: &&std::sync::Arc<swarmw_model::Task>| {
            t.spec.image() == "v1" && t.status.state < swarmw_model::TaskState::Running
        };
        most = most.max(w.live(id).iter().filter(ready).count());
        rolled_back(w, id)
    });
    assert_eq!(most, 1);
}

#[test]
fn a_rollback_that_fails_is_paused_and_never_rolled_back() {
    for action in ["pause", "rollback"] {
        let mut world = World::new(3, Swarm::default());
        let mut spec = replicated("v1 crash 20000", 2);
        updating(&mut spec).failure_action = "rollback".into();
        rolling_back(&mut spec).failure_action = action.into();
        rolling_back(&mut spec).monitor = Duration::from_secs(60);
        let id = world.create(spec);
        world.run(2_000);
        world.update(id, |spec| image(spec, "v2 bad"));
        world.until(|w| w.status(id).0 == Some(UpdateState::RollbackPaused));
        let message = world.status(id).1;
        let want = "rollback paused due to failure or early termination of task ";
        assert!(message.starts_with(want), "{message}");
        world.run(300_000);
        assert_eq!(world.status(id).0, Some(UpdateState::RollbackPaused));
    }
}

#[test]
fn an_operator_may_go_back_and_forth() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| completed(w, id));
    for want in ["v1", "v2", "v1"] {
        world.roll_back(id);
        let (state, message) = world.status(id);
        assert_eq!(state, Some(UpdateState::RollbackStarted));
        assert_eq!(message, "manually requested rollback");
        world.until(|w| rolled_back(w, id));
        assert_eq!((world.count(id, want), world.live(id).len()), (3, 3));
    }
}

#[test]
fn an_operator_may_go_back_in_the_middle() {
    for order in ["stop-first", "start-first"] {
        let (mut world, id) = up(4, |u| u.order = order.into());
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| w.count(id, "v2") == 2);
        let old: Vec<_> =
            world.live(id).iter().filter(|t| t.spec.image() == "v1").map(|t| t.id).collect();
        world.roll_back(id);
        world.until(|w| rolled_back(w, id));
        assert_eq!((world.count(id, "v1"), world.live(id).len()), (4, 4));
        let live = world.live(id);
        assert!(old.iter().all(|id| live.iter().any(|t| t.id == *id)), "old tasks stayed");
    }
}

#[test]
fn going_back_and_forth_in_the_middle_leaves_one_task_per_slot() {
    let (mut world, id) = up(4, |u| u.order = "start-first".into());
    world.update(id, |spec| image(spec, "v2"));
    for ms in [100, 350, 700, 50, 1_000, 420] {
        world.run(ms);
        world.roll_back(id);
    }
    world.until(|w| rolled_back(w, id));
    let image = world.service(id).spec.task_template.image().to_owned();
    assert_eq!((world.count(id, &image), world.live(id).len()), (4, 4), "{}", world.picture());
}

#[test]
fn a_rollback_resumes_a_paused_update_the_other_way() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2 bad"));
    world.until(|w| w.status(id).0 == Some(UpdateState::Paused));
    world.roll_back(id);
    world.until(|w| rolled_back(w, id));
    assert_eq!((world.count(id, "v1"), world.live(id).len()), (3, 3));
}

#[test]
fn a_rollback_of_a_mere_scale_is_complete_at_once() {
    let (mut world, id) = up(2, |_| {});
    world.scale(id, 4);
    world.run(2_000);
    world.roll_back(id);
    assert!(rolled_back(&world, id));
    assert_eq!(world.live(id).len(), 2);
}

#[test]
fn scaling_during_a_rollback_leaves_it_a_rollback() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| completed(w, id));
    world.roll_back(id);
    world.run(100);
    world.scale(id, 5);
    assert_eq!(world.status(id).0, Some(UpdateState::RollbackStarted));
    world.until(|w| rolled_back(w, id));
    assert_eq!(world.count(id, "v1"), 5);
}

#[test]
fn a_policy_cannot_go_where_nothing_is_kept() {
    for version in [Some(12_345), None] {
        let (mut world, id) = up(1, |u| u.failure_action = "script".into());
        world.policies.script = Some(Box::new(move |_| {
            vec![Action::RollbackTo { version, reason: "too slow".into() }]
        }));
        world.update(id, |spec| image(spec, "v2"));
        world.run(1_000);
        let (state, message) = world.status(id);
        match version {
            Some(_) => {
                assert_eq!(state, Some(UpdateState::Paused));
                assert!(message.starts_with("too slow; but version 12345"), "{message}");
            }
            None => assert_eq!(state, Some(UpdateState::RollbackCompleted)),
        }
    }
}

/// The operator's write comes between a policy's decision and its entry: his
/// counts.
#[test]
fn a_policys_rollback_does_not_undo_a_newer_update() {
    let (mut world, id) = up(2, |u| u.failure_action = "rollback".into());
    world.update(id, |spec| image(spec, "v2 bad"));
    // The policy's decision is held back in the network…
    let late = Rc::new(RefCell::new(None));
    let held = late.clone();
    world.lose = Some(Box::new(move |change| {
        let is = matches!(change, Change::RollbackService { .. });
        if is {
            held.replace(Some(change.clone()));
        }
        is
    }));
    world.until(|_| late.borrow().is_some());
    world.lose = None;
    // … the operator's comes first.
    let change = late.take().expect("a rollback");
    world.write(id, |spec| image(spec, "v3"));
    world.commit(change);
    world.until(|w| completed(w, id));
    assert_eq!(world.count(id, "v3"), 2);
}
