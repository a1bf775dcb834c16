//! Rules of services: names, versions, ports, rollback.

use std::sync::Arc;

use swarmw_model::{
    Cluster, Global, NodeRole, PortConfig, PortProtocol, PublishMode, ServiceMode, ServiceSpec,
    TaskSpec, TaskState, Time, UpdateState, UpdateStatus,
};
use swarmw_state::{
    CREDENTIALS_LEVEL, Change, Dropped, NODE_PORTS_LEVEL, Outcome, State, TaskChange,
};

use crate::build::*;

#[test]
fn a_name_is_taken_whatever_the_letter_case_until_its_service_is_gone() {
    let mut log = Log::with_web();
    for name in ["web", "WEB", "Web"] {
        assert_eq!(
            log.refusal(create(API, service(name))),
            format!(
                "rpc error: code = AlreadyExists desc = \
                 name conflicts with an existing object: service {name} already exists"
            )
        );
    }
    log.done(Change::RemoveService { id: WEB });
    log.done(create(API, service("WEB")));
    assert_eq!(log.state.service_named("web").unwrap().id, API);
}

#[test]
fn an_update_that_read_another_version_is_out_of_sequence() {
    let mut log = Log::with_web();
    let read = log.version(WEB);
    log.update(WEB, |spec| spec.labels = [("a".into(), "b".into())].into());
    let stale = Change::UpdateService { id: WEB, version: read, spec: Box::new(service("web")) };
    let want = "rpc error: code = Unknown desc = update out of sequence";
    assert_eq!(log.refusal(stale), want);
    let back = Change::RollbackService { id: WEB, version: Some(read), message: "".into() };
    assert_eq!(log.refusal(back), want);
    let gone = Change::UpdateService { id: API, version: read, spec: Box::new(service("api")) };
    assert_eq!(log.refusal(gone), format!("service {API} not found"));
}

#[test]
fn name_and_mode_stay() {
    let mut log = Log::with_web();
    let version = log.version(WEB);
    let renamed = Change::UpdateService { id: WEB, version, spec: Box::new(service("api")) };
    assert_eq!(
        log.refusal(renamed),
        "rpc error: code = Unimplemented desc = renaming services is not supported"
    );
    let mut global = service("web");
    global.mode = ServiceMode::Global(Global {});
    let other = Change::UpdateService { id: WEB, version, spec: Box::new(global) };
    assert_eq!(
        log.refusal(other),
        "rpc error: code = Unimplemented desc = service mode change is not allowed"
    );
}

#[test]
fn only_what_tasks_run_makes_a_new_spec_version() {
    type Edit = fn(&mut swarmw_model::ServiceSpec);
    let cases: [(&str, bool, Edit); 7] = [
        ("nothing", false, |_| {}),
        ("labels", false, |s| s.labels = [("a".into(), "b".into())].into()),
        ("replicas", false, |s| {
            s.mode = ServiceMode::Replicated(swarmw_model::Replicated { replicas: Some(5) });
        }),
        ("update config", false, |s| s.update_config = Some(Default::default())),
        ("image", true, |s| s.task_template = template("app:2")),
        ("constraint", true, |s| s.task_template = constrained("app:1", "node.role==worker")),
        ("ports", true, |s| {
            s.endpoint_spec = publishing("web", vec![port(80, PublishMode::Ingress)]).endpoint_spec;
        }),
    ];
    for (what, replaces, edit) in cases {
        let mut log = Log::with_web();
        let before = log.state.service(WEB).unwrap().clone();
        log.update(WEB, edit);
        let after = log.state.service(WEB).unwrap();
        assert_eq!(after.version.index, log.state.index(), "{what}");
        assert_eq!(after.spec_version != before.spec_version, replaces, "{what}");
        assert_eq!(after.previous_spec.as_ref(), Some(&before.spec), "{what}");
    }
}

