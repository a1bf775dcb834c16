use std::net::IpAddr;
use std::sync::Arc;

use ciborium::Value;
use swarmw_model::{
    Attachment, AttachmentId, ClusterSpec, Driver, IngressSource, IpamConfig, Network,
    NetworkAttachment, NetworkAttachmentConfig, NetworkId, NetworkSpec, Node, NodeDescription,
    NodeId, NodeRole, NodeState, OVERLAY, Pool, PublishMode, ServiceSpec, Slot, SwarmwOptions,
    TaskId, TaskState, Time, UpdateState, UpdateStatus, Version, VirtualIp,
};
use swarmw_state::{
    Change, Dropped, Event, Holder, Lookup, NETWORKS_LEVEL, NewTask, Outcome, State, TaskChange,
    Transaction, decode_transaction, encode_transaction,
};

use crate::build::*;
use crate::dump::dump;

const NET: NetworkId = NetworkId::from_bits(61);
const OTHER: NetworkId = NetworkId::from_bits(62);
const C1: AttachmentId = AttachmentId::from_bits(71);

/// A cluster in which every manager knows networks.
fn founded() -> Log {
    let mut log = Log { state: State::default() };
    log.done(Change::InitCluster {
        cluster: Box::new(swarmw_model::Cluster { feature_level: NETWORKS_LEVEL, ..cluster() }),
        node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
        plugins: Vec::new(),
    });
    log.done(Change::AddNode(Box::new(node(N2, NodeRole::Worker))));
    log
}

fn network(id: NetworkId, name: &str, subnet: &str) -> Network {
    Network {
        id,
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NetworkSpec {
            name: name.into(),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            attachable: true,
            ..NetworkSpec::default()
        },
        pools: vec![pool(subnet)],
        vni: 5_000 + u32::try_from(id.bits()).unwrap(),
    }
}

fn pool(subnet: &str) -> Pool {
    Pool::of(subnet.parse().unwrap()).unwrap()
}

fn make(network: Network) -> Change {
    Change::CreateNetwork(Box::new(network))
}

fn on(network: NetworkId, address: &str) -> NetworkAttachment {
    NetworkAttachment { network, addresses: vec![address.parse().unwrap()] }
}

fn joining(name: &str, networks: &[NetworkId]) -> ServiceSpec {
    let mut spec = service(name);
    let join = |id: &NetworkId| NetworkAttachmentConfig {
        target: id.to_string(),
        ..NetworkAttachmentConfig::default()
    };
    Arc::make_mut(&mut spec.task_template).networks = networks.iter().map(join).collect();
    spec
}

/// A task on N2 with this address on `NET`.
fn placed(log: &Log, id: TaskId, address: &str) -> NewTask {
    let slot = Slot::Replica(u64::try_from(id.bits()).unwrap());
    let new = log.new_task(id, WEB, slot);
    NewTask { node: Some(N2), attachments: vec![on(NET, address)], ..new }
}

fn holder(log: &Log, address: &str) -> Option<Holder> {
    log.state.address_holder(NET, address.parse::<IpAddr>().unwrap())
}

/// With the network `web` and a service on it.
fn with_service() -> Log {
    let mut log = founded();
    log.done(make(network(NET, "web", "10.1.0.0/24")));
    log.done(create(WEB, joining("web", &[NET])));
    log
}

fn attachment(address: &str) -> Attachment {
    Attachment {
        id: C1,
        version: Version::default(),
        created_at: Time::ZERO,
        node: N2,
        on: on(NET, address),
        container: String::new(),
        names: Vec::new(),
    }
}

