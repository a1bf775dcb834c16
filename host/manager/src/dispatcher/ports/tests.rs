//! What nodes are told of published ports, on a state and by its events.

use swarmw_model::{
    ContainerSpec, DATA_PATH_PORT, EndpointSpec, EnginePlugin, NETWORK_PLUGIN, NetworkAttachment,
    NodeDescription, NodeRole, OVERLAY_DRIVER, PortConfig, ServiceSpec, Slot, SwarmwOptions,
    TaskId, TaskSpec, TaskStatus, Time,
};
use swarmw_state::{Change, NETWORKS_LEVEL, NewTask, Outcome, TaskChange, Transaction};

use super::*;
use crate::authority::new_node;
use crate::found::tests::founded;

const NODES: [NodeId; 2] = [NodeId::from_bits(1), NodeId::from_bits(2)];
const WEB: ServiceId = ServiceId::from_bits(21);
const OTHER: ServiceId = ServiceId::from_bits(22);

struct World {
    state: State,
    table: PortTable,
    /// What nodes were told last.
    told: Published,
}

impl World {
    fn new() -> Self {
        let (state, table, told) = Default::default();
        let mut world = Self { state, table, told };
        let first = Box::new(new_node(NODES[0], NodeRole::Manager, Default::default()));
        let cluster = Box::new(founded().cluster);
        world.change(Change::InitCluster { cluster, node: first, plugins: Vec::new() });
        let second = new_node(NODES[1], NodeRole::Worker, Default::default());
        world.change(Change::AddNode(Box::new(second)));
        for n in 0..2 {
            world.describe(n, |_| {});
        }
        for (id, name, port) in [(WEB, "web", 8080), (OTHER, "other", 9090)] {
            let spec = Box::new(spec(name, port));
            world.change(Change::CreateService { id, spec });
        }
        world
    }

    fn describe(&mut self, n: usize, edit: impl FnOnce(&mut NodeDescription)) -> bool {
        let mut description = NodeDescription {
            hostname: format!("n{n}"),
            agent_address: format!("10.9.0.{}:2377", n + 1),
            feature_level: NETWORKS_LEVEL,
            kernel_ports: true,
            ..NodeDescription::default()
        };
        let plugin = EnginePlugin { kind: NETWORK_PLUGIN.into(), name: OVERLAY_DRIVER.into() };
        description.engine.plugins.push(plugin);
        edit(&mut description);
        let description = Box::new(description);
        let addr = "10.9.0.9".to_owned();
        self.change(Change::RegisterNode { id: NODES[n], description, addr })
    }

    /// Applies a change; whether nodes are told something.
    fn change(&mut self, change: Change) -> bool {
        let index = self.state.index() + 1;
        let transaction = Transaction { at: Time::ZERO, request: None, changes: vec![change] };
        let applied = self.state.apply(index, &transaction);
        // What a node says may change nothing but itself.
        let refused = matches!(applied.outcomes[..], [Outcome::Refused(_)]);
        assert!(!refused, "{transaction:?} {applied:?}");
        applied.events.iter().for_each(|event| self.table.observe(event));
        let news = self.table.refresh(&self.state);
        let is_news = news.is_some();
        self.told = news.unwrap_or_else(|| self.told.clone());
        let anew = PortTable::new(&self.state).refresh(&self.state).unwrap_or_default();
        assert_eq!(self.told, anew, "as a table that begins now would tell it");
        is_news
    }

    fn task(&mut self, n: u128, service: ServiceId, node: usize, ingress: Option<&str>) -> bool {
        let on = |address: &str| NetworkAttachment {
            network: self.state.ingress().expect("one"),
            addresses: vec![address.parse().expect("an address")],
        };
        let new = NewTask {
            id: TaskId::from_bits(n),
            service,
            spec_version: self.state.service(service).expect("there").spec_version,
            slot: Slot::Replica(u64::try_from(n).expect("small")),
            node: Some(NODES[node]),
            desired: TaskState::Running,
            error: Arc::default(),
            attachments: ingress.map(on).into_iter().collect(),
            generic_resources: Vec::new(),
        };
        self.change(Change::CreateTask(new))
    }

    fn report(&mut self, n: u128, state: TaskState) -> bool {
        let status = Some(TaskStatus { state, ..TaskStatus::default() });
        self.change(Change::Task(TaskChange { status, ..TaskChange::of(TaskId::from_bits(n)) }))
    }

