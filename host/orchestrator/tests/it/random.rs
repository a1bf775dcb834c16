//! Random events, and what must always hold.

use proptest::prelude::*;
use swarmw_model::{Availability, Duration, NodeState, ServiceId, TaskState, UpdateState};

use crate::swarm::Swarm;
use crate::world::*;

const NODES: u32 = 4;
const IMAGES: [&str; 6] = ["a", "b", "c crash 3000", "d bad", "e exit 2500", "f crash 20000"];

#[derive(Clone, Debug)]
enum Event {
    Image(usize),
    Scale(u64),
    Force,
    RollBack,
    Zone(u32, bool),
    Constrain(bool),
    PowerOff(u32),
    PowerOn(u32),
    Set(u32, u8),
    NewLeader,
    Fickle(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let node = || 1..=NODES;
    prop_oneof![
        3 => (0..IMAGES.len()).prop_map(Event::Image),
        2 => (0..7u64).prop_map(Event::Scale),
        1 => Just(Event::Force),
        2 => Just(Event::RollBack),
        1 => (node(), any::<bool>()).prop_map(|(n, a)| Event::Zone(n, a)),
        1 => any::<bool>().prop_map(Event::Constrain),
        1 => node().prop_map(Event::PowerOff),
        2 => node().prop_map(Event::PowerOn),
        2 => (node(), 0..3u8).prop_map(|(n, a)| Event::Set(n, a)),
        2 => Just(Event::NewLeader),
        1 => any::<bool>().prop_map(Event::Fickle),
    ]
}

#[derive(Clone, Debug)]
struct Case {
    start_first: bool,
    action: usize,
    parallelism: u64,
    is_global: bool,
    loss: u32,
    events: Vec<(Event, i64)>,
}

fn case() -> impl Strategy<Value = Case> {
    let events = prop::collection::vec((event(), 0..6_000i64), 1..14);
    (any::<bool>(), 0..3usize, 0..4u64, any::<bool>(), 0..25u32, events).prop_map(
        |(start_first, action, parallelism, is_global, loss, events)| Case {
            start_first,
            action,
            parallelism,
            is_global,
            loss: loss.saturating_sub(12),
            events,
        },
    )
}

fn happen(world: &mut World<Swarm>, id: ServiceId, event: &Event, is_global: bool) {
    match event {
        Event::Image(n) => world.update(id, |spec| image(spec, IMAGES[*n])),
        Event::Scale(_) if is_global => {}
        Event::Scale(n) => world.scale(id, *n),
        Event::Force => world.update(id, |spec| template(spec).force_update += 1),
        Event::RollBack => {
            if world.service(id).previous_spec.is_some() {
                world.roll_back(id);
            }
        }
        Event::Zone(n, a) => world.label(*n, "zone", if *a { "a" } else { "b" }),
        Event::Constrain(a) => world.update(id, |spec| {
            constrain(spec, if *a { &["node.labels.zone==a"] } else { &[] });
        }),
        Event::PowerOff(n) => world.power_off(*n),
        Event::PowerOn(n) => world.power_on(*n),
        Event::Set(n, a) => {
            let all = [Availability::Active, Availability::Pause, Availability::Drain];
            world.set(*n, all[usize::from(*a)]);
        }
        Event::NewLeader => world.new_leader(),
        Event::Fickle(yes) => world.fickle = *yes,
    }
}

/// At rest each slot has one task that should run, all of the present spec, and
/// they do.
fn at_rest(world: &World<Swarm>, id: ServiceId) {
    let live = world.live(id);
    let mut slots: Vec<_> = live.iter().map(|t| t.slot()).collect();
    slots.dedup();
    assert_eq!(slots.len(), live.len(), "two tasks of one slot should run");
    let service = world.service(id);
    let want = match service.spec.replicas() {
        Some(replicas) => replicas as usize,
        None => world.state.nodes().count(),
    };
    assert_eq!(live.len(), want);
    assert!(live.iter().all(|t| t.spec_version == service.spec_version));
    assert!(live.iter().all(|t| t.status.state == TaskState::Running));
    assert!(world.state.rollout(id).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_comes_to_rest(case in case()) {
        let mut world = World::new(NODES, Swarm::default());
        let mut spec = if case.is_global { global("a") } else { replicated("a", 3) };
        let settings = updating(&mut spec);
        settings.parallelism = case.parallelism;
        settings.failure_action = ["pause", "continue", "rollback"][case.action].into();
        settings.order = if case.start_first { "start-first" } else { "stop-first" }.into();
        settings.monitor = Duration::from_secs(2);
        spec.rollback_config = spec.update_config.clone();
        restarting(&mut spec).delay = Some(Duration::from_millis(700));
        let id = world.create(spec);
        if case.loss > 0 {
            let (loss, mut seed) = (case.loss, 1u32);
            world.lose = Some(Box::new(move |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) % 100 < loss
            }));
        }
        for (event, ms) in &case.events {
            happen(&mut world, id, event, case.is_global);
            world.run(*ms);
        }
        // Nothing overlaps that should not; a lost node's tasks may.
        let lost = case.events.iter().any(|(e, _)| matches!(e, Event::PowerOff(_)));
        if !case.start_first && !lost {
            prop_assert!(world.overlap <= 1);
        }
        // Then all is well again, and one more update puts everything right.
        world.fickle = false;
        world.lose = None;
        for n in 1..=NODES {
            world.power_on(n);
            world.set(n, Availability::Active);
        }
        world.update(id, |spec| {
            image(spec, "z");
            constrain(spec, &[]);
        });
        world.run(180_000);
        prop_assert!(world.state.nodes().all(|n| n.status.state == NodeState::Ready));
        at_rest(&world, id);
        let status = world.status(id).0;
        prop_assert!(
            matches!(status, None | Some(UpdateState::Completed)),
            "{:?}", world.status(id)
        );
        let busy = world.busy_ticks;
        world.run(3_600_000);
        prop_assert_eq!(world.busy_ticks, busy);
    }
}
