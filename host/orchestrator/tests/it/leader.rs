//! Leaders that come and go, ticks of which only a part enters the log.

use swarmw_model::{Duration, ServiceId, UpdateState};
use swarmw_state::Change;

use crate::swarm::Swarm;
use crate::update::{completed, up};
use crate::world::*;

/// Each of four targets was given one new task and no more.
fn replaced_once(world: &World<Swarm>, id: ServiceId) {
    assert_eq!((world.count(id, "v2"), world.live(id).len()), (4, 4));
    let made = world.made.iter().filter(|t| t.spec.image() == "v2").count();
    assert_eq!(made, 4, "a target was replaced twice");
    assert_eq!(world.overlap, 1);
}

#[test]
fn a_new_leader_at_every_tick_changes_nothing() {
    for parallelism in [1, 2, 0] {
        let (mut world, id) = up(4, |u| u.parallelism = parallelism);
        world.fickle = true;
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| completed(w, id));
        replaced_once(&world, id);
        assert_eq!(world.policies.begun, 1);
    }
}

/// The leader is lost at its `n`th busy tick, of whose changes the first few enter
/// the log, for every `n` and every number of changes.
#[test]
fn a_tick_cut_anywhere_is_made_good_by_the_next_leader() {
    for tick in 0..24 {
        for kept in 0..4 {
            let (mut world, id) = up(4, |u| u.parallelism = 2);
            let at = world.busy_ticks + tick;
            world.cut = Some((at, kept));
            world.update(id, |spec| image(spec, "v2"));
            world.until(|w| completed(w, id));
            assert_eq!((world.count(id, "v2"), world.live(id).len()), (4, 4));
            assert_eq!(world.overlap, 1, "tick {tick} cut after {kept}");
            let made = world.made.iter().filter(|t| t.spec.image() == "v2").count();
            assert_eq!(made, 4, "tick {tick} cut after {kept}: a target was replaced twice");
        }
    }
}

#[test]
fn one_kind_of_change_lost_now_and_then_is_made_good() {
    type Kind = fn(&Change) -> bool;
    let kinds: [(&str, Kind); 4] = [
        ("tasks", |c| matches!(c, Change::CreateTask(_))),
        ("orders", |c| matches!(c, Change::Task(_))),
        ("steps", |c| matches!(c, Change::StepRollout(_))),
        ("statuses", |c| matches!(c, Change::SetUpdateStatus { .. })),
    ];
    for (name, is) in kinds {
        for (every, order) in
            [2, 3, 5].into_iter().flat_map(|n| [(n, "stop-first"), (n, "start-first")])
        {
            let (mut world, id) = up(4, |u| u.order = order.into());
            let mut seen = 0;
            world.lose = Some(Box::new(move |change| {
                seen += usize::from(is(change));
                is(change) && seen % every != 1
            }));
            world.update(id, |spec| image(spec, "v2"));
            world.until(|w| w.count(id, "v2") == 4 && w.live(id).len() == 4 && completed(w, id));
            let allowed = if order == "start-first" { 2 } else { 1 };
            assert!(world.overlap <= allowed, "all but one of {every} {name} lost, {order}");
        }
    }
}

#[test]
fn a_failure_counts_whoever_leads_then() {
    let (mut world, id) = up(3, |u| u.monitor = Duration::from_secs(20));
    world.fickle = true;
    world.update(id, |spec| image(spec, "v2 crash 10000"));
    world.until(|w| w.status(id).0 != Some(UpdateState::Updating));
    assert_eq!(world.status(id).0, Some(UpdateState::Paused));
}

#[test]
fn a_late_end_is_no_failure_whoever_leads_then() {
    let (mut world, id) = up(1, |u| u.monitor = Duration::from_secs(5));
    world.fickle = true;
    world.update(id, |spec| image(spec, "v2 crash 6000"));
    world.until(|w| w.status(id).0 != Some(UpdateState::Updating));
    assert_eq!(world.status(id).0, Some(UpdateState::Completed));
}

#[test]
fn a_leader_whose_clock_is_behind_goes_on() {
    for back in [50, 1_000, 20_000] {
        let (mut world, id) = up(4, |_| {});
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| w.count(id, "v2") == 2);
        world.clock -= back;
        world.new_leader();
        world.until(|w| completed(w, id));
        assert_eq!((world.count(id, "v2"), world.live(id).len()), (4, 4));
    }
}