    fn stop(&mut self, n: u128) -> bool {
        self.change(Change::Task(TaskChange::desire(TaskId::from_bits(n), TaskState::Shutdown)))
    }

    fn port(&self, number: u16) -> &PublishedPort {
        let mut ports = self.told.ports.iter();
        ports.find(|port| port.published == number).expect("published")
    }

    fn update(&mut self, edit: impl FnOnce(&mut ServiceSpec)) -> bool {
        let service = self.state.service(WEB).expect("there").clone();
        let mut spec = Box::new(service.spec.clone());
        edit(&mut spec);
        self.change(Change::UpdateService { id: WEB, version: service.version, spec })
    }
}

fn spec(name: &str, port: u16) -> ServiceSpec {
    let port = PortConfig { target_port: 80, published_port: port, ..PortConfig::default() };
    let container = ContainerSpec { image: "x".into(), ..Default::default() };
    ServiceSpec {
        name: name.into(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(container),
            ..TaskSpec::default()
        }),
        endpoint_spec: Some(EndpointSpec { ports: vec![port], ..EndpointSpec::default() }),
        ..ServiceSpec::default()
    }
}

fn tasks(backends: &[Backend]) -> Vec<u128> {
    backends.iter().map(|backend| backend.task.bits()).collect()
}

#[test]
fn a_task_serves_while_it_runs_and_is_told_of_until_it_has_ended() {
    let mut world = World::new();
    assert!(!world.task(1, WEB, 1, Some("10.0.0.7/24")), "it does not run yet");
    assert!(!world.task(2, WEB, 0, None));
    assert!(world.report(1, TaskState::Running));
    let served = Backend {
        task: TaskId::from_bits(1),
        node: NODES[1],
        address: "10.9.0.2:2377".to_owned(),
        ingress: Some(Ipv4Addr::new(10, 0, 0, 7)),
        number: 2,
        data_path: Some([10, 9, 0, 2].into()),
        v6: false,
        target: 0,
    };
    assert_eq!(world.port(8080).backends, [served]);
    assert!(world.port(9090).backends.is_empty());
    assert!(world.report(2, TaskState::Running));
    assert_eq!(world.port(8080).backends[1].ingress, None, "in user space");

    assert!(world.stop(1), "it runs, and takes no new connections");
    let port = world.port(8080);
    assert_eq!((tasks(&port.backends), tasks(&port.leaving)), (vec![2], vec![1]));
    assert!(world.report(1, TaskState::Shutdown));
    assert!(world.port(8080).leaving.is_empty());
    assert!(world.change(Change::RemoveService { id: WEB }));
    assert_eq!(world.told.ports.len(), 1);
}

#[test]
fn a_task_that_is_ill_takes_no_new_connections_while_it_runs() {
    let mut world = World::new();
    world.task(1, WEB, 1, Some("10.0.0.7/24"));
    world.report(1, TaskState::Running);
    let ill = TaskStatus { state: TaskState::Running, leaves: true, ..TaskStatus::default() };
    let ill = TaskChange { status: Some(ill), ..TaskChange::of(TaskId::from_bits(1)) };
    assert!(world.change(Change::Task(ill)));
    let port = world.port(8080);
    assert_eq!((tasks(&port.backends), tasks(&port.leaving)), (vec![], vec![1]));
}

#[test]
fn connections_go_on_until_a_task_has_ended_whose_service_or_ports_are_gone() {
    let leaving = |world: &World| {
        let ingress = world.told.ingress(&world.state, NODES[0]).expect("a mesh");
        tasks(&ingress.leaving)
    };
    for is_removed in [false, true] {
        let mut world = World::new();
        for (task, ingress) in [(1, Some("10.0.0.7/24")), (2, Some("10.0.0.8/24")), (3, None)] {
            world.task(task, WEB, 1, ingress);
            world.report(task, TaskState::Running);
        }
        assert!(leaving(&world).is_empty());
        world.stop(1);
        assert!(match is_removed {
            true => world.change(Change::RemoveService { id: WEB }),
            false => world.update(|spec| spec.endpoint_spec = None),
        });
        assert_eq!(world.told.ports.len(), 1);
        assert_eq!(leaving(&world), [1, 2], "in user space they go on by themselves");
        assert!(world.report(1, TaskState::Shutdown));
        assert_eq!(leaving(&world), [2]);
        assert!(world.report(2, TaskState::Shutdown));
        assert!(leaving(&world).is_empty());
    }
}

