//! Whole updates through the built-in component, on the orchestrator's simulated
//! cluster: beside the same rules without WebAssembly, tick for tick.

use std::sync::Arc;

use swarmw_model::{Duration, ServiceId, Task, UpdateState};
use swarmw_orchestrator::UpdatePolicies;

use crate::support::host;
use crate::swarm::Swarm;
use crate::world::*;

/// What became of an update: every task made, and each status there was.
#[derive(Debug, PartialEq)]
struct Story {
    made: Vec<String>,
    statuses: Vec<(Option<UpdateState>, String)>,
    running: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    action: &'static str,
    order: &'static str,
    parallelism: u64,
    delay: i64,
    ratio: f64,
    image: &'static str,
    /// Every tick is a new leader's.
    fickle: bool,
}

fn play<P: UpdatePolicies>(policies: P, case: Case) -> Story {
    let mut world = World::new(3, policies);
    let mut spec = replicated("v1", 5);
    let settings = updating(&mut spec);
    settings.failure_action = case.action.into();
    settings.order = case.order.into();
    settings.parallelism = case.parallelism;
    settings.delay = Duration::from_millis(case.delay);
    settings.max_failure_ratio = case.ratio;
    let id = world.create(spec);
    world.run(2_000);
    world.fickle = case.fickle;
    world.update(id, |spec| image(spec, case.image));
    let mut statuses = Vec::new();
    let ended = |state: Option<UpdateState>| {
        !matches!(state, None | Some(UpdateState::Updating | UpdateState::RollbackStarted))
    };
    world.until(|w| {
        let status = w.status(id);
        if statuses.last() != Some(&status) {
            statuses.push(status.clone());
        }
        ended(status.0)
    });
    world.run(30_000);
    story(&world, id, statuses)
}

fn story<P: UpdatePolicies>(
    world: &World<P>,
    id: ServiceId,
    statuses: Vec<(Option<UpdateState>, String)>,
) -> Story {
    let line = |t: &Arc<Task>| format!("{} {} {}", t.created_at, t.slot, t.spec.image());
    Story { made: world.made.iter().map(line).collect(), statuses, running: world.images(id) }
}

#[test]
fn updates_through_the_component_go_as_swarms_rules_say() {
    let mut cases = Vec::new();
    for action in ["pause", "continue", "rollback"] {
        for image in ["v2", "v2 bad", "v2 crash 2000", "v2 exit 6000"] {
            for (order, parallelism, delay, ratio, fickle) in [
                ("stop-first", 1, 0, 0.0, false),
                ("start-first", 2, 1_500, 0.0, true),
                ("stop-first", 0, 7_000, 0.5, true),
            ] {
                cases.push(Case { action, order, parallelism, delay, ratio, image, fickle });
            }
        }
    }
    for case in cases {
        let through_component = play(host(), case);
        assert_eq!(through_component, play(Swarm::default(), case), "{case:?}");
        assert!(through_component.statuses.len() > 1, "{case:?}");
    }
}

#[test]
fn a_rollback_by_the_component_restores_what_ran() {
    let case = Case {
        action: "rollback",
        order: "stop-first",
        parallelism: 2,
        delay: 0,
        ratio: 0.0,
        image: "v2 bad",
        fickle: false,
    };
    let story = play(host(), case);
    let states: Vec<_> = story.statuses.iter().filter_map(|(state, _)| *state).collect();
    use UpdateState::{RollbackCompleted, RollbackStarted, Updating};
    assert_eq!(states, [Updating, RollbackStarted, RollbackCompleted]);
    assert_eq!(story.running, vec!["v1"; 5]);
}
