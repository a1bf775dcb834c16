//! An agent that takes in what it is told must know what it would be told as a whole.

use std::sync::Arc;

use swarmw_model::{
    AttachmentId, ContainerSpec, DATA_PATH_PORT, Driver, Network, NetworkAttachmentConfig,
    NetworkSpec, NodeDescription, NodeRole, OVERLAY, Pool, ServiceSpec, Slot, TaskSpec, TaskState,
    TaskStatus, Time, VirtualIp,
};
use swarmw_state::{Change, NewTask, Outcome, TaskChange, Transaction};

use super::*;
use crate::authority::new_node;
use crate::found::tests::founded;

const NODES: [NodeId; 3] = [NodeId::from_bits(1), NodeId::from_bits(2), NodeId::from_bits(3)];
const WEB: NetworkId = NetworkId::from_bits(11);
const DB: NetworkId = NetworkId::from_bits(12);
const FRONT: ServiceId = ServiceId::from_bits(21);
const BACK: ServiceId = ServiceId::from_bits(22);

/// What an agent knows by what it was told.
#[derive(Debug, Default, PartialEq)]
struct Known {
    networks: BTreeMap<NetworkId, Network>,
    peers: BTreeMap<NodeId, NetworkPeer>,
    services: BTreeMap<ServiceId, ServiceOnNetworks>,
    endpoints: BTreeMap<EndpointId, NetworkEndpoint>,
}

impl Known {
    fn hear(&mut self, news: NetworkNews) {
        if news.complete {
            *self = Self::default();
        }
        news.remove_networks.iter().for_each(|id| drop(self.networks.remove(id)));
        news.remove_peers.iter().for_each(|id| drop(self.peers.remove(id)));
        news.remove_services.iter().for_each(|id| drop(self.services.remove(id)));
        news.remove_endpoints.iter().for_each(|id| drop(self.endpoints.remove(id)));
        self.networks.extend(news.networks.into_iter().map(|n| (n.id, n)));
        self.peers.extend(news.peers.into_iter().map(|p| (p.node, p)));
        self.services.extend(news.services.into_iter().map(|s| (s.id, s)));
        self.endpoints.extend(news.endpoints.into_iter().map(|e| (e.id, e)));
    }
}

