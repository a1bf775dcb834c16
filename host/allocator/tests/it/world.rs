//! A state with an allocator beside it, which hears every event.

use std::sync::Arc;

use swarmw_allocator::{Allocator, Failure, choose_subnets, choose_vni};
use swarmw_model::{
    AddressPools, Availability, Cluster, ClusterId, ClusterSpec, ContainerSpec, DATA_PATH_PORT,
    Driver, EndpointSpec, EnginePlugin, FEATURE_LEVEL, NETWORK_PLUGIN, Network,
    NetworkAttachmentConfig, NetworkId, NetworkSpec, Node, NodeDescription, NodeId, NodeRole,
    NodeSpec, NodeState, NodeStatus, OVERLAY, OVERLAY_DRIVER, PortConfig, Refusal, ServiceId,
    ServiceSpec, Slot, TaskId, TaskSpec, TaskState, TaskStatus, Time, Version, validate,
};
use swarmw_state::{Change, NewTask, Outcome, State, TaskChange, Transaction};

pub const NODE: NodeId = NodeId::from_bits(1);

pub struct World {
    pub state: State,
    pub allocator: Allocator,
    /// Services that lacked something in the last tick.
    pub failures: Vec<Failure>,
    /// Why tasks of the last tick got no address on the mesh.
    pub off_mesh: Option<String>,
    /// The time of the next tick.
    pub now: Time,
}

impl World {
    /// A cluster of one node, with these default pools and this size of subnets.
    pub fn new(pools: &[&str], size: u32) -> Self {
        let pools: Vec<_> = pools.iter().map(|pool| (*pool).to_owned()).collect();
        Self::founded(cluster(validate::address_pools(&pools, size).expect("pools")))
    }

    pub fn founded(cluster: Cluster) -> Self {
        let (state, failures, off_mesh, now) = Default::default();
        let mut world = Self { state, allocator: Allocator::new(), failures, off_mesh, now };
        world.apply(vec![Change::InitCluster {
            cluster: Box::new(cluster),
            node: Box::new(node()),
            plugins: Vec::new(),
        }]);
        world
    }

    /// Applies changes; all are carried out.
    pub fn apply(&mut self, changes: Vec<Change>) {
        let outcomes = self.outcomes(changes.clone());
        for (change, outcome) in changes.iter().zip(&outcomes) {
            assert!(matches!(outcome, Outcome::Done(_)), "{change:?}: {outcome:?}");
        }
    }

    pub fn outcomes(&mut self, changes: Vec<Change>) -> Vec<Outcome> {
        let index = self.state.index() + 1;
        let transaction = Transaction { at: Time::ZERO, request: None, changes };
        let applied = self.state.apply(index, &transaction);
        applied.events.iter().for_each(|event| self.allocator.observe(event));
        applied.outcomes
    }

    /// What a tick decides, where the scheduler has given these changes nodes.
    pub fn decide(&mut self, scheduled: Vec<Change>) -> Vec<Change> {
        let mut addresses = self.allocator.addresses(&self.state, self.now);
        let (mut changes, failures) = self.allocator.services(&mut addresses);
        self.failures = failures;
        changes.extend(scheduled);
        let taken_back = self.allocator.tasks(&mut addresses, &mut changes, self.now);
        self.off_mesh = taken_back.off_mesh.map(|why| why.to_string());
        changes.splice(0..0, addresses.growth());
        changes
    }

    pub fn tick(&mut self, scheduled: Vec<Change>) {
        let decided = self.decide(scheduled);
        self.apply(decided);
    }

    pub fn network(&mut self, n: u128, subnets: &[&str]) -> Result<NetworkId, Refusal> {
        let mut spec = NetworkSpec {
            name: format!("net{n}"),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            enable_ipv6: subnets.iter().any(|subnet| subnet.contains(':')),
            ..NetworkSpec::default()
        };
        spec.ipam.config = subnets
            .iter()
            .filter(|subnet| **subnet != "::")
            .map(|subnet| swarmw_model::IpamConfig {
                subnet: (*subnet).into(),
                ..Default::default()
            })
            .collect();
        self.make(n, spec)
    }

    /// A network whose addresses come from a part of each subnet: `(subnet, range)`.
    pub fn ranged_network(&mut self, n: u128, subnets: &[(&str, &str)]) -> NetworkId {
        let mut spec = NetworkSpec {
            name: format!("net{n}"),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            enable_ipv6: subnets.iter().any(|(subnet, _)| subnet.contains(':')),
            ..NetworkSpec::default()
        };
        let configs = subnets.iter().map(|(subnet, range)| swarmw_model::IpamConfig {
            subnet: (*subnet).into(),
            ip_range: (*range).into(),
            ..Default::default()
        });
        spec.ipam.config = configs.collect();
        self.make(n, spec).unwrap()
    }

    /// A network, some of whose addresses are those of other things.
    pub fn network_without(&mut self, n: u128, subnets: &[&str], kept: &[&str]) -> NetworkId {
        let mut spec = NetworkSpec {
            name: format!("net{n}"),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            ..NetworkSpec::default()
        };
        let config = |(nth, subnet): (usize, &&str)| {
            let kept = kept.iter().filter(|_| nth == 0);
            swarmw_model::IpamConfig {
                subnet: (*subnet).into(),
                auxiliary: kept.map(|kept| (format!("of-{kept}"), (*kept).into())).collect(),
                ..Default::default()
            }
        };
        spec.ipam.config = subnets.iter().enumerate().map(config).collect();
        self.make(n, spec).unwrap()
    }