#[test]
fn a_cluster_begins_with_the_networks_of_the_mesh_and_of_each_node() {
    let mut log = founded();
    let ingress = log.state.network_named("ingress").expect("an ingress network").clone();
    assert_eq!(log.state.ingress(), Some(ingress.id));
    assert_eq!(ingress.pools[0].subnet.to_string(), "10.0.0.0/24");
    assert_eq!(ingress.pools[0].gateway.to_string(), "10.0.0.1");
    assert_eq!(log.state.vni_holder(4096), Some(ingress.id));
    for name in ["host", "bridge"] {
        let id = log.state.network_named(name).expect(name).id;
        let why = log.refusal(Change::RemoveNetwork(id));
        let tail = format!("{name} ({id}) is a pre-defined network and cannot be removed");
        assert!(why.ends_with(&tail), "{why}");
    }
    let mut second = network(NET, "mesh", "10.9.0.0/24");
    (second.spec.ingress, second.spec.attachable) = (true, false);
    assert_eq!(
        log.refusal(make(second.clone())),
        format!(
            "rpc error: code = AlreadyExists desc = ingress network ({}) is already present",
            ingress.id
        )
    );
    log.done(create(API, publishing("api", vec![port(80, PublishMode::Ingress)])));
    assert_eq!(
        log.refusal(Change::RemoveNetwork(ingress.id)),
        format!(
            "rpc error: code = FailedPrecondition desc = ingress network cannot be removed \
             because service {API} depends on it"
        )
    );
    log.done(Change::RemoveService { id: API });
    log.done(Change::RemoveNetwork(ingress.id));
    let why = log.refusal(create(API, publishing("api", vec![port(80, PublishMode::Ingress)])));
    assert!(why.ends_with("service needs ingress network, but no ingress network is present"));
    log.done(create(API, publishing("api", vec![port(80, PublishMode::Host)])));
    log.done(make(second));
    assert_eq!(log.state.ingress(), Some(NET));
}

#[test]
fn names_subnets_and_identifiers_are_one_networks_alone() {
    let mut log = founded();
    log.done(make(network(NET, "web", "10.1.0.0/24")));
    assert_eq!(
        log.refusal(make(network(OTHER, "WEB", "10.2.0.0/24"))),
        "network with name WEB already exists"
    );
    // Chosen for it, and taken meanwhile: another is chosen.
    log.dropped(make(network(OTHER, "db", "10.1.0.128/25")), Dropped::Changed);
    let mut same_vni = network(OTHER, "db", "10.2.0.0/24");
    same_vni.vni = 5_061;
    log.dropped(make(same_vni), Dropped::Changed);
    let mut named = network(OTHER, "db", "10.1.0.0/16");
    named.spec.ipam.config =
        vec![IpamConfig { subnet: "10.1.0.0/16".into(), ..IpamConfig::default() }];
    assert_eq!(
        log.refusal(make(named)),
        "invalid pool request: Pool overlaps with other one on this address space: 10.1.0.0/16 \
         and 10.1.0.0/24 of network web"
    );
    let version = log.state.network(NET).unwrap().version;
    let grow =
        |version, subnet| Change::GrowNetwork { id: NET, version, pools: vec![pool(subnet)] };
    log.dropped(grow(version, "10.0.0.0/24"), Dropped::Changed);
    log.done(grow(version, "10.2.0.0/24"));
    log.dropped(grow(version, "10.3.0.0/24"), Dropped::Changed);
    assert_eq!(log.state.network(NET).unwrap().pools.len(), 2);
    assert_eq!(Network::find(&log.state, "Web").map(|n| n.id), Ok(NET));
}

#[test]
fn a_network_that_somebody_uses_stays() {
    let mut log = with_service();
    let failed = "rpc error: code = FailedPrecondition desc = network";
    assert_eq!(
        log.refusal(Change::RemoveNetwork(NET)),
        format!("{failed} {NET} is in use by service {WEB}")
    );
    log.done(Change::CreateTask(placed(&log, T1, "10.1.0.7/24")));
    log.update(WEB, |spec| Arc::make_mut(&mut spec.task_template).networks.clear());
    assert_eq!(
        log.refusal(Change::RemoveNetwork(NET)),
        format!("{failed} {NET} is in use by task {T1}")
    );
    log.done(report(T1, TaskState::Shutdown));
    log.done(Change::AddAttachment(Box::new(attachment("10.1.0.7/24"))));
    assert_eq!(
        log.refusal(Change::RemoveNetwork(NET)),
        format!("{failed} {NET} is in use by task {C1}")
    );
    log.done(Change::RemoveAttachment(C1));
    log.done(Change::RemoveNetwork(NET));
    assert_eq!(log.refusal(Change::RemoveNetwork(NET)), format!("network {NET} not found"));
    log.done(make(network(OTHER, "web", "10.1.0.0/24")));
}

