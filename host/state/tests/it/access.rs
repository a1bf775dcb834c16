//! What containers may have of their nodes: as much as the operator allows.

use swarmw_model::{
    Cluster, ClusterOptions, ClusterSpec, ContainerOptions, Device, HostAccess, JoinTokens, Node,
    NodeRole, ServiceSpec, SwarmwOptions, TasksFrom,
};
use swarmw_state::{Change, HOST_ACCESS_LEVEL, State, TASKS_FROM_LEVEL};

use crate::build::*;

fn founded(level: u32) -> Log {
    let mut log = Log { state: State::default() };
    log.done(Change::InitCluster {
        cluster: Box::new(Cluster { feature_level: level, ..cluster() }),
        node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
        plugins: Vec::new(),
    });
    log
}

/// The cluster's settings as a client writes them.
fn set(log: &Log, options: Option<ClusterOptions>) -> Change {
    Change::UpdateCluster {
        version: log.state.cluster().unwrap().version,
        spec: Box::new(ClusterSpec { swarmw: options, ..ClusterSpec::default() }),
        rotate: JoinTokens::default(),
        unlock_key: None,
    }
}

fn allow(log: &mut Log, kinds: &[HostAccess]) {
    let options = ClusterOptions {
        host_access: kinds.iter().copied().collect(),
        ..ClusterOptions::default()
    };
    let change = set(log, Some(options));
    log.done(change);
}

fn with_options(name: &str, container: ContainerOptions) -> ServiceSpec {
    let swarmw = Some(SwarmwOptions { container, ..SwarmwOptions::default() });
    ServiceSpec { swarmw, ..service(name) }
}

fn privileged(name: &str) -> ServiceSpec {
    with_options(name, ContainerOptions { privileged: true, ..ContainerOptions::default() })
}

#[test]
fn nothing_is_allowed_until_the_operator_says_so() {
    let mut log = founded(HOST_ACCESS_LEVEL);
    let kvm = Device::parse("/dev/kvm").expect("a device");
    let options = ContainerOptions { devices: vec![kvm], ..privileged_options() };
    let both = with_options("web", options.clone());
    let why = log.refusal(create(WEB, both.clone()));
    assert!(why.contains("code = PermissionDenied"), "{why}");
    assert!(why.ends_with("`swarmw swarm update --host-access device,privileged`"), "{why}");
    allow(&mut log, &[HostAccess::Device]);
    assert!(log.refusal(create(WEB, both.clone())).contains("privileged containers"));
    allow(&mut log, &[HostAccess::Device, HostAccess::Privileged]);
    log.done(create(WEB, both));
    assert_eq!(log.state.service(WEB).unwrap().spec.task_template.options, options);
    // What stays in the container needs nobody's leave.
    let shm = ContainerOptions { shm_size: 1, ..ContainerOptions::default() };
    log.done(create(API, with_options("api", shm)));
}

fn privileged_options() -> ContainerOptions {
    ContainerOptions { privileged: true, ..ContainerOptions::default() }
}

#[test]
fn a_write_that_does_not_know_the_settings_keeps_them_and_an_empty_one_clears_them() {
    let mut log = founded(HOST_ACCESS_LEVEL);
    allow(&mut log, &[HostAccess::Pid]);
    let allowed = |log: &Log| log.state.cluster().unwrap().spec.host_access().len();
    let change = set(&log, None);
    log.done(change);
    assert_eq!(allowed(&log), 1);
    let change = set(&log, Some(ClusterOptions::default()));
    log.done(change);
    assert_eq!((allowed(&log), &log.state.cluster().unwrap().spec.swarmw), (0, &None));
}

#[test]
fn a_service_keeps_what_it_has_when_it_is_no_longer_allowed_and_gets_nothing_anew() {
    let mut log = founded(HOST_ACCESS_LEVEL);
    allow(&mut log, &[HostAccess::Privileged]);
    log.done(create(WEB, privileged("web")));
    let first = log.spec_version(WEB);
    allow(&mut log, &[]);
    assert!(log.refusal(create(API, privileged("api"))).contains("privileged containers"));
    log.update(WEB, |spec| spec.labels = [("a".into(), "b".into())].into());
    log.update(WEB, |spec| spec.swarmw = None);
    assert_eq!(log.spec_version(WEB), first, "nothing about its tasks has changed");
    log.update(WEB, |spec| spec.swarmw = Some(SwarmwOptions::default()));
    assert!(log.spec_version(WEB) > first, "its tasks are replaced");
    assert_eq!(
        log.state.service(WEB).unwrap().spec.task_template.options,
        ContainerOptions::default()
    );
    let back =
        Change::RollbackService { id: WEB, version: Some(log.version(WEB)), message: "".into() };
    assert!(log.refusal(back).contains("privileged containers"));
}

#[test]
fn what_a_client_writes_into_the_template_itself_counts_for_nothing() {
    let mut log = founded(HOST_ACCESS_LEVEL);
    let mut spec = service("web");
    std::sync::Arc::make_mut(&mut spec.task_template).options = privileged_options();
    log.done(create(WEB, spec.clone()));
    let options = |log: &Log| log.state.service(WEB).unwrap().spec.task_template.options.clone();
    assert_eq!(options(&log), ContainerOptions::default());
    log.update(WEB, |stored| *stored = spec);
    assert_eq!(options(&log), ContainerOptions::default());
}

#[test]
fn nothing_is_asked_or_allowed_while_a_manager_does_not_know_it() {
    let mut log = founded(HOST_ACCESS_LEVEL - 1);
    let want = "access of containers to their nodes needs a swarmw that knows it on every manager";
    let options =
        ClusterOptions { host_access: [HostAccess::Pid].into(), ..ClusterOptions::default() };
    let change = set(&log, Some(options));
    assert!(log.refusal(change).contains(want));
    let shm = ContainerOptions { shm_size: 1, ..ContainerOptions::default() };
    assert!(log.refusal(create(WEB, with_options("web", shm.clone()))).contains(want));
    assert!(log.state.needs_host_access().is_err());
    log.done(Change::RaiseFeatureLevel(HOST_ACCESS_LEVEL));
    log.done(create(WEB, with_options("web", shm)));
}

#[test]
fn tasks_are_reached_from_nodes_once_the_operator_says_so_and_every_manager_knows_it() {
    let mut log = founded(TASKS_FROM_LEVEL - 1);
    let from = |log: &Log| log.state.cluster().unwrap().spec.tasks_from();
    let nodes = ClusterOptions { tasks_from: TasksFrom::Nodes, ..ClusterOptions::default() };
    let change = set(&log, Some(nodes.clone()));
    let why = log.refusal(change);
    assert!(why.contains("no managers need a swarmw that knows it on every manager"), "{why}");
    assert!(log.state.needs_tasks_from().is_err());
    log.done(Change::RaiseFeatureLevel(TASKS_FROM_LEVEL));
    assert_eq!(from(&log), TasksFrom::Managers, "nothing changes by itself");
    let change = set(&log, Some(nodes));
    log.done(change);
    let change = set(&log, None);
    log.done(change);
    assert_eq!(from(&log), TasksFrom::Nodes, "kept by a client that does not know it");
    let change = set(&log, Some(ClusterOptions::default()));
    log.done(change);
    let cluster = log.state.cluster().unwrap();
    assert_eq!((cluster.spec.tasks_from(), &cluster.spec.swarmw), (TasksFrom::Managers, &None));
}