    /// A network that nothing leads out of.
    pub fn inner_network(&mut self, n: u128, subnet: &str) -> NetworkId {
        let mut spec = NetworkSpec {
            name: format!("net{n}"),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            internal: true,
            ..NetworkSpec::default()
        };
        let subnet = swarmw_model::IpamConfig { subnet: subnet.into(), ..Default::default() };
        spec.ipam.config.push(subnet);
        self.make(n, spec).unwrap()
    }

    fn make(&mut self, n: u128, spec: NetworkSpec) -> Result<NetworkId, Refusal> {
        let id = NetworkId::from_bits(n);
        let network = Network {
            id,
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            pools: choose_subnets(&self.state, &spec)?,
            vni: choose_vni(&self.state)?,
            spec,
        };
        self.apply(vec![Change::CreateNetwork(Box::new(network))]);
        Ok(id)
    }

    pub fn service(&mut self, n: u128, networks: &[NetworkId], ports: &[u16]) -> ServiceId {
        let id = ServiceId::from_bits(n);
        let spec = service_spec(&format!("s{n}"), networks, ports);
        self.apply(vec![Change::CreateService { id, spec: Box::new(spec) }]);
        id
    }

    /// A task that the scheduler has given the node.
    pub fn task(&self, n: u128, service: ServiceId) -> Change {
        let spec_version = self.state.service(service).expect("a service").spec_version;
        Change::CreateTask(NewTask {
            id: TaskId::from_bits(n),
            service,
            spec_version,
            slot: Slot::Replica(n as u64),
            node: Some(NODE),
            desired: TaskState::Running,
            error: Arc::default(),
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        })
    }

    /// The scheduler gives a waiting task the node.
    pub fn assign(&self, n: u128) -> Change {
        Change::Task(TaskChange { assign: Some(NODE), ..TaskChange::of(TaskId::from_bits(n)) })
    }

    pub fn end(&mut self, n: u128) {
        let status = TaskStatus { state: TaskState::Failed, ..TaskStatus::default() };
        let id = TaskId::from_bits(n);
        self.apply(vec![Change::Task(TaskChange { status: Some(status), ..TaskChange::of(id) })]);
    }

    /// Where a task is: its addresses, or why it waits.
    pub fn at(&self, n: u128) -> Result<Vec<String>, String> {
        let task = self.state.task(TaskId::from_bits(n)).expect("a task");
        match task.node_id {
            None => Err(task.status.error.to_string()),
            Some(_) => Ok(task
                .attachments
                .iter()
                .flat_map(|on| on.addresses.iter().map(ToString::to_string))
                .collect()),
        }
    }

    /// What the node says of itself from now on: whether it joins networks.
    pub fn joins(&mut self, joins: bool) {
        let mut description = node().description;
        description.engine.plugins.retain(|_| joins);
        description.hostname = format!("joins: {joins}");
        let addr = String::new();
        let description = Box::new(description);
        self.apply(vec![Change::RegisterNode { id: NODE, description, addr }]);
    }

    pub fn virtual_ips(&self, service: ServiceId) -> Vec<String> {
        let service = self.state.service(service).expect("a service");
        service.endpoint.virtual_ips.iter().map(|ip| ip.addr.to_string()).collect()
    }
}

pub fn service_spec(name: &str, networks: &[NetworkId], ports: &[u16]) -> ServiceSpec {
    let join = |id: &NetworkId| NetworkAttachmentConfig {
        target: id.to_string(),
        ..NetworkAttachmentConfig::default()
    };
    let port = |published: &u16| PortConfig {
        target_port: 80,
        published_port: *published,
        ..PortConfig::default()
    };
    ServiceSpec {
        name: name.to_owned(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec { image: "x".into(), ..Default::default() }),
            networks: networks.iter().map(join).collect(),
            ..TaskSpec::default()
        }),
        endpoint_spec: Some(EndpointSpec {
            ports: ports.iter().map(port).collect(),
            ..EndpointSpec::default()
        }),
        ..ServiceSpec::default()
    }
}

pub fn cluster(address_pools: AddressPools) -> Cluster {
    Cluster {
        id: ClusterId::from_bits(7 << 100),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: ClusterSpec::default(),
        root_ca: Default::default(),
        join_tokens: Default::default(),
        unlock_key: None,
        removed_nodes: Default::default(),
        feature_level: FEATURE_LEVEL,
        address_pools,
        data_path_port: DATA_PATH_PORT,
    }
}

/// A node that joins networks.
fn node() -> Node {
    let plugin = EnginePlugin { kind: NETWORK_PLUGIN.into(), name: OVERLAY_DRIVER.into() };
    Node {
        id: NODE,
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec { availability: Availability::Active, ..NodeSpec::default() },
        description: described(vec![plugin]),
        status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
        role: NodeRole::Worker,
        member: None,
        number: 0,
    }
}

fn described(plugins: Vec<EnginePlugin>) -> NodeDescription {
    let mut description = NodeDescription::default();
    description.engine.plugins = plugins;
    description
}