#[test]
fn a_network_whose_last_tasks_are_told_to_stop_goes_with_them() {
    let mut log = with_service();
    log.done(Change::CreateTask(placed(&log, T1, "10.1.0.7/24")));
    log.done(report(T1, TaskState::Running));
    // As `stack rm` does, in one go.
    log.done(Change::RemoveService { id: WEB });
    let applied = log.apply(vec![Change::RemoveNetwork(NET)]);
    assert!(matches!(applied.outcomes[..], [Outcome::Done(_)]), "{applied:?}");
    assert!(applied.events.iter().any(|e| matches!(e, Event::Network { new: None, .. })));

    // Nobody sees it or joins it, and its name is free…
    assert!(log.state.network(NET).is_none() && log.state.networks().all(|n| n.id != NET));
    assert!(Network::find(&log.state, "web").is_err());
    assert!(Network::find(&log.state, &NET.to_string()).is_err());
    assert_eq!(log.refusal(Change::RemoveNetwork(NET)), format!("network {NET} not found"));
    let why = log.refusal(create(API, joining("api", &[NET])));
    assert_eq!(why, format!("network {NET} not found"));
    // …but what its task has is nobody else's.
    assert!(log.state.any_network(NET).is_some());
    log.dropped(make(network(OTHER, "web", "10.1.0.0/24")), Dropped::Changed);
    let same_vni = Network { vni: 5_061, ..network(OTHER, "web", "10.2.0.0/24") };
    log.dropped(make(same_vni), Dropped::Changed);

    let restored = State::from_snapshot(&log.state.to_snapshot()).unwrap();
    assert_eq!(dump(&restored), dump(&log.state));
    for mut log in [log, Log { state: restored }] {
        log.done(report(T1, TaskState::Shutdown));
        assert!(log.state.any_network(NET).is_none());
        assert_eq!(log.state.vni_holder(5_061), None);
        log.done(make(network(OTHER, "web", "10.1.0.0/24")));
    }
}

#[test]
fn a_network_that_an_update_may_return_to_stays() {
    let mut log = with_service();
    let told = |log: &mut Log, state| {
        let status = UpdateStatus {
            state,
            started_at: Time::ZERO,
            completed_at: None,
            message: String::new(),
        };
        let spec_version = log.spec_version(WEB);
        log.done(Change::SetUpdateStatus { service: WEB, spec_version, status: Some(status) });
    };
    log.update(WEB, |spec| Arc::make_mut(&mut spec.task_template).networks.clear());
    for state in [UpdateState::Updating, UpdateState::Paused] {
        told(&mut log, state);
        assert_eq!(
            log.refusal(Change::RemoveNetwork(NET)),
            format!(
                "rpc error: code = FailedPrecondition desc = network {NET} is in use by service \
                 {WEB}: its update may be rolled back to it"
            )
        );
    }
    told(&mut log, UpdateState::Completed);
    log.done(Change::RemoveNetwork(NET));
}