#[test]
fn what_a_node_says_of_itself_is_told_with_its_tasks() {
    let mut world = World::new();
    world.task(1, WEB, 1, Some("10.0.0.7/24"));
    world.report(1, TaskState::Running);
    assert!(!world.describe(1, |d| d.engine.engine_version = "28".into()), "nobody asks for it");
    assert!(world.describe(1, |d| d.gateway_v6 = true));
    assert!(world.port(8080).backends[0].v6);
    assert!(world.describe(1, |d| d.kernel_ports = false));
    assert_eq!(world.port(8080).backends[0].ingress, None, "for as long as it cannot");
    assert!(world.describe(1, |d| d.data_path_address = "10.8.0.2".into()));
    assert_eq!(world.port(8080).backends[0].data_path, Some([10, 8, 0, 2].into()));
}

#[test]
fn a_task_that_has_ipv6_switched_off_is_not_told_as_reached_by_it() {
    let mut world = World::new();
    world.describe(1, |d| d.gateway_v6 = true);
    world.task(1, WEB, 1, Some("10.0.0.7/24"));
    world.report(1, TaskState::Running);
    world.update(|spec| {
        let template = Arc::make_mut(&mut spec.task_template);
        let container = template.container_spec.as_mut().expect("one");
        container.sysctls.insert("net.ipv6.conf.all.disable_ipv6".into(), "1".into());
    });
    // Of the new template, beside the one that is there yet.
    world.task(2, WEB, 1, Some("10.0.0.8/24"));
    world.report(2, TaskState::Running);
    let mut told: Vec<_> =
        world.port(8080).backends.iter().map(|one| (one.task.bits(), one.v6)).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, true), (2, false)]);
}

#[test]
fn the_source_that_tasks_see_is_the_services_choice() {
    let mut world = World::new();
    assert!(!world.port(8080).snat);
    let node = SwarmwOptions { ingress_source: IngressSource::Node, ..Default::default() };
    assert!(world.update(|spec| spec.swarmw = Some(node)));
    assert!(world.port(8080).snat && !world.port(9090).snat);
}

#[test]
fn a_task_keeps_the_port_inside_it_that_it_was_made_with() {
    let mut world = World::new();
    world.task(1, WEB, 1, Some("10.0.0.7/24"));
    world.report(1, TaskState::Running);
    let targets = |world: &World| {
        let port = world.port(8080);
        port.backends.iter().map(|backend| port.target_of(backend)).collect::<Vec<_>>()
    };
    assert_eq!(targets(&world), [80]);
    world.update(|spec| {
        let endpoint = spec.endpoint_spec.as_mut().expect("one");
        endpoint.ports[0].target_port = 81;
    });
    assert_eq!((world.port(8080).target, targets(&world)), (81, vec![80]));
    world.task(2, WEB, 0, Some("10.0.0.8/24"));
    world.report(2, TaskState::Running);
    assert_eq!(targets(&world), [80, 81]);
}

#[test]
fn every_node_is_told_of_the_mesh_and_what_it_is_itself() {
    let mut world = World::new();
    let own = |world: &World, n: usize| {
        let ingress = world.told.ingress(&world.state, NODES[n]).expect("a mesh");
        assert_eq!(ingress.data_path_port, DATA_PATH_PORT);
        let network = world.state.ingress().and_then(|id| world.state.network(id));
        assert_eq!(Some(ingress.vni), network.map(|network| network.vni));
        ingress.own.map(|own| (own.number, own.address.to_string()))
    };
    assert_eq!(own(&world, 0), Some((1, "10.9.0.1".to_owned())));
    assert_eq!(own(&world, 1), Some((2, "10.9.0.2".to_owned())));

    // Without it, a task keeps no address that kernels lead to.
    world.task(1, WEB, 1, Some("10.0.0.7/24"));
    world.report(1, TaskState::Running);
    for id in [WEB, OTHER] {
        let service = world.state.service(id).expect("there").clone();
        let mut spec = Box::new(service.spec.clone());
        spec.endpoint_spec = None;
        world.change(Change::UpdateService { id, version: service.version, spec });
    }
    let ingress = world.state.ingress().expect("one");
    assert!(world.change(Change::RemoveNetwork(ingress)));
    assert_eq!(world.told.ingress(&world.state, NODES[0]), None);
}
