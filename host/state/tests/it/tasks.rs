//! Rules of tasks: made, assigned, reported on, adopted, forgotten.

use swarmw_model::{Availability, NodeId, NodeState, Slot, TaskState};
use swarmw_state::{Change, Dropped, NewTask, Outcome, TaskChange};

use crate::build::*;

fn state_of(log: &Log) -> (TaskState, Option<NodeId>, String) {
    let task = log.state.task(T1).unwrap();
    (task.status.state, task.node_id, task.status.message.to_string())
}

#[test]
fn a_new_task_stands_where_its_decision_puts_it() {
    for (slot, node, want) in [
        (Slot::Replica(1), None, (TaskState::Pending, None, "pending task scheduling")),
        (
            Slot::Replica(1),
            Some(N2),
            (TaskState::Assigned, Some(N2), "scheduler assigned task to node"),
        ),
        (Slot::Node(N2), None, (TaskState::Pending, Some(N2), "pending task scheduling")),
        (
            Slot::Node(N2),
            Some(N2),
            (TaskState::Assigned, Some(N2), "scheduler confirmed task can run on preassigned node"),
        ),
    ] {
        let mut log = Log::with_web();
        let task = NewTask { node, ..log.new_task(T1, WEB, slot) };
        log.done(Change::CreateTask(task));
        let (state, on, message) = want;
        assert_eq!(state_of(&log), (state, on, message.to_owned()), "{slot:?} {node:?}");
        assert_eq!(log.state.task(T1).unwrap().slot(), Some(slot));
    }
}

#[test]
fn a_task_whose_premise_is_gone_is_not_made() {
    let mut log = Log::with_web();
    let decided = NewTask { node: Some(N2), ..log.new_task(T1, WEB, Slot::Replica(1)) };
    let nowhere = NewTask { node: Some(NodeId::from_bits(99)), ..decided.clone() };
    log.dropped(Change::CreateTask(nowhere), Dropped::Changed);
    let unknown = NewTask { service: API, ..decided.clone() };
    log.dropped(Change::CreateTask(unknown), Dropped::Gone);

    log.update(WEB, |s| s.task_template = template("app:2"));
    log.dropped(Change::CreateTask(decided.clone()), Dropped::Changed);

    let decided = NewTask { spec_version: log.spec_version(WEB), ..decided };
    log.done(Change::CreateTask(decided.clone()));
    log.dropped(Change::CreateTask(decided), Dropped::Changed);
}

#[test]
fn a_node_takes_tasks_only_while_it_is_ready_and_active() {
    for (availability, state, takes) in [
        (Availability::Active, NodeState::Ready, true),
        (Availability::Pause, NodeState::Ready, false),
        (Availability::Drain, NodeState::Ready, false),
        (Availability::Active, NodeState::Down, false),
        (Availability::Active, NodeState::Unknown, false),
        (Availability::Active, NodeState::Disconnected, false),
    ] {
        let mut log = Log::with_task();
        log.node_spec(N2, |spec| spec.availability = availability);
        log.one(Change::SetNodeState { id: N2, state, message: "".into() });
        let new = NewTask { node: Some(N2), ..log.new_task(T2, WEB, Slot::Replica(2)) };
        for change in [assign(T1, N2), Change::CreateTask(new)] {
            let done = matches!(log.one(change), Outcome::Done(_));
            assert_eq!(done, takes, "{availability} {state}");
        }
    }
}

#[test]
fn a_task_is_assigned_once_and_to_its_own_node() {
    let mut log = Log::with_task();
    log.done(assign(T1, N2));
    log.dropped(assign(T1, N1), Dropped::Changed);
    log.dropped(assign(T1, N2), Dropped::Changed);

    let mut log = Log::with_web();
    let global = log.new_task(T1, WEB, Slot::Node(N2));
    log.done(Change::CreateTask(global));
    log.dropped(assign(T1, N1), Dropped::Changed);
    log.done(assign(T1, N2));

    let mut log = Log::with_task();
    log.done(Change::Task(TaskChange::desire(T1, TaskState::Shutdown)));
    log.dropped(assign(T1, N2), Dropped::Changed);
    log.dropped(assign(T2, N2), Dropped::Gone);
}