#[test]
fn a_service_keeps_what_it_has_on_a_network_that_it_leaves_until_its_last_task_there_has_ended() {
    let mut log = with_service();
    log.done(make(network(OTHER, "db", "10.2.0.0/24")));
    let ip = VirtualIp { network: NET, addr: "10.1.0.8/24".parse().unwrap() };
    let endpoint = |log: &Log, virtual_ips| Change::SetEndpoint {
        service: WEB,
        version: log.version(WEB),
        ports: Vec::new(),
        virtual_ips: Some(virtual_ips),
    };
    log.done(endpoint(&log, vec![ip]));
    log.done(Change::CreateTask(placed(&log, T1, "10.1.0.7/24")));
    log.done(report(T1, TaskState::Running));
    let onto = |log: &mut Log, networks: &[NetworkId]| {
        let wanted = joining("web", networks);
        log.update(WEB, |spec| spec.task_template = wanted.task_template);
    };
    onto(&mut log, &[OTHER]);
    let service = log.state.service(WEB).unwrap().clone();
    assert_eq!(service.endpoint.virtual_ips, [ip]);
    assert_eq!(service.endpoint.leaving[0].target, NET.to_string());
    assert_eq!(log.state.services_of_network(NET).count(), 1);
    // The allocator gives the new one beside it, and no other on the old network.
    let other = VirtualIp { network: OTHER, addr: "10.2.0.8/24".parse().unwrap() };
    let strange = VirtualIp { network: NET, addr: "10.1.0.9/24".parse().unwrap() };
    log.dropped(endpoint(&log, vec![ip, strange]), Dropped::Changed);
    log.done(endpoint(&log, vec![other, ip]));

    // A rollback finds its address again.
    let mut back = Log { state: log.state.clone() };
    let version = Some(back.version(WEB));
    back.done(Change::RollbackService { id: WEB, version, message: String::new() });
    assert_eq!(back.state.service(WEB).unwrap().endpoint.virtual_ips, [ip]);
    assert!(back.state.service(WEB).unwrap().endpoint.leaving.is_empty());

    let restored = State::from_snapshot(&log.state.to_snapshot()).unwrap();
    assert_eq!(dump(&restored), dump(&log.state));
    for mut log in [log, Log { state: restored }] {
        let version = log.version(WEB);
        log.done(report(T1, TaskState::Shutdown));
        let service = log.state.service(WEB).unwrap();
        assert_eq!((&service.endpoint.virtual_ips[..], service.version), (&[other][..], version));
        assert!(service.endpoint.leaving.is_empty());
        assert_eq!(holder(&log, "10.1.0.8"), None);
        assert_eq!(log.state.services_of_network(NET).count(), 0);
    }
}

#[test]
fn addresses_in_use_are_counted_by_subnet() {
    let mut log = founded();
    let mut web = network(NET, "web", "10.1.0.0/24");
    web.pools[0].range = "10.1.0.128/25".parse().unwrap();
    log.done(make(web));
    log.done(create(WEB, joining("web", &[NET])));
    let within = |log: &Log| log.state.addresses_within(NET, "10.1.0.0/24".parse().unwrap());
    log.done(Change::CreateTask(placed(&log, T1, "10.1.0.200/24")));
    log.done(Change::CreateTask(placed(&log, T2, "10.1.0.201/24")));
    log.done(report(T1, TaskState::Running));
    assert_eq!(within(&log), 2);
    log.done(Change::AddAttachment(Box::new(attachment("10.1.0.7/24"))));
    assert_eq!(within(&log), 2, "it is not of the range");
    log.done(Change::RemoveAttachment(C1));
    log.done(report(T1, TaskState::Failed));
    log.done(Change::RemoveTask(T1));
    assert_eq!(within(&log), 1);
    log.done(Change::RemoveTask(T2));
    assert_eq!(within(&log), 0);
}

#[test]
fn containers_of_one_node_and_subnets_of_one_network_have_a_limit() {
    let mut log = founded();
    log.done(make(network(NET, "web", "10.16.0.0/16")));
    let join = |n: u32| {
        let address = std::net::Ipv4Addr::from_bits((10 << 24) + (16 << 16) + 16 + n);
        let id = AttachmentId::from_bits(1_000 + u128::from(n));
        Change::AddAttachment(Box::new(Attachment { id, ..attachment(&format!("{address}/16")) }))
    };
    let applied = log.apply((0..4_096).map(join).collect());
    assert!(applied.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done(_))));
    assert_eq!(
        log.refusal(join(4_096)),
        format!(
            "rpc error: code = FailedPrecondition desc = 4096 containers of node {N2} have joined \
             networks of the cluster, and 4096 is the most: remove some"
        )
    );
    log.done(make(network(OTHER, "db", "10.1.0.0/24")));
    let grow = |log: &Log, count: u8| Change::GrowNetwork {
        id: OTHER,
        version: log.state.network(OTHER).unwrap().version,
        pools: (0..count).map(|n| pool(&format!("10.2.{n}.0/24"))).collect(),
    };
    log.done(grow(&log, 255));
    let more = Change::GrowNetwork {
        id: OTHER,
        version: log.state.network(OTHER).unwrap().version,
        pools: vec![pool("10.3.0.0/24")],
    };
    log.dropped(more, Dropped::Changed);
}

