//! Rolling updates: each setting, each failure action, and what happens meanwhile.

use std::collections::BTreeSet;

use swarmw_model::{
    Availability, Duration, EndpointSpec, PortConfig, ResolutionMode, RestartCondition, ServiceId,
    ServiceSpec, TaskState, UpdateConfig, UpdateState,
};
use swarmw_orchestrator::{Action, Order, View};

use crate::swarm::Swarm;
use crate::world::*;

/// A service whose replicas run.
pub fn up(replicas: u64, set: impl FnOnce(&mut UpdateConfig)) -> (World<Swarm>, ServiceId) {
    let mut world = World::new(3, Swarm::default());
    let mut spec = replicated("v1", replicas);
    set(updating(&mut spec));
    let id = world.create(spec);
    world.run(2_000);
    assert_eq!(world.count(id, "v1") as u64, replicas);
    (world, id)
}

pub fn completed(world: &World<Swarm>, id: ServiceId) -> bool {
    world.status(id) == (Some(UpdateState::Completed), "update completed".into())
}

/// From the order to the new task's run, old one first.
const TURN: i64 = STOP + START;

#[test]
fn an_update_replaces_every_task_and_says_so() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    let (state, message) = world.status(id);
    assert_eq!((state, message.as_str()), (Some(UpdateState::Updating), "update in progress"));
    world.until(|w| completed(w, id));
    assert_eq!(world.count(id, "v2"), 3);
    let status = world.service(id).update_status.clone().expect("a status");
    assert!(status.completed_at.is_some_and(|at| at > status.started_at));
    assert!(world.state.rollout(id).is_none());
    assert_eq!(world.policies.begun, 1);
}

#[test]
fn another_endpoint_replaces_tasks_and_another_label_does_not() {
    type Edit = fn(&mut ServiceSpec);
    let port = |s: &mut ServiceSpec| {
        let port = PortConfig { target_port: 80, published_port: 8080, ..PortConfig::default() };
        s.endpoint_spec.get_or_insert_default().ports = vec![port];
    };
    let edits: [(&str, Edit, bool); 4] = [
        ("mode", |s| s.endpoint_spec.get_or_insert_default().mode = ResolutionMode::Dnsrr, true),
        ("port", port, true),
        ("nothing said", |s| s.endpoint_spec = Some(EndpointSpec::default()), false),
        ("label", |s| drop(s.labels.insert("a".into(), "b".into())), false),
    ];
    for (what, edit, replaced) in edits {
        let (mut world, id) = up(2, |_| {});
        let ids = |w: &World<Swarm>| w.running(id).iter().map(|t| t.id).collect::<BTreeSet<_>>();
        let before = ids(&world);
        world.write(id, edit);
        world.run(60_000);
        assert_eq!(ids(&world).is_disjoint(&before), replaced, "{what}");
        assert_eq!(ids(&world).len(), 2, "{what}");
    }
}

/// Parallelism, tasks out of six that are replaced at a time.
#[test]
fn parallelism_bounds_the_replacements_under_way() {
    for (parallelism, want) in [(1, 1), (2, 2), (4, 4), (9, 6), (0, 6)] {
        let (mut world, id) = up(6, |u| u.parallelism = parallelism);
        world.update(id, |spec| image(spec, "v2"));
        let mut most = 0;
        world.until(|w| {
            let waiting = 6 - w.running(id).len();
            most = most.max(waiting);
            completed(w, id)
        });
        assert_eq!(most, want, "parallelism {parallelism}");
    }
}

#[test]
fn each_worker_rests_after_each_of_its_targets() {
    let (mut world, id) = up(4, |u| {
        u.parallelism = 2;
        u.delay = Duration::from_secs(10);
        u.monitor = Duration::from_secs(30);
    });
    world.update(id, |spec| image(spec, "v2"));
    assert_eq!(world.until(|w| w.count(id, "v2") == 2), TURN);
    assert_eq!(world.until(|w| w.count(id, "v2") == 4), 10_000 + TURN);
    assert_eq!(world.until(|w| completed(w, id)), 10_000 + 30_000);
}

/// Monitor and delay in seconds, how long the end is watched.
#[test]
fn the_end_is_watched_for_one_monitor_period() {
    for (monitor, delay, want) in [(5, 0, 5), (1, 0, 1), (0, 0, 5), (3, 8, 9), (8, 8, 9)] {
        let (mut world, id) = up(1, |u| {
            u.monitor = Duration::from_secs(monitor);
            u.delay = Duration::from_secs(delay);
        });
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| w.count(id, "v2") == 1);
        let watched = world.until(|w| completed(w, id));
        assert_eq!(watched, (delay + want) * 1_000, "monitor {monitor} s, delay {delay} s");
    }
}

