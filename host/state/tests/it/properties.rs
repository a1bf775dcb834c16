//! Random logs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use swarmw_model::{
    Attachment, AttachmentId, Availability, Cluster, Driver, Network, NetworkAttachment,
    NetworkAttachmentConfig, NetworkId, NetworkSpec, Node, NodeId, NodeRole, NodeState, OVERLAY,
    Pool, PublishMode, RequestId, Service, ServiceId, Slot, Task, TaskId, TaskSpec, TaskState,
    Time, Version, VirtualIp,
};
use swarmw_state::{
    Change, Event, Holder, NETWORKS_LEVEL, NewTask, Outcome, State, TaskChange, Transaction,
    decode_transaction, encode_transaction,
};

use crate::build::*;
use crate::dump::{dump, requests};

const REQUESTS: u128 = 6;

/// A change in small numbers; what it reads of the state is filled in when its
/// turn comes. `fresh` is whether it read the present version.
#[derive(Clone, Debug)]
enum Op {
    Join(u8, bool),
    Drain(u8, u8, bool),
    Report(u8, u8),
    Role(u8, bool),
    Leave(u8, bool),
    Create(u8, u8, Option<u8>),
    Update { service: u8, image: u8, port: Option<u8>, fresh: bool },
    Rollback(u8, Option<bool>),
    Remove(u8),
    Ports { service: u8, port: u8, fresh: bool },
    Task { task: u8, service: u8, slot: u8, node: Option<u8>, fresh: bool },
    Change { task: u8, desired: Option<u8>, assign: Option<u8>, status: Option<u8>, adopt: bool },
    Forget(u8),
    Network(u8, u8),
    RemoveNetwork(u8),
    Grow(u8, u8, bool),
    Address { service: u8, address: u8, fresh: bool },
    Attach { id: u8, network: u8, node: u8, address: u8 },
    Name(u8, u8),
    Detach(u8),
}

const STATES: [TaskState; 8] = [
    TaskState::Pending,
    TaskState::Assigned,
    TaskState::Ready,
    TaskState::Running,
    TaskState::Complete,
    TaskState::Shutdown,
    TaskState::Failed,
    TaskState::Remove,
];

fn op() -> impl Strategy<Value = Op> {
    let (node, service, task) = (0..4u8, 0..3u8, 0..8u8);
    let fresh = || prop::bool::weighted(0.8);
    let port = || option::of(0..3u8);
    prop_oneof![
        1 => (node.clone(), any::<bool>()).prop_map(|(n, m)| Op::Join(n, m)),
        1 => (node.clone(), 0..3u8, fresh()).prop_map(|(n, a, f)| Op::Drain(n, a, f)),
        1 => (node.clone(), 0..4u8).prop_map(|(n, s)| Op::Report(n, s)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, m)| Op::Role(n, m)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, f)| Op::Leave(n, f)),
        3 => (service.clone(), 0..3u8, port()).prop_map(|(s, n, p)| Op::Create(s, n, p)),
        2 => (service.clone(), 0..3u8, port(), fresh())
            .prop_map(|(service, image, port, fresh)| Op::Update { service, image, port, fresh }),
        1 => (service.clone(), option::of(fresh())).prop_map(|(s, f)| Op::Rollback(s, f)),
        1 => service.clone().prop_map(Op::Remove),
        1 => (service.clone(), 0..3u8, fresh())
            .prop_map(|(service, port, fresh)| Op::Ports { service, port, fresh }),
        5 => (task.clone(), service, 0..4u8, option::of(node.clone()), fresh()).prop_map(
            |(task, service, slot, node, fresh)| Op::Task { task, service, slot, node, fresh }
        ),
        6 => (task.clone(), option::of(0..8u8), option::of(node), option::of(0..8u8), fresh())
            .prop_map(|(task, desired, assign, status, keep)| {
                Op::Change { task, desired, assign, status, adopt: !keep }
            }),
        1 => task.prop_map(Op::Forget),
        5 => networks(),
    ]
}

