//! What update policies are told, in the types of their interface.

use swarmw_model::Time;
use swarmw_orchestrator::{TargetInfo, View};
use swarmw_state::TargetState;

use crate::bindings::update::exports::swarmw::update::update as wit;

/// A target.
pub fn wit_target(target: &TargetInfo) -> wit::TargetInfo {
    wit::TargetInfo {
        id: target.id.clone(),
        name: target.name.clone(),
        node: target.node.clone(),
        group: target.group.clone(),
    }
}

/// What a policy is told.
pub fn wit_view(view: &View) -> wit::View {
    let state = |state: TargetState| match state {
        TargetState::Outdated => wit::TargetState::Outdated,
        TargetState::Replacing => wit::TargetState::Replacing,
        TargetState::Running => wit::TargetState::Running,
        TargetState::Down => wit::TargetState::Down,
        TargetState::Gone => wit::TargetState::Gone,
    };
    wit::View {
        seq: view.seq,
        now_ms: view.now.as_millis(),
        counts: wit::Counts {
            outdated: view.counts.outdated,
            replacing: view.counts.replacing,
            running: view.counts.running,
            down: view.counts.down,
            gone: view.counts.gone,
        },
        changed: view
            .changed
            .iter()
            .map(|m| wit::Change {
                target: m.target,
                was: state(m.was),
                now: state(m.now),
                at_ms: m.at.as_millis(),
            })
            .collect(),
        ended: view
            .ended
            .iter()
            .map(|task| wit::EndedTask {
                target: task.target,
                task_id: task.task.to_string(),
                restarted: task.restarted,
                ordered: task.ordered,
                ran_ms: task.ran.map(Time::as_millis),
                ended_ms: task.ended.as_millis(),
                exit_code: task.exit_code,
            })
            .collect(),
        answers: view
            .answers
            .iter()
            .map(|answer| wit::Answer {
                id: answer.id.clone(),
                at_ms: answer.at.as_millis(),
                value: answer.value.clone(),
            })
            .collect(),
    }
}