#[test]
fn the_order_decides_whether_two_tasks_of_a_slot_overlap() {
    for (order, overlap, least) in [("stop-first", 1, 2), ("start-first", 2, 3), ("", 1, 2)] {
        let (mut world, id) = up(3, |u| u.order = order.into());
        world.update(id, |spec| image(spec, "v2"));
        let mut fewest = 3;
        world.until(|w| {
            fewest = fewest.min(w.running(id).len());
            completed(w, id)
        });
        assert_eq!((world.overlap, fewest), (overlap, least), "order {order:?}");
        assert_eq!(world.count(id, "v2"), 3);
    }
}

#[test]
fn stop_first_makes_the_new_task_ready_while_the_old_one_stops_and_waits_no_delay() {
    let (mut world, id) = up(1, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    let tasks = world.slot(id, 1);
    assert_eq!(tasks[0].desired_state, TaskState::Shutdown);
    assert_eq!(tasks[1].desired_state, TaskState::Ready);
    assert_eq!(world.until(|w| w.count(id, "v2") == 1), TURN, "no restart delay of 5 s");
}

#[test]
fn stop_first_waits_a_minute_at_most_for_an_old_task() {
    let (mut world, id) = up(1, |_| {});
    let node = world.running(id)[0].node_id.expect("a node").bits();
    world.cut_off(node as u32);
    // The new one must land elsewhere.
    world.set(node as u32, Availability::Pause);
    world.update(id, |spec| image(spec, "v2"));
    let waited = world.until(|w| w.count(id, "v2") == 1);
    assert_eq!(waited, 60_000 + START);
}

#[test]
fn start_first_keeps_the_old_task_when_the_new_one_fails() {
    let (mut world, id) = up(2, |u| u.order = "start-first".into());
    world.update(id, |spec| image(spec, "v2 bad"));
    world.run(2_000);
    assert_eq!(world.status(id).0, Some(UpdateState::Paused));
    assert_eq!(world.count(id, "v1"), 2);
    world.run(60_000);
    assert_eq!(world.count(id, "v1"), 2, "restarts of the new one do not stop it either");
    world.update(id, |spec| image(spec, "v3"));
    world.until(|w| completed(w, id));
    assert_eq!((world.count(id, "v3"), world.live(id).len()), (2, 2));
}

#[test]
fn start_first_keeps_the_old_tasks_where_no_new_one_ever_runs() {
    let (mut world, id) = up(2, |u| {
        u.order = "start-first".into();
        u.failure_action = "continue".into();
    });
    world.update(id, |spec| {
        image(spec, "v2 bad");
        restarting(spec).condition = RestartCondition::None;
    });
    world.until(|w| completed(w, id));
    world.run(60_000);
    assert_eq!(world.count(id, "v1"), 2);
    assert_eq!(world.made.iter().filter(|t| t.spec.image() == "v2 bad").count(), 2);
    world.scale(id, 3);
    world.run(60_000);
    assert_eq!(world.count(id, "v1"), 2, "{}", world.picture());
}

#[test]
fn a_failure_pauses_the_update_and_names_the_task() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2 crash 500"));
    world.until(|w| w.status(id).0 == Some(UpdateState::Paused));
    let task = world.made.iter().find(|t| t.spec.image() != "v1").expect("a new task").id;
    let message = format!("update paused due to failure or early termination of task {task}");
    assert_eq!(world.status(id).1, message);
    assert_eq!(world.count(id, "v1"), 1, "its worker had taken one more by then");
    assert!(world.state.rollout(id).is_none());
    let status = world.service(id).update_status.clone().expect("a status");
    assert_eq!(status.completed_at, None);
    world.run(120_000);
    assert_eq!(world.count(id, "v1"), 1, "paused is paused");
}

/// How a new task ends, whether the update pauses. The monitor period is 5 s.
#[test]
fn any_end_within_the_monitor_period_is_a_failure() {
    for (image_of, fails) in [
        ("v2 bad", true),
        ("v2 crash 100", true),
        ("v2 crash 5000", true),
        ("v2 exit 4000", true),
        ("v2 crash 6000", false),
        ("v2 exit 6000", false),
    ] {
        let (mut world, id) = up(1, |_| {});
        world.update(id, |spec| image(spec, image_of));
        world.until(|w| w.status(id).0 != Some(UpdateState::Updating));
        let want = if fails { UpdateState::Paused } else { UpdateState::Completed };
        assert_eq!(world.status(id).0, Some(want), "{image_of}");
    }
}

