//! Jobs: which time they are done, and what their tasks carry.

use swarmw_model::{
    Cluster, GlobalJob, Node, NodeRole, ReplicatedJob, ServiceMode, ServiceSpec, Slot, TaskState,
    Version,
};
use swarmw_state::{Change, Dropped, JOBS_LEVEL, NewTask, State};

use crate::build::*;

fn job(name: &str) -> ServiceSpec {
    let mode = ReplicatedJob { max_concurrent: Some(1), total_completions: Some(2) };
    ServiceSpec { mode: ServiceMode::ReplicatedJob(mode), ..service(name) }
}

/// A cluster whose managers know jobs.
fn founded(level: u32) -> Log {
    let mut log = Log { state: State::default() };
    log.done(Change::InitCluster {
        cluster: Box::new(Cluster { feature_level: level, ..cluster() }),
        node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
        plugins: Vec::new(),
    });
    log
}

fn with_job() -> Log {
    let mut log = founded(JOBS_LEVEL);
    log.done(create(WEB, job("web")));
    log
}

fn iteration(log: &Log) -> u64 {
    log.state.service(WEB).unwrap().job_status.expect("a job").job_iteration.index
}

#[test]
fn there_are_none_while_a_manager_does_not_know_them() {
    let mut log = founded(JOBS_LEVEL - 1);
    let why = log.refusal(create(WEB, job("web")));
    let want = "jobs need a swarmw that knows them on every manager";
    assert_eq!(why, format!("rpc error: code = FailedPrecondition desc = {want}"));
    let why = log.state.needs_jobs().expect_err("not yet").message;
    assert!(why.starts_with(want) && why.contains("these run an older one"), "{why}");
    log.done(Change::RaiseFeatureLevel(JOBS_LEVEL));
    assert_eq!(log.state.needs_jobs(), Ok(()));
    log.done(create(WEB, job("web")));
    assert_eq!(log.state.service(WEB).unwrap().spec.replicas(), None);
}

#[test]
fn every_write_of_its_spec_begins_a_job_once_more() {
    let mut log = with_job();
    let begun = |log: &Log| log.state.service(WEB).unwrap().job_status.unwrap().last_execution;
    let mut before = (iteration(&log), begun(&log), log.spec_version(WEB));
    assert_eq!((before.0, before.1), (0, log.state.service(WEB).unwrap().created_at));
    type Edit = fn(&mut ServiceSpec);
    let edits: [Edit; 3] = [
        |_| {},
        |spec| spec.labels = [("a".into(), "b".into())].into(),
        |spec| spec.mode = ServiceMode::ReplicatedJob(ReplicatedJob::default()),
    ];
    for edit in edits {
        log.update(WEB, edit);
        let after = (iteration(&log), begun(&log), log.spec_version(WEB));
        assert_eq!(after.0, before.0 + 1);
        assert!(after.1 > before.1 && after.2 > before.2, "{after:?}");
        before = after;
    }
}

#[test]
fn a_job_that_goes_back_is_begun_anew_and_has_no_rollout() {
    let mut log = with_job();
    log.update(WEB, |spec| spec.task_template = template("app:2"));
    let before = log.state.service(WEB).unwrap().clone();
    let back = Change::RollbackService {
        id: WEB,
        version: Some(before.version),
        message: "by hand".into(),
    };
    log.done(back);
    let after = log.state.service(WEB).unwrap();
    assert_eq!(after.spec, *before.previous_spec.as_ref().unwrap());
    assert_eq!((iteration(&log), &after.update_status), (2, &None));
    assert_eq!(after.spec_version.index, log.state.index(), "no task is of it yet");
}

#[test]
fn tasks_carry_the_time_that_they_belong_to_and_count_from_nought() {
    let mut log = with_job();
    log.update(WEB, |_| {});
    log.done(Change::CreateTask(log.new_task(T1, WEB, Slot::Replica(1))));
    let task = log.state.task(T1).unwrap().clone();
    assert_eq!(task.job_iteration, Some(Version { index: 1 }));
    assert_eq!((task.slot(), task.number()), (Some(Slot::Replica(1)), Some(0)));
    // One that was decided for an earlier time is dropped.
    let late = NewTask { id: T2, ..log.new_task(T1, WEB, Slot::Replica(2)) };
    log.update(WEB, |_| {});
    log.dropped(Change::CreateTask(late), Dropped::Changed);
    // It goes as others do, and its service knows it no more.
    log.done(Change::RemoveTask(T1));
    assert_eq!(log.state.tasks_of_service(WEB).count(), 0);
}

#[test]
fn a_task_of_a_global_job_has_no_number() {
    let mut log = founded(JOBS_LEVEL);
    let mode = ServiceMode::GlobalJob(GlobalJob {});
    log.done(create(WEB, ServiceSpec { mode, ..service("web") }));
    let desired = TaskState::Complete;
    log.done(Change::CreateTask(NewTask { desired, ..log.new_task(T1, WEB, Slot::Node(N1)) }));
    let task = log.state.task(T1).unwrap();
    assert_eq!((task.slot(), task.number()), (Some(Slot::Node(N1)), None));
    assert!(task.is_wanted() && task.is_active());
}

#[test]
fn other_services_have_no_iteration() {
    let mut log = Log::with_task();
    log.update(WEB, |_| {});
    assert_eq!(log.state.service(WEB).unwrap().job_status, None);
    let task = log.state.task(T1).unwrap();
    assert_eq!((task.job_iteration, task.number()), (None, Some(1)));
}

#[test]
fn a_snapshot_has_all_of_it() {
    let mut log = with_job();
    log.update(WEB, |_| {});
    log.done(Change::CreateTask(log.new_task(T1, WEB, Slot::Replica(1))));
    let back = State::from_snapshot(&log.state.to_snapshot()).expect("a snapshot");
    assert_eq!(back.service(WEB), log.state.service(WEB));
    assert_eq!(back.task(T1), log.state.task(T1));
    assert_eq!(back.tasks_of_slot(WEB, Slot::Replica(1)).count(), 1);
}