#[test]
fn states_never_go_back() {
    let mut log = Log::with_task();
    log.done(assign(T1, N2));
    log.done(report(T1, TaskState::Running));
    log.dropped(report(T1, TaskState::Starting), Dropped::Stale);
    // What is resent after a broken connection is no change.
    log.dropped(report(T1, TaskState::Running), Dropped::Stale);
    log.done(Change::Task(TaskChange::desire(T1, TaskState::Shutdown)));
    log.dropped(Change::Task(TaskChange::desire(T1, TaskState::Running)), Dropped::Stale);
    log.done(report(T1, TaskState::Failed));
    log.dropped(report(T1, TaskState::Shutdown), Dropped::Stale);
    assert_eq!(state_of(&log).0, TaskState::Failed);
    log.dropped(Change::Task(TaskChange::of(T1)), Dropped::Stale);
}

#[test]
fn a_late_status_does_not_take_a_new_desired_state_with_it() {
    let mut log = Log::with_task();
    log.done(assign(T1, N2));
    log.done(report(T1, TaskState::Running));
    let both = TaskChange {
        desired: Some(TaskState::Shutdown),
        status: Some(status(TaskState::Preparing)),
        ..TaskChange::of(T1)
    };
    log.done(Change::Task(both));
    let task = log.state.task(T1).unwrap();
    assert_eq!(task.desired_state, TaskState::Shutdown);
    assert_eq!(task.status.state, TaskState::Running);
}

#[test]
fn a_task_that_still_fits_is_adopted_where_it_stands() {
    let mut log = Log::with_task();
    log.done(assign(T1, N2));
    log.done(report(T1, TaskState::Running));
    let before = log.state.task(T1).unwrap().clone();
    log.update(WEB, |s| s.task_template = constrained("app:1", "node.role==worker"));
    let version = log.spec_version(WEB);
    let adopt = |version| Change::Task(TaskChange { adopt: Some(version), ..TaskChange::of(T1) });
    log.dropped(adopt(swarmw_model::Version { index: 1 }), Dropped::Changed);
    log.done(adopt(version));
    let after = log.state.task(T1).unwrap().clone();
    assert_eq!(after.spec_version, version);
    assert_eq!(after.spec.constraints(), ["node.role==worker"]);
    assert_eq!(
        (after.node_id, after.slot, &after.status, after.created_at),
        (before.node_id, before.slot, &before.status, before.created_at)
    );
    log.dropped(adopt(version), Dropped::Stale);
    log.update(WEB, |s| s.task_template = template("app:2"));
    let version = log.spec_version(WEB);
    log.done(Change::RemoveService { id: WEB });
    log.dropped(adopt(version), Dropped::Changed);
}

#[test]
fn a_removed_node_leaves_orphans_and_history() {
    let mut log = Log::with_task();
    log.done(assign(T1, N2));
    let ended = NewTask { node: Some(N2), ..log.new_task(T2, WEB, Slot::Replica(1)) };
    log.done(Change::CreateTask(ended));
    log.done(report(T2, TaskState::Failed));
    log.done(Change::SetNodeState { id: N2, state: NodeState::Down, message: "".into() });
    let until = swarmw_model::Time::from_nanos(1 << 60);
    log.done(Change::RemoveNode { id: N2, force: false, deny_until: until });
    assert_eq!(log.state.task(T1).unwrap().status.state, TaskState::Orphaned);
    assert_eq!(log.state.task(T2).unwrap().status.state, TaskState::Failed);
    let denied = &log.state.cluster().unwrap().removed_nodes;
    assert_eq!(denied.get(&N2.to_string()), Some(&until));
}