/// Ratio borne, failing tasks out of ten, whether it pauses.
#[test]
fn failures_are_borne_up_to_the_ratio() {
    for (ratio, failing, pauses) in
        [(0.0, 1, true), (0.1, 1, false), (0.1, 2, true), (0.5, 5, false), (1.0, 10, false)]
    {
        let mut world = World::new(3, Swarm::default());
        let mut spec = replicated("v1", 10);
        updating(&mut spec).max_failure_ratio = ratio;
        updating(&mut spec).parallelism = 0;
        restarting(&mut spec).delay = Some(Duration::from_secs(3_600));
        let id = world.create(spec);
        world.run(2_000);
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| w.count(id, "v2") == 10);
        for slot in 1..=failing {
            let task = world.running(id).iter().find(|t| t.slot == slot).expect("it").id;
            world.fail(task);
        }
        world.run(10_000);
        let want = if pauses { UpdateState::Paused } else { UpdateState::Completed };
        assert_eq!(world.status(id).0, Some(want), "{failing} of 10 with ratio {ratio}");
    }
}

#[test]
fn restarts_of_new_tasks_are_told_as_restarts() {
    let (mut world, id) = up(1, |u| u.failure_action = "continue".into());
    world.history(1);
    world.update(id, |spec| {
        image(spec, "v2 crash 1000");
        restarting(spec).delay = Some(Duration::from_millis(100));
        updating(spec).monitor = Duration::from_secs(30);
    });
    world.until(|w| completed(w, id));
    let restarted: Vec<_> = world.policies.ended.iter().map(|t| t.restarted).collect();
    assert!(restarted.len() > 5, "it was told of {} ends", restarted.len());
    assert!(!restarted[0] && restarted[1..].iter().all(|r| *r), "{restarted:?}");
}

#[test]
fn continue_goes_through_whatever_fails() {
    let (mut world, id) = up(3, |u| u.failure_action = "continue".into());
    world.update(id, |spec| image(spec, "v2 bad"));
    world.until(|w| completed(w, id));
    assert_eq!(world.count(id, "v1"), 0);
    assert_eq!(world.policies.ended.iter().filter(|t| !t.restarted).count(), 3);
}

#[test]
fn another_update_resumes_a_paused_one() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2 bad"));
    world.run(10_000);
    assert_eq!(world.status(id).0, Some(UpdateState::Paused));
    world.update(id, |spec| image(spec, "v3"));
    world.until(|w| completed(w, id));
    assert_eq!(world.count(id, "v3"), 3);
}

#[test]
fn an_update_that_changes_nothing_resumes_a_paused_one_and_a_scale_does_not() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2 bad"));
    world.run(10_000);
    world.scale(id, 4);
    world.run(10_000);
    assert_eq!(world.status(id).0, Some(UpdateState::Paused));
    assert_eq!(world.count(id, "v1"), 2);
    world.update(id, |_| {});
    assert_eq!(world.status(id).0, Some(UpdateState::Updating));
}

#[test]
fn an_update_during_an_update_starts_over() {
    for order in ["stop-first", "start-first"] {
        let (mut world, id) = up(4, |u| u.order = order.into());
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| w.count(id, "v2") == 2);
        world.update(id, |spec| image(spec, "v3"));
        world.until(|w| completed(w, id));
        assert_eq!((world.count(id, "v3"), world.live(id).len()), (4, 4), "{order}");
        assert_eq!(world.policies.begun, 2);
    }
}

#[test]
fn scaling_during_an_update_gives_new_slots_the_new_spec_at_once() {
    let (mut world, id) = up(4, |u| u.monitor = Duration::from_secs(1));
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| w.count(id, "v2") == 1);
    world.scale(id, 6);
    assert_eq!(world.status(id).0, Some(UpdateState::Updating));
    world.until(|w| w.running(id).len() >= 5);
    assert!(world.running(id).iter().filter(|t| t.slot > 4).all(|t| t.spec.image() == "v2"));
    world.until(|w| completed(w, id));
    assert_eq!((world.count(id, "v2"), world.policies.begun), (6, 1));
}