/// A state, and a session of each node that is told what its marks say.
struct World {
    state: State,
    concerned: Concerned,
    told: [Told; 3],
    known: [Known; 3],
    /// What the sessions have not looked at yet.
    marked: [NetworkMarks; 3],
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            concerned: Concerned::default(),
            told: Default::default(),
            known: Default::default(),
            marked: Default::default(),
        };
        world.state.apply(
            1,
            &transaction(vec![Change::InitCluster {
                cluster: Box::new(founded().cluster),
                node: Box::new(new_node(NODES[0], NodeRole::Manager, Default::default())),
                plugins: Vec::new(),
            }]),
        );
        for id in &NODES[1..] {
            world.change(Change::AddNode(Box::new(new_node(
                *id,
                NodeRole::Worker,
                Default::default(),
            ))));
        }
        for (n, node) in NODES.into_iter().enumerate() {
            world.describe(n, &format!("10.9.0.{}:2377", n + 1));
            let news = world.told[n].everything(&world.state, node).expect("a new agent");
            assert!(news.complete && news.data_path_port == DATA_PATH_PORT);
            assert!(news.networks.is_empty() && news.peers.is_empty(), "it is on no network");
        }
        world.network(WEB, "web", "10.1.0.0/24");
        world.network(DB, "db", "10.2.0.0/24");
        world.service(FRONT, "front", &[(WEB, "www")]);
        world.service(BACK, "back", &[(WEB, "api"), (DB, "")]);
        world
    }

    fn describe(&mut self, n: usize, address: &str) {
        let description = Box::new(NodeDescription {
            hostname: format!("n{n}"),
            agent_address: address.into(),
            feature_level: NETWORKS_LEVEL,
            ..NodeDescription::default()
        });
        let addr = "10.9.0.9".to_owned();
        self.change(Change::RegisterNode { id: NODES[n], description, addr });
    }

    /// Applies a change, tells whom it concerns, and says who was told something.
    fn change(&mut self, change: Change) -> Vec<usize> {
        self.apply(change.clone());
        self.tell(&format!("{change:?}"))
    }

    /// Applies a change, which the sessions do not get round to yet.
    fn apply(&mut self, change: Change) {
        let index = self.state.index() + 1;
        let applied = self.state.apply(index, &transaction(vec![change.clone()]));
        assert!(matches!(applied.outcomes[..], [Outcome::Done(_)]), "{change:?} {applied:?}");
        self.concerned.observe(index, &applied.events);
        for (node, marks) in self.concerned.take() {
            let n = NODES.iter().position(|id| *id == node).expect("one of ours");
            self.marked[n].extend(marks);
        }
        let anew = Concerned::new(&self.state);
        assert_eq!(self.concerned.nodes, anew.nodes);
    }

    fn tell(&mut self, after: &str) -> Vec<usize> {
        let marked = std::mem::take(&mut self.marked);
        let mut told = Vec::new();
        if !self.told.iter().all(|told| told.begun) {
            return told;
        }
        let is_there = |n: usize| self.state.node(NODES[n]).is_some();
        let there: Vec<_> = (0..3).filter(|n| is_there(*n)).collect();
        for n in there {
            let marks = &marked[n];
            let news = self.told[n].changes(&self.state, NODES[n], marks, &BTreeSet::new());
            if let Some(news) = news {
                assert!(!news.complete);
                self.known[n].hear(news);
                told.push(n);
            }
            let again = self.told[n].changes(&self.state, NODES[n], marks, &BTreeSet::new());
            assert_eq!(again, None, "nothing is told twice");
            let mut whole = Known::default();
            whole.hear(Told::default().everything(&self.state, NODES[n]).expect("all"));
            assert_eq!(self.known[n], whole, "node {n} after {after}");
        }
        told
    }

    fn network(&mut self, id: NetworkId, name: &str, subnet: &str) {
        self.change(Change::CreateNetwork(Box::new(Network {
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
            pools: vec![Pool::of(subnet.parse().expect("a subnet")).expect("room")],
            vni: 5_000 + u32::try_from(id.bits()).expect("small"),
        })));
    }

    fn service(&mut self, id: ServiceId, name: &str, networks: &[(NetworkId, &str)]) {
        self.service_of("x", id, name, networks);
    }

    fn service_of(
        &mut self,
        image: &str,
        id: ServiceId,
        name: &str,
        networks: &[(NetworkId, &str)],
    ) {
        let join = |(id, alias): &(NetworkId, &str)| NetworkAttachmentConfig {
            target: id.to_string(),
            aliases: vec![(*alias).to_owned()],
            ..Default::default()
        };
        let template = TaskSpec {
            container_spec: Some(ContainerSpec { image: image.into(), ..Default::default() }),
            networks: networks.iter().map(join).collect(),
            ..TaskSpec::default()
        };
        let name = name.to_owned();
        let spec = ServiceSpec { name, task_template: Arc::new(template), ..Default::default() };
        self.change(Change::CreateService { id, spec: Box::new(spec) });
    }

    fn task(&mut self, n: u128, service: ServiceId, node: usize, on: &[&str]) -> Vec<usize> {
        self.change(self.placed(n, service, node, on))
    }

    fn placed(&self, n: u128, service: ServiceId, node: usize, on: &[&str]) -> Change {
        let networks = [WEB, DB];
        let attachment = |(n, address): (usize, &&str)| NetworkAttachment {
            network: networks[n],
            addresses: vec![address.parse().expect("an address")],
        };
        let spec_version = self.state.service(service).expect("there").spec_version;
        Change::CreateTask(NewTask {
            id: TaskId::from_bits(n),
            service,
            spec_version,
            slot: Slot::Replica(u64::try_from(n).expect("small")),
            node: Some(NODES[node]),
            desired: TaskState::Running,
            error: Arc::default(),
            attachments: on.iter().enumerate().map(attachment).collect(),
            generic_resources: Vec::new(),
        })
    }

    fn report(&mut self, n: u128, state: TaskState) -> Vec<usize> {
        self.change(reported(n, state))
    }
}