#[test]
fn an_ingress_port_belongs_to_one_service() {
    let ingress = |n| port(n, PublishMode::Ingress);
    let host = |n| port(n, PublishMode::Host);
    for (held, wanted, refused) in [
        (ingress(80), ingress(80), Some("as an ingress port")),
        (ingress(80), host(80), Some("as an ingress port")),
        (host(80), ingress(80), Some("as a host-published port")),
        (host(80), host(80), None),
        (ingress(80), ingress(81), None),
        (ingress(0), ingress(0), None),
    ] {
        let mut log = Log::founded();
        log.done(create(WEB, publishing("web", vec![held.clone()])));
        let outcome = log.one(create(API, publishing("api", vec![wanted.clone()])));
        let want = refused.map(|how| {
            format!(
                "rpc error: code = InvalidArgument desc = \
                 port '80' is already in use by service 'web' ({WEB}) {how}"
            )
        });
        let got = match outcome {
            Outcome::Refused(why) => Some(why.to_string()),
            _ => None,
        };
        assert_eq!(got, want, "{held:?} {wanted:?}");
    }
}

#[test]
fn ports_that_nodes_talk_to_each_other_by_are_published_by_nobody() {
    let udp = |n, mode| PortConfig { protocol: PortProtocol::Udp, ..port(n, mode) };
    let (vxlan, words) = ("containers' traffic", "what nodes say to each other");
    for mode in [PublishMode::Ingress, PublishMode::Host] {
        for (data_path, wanted, refused) in [
            (4789, udp(4789, mode), Some(("4789/udp", vxlan))),
            (4789, port(4789, mode), None),
            (7777, udp(7777, mode), Some(("7777/udp", vxlan))),
            (7777, udp(4789, mode), None),
            (4789, port(2377, mode), Some(("2377/tcp", words))),
            (4789, udp(2377, mode), None),
        ] {
            let mut log = Log { state: State::default() };
            log.done(Change::InitCluster {
                cluster: Box::new(Cluster {
                    data_path_port: data_path,
                    feature_level: NODE_PORTS_LEVEL,
                    ..cluster()
                }),
                node: Box::new(node(N1, NodeRole::Manager)),
                plugins: Vec::new(),
            });
            let number = wanted.published_port;
            let created = log.one(create(WEB, publishing("web", vec![wanted.clone()])));
            let got = match created {
                Outcome::Refused(why) => Some(why.to_string()),
                _ => None,
            };
            let want = refused.map(|(which, what)| {
                format!(
                    "rpc error: code = InvalidArgument desc = port '{number}' is already in use \
                     by the cluster: {which} between nodes is {what}; publish another port"
                )
            });
            assert_eq!(got, want, "{wanted:?}");
        }
    }
}

#[test]
fn who_has_a_port_of_the_nodes_from_before_may_be_updated_with_it() {
    let mut log = Log::founded();
    log.done(Change::RaiseFeatureLevel(NODE_PORTS_LEVEL - 1));
    let taken = || vec![port(2377, PublishMode::Host)];
    log.done(create(WEB, publishing("web", taken())));
    log.done(Change::RaiseFeatureLevel(NODE_PORTS_LEVEL));
    log.update(WEB, |spec| spec.labels = [("a".into(), "b".into())].into());
    assert!(log.refusal(create(API, publishing("api", taken()))).contains("2377/tcp"));
    log.update(WEB, |spec| spec.endpoint_spec = None);
    let version = log.version(WEB);
    let again = Box::new(publishing("web", taken()));
    let again = log.refusal(Change::UpdateService { id: WEB, version, spec: again });
    assert!(again.contains("2377/tcp"), "{again}");
}