#[test]
fn what_earlier_managers_do_not_keep_of_a_node_is_stored_without_a_trace() {
    let mut log = Log::founded();
    let register = |level, path: &str, hostname: &str| Change::RegisterNode {
        id: N2,
        description: Box::new(NodeDescription {
            hostname: hostname.into(),
            feature_level: level,
            data_path_address: path.into(),
            ..NodeDescription::default()
        }),
        addr: "10.0.0.9".into(),
    };
    log.done(register(0, "", "n2"));
    let before = log.state.node(N2).unwrap().clone();
    let applied = log.apply(vec![register(2, "10.9.9.9", "n2")]);
    assert_eq!(applied.outcomes, [Outcome::Dropped(Dropped::Stale)]);
    assert!(matches!(applied.events[..], [Event::Node { .. }]), "those who watch are told");
    let after = log.state.node(N2).unwrap().clone();
    assert_eq!((after.version, after.updated_at), (before.version, before.updated_at));
    let described = &after.description;
    assert_eq!((described.feature_level, &*described.data_path_address), (2, "10.9.9.9"));
    assert!(log.apply(vec![register(2, "10.9.9.9", "n2")]).events.is_empty());
    log.done(register(2, "10.9.9.9", "other"));
    assert!(log.state.node(N2).unwrap().version > before.version);
}