fn reported(n: u128, state: TaskState) -> Change {
    let status = Some(TaskStatus { state, ..TaskStatus::default() });
    Change::Task(TaskChange { status, ..TaskChange::of(TaskId::from_bits(n)) })
}

fn transaction(changes: Vec<Change>) -> Transaction {
    Transaction { at: Time::ZERO, request: None, changes }
}

fn names(known: &Known) -> Vec<&str> {
    known.services.values().map(|service| service.name.as_str()).collect()
}

#[test]
fn nodes_are_told_which_tasks_no_kernel_leads_to_and_where_agents_listen() {
    let mut world = World::new();
    let wasm = ServiceId::from_bits(23);
    world.service_of("hello.wasm@sha256:ab", wasm, "wasm", &[(WEB, "")]);
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    world.task(2, wasm, 1, &["10.1.0.6/24"]);
    for known in &world.known[..2] {
        let user_space: Vec<_> = known.endpoints.values().map(|e| (e.id, e.user_space)).collect();
        let task = |n| EndpointId::Task(TaskId::from_bits(n));
        assert_eq!(user_space, [(task(1), false), (task(2), true)]);
        assert_eq!(known.peers[&NODES[2]].agent, "10.9.0.3:2377");
    }
}

#[test]
fn nodes_are_told_of_the_networks_that_their_tasks_are_on_and_of_no_others() {
    let mut world = World::new();
    assert_eq!(world.task(1, FRONT, 0, &["10.1.0.5/24"]), [0]);
    let known = &world.known[0];
    assert_eq!(known.networks.keys().copied().collect::<Vec<_>>(), [WEB]);
    assert_eq!(names(known), ["front", "back"], "all services of the network");
    assert_eq!(known.peers.len(), 3, "every node is a peer");
    assert_eq!(known.services[&BACK].aliases, [(WEB, vec!["api".to_owned()])]);
    let name = format!("front.1.{}", TaskId::from_bits(1));
    assert_eq!(known.endpoints[&EndpointId::Task(TaskId::from_bits(1))].names, [name]);

    // Somebody who is on two networks, told where one of them is known.
    assert_eq!(world.task(2, BACK, 1, &["10.1.0.6/24", "10.2.0.6/24"]), [0, 1]);
    let there = EndpointId::Task(TaskId::from_bits(2));
    assert_eq!(world.known[0].endpoints[&there].on.len(), 1);
    assert_eq!(world.known[1].endpoints[&there].on.len(), 2);
    assert_eq!(world.known[2], Known::default());

    // It serves from when it runs until it is told to stop, and is told of once for each.
    assert_eq!(world.report(2, TaskState::Starting), [] as [usize; 0]);
    assert_eq!(world.report(2, TaskState::Running), [0, 1]);
    assert!(world.known[0].endpoints[&there].serves);
    let stop = TaskChange::desire(TaskId::from_bits(2), TaskState::Shutdown);
    assert_eq!(world.change(Change::Task(stop)), [0, 1]);
    assert!(!world.known[0].endpoints[&there].serves);
    assert_eq!(world.report(2, TaskState::Shutdown), [0, 1]);
    assert_eq!(world.known[1], Known::default(), "its last task has ended");
    assert!(!world.known[0].endpoints.contains_key(&there));
}