#[test]
fn a_port_is_free_again_when_its_service_gives_it_up() {
    let mut log = Log::founded();
    let spec = |name| publishing(name, vec![port(80, PublishMode::Ingress)]);
    log.done(create(WEB, spec("web")));
    log.update(WEB, |s| s.endpoint_spec = None);
    log.done(create(API, spec("api")));
    // Going back would take it away again.
    let version = log.version(WEB);
    let back = Change::RollbackService { id: WEB, version: Some(version), message: "".into() };
    assert!(log.refusal(back).contains("port '80' is already in use by service 'api'"));
    log.done(Change::RemoveService { id: API });
    let back = Change::RollbackService { id: WEB, version: Some(version), message: "".into() };
    log.done(back);
    let held: Vec<_> = log.state.ports().map(|(_, port, id)| (port, id)).collect();
    assert_eq!(held, [(80, WEB)]);
}

#[test]
fn chosen_ports_stay_while_the_service_publishes_them() {
    let mut log = Log::founded();
    log.done(create(WEB, publishing("web", vec![port(0, PublishMode::Ingress)])));
    let chosen = |log: &Log| Change::SetEndpoint {
        service: WEB,
        version: log.version(WEB),
        ports: vec![port(30_000, PublishMode::Ingress)],
        virtual_ips: None,
    };
    let stale = chosen(&log);
    log.update(WEB, |s| s.labels = [("a".into(), "b".into())].into());
    log.dropped(stale, Dropped::Changed);
    let change = chosen(&log);
    log.done(change);
    log.update(WEB, |s| s.task_template = template("app:2"));
    let ports: Vec<_> = log.state.ports().map(|(_, port, id)| (port, id)).collect();
    assert_eq!(ports, [(30_000, WEB)]);
    // Another choice of the same port came too late.
    log.done(create(API, publishing("api", vec![port(0, PublishMode::Ingress)])));
    let version = log.version(API);
    let ports = vec![port(30_000, PublishMode::Ingress)];
    log.dropped(
        Change::SetEndpoint { service: API, version, ports, virtual_ips: None },
        Dropped::Changed,
    );
}

#[test]
fn a_rollback_keeps_the_newest_credentials_for_the_same_registry() {
    for (level, images, updated, want) in [
        (CREDENTIALS_LEVEL, ["hub.example/a:1", "hub.example/a:2"], "new", "new"),
        (CREDENTIALS_LEVEL, ["hub.example/a:1", "hub.example/b:2"], "new", "new"),
        (CREDENTIALS_LEVEL, ["a:1", "docker.io/library/a:2"], "new", "new"),
        (CREDENTIALS_LEVEL, ["hub.example/a:1", "other.example/a:1"], "new", "old"),
        // Who wrote without any has none to keep.
        (CREDENTIALS_LEVEL, ["hub.example/a:1", "hub.example/a:2"], "", "old"),
        // All managers must do the same with the same entry of the log.
        (CREDENTIALS_LEVEL - 1, ["hub.example/a:1", "hub.example/a:2"], "new", "old"),
    ] {
        let mut log = Log::founded();
        log.done(Change::RaiseFeatureLevel(level));
        let with = |image: &str, auth: &str| {
            let mut task = TaskSpec::clone(&template(image));
            task.registry_auth = auth.to_owned();
            Arc::new(task)
        };
        let spec = ServiceSpec { task_template: with(images[0], "old"), ..service("web") };
        log.done(create(WEB, spec));
        log.update(WEB, |s| s.task_template = with(images[1], updated));
        let has = |log: &Log| {
            let task = &log.state.service(WEB).unwrap().spec.task_template;
            (task.image().to_owned(), task.registry_auth.clone())
        };
        let back = |log: &Log| Change::RollbackService {
            id: WEB,
            version: Some(log.version(WEB)),
            message: String::new(),
        };
        let change = back(&log);
        log.done(change);
        assert_eq!(has(&log), (images[0].to_owned(), want.to_owned()), "{images:?} {level}");
        // And forth again: what was newest still is.
        let change = back(&log);
        log.done(change);
        let newest = if updated.is_empty() { "old" } else { updated };
        assert_eq!(has(&log).0, images[1]);
        if level == CREDENTIALS_LEVEL {
            assert_eq!(has(&log).1, newest, "{images:?}");
        }
    }
}