#[test]
fn scaling_down_during_an_update_takes_targets_away() {
    let (mut world, id) = up(6, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| w.count(id, "v2") == 1);
    world.scale(id, 2);
    world.until(|w| completed(w, id));
    assert_eq!((world.count(id, "v2"), world.live(id).len()), (2, 2));
}

#[test]
fn a_node_that_dies_during_an_update_does_not_stop_it() {
    for number in 1..=3 {
        let (mut world, id) = up(6, |u| u.failure_action = "continue".into());
        world.update(id, |spec| image(spec, "v2"));
        world.until(|w| w.count(id, "v2") == 2);
        world.power_off(number);
        world.until(|w| completed(w, id) && w.count(id, "v2") == 6);
        assert_eq!(world.live(id).len(), 6);
    }
}

#[test]
fn a_task_that_never_runs_holds_its_worker_without_limit() {
    let (mut world, id) = up(2, |_| {});
    world.update(id, |spec| image(spec, "v2 hang"));
    world.run(3_600_000);
    assert_eq!(world.status(id).0, Some(UpdateState::Updating));
    assert_eq!(world.count(id, "v1"), 1);
}

#[test]
fn slots_that_have_ended_for_good_are_updated_too() {
    let mut world = World::new(2, Swarm::default());
    let mut spec = replicated("v1 exit 100", 2);
    restarting(&mut spec).condition = RestartCondition::None;
    let id = world.create(spec);
    world.run(5_000);
    assert_eq!(world.live(id).len(), 0);
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| completed(w, id));
    assert_eq!(world.count(id, "v2"), 2);
}

#[test]
fn force_replaces_everything() {
    let (mut world, id) = up(2, |_| {});
    let before: BTreeSet<_> = world.live(id).iter().map(|t| t.id).collect();
    world.update(id, |spec| template(spec).force_update += 1);
    world.until(|w| completed(w, id));
    assert!(world.live(id).iter().all(|t| !before.contains(&t.id)));
}

#[test]
fn a_placement_that_tasks_satisfy_keeps_them() {
    let (mut world, id) = up(3, |_| {});
    let before: BTreeSet<_> = world.live(id).iter().map(|t| t.id).collect();
    world.update(id, |spec| constrain(spec, &["node.labels.zone!=b"]));
    world.run(10_000);
    let after: BTreeSet<_> = world.live(id).iter().map(|t| t.id).collect();
    assert_eq!((before, world.status(id).0), (after, None));
    let version = world.service(id).spec_version;
    assert!(world.live(id).iter().all(|t| t.spec_version == version), "they were taken over");
    // From now on they are held to it.
    world.label(1, "zone", "b");
    world.run(20_000);
    assert!(world.running(id).iter().all(|t| t.node_id != Some(node_id(1))));
}

#[test]
fn a_placement_that_some_tasks_violate_moves_only_those() {
    let (mut world, id) = up(6, |_| {});
    for number in [1, 2] {
        world.label(number, "zone", "a");
    }
    let there: BTreeSet<_> =
        world.live(id).iter().filter(|t| t.node_id != Some(node_id(3))).map(|t| t.id).collect();
    world.update(id, |spec| constrain(spec, &["node.labels.zone==a"]));
    world.until(|w| completed(w, id));
    let live = world.live(id);
    assert!(live.iter().all(|t| t.node_id != Some(node_id(3))));
    assert!(there.iter().all(|id| live.iter().any(|t| t.id == *id)), "others stayed");
    assert_eq!(world.overlap, 1);
}

#[test]
fn new_registry_credentials_replace_nothing_that_runs() {
    let (mut world, id) = up(2, |_| {});
    let before: BTreeSet<_> = world.live(id).iter().map(|t| t.id).collect();
    world.update(id, |spec| template(spec).registry_auth = "c2VjcmV0".into());
    world.run(10_000);
    let after: BTreeSet<_> = world.live(id).iter().map(|t| t.id).collect();
    assert_eq!((before, world.status(id).0), (after, None));
}

#[test]
fn a_policy_that_breaks_pauses_the_update_with_its_words() {
    let want = "update policy test/swarm: wasm trap";
    for after in [0, 1] {
        let (mut world, id) = up(2, |_| {});
        if after == 0 {
            world.policies.broken = Some("wasm trap".into());
        }
        world.update(id, |spec| image(spec, "v2"));
        world.policies.broken = Some("wasm trap".into());
        world.run(2_000);
        assert_eq!(world.status(id), (Some(UpdateState::Paused), want.into()));
        world.policies.broken = None;
        world.update(id, |_| {});
        world.until(|w| completed(w, id));
        assert_eq!(world.count(id, "v2"), 2);
    }
}

