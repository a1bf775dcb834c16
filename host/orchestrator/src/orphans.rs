//! Tasks of a node that stays away: after a day nobody waits for word of them.

use swarmw_model::{Duration, NodeId, NodeState, TaskState, TaskStatus, Time};
use swarmw_state::{Change, State, TaskChange};

/// Swarm's time until the tasks of a node that is down are given up.
const ORPHANED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Gives up the tasks of a node that has been down for long; says when to look
/// again.
pub(crate) fn of_node(
    state: &State,
    id: NodeId,
    now: Time,
    changes: &mut Vec<Change>,
) -> Option<Time> {
    let node = state.node(id).filter(|node| node.status.state == NodeState::Down)?;
    let at = node.updated_at + ORPHANED_AFTER;
    if now < at {
        return Some(at);
    }
    let waits = |state: TaskState| state >= TaskState::Assigned && !state.is_terminal();
    for task in state.tasks_of_node(id).filter(|task| waits(task.status.state)) {
        let status = TaskStatus {
            timestamp: now,
            state: TaskState::Orphaned,
            message: "node is down for too long; the task is given up".into(),
            ..task.status.clone()
        };
        changes.push(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(task.id) }));
    }
    None
}