#[test]
fn changes_of_services_networks_and_nodes_reach_those_whom_they_concern() {
    let mut world = World::new();
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    world.task(2, BACK, 1, &["10.1.0.6/24", "10.2.0.6/24"]);
    let ip = |network, addr: &str| VirtualIp { network, addr: addr.parse().expect("an address") };
    let change = Change::SetEndpoint {
        service: BACK,
        version: world.state.service(BACK).expect("there").version,
        ports: Vec::new(),
        virtual_ips: Some(vec![ip(WEB, "10.1.0.9/24"), ip(DB, "10.2.0.9/24")]),
    };
    assert_eq!(world.change(change), [0, 1]);
    assert_eq!(world.known[0].services[&BACK].virtual_ips, [ip(WEB, "10.1.0.9/24")]);
    assert_eq!(world.known[1].services[&BACK].virtual_ips.len(), 2);

    let version = world.state.network(DB).expect("there").version;
    let pools = vec![Pool::of("10.3.0.0/24".parse().expect("a subnet")).expect("room")];
    assert_eq!(world.change(Change::GrowNetwork { id: DB, version, pools }), [1]);
    assert_eq!(world.known[1].networks[&DB].pools.len(), 2);

    world.describe(2, "10.9.0.77:2377");
    assert_eq!(world.known[0].peers[&NODES[2]].address.to_string(), "10.9.0.77");
    let gone = Change::RemoveNode { id: NODES[2], force: true, deny_until: Time::ZERO };
    assert_eq!(world.change(gone), [0, 1]);
    assert_eq!(world.known[0].peers.len(), 2);

    let old = world.state.service(BACK).expect("there").clone();
    let mut spec = old.spec.clone();
    Arc::make_mut(&mut spec.task_template).networks.remove(0);
    let change = Change::UpdateService { id: BACK, version: old.version, spec: Box::new(spec) };
    assert_eq!(world.change(change), [] as [usize; 0]);
    assert_eq!(names(&world.known[0]), ["front", "back"], "its tasks of before are there yet");
    assert_eq!(world.known[0].services[&BACK].aliases, [(WEB, vec!["api".to_owned()])]);
    assert_eq!(world.known[0].services[&BACK].virtual_ips, [ip(WEB, "10.1.0.9/24")]);
    assert_eq!(world.known[0].endpoints.len(), 2);
    assert_eq!(world.report(2, TaskState::Shutdown), [0, 1]);
    assert_eq!(names(&world.known[0]), ["front"], "and now they are not");
    assert_eq!(world.known[0].endpoints.len(), 1);
    assert_eq!(world.change(Change::RemoveService { id: BACK }), [] as [usize; 0]);
}

#[test]
fn containers_that_joined_are_told_of_with_their_names() {
    let mut world = World::new();
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    let id = AttachmentId::from_bits(5);
    let attachment = Attachment {
        id,
        version: Version::default(),
        created_at: Time::ZERO,
        node: NODES[2],
        on: NetworkAttachment {
            network: WEB,
            addresses: vec!["10.1.0.7/24".parse().expect("an address")],
        },
        container: String::new(),
        names: Vec::new(),
    };
    assert_eq!(world.change(Change::AddAttachment(Box::new(attachment))), [0, 2]);
    assert_eq!(world.known[2].endpoints.len(), 2, "it hears of the others");
    let names = vec!["db".to_owned()];
    let named = Change::NameAttachment { id, container: "c0ffee".into(), names: names.clone() };
    assert_eq!(world.change(named), [0, 2]);
    assert_eq!(world.known[0].endpoints[&EndpointId::Attachment(id)].names, names);
    assert_eq!(world.change(Change::RemoveAttachment(id)), [0, 2]);
    assert_eq!(world.known[2], Known::default());
}