fn networks() -> impl Strategy<Value = Op> {
    let (network, subnet, address) = (0..3u8, 0..4u8, 0..4u8);
    prop_oneof![
        4 => (network.clone(), subnet.clone()).prop_map(|(n, s)| Op::Network(n, s)),
        1 => network.clone().prop_map(Op::RemoveNetwork),
        1 => (network.clone(), subnet, any::<bool>()).prop_map(|(n, s, f)| Op::Grow(n, s, f)),
        2 => (0..3u8, address.clone(), any::<bool>())
            .prop_map(|(service, address, fresh)| Op::Address { service, address, fresh }),
        2 => (0..3u8, network, 0..4u8, address)
            .prop_map(|(id, network, node, address)| Op::Attach { id, network, node, address }),
        1 => (0..3u8, 0..2u8).prop_map(|(id, name)| Op::Name(id, name)),
        1 => (0..3u8).prop_map(Op::Detach),
    ]
}

fn network_id(n: u8) -> NetworkId {
    NetworkId::from_bits(400 + u128::from(n))
}

fn attachment_id(n: u8) -> AttachmentId {
    AttachmentId::from_bits(500 + u128::from(n))
}

fn pool(subnet: u8) -> Pool {
    // The third is a part of the second.
    let subnets = ["10.1.0.0/24", "10.2.0.0/24", "10.2.0.0/25", "10.3.0.0/24"];
    Pool::of(subnets[usize::from(subnet)].parse().unwrap()).unwrap()
}

/// The first network's; the gateway's is among them.
fn address(n: u8) -> IpNet {
    format!("10.1.0.{}/24", n + 1).parse().unwrap()
}

fn node_id(n: u8) -> NodeId {
    NodeId::from_bits(100 + u128::from(n))
}

fn service_id(n: u8) -> ServiceId {
    ServiceId::from_bits(200 + u128::from(n))
}

fn task_id(n: u8) -> TaskId {
    TaskId::from_bits(300 + u128::from(n))
}

fn version(fresh: bool, now: Option<Version>) -> Version {
    now.filter(|_| fresh).unwrap_or_default()
}

/// Names differ from ids, so that they conflict; letter case does not count.
fn spec_of(name: u8, image: u8, published: Option<u8>) -> swarmw_model::ServiceSpec {
    let name = ["web", "WEB", "api"][usize::from(name)];
    let modes = [PublishMode::Ingress, PublishMode::Host, PublishMode::Ingress];
    let ports = published.map(|p| port(u16::from(p) * 80, modes[usize::from(p)]));
    let mut spec = publishing(name, ports.into_iter().collect());
    let mut template = TaskSpec::clone(&template(&format!("app:{image}")));
    if image == 2 {
        let target = network_id(0).to_string();
        template.networks = vec![NetworkAttachmentConfig { target, ..Default::default() }];
    }
    spec.task_template = Arc::new(template);
    spec
}

