//! Generic resources: who may ask for them, and what tasks carry.

use std::sync::Arc;

use swarmw_model::{
    Cluster, GenericResource, Node, NodeRole, ResourceRequirements, Resources, ServiceSpec, Slot,
    parse_generic_resources,
};
use swarmw_state::{Change, GENERIC_RESOURCES_LEVEL, NewTask, State, TaskChange};

use crate::build::*;

fn of(text: &str) -> Vec<GenericResource> {
    parse_generic_resources(text.split_whitespace()).expect("resources")
}

fn asking(name: &str) -> ServiceSpec {
    let mut spec = service(name);
    Arc::make_mut(&mut spec.task_template).resources = Some(ResourceRequirements {
        reservations: Some(Resources { generic_resources: of("gpu=1"), ..Default::default() }),
        ..Default::default()
    });
    spec
}

fn founded(level: u32) -> Log {
    let mut log = Log { state: State::default() };
    log.done(Change::InitCluster {
        cluster: Box::new(Cluster { feature_level: level, ..cluster() }),
        node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
        plugins: Vec::new(),
    });
    log.done(Change::AddNode(Box::new(node(N2, NodeRole::Worker))));
    log
}

#[test]
fn nobody_asks_for_them_while_a_manager_does_not_know_them() {
    let mut log = founded(GENERIC_RESOURCES_LEVEL - 1);
    let want = "generic resources need a swarmw that knows them on every manager";
    assert!(log.refusal(create(WEB, asking("web"))).contains(want));
    log.done(create(WEB, service("web")));
    let update = |log: &Log| Change::UpdateService {
        id: WEB,
        version: log.version(WEB),
        spec: Box::new(asking("web")),
    };
    let change = update(&log);
    assert!(log.refusal(change).contains(want));
    let why = log.state.needs_generic_resources().expect_err("not yet").message;
    assert!(why.starts_with(want) && why.contains("these run an older one"), "{why}");
    log.done(Change::RaiseFeatureLevel(GENERIC_RESOURCES_LEVEL));
    assert_eq!(log.state.needs_generic_resources(), Ok(()));
    let change = update(&log);
    log.done(change);
}

#[test]
fn a_task_has_what_it_was_given_from_when_it_has_a_node() {
    let mut log = founded(GENERIC_RESOURCES_LEVEL);
    log.done(create(WEB, asking("web")));
    let new = |log: &Log, id, node| NewTask {
        node,
        generic_resources: of("gpu=a"),
        ..log.new_task(id, WEB, Slot::Replica(1))
    };
    let placed = new(&log, T1, Some(N2));
    log.done(Change::CreateTask(placed));
    let task = log.state.task(T1).unwrap();
    assert_eq!(task.generic_resources, of("gpu=a"));
    assert_eq!(task.assignment().unwrap().generic_resources, of("gpu=a"));

    let waits = new(&log, T2, None);
    log.done(Change::CreateTask(waits));
    assert_eq!(log.state.task(T2).unwrap().generic_resources, []);
    log.done(Change::Task(TaskChange {
        assign: Some(N2),
        generic_resources: of("gpu=b"),
        ..TaskChange::of(T2)
    }));
    assert_eq!(log.state.task(T2).unwrap().generic_resources, of("gpu=b"));

    let read = State::from_snapshot(&log.state.to_snapshot()).expect("a state");
    assert_eq!(read.task(T2).unwrap().generic_resources, of("gpu=b"));
}