#[test]
fn a_task_is_told_with_its_network_even_where_its_marks_come_later() {
    let mut world = World::new();
    // The session has taken the mark of the task, and nothing else yet.
    let told = std::mem::take(&mut world.told[0]);
    assert!(told.begun);
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    let mut late = told;
    let tasks = BTreeSet::from([TaskId::from_bits(1)]);
    let news = late.changes(&world.state, NODES[0], &NetworkMarks::default(), &tasks);
    let news = news.expect("its network");
    assert_eq!((news.networks.len(), news.endpoints.len(), news.peers.len()), (1, 1, 3));
}

#[test]
fn a_node_that_is_on_a_network_again_hears_what_it_missed_meanwhile() {
    let mut world = World::new();
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    world.task(2, BACK, 1, &["10.1.0.6/24", "10.2.0.6/24"]);
    world.task(3, FRONT, 1, &["10.1.0.7/24"]);
    world.apply(reported(1, TaskState::Failed));
    // Nobody of node 0 is on the network while these happen.
    world.apply(reported(2, TaskState::Running));
    world.apply(reported(3, TaskState::Failed));
    let addr = "10.1.0.9/24".parse().expect("an address");
    world.apply(Change::SetEndpoint {
        service: FRONT,
        version: world.state.service(FRONT).expect("there").version,
        ports: Vec::new(),
        virtual_ips: Some(vec![VirtualIp { network: WEB, addr }]),
    });
    let version = world.state.network(WEB).expect("there").version;
    let pools = vec![Pool::of("10.3.0.0/24".parse().expect("a subnet")).expect("room")];
    world.apply(Change::GrowNetwork { id: WEB, version, pools });
    let gone = Change::RemoveNode { id: NODES[2], force: true, deny_until: Time::ZERO };
    world.apply(gone);
    world.apply(world.placed(4, FRONT, 0, &["10.1.0.8/24"]));
    assert_eq!(world.tell("all of it"), [0, 1]);
    let known = &world.known[0];
    assert!(known.endpoints[&EndpointId::Task(TaskId::from_bits(2))].serves);
    assert!(!known.endpoints.contains_key(&EndpointId::Task(TaskId::from_bits(3))));
    assert_eq!((known.networks[&WEB].pools.len(), known.peers.len()), (2, 2));
}

#[test]
fn what_the_first_state_has_is_not_counted_again() {
    let mut world = World::new();
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    world.task(2, FRONT, 0, &["10.1.0.6/24"]);
    let index = world.state.index() + 1;
    let ended = world.state.apply(index, &transaction(vec![reported(2, TaskState::Failed)]));
    // The subscription is older than the state.
    let mut late = Concerned::new(&world.state);
    late.observe(index, &ended.events);
    assert_eq!(late.nodes, Concerned::new(&world.state).nodes);
    assert!(late.take().is_empty());
    let ended = world.state.apply(index + 1, &transaction(vec![reported(1, TaskState::Failed)]));
    late.observe(index + 1, &ended.events);
    assert!(late.nodes.is_empty());
    assert_eq!(late.take().keys().copied().collect::<Vec<_>>(), [NODES[0]]);
}

#[test]
fn a_task_that_is_ill_is_led_to_no_more_while_it_runs() {
    let mut world = World::new();
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    world.task(2, FRONT, 1, &["10.1.0.6/24"]);
    world.report(2, TaskState::Running);
    let serves = |world: &World| {
        let known = &world.known[0];
        known.endpoints[&EndpointId::Task(TaskId::from_bits(2))].serves
    };
    assert!(serves(&world));
    let ill = TaskStatus { state: TaskState::Running, leaves: true, ..TaskStatus::default() };
    let ill = TaskChange { status: Some(ill), ..TaskChange::of(TaskId::from_bits(2)) };
    assert_eq!(world.change(Change::Task(ill)), [0, 1]);
    assert!(!serves(&world));
}