impl Op {
    fn change(&self, state: &State) -> Change {
        let service = |n| state.service(service_id(n));
        match *self {
            Self::Join(n, manager) => {
                let role = if manager { NodeRole::Manager } else { NodeRole::Worker };
                let member = manager.then(|| seat(state.next_raft_id()));
                Change::AddNode(Box::new(Node { member, ..node(node_id(n), role) }))
            }
            Self::Drain(n, to, fresh) => {
                let now = state.node(node_id(n));
                let availability = [Availability::Active, Availability::Pause, Availability::Drain];
                let mut spec = now.map(|n| n.spec.clone()).unwrap_or_default();
                spec.availability = availability[usize::from(to)];
                let version = version(fresh, now.map(|n| n.version));
                Change::UpdateNode { id: node_id(n), version, spec }
            }
            Self::Report(n, to) => {
                let states =
                    [NodeState::Unknown, NodeState::Down, NodeState::Ready, NodeState::Ready];
                let state = states[usize::from(to)];
                Change::SetNodeState { id: node_id(n), state, message: String::new() }
            }
            Self::Role(n, manager) => {
                let role = if manager { NodeRole::Manager } else { NodeRole::Worker };
                let member = manager.then(|| seat(state.next_raft_id()));
                Change::SetNodeRole { id: node_id(n), role, member }
            }
            Self::Leave(n, force) => {
                Change::RemoveNode { id: node_id(n), force, deny_until: Time::from_nanos(50_000) }
            }
            Self::Create(id, name, port) => create(service_id(id), spec_of(name, 0, port)),
            Self::Update { service: id, image, port, fresh } => {
                let now = service(id);
                let mut spec = spec_of(0, image, port);
                if let Some(now) = now {
                    spec.name.clone_from(&now.spec.name);
                }
                let version = version(fresh, now.map(|s| s.version));
                Change::UpdateService { id: service_id(id), version, spec: Box::new(spec) }
            }
            Self::Rollback(id, by_operator) => {
                let now = service(id).map(|s| s.version);
                let version = by_operator.map(|fresh| version(fresh, now));
                Change::RollbackService { id: service_id(id), version, message: "m".into() }
            }
            Self::Remove(id) => Change::RemoveService { id: service_id(id) },
            Self::Ports { service: id, port: n, fresh } => Change::SetEndpoint {
                service: service_id(id),
                version: version(fresh, service(id).map(|s| s.version)),
                ports: vec![port(u16::from(n) * 80, PublishMode::Ingress)],
                virtual_ips: None,
            },
            Self::Task { task, service: id, slot, node, fresh } => {
                let (slot, node) = match slot {
                    0 => (Slot::Node(node_id(0)), node.map(|_| node_id(0))),
                    n => (Slot::Replica(n.into()), node.map(node_id)),
                };
                let joins = service(id).is_some_and(|s| !s.spec.task_template.networks.is_empty());
                let on = (joins && node.is_some()).then(|| NetworkAttachment {
                    network: network_id(0),
                    addresses: vec![address(task % 4)],
                });
                Change::CreateTask(NewTask {
                    id: task_id(task),
                    service: service_id(id),
                    spec_version: version(fresh, service(id).map(|s| s.spec_version)),
                    slot,
                    node,
                    desired: TaskState::Running,
                    error: "".into(),
                    attachments: on.into_iter().collect(),
                    generic_resources: Vec::new(),
                })
            }
            Self::Change { task, desired, assign, status: to, adopt } => {
                let owner = state.task(task_id(task)).map(|t| t.service_id);
                let now = owner.and_then(|id| state.service(id)).map(|s| s.spec_version);
                Change::Task(TaskChange {
                    id: task_id(task),
                    desired: desired.map(|s| STATES[usize::from(s)]),
                    assign: assign.map(node_id),
                    attachments: Vec::new(),
                    generic_resources: Vec::new(),
                    status: to.map(|s| status(STATES[usize::from(s)])),
                    adopt: adopt.then(|| now.unwrap_or_default()),
                })
            }
            Self::Forget(task) => Change::RemoveTask(task_id(task)),
            Self::Network(n, subnet) => Change::CreateNetwork(Box::new(Network {
                id: network_id(n),
                version: Version::default(),
                created_at: Time::ZERO,
                updated_at: Time::ZERO,
                spec: NetworkSpec {
                    name: ["net", "NET", "db"][usize::from(n)].into(),
                    driver: Driver { name: OVERLAY.into(), ..Driver::default() },
                    attachable: n < 2,
                    ..NetworkSpec::default()
                },
                pools: vec![pool(subnet)],
                vni: 5_000 + u32::from(subnet / 2),
            })),
            Self::RemoveNetwork(n) => Change::RemoveNetwork(network_id(n)),
            Self::Grow(n, subnet, fresh) => Change::GrowNetwork {
                id: network_id(n),
                version: version(fresh, state.network(network_id(n)).map(|n| n.version)),
                pools: vec![pool(subnet)],
            },
            Self::Address { service: id, address: n, fresh } => Change::SetEndpoint {
                service: service_id(id),
                version: version(fresh, service(id).map(|s| s.version)),
                ports: Vec::new(),
                virtual_ips: Some(vec![VirtualIp { network: network_id(0), addr: address(n) }]),
            },
            Self::Attach { id, network, node, address: n } => {
                let on =
                    NetworkAttachment { network: network_id(network), addresses: vec![address(n)] };
                Change::AddAttachment(Box::new(Attachment {
                    id: attachment_id(id),
                    version: Version::default(),
                    created_at: Time::ZERO,
                    node: node_id(node),
                    on,
                    container: String::new(),
                    names: Vec::new(),
                }))
            }
            Self::Name(id, name) => Change::NameAttachment {
                id: attachment_id(id),
                container: "c".into(),
                names: vec![format!("n{name}")],
            },
            Self::Detach(id) => Change::RemoveAttachment(attachment_id(id)),
        }
    }
}