#[test]
fn services_name_networks_that_are_there() {
    let mut log = founded();
    let why = log.refusal(create(WEB, joining("web", &[NET])));
    assert_eq!(why, format!("network {NET} not found"));
    let ingress = log.state.ingress().unwrap();
    let why = log.refusal(create(WEB, joining("web", &[ingress])));
    assert!(
        why.ends_with(r#"Service cannot be explicitly attached to the ingress network "ingress""#),
        "{why}"
    );
    log.done(make(network(NET, "net", "10.1.0.0/24")));
    let host = log.state.network_named("host").unwrap().id;
    let why = log.refusal(create(WEB, joining("web", &[NET, host])));
    assert!(why.ends_with("tasks on the network host can be on no other one"), "{why}");
    log.done(create(API, joining("api", &[host])));

    // Docker's old place for them.
    let mut spec = joining("web", &[NET]);
    spec.networks = std::mem::take(&mut Arc::make_mut(&mut spec.task_template).networks);
    log.done(create(WEB, spec));
    let made = log.state.service(WEB).unwrap();
    assert!(made.spec.networks.is_empty());
    assert_eq!(made.spec.task_template.network_ids().collect::<Vec<_>>(), [NET]);
    assert_eq!(log.state.services_of_network(NET).map(|s| s.id).collect::<Vec<_>>(), [WEB]);
    log.update(WEB, |spec| Arc::make_mut(&mut spec.task_template).networks.clear());
    assert_eq!(log.state.services_of_network(NET).count(), 0);
    log.done(Change::RemoveNetwork(NET));
    // The way back leads to a network that is gone.
    let version = Some(log.version(WEB));
    let rollback = Change::RollbackService { id: WEB, version, message: String::new() };
    assert_eq!(log.refusal(rollback), format!("network {NET} not found"));
}

#[test]
fn an_address_is_one_tasks_from_its_node_on_until_it_has_ended() {
    let mut log = with_service();
    // Not without one, not with a strange one, not with the gateway's.
    let bare = NewTask { attachments: Vec::new(), ..placed(&log, T1, "10.1.0.7/24") };
    log.dropped(Change::CreateTask(bare), Dropped::Changed);
    for address in ["10.2.0.7/24", "10.1.0.7/16", "10.1.0.1/24", "10.1.0.255/24"] {
        log.dropped(Change::CreateTask(placed(&log, T1, address)), Dropped::Changed);
    }
    log.done(Change::CreateTask(placed(&log, T1, "10.1.0.7/24")));
    assert_eq!(holder(&log, "10.1.0.7"), Some(Holder::Task(T1)));
    log.dropped(Change::CreateTask(placed(&log, T2, "10.1.0.7/24")), Dropped::Changed);
    let attach = Change::AddAttachment(Box::new(attachment("10.1.0.7/24")));
    log.dropped(attach, Dropped::Changed);
    let vip = |address: &str| Change::SetEndpoint {
        service: WEB,
        version: log.version(WEB),
        ports: Vec::new(),
        virtual_ips: Some(vec![VirtualIp { network: NET, addr: address.parse().unwrap() }]),
    };
    let (taken, free) = (vip("10.1.0.7/24"), vip("10.1.0.8/24"));
    log.dropped(taken, Dropped::Changed);
    log.done(free);
    assert_eq!(holder(&log, "10.1.0.8"), Some(Holder::Service(WEB)));

    // One that waits gets it with its node.
    let waits = log.new_task(T2, WEB, Slot::Replica(9));
    log.done(Change::CreateTask(waits));
    let assign = |address: &str| {
        Change::Task(TaskChange {
            assign: Some(N2),
            attachments: vec![on(NET, address)],
            ..TaskChange::of(T2)
        })
    };
    log.dropped(assign("10.1.0.8/24"), Dropped::Changed);
    log.done(report(T1, TaskState::Running));
    log.dropped(assign("10.1.0.7/24"), Dropped::Changed);
    log.done(report(T1, TaskState::Failed));
    assert_eq!(holder(&log, "10.1.0.7"), None);
    log.done(assign("10.1.0.7/24"));
    assert_eq!(log.state.task(T2).unwrap().attachments, [on(NET, "10.1.0.7/24")]);
    // The history of the first has nothing to say of it.
    log.done(Change::RemoveTask(T1));
    assert_eq!(holder(&log, "10.1.0.7"), Some(Holder::Task(T2)));
    log.done(Change::RemoveTask(T2));
    assert_eq!(holder(&log, "10.1.0.7"), None);

    log.update(WEB, |spec| Arc::make_mut(&mut spec.task_template).networks.clear());
    assert_eq!(holder(&log, "10.1.0.8"), None, "the service has left");
}

#[test]
fn containers_join_what_is_attachable_and_go_with_their_node() {
    let mut log = founded();
    let why = log.refusal(Change::AddAttachment(Box::new(attachment("10.1.0.7/24"))));
    assert_eq!(why, format!("network {NET} not found"));
    let mut closed = network(OTHER, "closed", "10.2.0.0/24");
    closed.spec.attachable = false;
    log.done(make(closed));
    let there = Attachment { on: on(OTHER, "10.2.0.7/24"), ..attachment("10.1.0.7/24") };
    assert_eq!(
        log.refusal(Change::AddAttachment(Box::new(there))),
        "rpc error: code = PermissionDenied desc = network closed not manually attachable"
    );
    log.done(make(network(NET, "web", "10.1.0.0/24")));
    log.done(Change::AddAttachment(Box::new(attachment("10.1.0.7/24"))));
    let named =
        || Change::NameAttachment { id: C1, container: "c0ffee".into(), names: vec!["db".into()] };
    log.done(named());
    log.dropped(named(), Dropped::Stale);
    assert_eq!(log.state.attachments_of_node(N2).map(|a| a.id).collect::<Vec<_>>(), [C1]);
    assert_eq!(log.state.attachment(C1).unwrap().names, ["db"]);

    log.done(Change::SetNodeState { id: N2, state: NodeState::Down, message: String::new() });
    let applied =
        log.apply(vec![Change::RemoveNode { id: N2, force: false, deny_until: Time::ZERO }]);
    assert!(matches!(applied.outcomes[..], [Outcome::Done(_)]));
    let left =
        |e: &Event| matches!(e, Event::Attachment { old: Some(old), new: None } if old.id == C1);
    assert!(applied.events.iter().any(left));
    assert!(log.state.attachment(C1).is_none() && holder(&log, "10.1.0.7").is_none());
}

#[test]
fn nodes_have_the_least_numbers_that_are_free() {
    let mut log = founded();
    let numbers = |log: &Log| log.state.nodes().map(|n| n.number).collect::<Vec<_>>();
    assert_eq!(numbers(&log), [1, 2]);
    let third = NodeId::from_bits(13);
    // What it says itself does not count.
    log.done(Change::AddNode(Box::new(Node { number: 2, ..node(third, NodeRole::Worker) })));
    assert_eq!(numbers(&log), [1, 2, 3]);
    log.done(Change::RemoveNode { id: N2, force: true, deny_until: Time::ZERO });
    log.done(Change::AddNode(Box::new(node(NodeId::from_bits(14), NodeRole::Worker))));
    assert_eq!(numbers(&log), [1, 3, 2]);
    // One that comes again keeps its own.
    log.done(Change::AddNode(Box::new(node(third, NodeRole::Worker))));
    assert_eq!(log.state.node(third).unwrap().number, 3);
    assert_eq!(log.state.node_numbered(3), Some(third));
}

#[test]
fn networks_begin_when_every_manager_knows_them() {
    let mut log = Log::founded();
    assert!(log.state.nodes().all(|n| n.number == 0));
    let why = log.refusal(make(network(NET, "web", "10.1.0.0/24")));
    assert!(why.ends_with("networks need a swarmw that knows them on every manager"), "{why}");
    let why = log.state.needs_networks().unwrap_err().message;
    assert!(why.ends_with(&format!("these run an older one: {N1}")), "{why}");
    let why = log.refusal(create(WEB, joining("web", &[NET])));
    assert!(why.contains("networks need a swarmw that knows them on every manager"), "{why}");
    log.done(create(API, publishing("api", vec![port(80, PublishMode::Ingress)])));

    log.done(Change::RaiseFeatureLevel(NETWORKS_LEVEL));
    assert_eq!(log.state.nodes().map(|n| n.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(log.state.networks().count(), 3);
    log.done(make(network(NET, "web", "10.1.0.0/24")));
    log.dropped(Change::RaiseFeatureLevel(NETWORKS_LEVEL), Dropped::Stale);
}

#[test]
fn networks_outlive_the_log() {
    let mut log = with_service();
    log.done(Change::CreateTask(placed(&log, T1, "10.1.0.7/24")));
    log.done(Change::AddAttachment(Box::new(attachment("10.1.0.9/24"))));
    let ended = placed(&log, T2, "10.1.0.8/24");
    let transaction = Transaction {
        at: Time::ZERO,
        request: None,
        changes: vec![Change::CreateTask(ended.clone()), make(network(OTHER, "b", "fd00::/64"))],
    };
    assert_eq!(decode_transaction(&encode_transaction(&transaction)).unwrap(), transaction);
    log.done(Change::CreateTask(ended));
    log.done(report(T2, TaskState::Failed));
    let restored = State::from_snapshot(&log.state.to_snapshot()).unwrap();
    assert_eq!(dump(&restored), dump(&log.state));
    assert_eq!(restored.node_numbered(2), Some(N2));
    assert_eq!(restored.services_of_network(NET).count(), 1);
    assert_eq!(restored.attachments_of_node(N2).count(), 1);
}

/// Takes fields away from a map, wherever it is.
fn without(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Map(entries) => {
            entries.retain(|(key, _)| key.as_text().is_none_or(|key| !fields.contains(&key)));
            entries.iter_mut().for_each(|(_, value)| without(value, fields));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without(value, fields)),
        _ => {}
    }
}

#[test]
fn what_an_earlier_release_wrote_is_read() {
    let mut log = Log::with_task();
    log.done(create(API, publishing("api", vec![port(80, PublishMode::Ingress)])));
    log.done(assign(T1, N1));
    let new = ["networks", "attachments", "AddressPools", "DataPathPort", "VirtualIPs", "Number"];
    let strip = |bytes: &[u8]| {
        let mut value: Value = ciborium::from_reader(&bytes[1..]).unwrap();
        without(&mut value, &new);
        let mut old = vec![bytes[0]];
        ciborium::into_writer(&value, &mut old).unwrap();
        old
    };
    let bytes = log.state.to_snapshot();
    let old = strip(&bytes);
    assert!(old.len() < bytes.len());
    let read = State::from_snapshot(&old).expect("a snapshot of before");
    assert_eq!(dump(&read), dump(&log.state));
    assert_eq!(read.cluster().unwrap().data_path_port, 4789);
    assert_eq!(read.cluster().unwrap().address_pools, Default::default());

    // A transaction that says nothing of networks is written as it was before.
    let transaction = Transaction {
        at: Time::ZERO,
        request: None,
        changes: vec![
            Change::CreateTask(log.new_task(T2, WEB, Slot::Replica(2))),
            assign(T2, N1),
            Change::SetEndpoint {
                service: WEB,
                version: log.version(WEB),
                ports: Vec::new(),
                virtual_ips: None,
            },
        ],
    };
    let bytes = encode_transaction(&transaction);
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("attachments") && !text.contains("virtual_ips"));
    assert_eq!(decode_transaction(&strip(&bytes)).unwrap(), transaction);
    assert_eq!(ClusterSpec::default(), log.state.cluster().unwrap().spec);
}

#[test]
fn a_task_may_have_an_address_on_the_mesh_beside_those_of_its_networks() {
    let mut log = with_service();
    log.done(make(network(OTHER, "db", "10.2.0.0/24")));
    let mesh = log.state.ingress().unwrap();
    let new = |log: &Log, attachments: Vec<NetworkAttachment>| {
        Change::CreateTask(NewTask { attachments, ..placed(log, T1, "10.1.0.7/24") })
    };
    let (own, first) = (on(NET, "10.1.0.7/24"), on(mesh, "10.0.0.7/24"));
    for wrong in [
        // Not without its own networks, on no others, and free.
        vec![first.clone()],
        vec![on(OTHER, "10.2.0.7/24"), own.clone()],
        vec![first.clone(), first.clone(), own.clone()],
        vec![on(mesh, "10.0.0.1/24"), own.clone()],
    ] {
        log.dropped(new(&log, wrong), Dropped::Changed);
    }
    let without_node = NewTask { node: None, ..placed(&log, T1, "10.1.0.7/24") };
    let without_node = NewTask { attachments: vec![first.clone()], ..without_node };
    log.dropped(Change::CreateTask(without_node), Dropped::Changed);
    log.done(new(&log, vec![first.clone(), own]));
    let holder = |log: &Log| log.state.address_holder(mesh, "10.0.0.7".parse().unwrap());
    assert_eq!(holder(&log), Some(Holder::Task(T1)));

    // A service that is on no network has it alone, as each does that publishes ports.
    log.done(create(API, publishing("api", vec![port(80, PublishMode::Ingress)])));
    let slot = Slot::Replica(1);
    let alone = |address: &str| NewTask {
        node: Some(N2),
        attachments: vec![on(mesh, address)],
        ..log.new_task(T2, API, slot)
    };
    let (taken, free) = (alone("10.0.0.7/24"), alone("10.0.0.8/24"));
    log.dropped(Change::CreateTask(taken), Dropped::Changed);
    log.done(Change::CreateTask(free));

    // Tasks that have it do not keep the mesh from being made anew.
    log.done(report(T1, TaskState::Running));
    log.update(API, |spec| spec.endpoint_spec = None);
    log.done(Change::RemoveNetwork(mesh));
    assert_eq!(log.state.ingress(), None);
    assert_eq!(holder(&log), Some(Holder::Task(T1)));
    assert!(log.state.is_ingress(mesh), "for as long as it has it");
    log.done(report(T1, TaskState::Shutdown));
    assert_eq!(holder(&log), None);
}

#[test]
fn the_source_that_tasks_see_is_a_word_of_managers_that_know_networks() {
    let mut log = Log::founded();
    let node = SwarmwOptions { ingress_source: IngressSource::Node, ..Default::default() };
    let mut spec = service("web");
    spec.swarmw = Some(node);
    let why = log.refusal(create(WEB, spec.clone()));
    assert!(why.contains("networks need a swarmw"), "{why}");
    founded().done(create(WEB, spec));
}