#[test]
fn nodes_on_a_network_share_what_changed_and_a_slow_session_keeps_it_once() {
    let mut world = World::new();
    world.task(1, FRONT, 0, &["10.1.0.5/24"]);
    world.task(2, FRONT, 1, &["10.1.0.6/24"]);
    let states = [TaskState::Running, TaskState::Failed];
    let mut slow = NetworkMarks::default();
    for n in 10..60 {
        world.apply(world.placed(n, FRONT, 1, &[&format!("10.1.0.{}/24", n + 10)]));
        for state in states {
            let index = world.state.index() + 1;
            let applied = world.state.apply(index, &transaction(vec![reported(n, state)]));
            world.concerned.observe(index, &applied.events);
            let marks = world.concerned.take();
            assert_eq!(marks.len(), 2, "each is marked once");
            slow.extend(marks[&NODES[0]].clone());
        }
        assert!(slow.kept() <= 32, "{}", slow.kept());
    }
    assert_eq!(slow.touched().endpoints.len(), 50);
}

#[test]
fn the_networks_that_each_node_has_are_told_by_name() {
    let mut world = World::new();
    let host = world.state.network_named("host").expect("there").id;
    world.service(ServiceId::from_bits(23), "hosted", &[(host, "")]);
    world.task(1, ServiceId::from_bits(23), 0, &[]);
    world.task(2, FRONT, 0, &["10.1.0.5/24"]);
    let target = |n: u128| {
        let task = world.state.task(TaskId::from_bits(n)).expect("there");
        let told = crate::dispatcher::assigned::assigned(&world.state, task).expect("assigned");
        assert_eq!(task.spec.networks[0].target.len(), 25, "the state has the id");
        told.spec.networks[0].target.clone()
    };
    assert_eq!(target(1), "host");
    assert_eq!(target(2), WEB.to_string());
}

#[test]
fn an_agent_of_before_there_were_networks_hears_nothing_of_them() {
    let mut world = World::new();
    let mut description = world.state.node(NODES[0]).expect("there").description.clone();
    description.feature_level = 1;
    let description = Box::new(description);
    world.state.apply(
        90,
        &transaction(vec![Change::RegisterNode { id: NODES[0], description, addr: String::new() }]),
    );
    assert_eq!(Told::default().everything(&world.state, NODES[0]), None);
}

#[test]
fn on_the_mesh_nodes_are_told_of_the_network_and_of_nodes_and_of_nobody_else() {
    let mut world = World::new();
    let mesh = world.state.ingress().expect("one");
    let placed = |world: &World, n: u128, node: usize, address: &str| {
        let Change::CreateTask(new) = world.placed(n, FRONT, node, &["10.1.0.5/24"]) else {
            unreachable!("it makes a task")
        };
        let addresses = vec![address.parse().expect("an address")];
        let on = NetworkAttachment { network: mesh, addresses };
        Change::CreateTask(NewTask { attachments: vec![on], ..new })
    };
    let mut spec = world.state.service(FRONT).expect("there").spec.clone();
    Arc::make_mut(&mut spec.task_template).networks.clear();
    let version = world.state.service(FRONT).expect("there").version;
    world.change(Change::UpdateService { id: FRONT, version, spec: Box::new(spec) });

    assert_eq!(world.change(placed(&world, 1, 0, "10.0.0.5/24")), [0]);
    let known = &world.known[0];
    assert_eq!(known.networks.keys().copied().collect::<Vec<_>>(), [mesh]);
    assert_eq!(known.peers.len(), 3, "connections come by every node");
    assert!(known.endpoints.is_empty() && known.services.is_empty());
    assert_eq!(world.change(placed(&world, 2, 1, "10.0.0.6/24")), [1]);
    assert_eq!(world.report(2, TaskState::Running), [] as [usize; 0]);
    world.describe(2, "10.9.0.77:2377");
    assert_eq!(world.known[0].peers[&NODES[2]].address.to_string(), "10.9.0.77");
    assert_eq!(world.report(1, TaskState::Shutdown), [0]);
    assert_eq!(world.known[0], Known::default());
}