/// The tables as somebody has them who only hears of changes.
#[derive(Default)]
struct Mirror {
    nodes: BTreeMap<NodeId, Arc<Node>>,
    services: BTreeMap<ServiceId, Arc<Service>>,
    tasks: BTreeMap<TaskId, Arc<Task>>,
    networks: BTreeMap<NetworkId, Arc<Network>>,
    attachments: BTreeMap<AttachmentId, Arc<Attachment>>,
}

fn follow<K: Ord + Debug, V: PartialEq + Debug>(
    table: &mut BTreeMap<K, Arc<V>>,
    key: impl Fn(&V) -> K,
    old: &Option<Arc<V>>,
    new: &Option<Arc<V>>,
) {
    let id = key(old.as_ref().or(new.as_ref()).expect("an object before or after"));
    assert_eq!(table.get(&id), old.as_ref(), "what it was before");
    match new {
        Some(new) => drop(table.insert(id, new.clone())),
        None => drop(table.remove(&id)),
    }
}

impl Mirror {
    fn hear(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Node { old, new } => follow(&mut self.nodes, |n| n.id, old, new),
                Event::Service { old, new } => follow(&mut self.services, |s| s.id, old, new),
                Event::Task { old, new } => follow(&mut self.tasks, |t| t.id, old, new),
                Event::Network { old, new } => follow(&mut self.networks, |n| n.id, old, new),
                Event::Attachment { old, new } => {
                    follow(&mut self.attachments, |a| a.id, old, new);
                }
                Event::Cluster
                | Event::Plugin { .. }
                | Event::Volume { .. }
                | Event::Secret { .. }
                | Event::Config { .. } => {}
            }
        }
    }

    fn agrees(&self, state: &State) {
        assert!(self.nodes.values().eq(state.nodes()), "nodes by events");
        assert!(self.services.values().eq(state.services()), "services by events");
        assert!(self.tasks.values().eq(state.tasks()), "tasks by events");
        assert!(self.networks.values().eq(state.networks()), "networks by events");
        assert!(self.attachments.values().eq(state.attachments()), "attachments by events");
    }
}