#[test]
fn an_unknown_policy_pauses_the_update_and_says_what_to_do() {
    let (mut world, id) = up(1, |u| u.failure_action = "canary".into());
    world.update(id, |spec| image(spec, "v2"));
    let (state, message) = world.status(id);
    assert_eq!(state, Some(UpdateState::Paused));
    assert!(message.starts_with("update policy canary: no plugin claims"), "{message}");
    assert_eq!(world.count(id, "v1"), 1);
}

#[test]
fn a_policy_chooses_its_targets_and_reports() {
    let (mut world, id) = up(4, |u| u.failure_action = "script".into());
    world.policies.script = Some(Box::new(|view| match view.seq {
        1 => vec![
            Action::Replace { targets: vec![3, 1, 3], order: Order::StartFirst },
            Action::Report("two of four".into()),
        ],
        _ => Vec::new(),
    }));
    world.update(id, |spec| image(spec, "v2"));
    world.run(10_000);
    let slots: Vec<_> =
        world.running(id).iter().filter(|t| t.spec.image() == "v2").map(|t| t.slot).collect();
    assert_eq!(slots, [2, 4]);
    assert_eq!(world.status(id), (Some(UpdateState::Updating), "two of four".into()));
}

/// Asks once, and pauses with the answer.
fn asks_once(view: &View) -> Vec<Action> {
    let query = Action::Observe {
        id: "q".into(),
        url: "http://metrics/".into(),
        pointer: "/x".into(),
        timeout_ms: 100,
    };
    match view.answers.first() {
        // Asked twice: the second one finds the first under way.
        None if view.seq == 1 => vec![query.clone(), query],
        Some(answer) => vec![Action::Pause(format!("{}: {:?}", answer.id, answer.value))],
        None => Vec::new(),
    }
}

#[test]
fn a_query_is_asked_once_and_its_answer_told() {
    for (told, want) in
        [(Ok(0.5), "q: Ok(0.5)"), (Err("no such host".to_owned()), "q: Err(\"no such host\")")]
    {
        let (mut world, id) = up(1, |u| u.failure_action = "script".into());
        world.told = told;
        world.policies.script = Some(Box::new(asks_once));
        world.update(id, |spec| image(spec, "v2"));
        world.run(5_000);
        assert_eq!(world.status(id), (Some(UpdateState::Paused), want.to_owned()));
        assert_eq!(world.asked, 1);
    }
}

#[test]
fn the_answer_to_an_earlier_rollouts_query_is_told_to_nobody() {
    let (mut world, id) = up(1, |u| u.failure_action = "script".into());
    world.told = Ok(1.0);
    world.policies.script = Some(Box::new(|view| match view.answers.first() {
        None if view.seq == 1 => asks_once(view),
        Some(answer) => vec![Action::Pause(format!("{:?}", answer.value))],
        None => Vec::new(),
    }));
    world.update(id, |spec| image(spec, "v2"));
    world.run(100);
    // Half-way to the answer another rollout begins, which asks for itself.
    world.update(id, |spec| image(spec, "v3"));
    world.run(150);
    assert_eq!(world.status(id).0, Some(UpdateState::Updating), "{:?}", world.status(id));
    world.run(5_000);
    assert_eq!((world.status(id).0, world.asked), (Some(UpdateState::Paused), 2));
}

#[test]
fn a_policy_that_always_wants_to_be_called_again_does_not_spin() {
    let (mut world, id) = up(1, |u| u.failure_action = "script".into());
    world.policies.script = Some(Box::new(|view| vec![Action::WakeAt(view.now)]));
    world.update(id, |spec| image(spec, "v2"));
    world.run(1_000);
    assert!(world.policies.calls <= 40, "{} calls in a second", world.policies.calls);
}

#[test]
fn a_quiet_cluster_decides_nothing() {
    let (mut world, id) = up(3, |_| {});
    world.update(id, |spec| image(spec, "v2"));
    world.until(|w| completed(w, id));
    let (busy, calls) = (world.busy_ticks, world.policies.calls);
    world.run(3_600_000);
    assert_eq!((world.busy_ticks, world.policies.calls), (busy, calls));
    world.new_leader();
    world.run(3_600_000);
    assert_eq!(world.busy_ticks, busy);
}