#[test]
fn an_operator_rolls_back_and_forth_a_policy_only_back() {
    let image = |log: &Log| log.state.service(WEB).unwrap().spec.task_template.image().to_owned();
    let mut log = Log::with_web();
    let none = Change::RollbackService { id: WEB, version: None, message: "".into() };
    assert_eq!(
        log.refusal(none),
        format!(
            "rpc error: code = FailedPrecondition desc = \
             service {WEB} does not have a previous spec"
        )
    );
    let first = log.spec_version(WEB);
    log.update(WEB, |s| s.task_template = template("app:2"));
    let second = log.spec_version(WEB);
    for want in [("app:1", first), ("app:2", second), ("app:1", first)] {
        let version = Some(log.version(WEB));
        log.done(Change::RollbackService { id: WEB, version, message: "by hand".into() });
        assert_eq!((image(&log).as_str(), log.spec_version(WEB)), want);
    }
    let version = Some(log.version(WEB));
    log.done(Change::RollbackService { id: WEB, version, message: "by hand".into() });
    let by_policy = || Change::RollbackService { id: WEB, version: None, message: "policy".into() };
    log.dropped(by_policy(), Dropped::Changed);
    let status = UpdateStatus {
        state: UpdateState::Updating,
        started_at: Time::from_nanos(1),
        completed_at: None,
        message: "update in progress".into(),
    };
    let spec_version = log.spec_version(WEB);
    log.done(Change::SetUpdateStatus { service: WEB, spec_version, status: Some(status) });
    log.done(by_policy());
    let service = log.state.service(WEB).unwrap();
    assert_eq!(image(&log), "app:1");
    assert_eq!(service.previous_spec, None);
    let status = service.update_status.clone().unwrap();
    assert_eq!((status.state, &*status.message), (UpdateState::RollbackStarted, "policy"));
}

#[test]
fn a_paused_update_stays_paused_until_something_about_it_changes() {
    type Edit = fn(&mut swarmw_model::ServiceSpec);
    let cases: [(&str, bool, Edit); 4] = [
        ("labels", true, |s| s.labels = [("a".into(), "b".into())].into()),
        ("nothing", false, |_| {}),
        ("image", false, |s| s.task_template = template("app:3")),
        ("update config", false, |s| s.update_config = Some(Default::default())),
    ];
    for (what, paused, edit) in cases {
        let mut log = Log::with_web();
        log.update(WEB, |s| s.task_template = template("app:2"));
        let status = UpdateStatus {
            state: UpdateState::Paused,
            started_at: swarmw_model::Time::ZERO,
            completed_at: None,
            message: "".into(),
        };
        let spec_version = log.spec_version(WEB);
        let pause = Change::SetUpdateStatus { service: WEB, spec_version, status: Some(status) };
        log.done(pause.clone());
        log.dropped(pause, Dropped::Stale);
        log.update(WEB, edit);
        assert_eq!(log.state.service(WEB).unwrap().update_status.is_some(), paused, "{what}");
    }
}

#[test]
fn the_tasks_of_a_removed_service_are_told_to_go_and_keep_its_facts() {
    let mut log = Log::with_task();
    log.done(assign(T1, N2));
    log.done(Change::RemoveService { id: WEB });
    let task = log.state.task(T1).unwrap();
    assert_eq!(task.desired_state, TaskState::Remove);
    assert_eq!(task.service.name, "web");
    assert_eq!(log.state.services_with_tasks().collect::<Vec<_>>(), [WEB]);
    log.dropped(Change::Task(TaskChange::desire(T1, TaskState::Running)), Dropped::Stale);
    log.done(Change::RemoveTask(T1));
    assert_eq!(log.state.services_with_tasks().count(), 0);
}