/// Nobody has what another has, and the index says who has what.
fn addresses_are_held_once(state: &State) {
    let of_tasks = state
        .tasks()
        .filter(|t| !t.status.state.is_terminal())
        .flat_map(|t| t.attachments.iter().map(|on| (Holder::Task(t.id), on.clone())));
    let of_containers = state.attachments().map(|a| (Holder::Attachment(a.id), a.on.clone()));
    let of_services = state.services().flat_map(|s| {
        let on =
            |ip: &VirtualIp| NetworkAttachment { network: ip.network, addresses: vec![ip.addr] };
        s.endpoint.virtual_ips.iter().map(move |ip| (Holder::Service(s.id), on(ip)))
    });
    let mut count = 0;
    for (holder, on) in of_tasks.chain(of_containers).chain(of_services) {
        for net in &on.addresses {
            assert_eq!(state.address_holder(on.network, net.addr()), Some(holder));
            count += 1;
        }
    }
    let indexed: usize = state.networks().map(|n| state.addresses(n.id).count()).sum();
    assert_eq!(indexed, count, "nothing else is in the index");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_log_makes_one_state_whose_indexes_events_and_snapshot_agree(
        log in vec((vec(op(), 1..4), option::weighted(0.2, 0..REQUESTS)), 1..60)
    ) {
        let mut state = State::default();
        let mut mirror = Mirror::default();
        let founding = Change::InitCluster {
            cluster: Box::new(Cluster { feature_level: NETWORKS_LEVEL, ..cluster() }),
            node: Box::new(node(node_id(0), NodeRole::Manager)),
            plugins: Vec::new(),
        };
        let first = Transaction { at: Time::ZERO, request: None, changes: vec![founding] };
        mirror.hear(&state.apply(1, &first).events);

        for (index, (ops, request)) in (2..).zip(&log) {
            let transaction = Transaction {
                at: Time::from_nanos(index * 1_000),
                request: request.map(RequestId::from_bits),
                changes: ops.iter().map(|op| op.change(&state)).collect(),
            };
            let read = decode_transaction(&encode_transaction(&transaction)).expect("ours");
            prop_assert_eq!(&read, &transaction);

            let index = u64::try_from(index).expect("positive");
            let mut other = State::from_snapshot(&state.to_snapshot()).expect("ours");
            let applied = state.apply(index, &transaction);
            let again = other.apply(index, &transaction);
            prop_assert_eq!(&applied.outcomes, &again.outcomes);
            prop_assert_eq!(format!("{:?}", applied.events), format!("{:?}", again.events));
            prop_assert_eq!(dump(&state), dump(&other));

            mirror.hear(&applied.events);
            mirror.agrees(&state);
            addresses_are_held_once(&state);

            let restored = State::from_snapshot(&state.to_snapshot()).expect("ours");
            prop_assert_eq!(dump(&state), dump(&restored), "indexes are those of the tables");
            prop_assert_eq!(requests(&state, REQUESTS), requests(&restored, REQUESTS));
            prop_assert_eq!(state.to_snapshot(), restored.to_snapshot());
        }
    }

    #[test]
    fn what_is_refused_or_dropped_changes_nothing(log in vec(op(), 1..120)) {
        let mut state = State::default();
        let founding = Change::InitCluster {
            cluster: Box::new(Cluster { feature_level: NETWORKS_LEVEL, ..cluster() }),
            node: Box::new(node(node_id(0), NodeRole::Manager)),
            plugins: Vec::new(),
        };
        let transaction =
            |change| Transaction { at: Time::ZERO, request: None, changes: vec![change] };
        state.apply(1, &transaction(founding));
        for (index, op) in (2..).zip(&log) {
            let before = dump(&state);
            let applied = state.apply(index, &transaction(op.change(&state)));
            if matches!(applied.outcomes[..], [Outcome::Done(_)]) {
                for event in &applied.events {
                    let version = match event {
                        Event::Node { new, .. } => new.as_ref().map(|n| n.version),
                        // What it kept on networks that it has left goes without a write.
                        Event::Service { old: Some(old), new: Some(new) }
                            if new.endpoint.leaving.len() < old.endpoint.leaving.len()
                                && new.spec == old.spec =>
                        {
                            None
                        }
                        Event::Service { new, .. } => new.as_ref().map(|s| s.version),
                        Event::Task { new, .. } => new.as_ref().map(|t| t.version),
                        Event::Network { new, .. } => new.as_ref().map(|n| n.version),
                        Event::Attachment { new, .. } => new.as_ref().map(|a| a.version),
                        _ => None,
                    };
                    prop_assert!(version.is_none_or(|v| v.index == index), "{:?}", event);
                }
            } else {
                prop_assert_eq!(before, dump(&state), "{:?} {:?}", op, applied.outcomes);
                prop_assert!(applied.events.is_empty());
            }
        }
    }
}
