//! How soon the change of one endpoint is with all nodes: from the report of an agent, that a
//! task runs or has failed, to what 50 nodes work out that their kernels should have, and to
//! the kernel of one of them. It prints figures and judges none. It needs root.
//!
//! Three managers with logs on disk, and 50 sessions with the leader, are in this process,
//! over real TLS. A node is what an agent decides networks by ([`NetworkView`]), and no more.
//!
//! `cargo xtask bars networks`

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;
use swarmw_agent::NetworkView;
use swarmw_ca::Tls;
use swarmw_model::{
    Assignment, ContainerSpec, Driver, EndpointSpec, EngineDescription, EnginePlugin,
    FEATURE_LEVEL, NETWORK_PLUGIN, NetworkAttachmentConfig, NetworkId, NetworkSpec,
    NodeDescription, OVERLAY, OVERLAY_DRIVER, PortConfig, Replicated, Resources, RestartCondition,
    RestartPolicy, ServiceId, ServiceMode, ServiceSpec, TaskId, TaskSpec, TaskState,
};
use swarmw_overlay::{Desired, DesiredPorts, Local, Overlay, Ports, PortsSettings, Settings, Veth};
use swarmw_proto::pb::from_agent::Message as FromAgent;
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{Channels, pb, wire};
use swarmw_state::Change;
use tokio::sync::{mpsc, watch};

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/agent.rs"]
mod agent;
#[path = "../../plugin-host/tests/it/child.rs"]
mod child;
#[path = "../../overlay/benches/common/machine.rs"]
mod machine;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/swarm.rs"]
mod swarm;
#[path = "../../overlay/benches/common/times.rs"]
mod times;

use agent::Session;
use machine::Machine;
use swarm::{Swarm, eventually};
use times::{print, print_spread};

const MANAGERS: usize = 3;
const NODES: u8 = 50;
/// Each on a network of its own, with a published port.
const SERVICES: u16 = 10;
const REPLICAS: usize = 50;
const TASKS: usize = SERVICES as usize * REPLICAS;
/// Tasks that begin to run, and then fail, one at a time; the others run all along.
const CHANGES: usize = 200;
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(20);
/// Between an agent's heartbeats.
const BEAT: Duration = Duration::from_millis(300);
/// For whatever takes long.
const PATIENCE: Duration = Duration::from_secs(60);

const FIRST_PORT: u16 = 8_001;
const TARGET: u16 = 80;
/// Reports on their way to an agent's session.
const ORDERS: usize = 64;

/// What a node works out; none yet.
type Wanted<T> = Option<Arc<T>>;
/// What something took, each time.
type Took = Arc<Mutex<Vec<Duration>>>;

fn main() {
    if child::compile_if_asked() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let started = Instant::now();
    let swarm = Swarm::of(MANAGERS).await;
    let mut nodes = Vec::new();
    for place in 1..=NODES {
        nodes.push(Node::join(&swarm, place).await);
    }
    for number in 0..SERVICES {
        create(&swarm, number).await;
    }
    eventually("all tasks have nodes", || async {
        let assigned: usize = nodes.iter().map(|node| node.tasks.borrow().len()).sum();
        (assigned == TASKS).then_some(())
    })
    .await;
    print("managers, nodes and tasks", started.elapsed());

    let machine = machine();
    let kernel = Kernel::open(&machine, &nodes[0]).await;
    let ends = ends(&swarm, &nodes).await;
    let (stay, change) = ends.split_at(TASKS - CHANGES);
    for end in stay {
        nodes[end.node].report(end, TaskState::Running).await;
    }
    for node in &nodes {
        for end in stay {
            node.is_led(end, true).await;
        }
    }
    for (what, state) in
        [("a task runs", TaskState::Running), ("a task has failed", TaskState::Failed)]
    {
        kernel.forget_times();
        let (mut known, mut done) = (Vec::new(), Vec::new());
        for end in change {
            tokio::time::sleep(PAUSE).await;
            let serves = state == TaskState::Running;
            let started = Instant::now();
            nodes[end.node].report(end, state).await;
            for node in &nodes {
                node.is_led(end, serves).await;
            }
            known.push(started.elapsed());
            kernel.is_led(end, serves).await;
            done.push(started.elapsed());
        }
        println!("{what}, of {TASKS} tasks behind {SERVICES} services on {NODES} nodes");
        print_spread("  until all nodes have worked out their rules", known);
        print_spread("  and one of them has them in its kernel", done);
        kernel.print_times();
    }
}

/// A service on a network of its own.
async fn create(swarm: &Swarm, number: u16) {
    let leader = swarm.leader().await.manager();
    let network = NetworkSpec {
        name: format!("net{number}"),
        driver: Driver { name: OVERLAY.into(), ..Driver::default() },
        ..NetworkSpec::default()
    };
    let network = leader.create_network(None, &network).await.expect("a network");
    let join = NetworkAttachmentConfig { target: network.to_string(), ..Default::default() };
    let port = PortConfig {
        target_port: TARGET,
        published_port: FIRST_PORT + number,
        ..PortConfig::default()
    };
    let never = RestartPolicy { condition: RestartCondition::None, ..RestartPolicy::default() };
    let spec = ServiceSpec {
        name: format!("web{number}"),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec { image: "app:1".into(), ..Default::default() }),
            networks: vec![join],
            restart_policy: Some(never),
            ..TaskSpec::default()
        }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(REPLICAS as u64) }),
        endpoint_spec: Some(EndpointSpec { ports: vec![port], ..EndpointSpec::default() }),
        ..ServiceSpec::default()
    };
    let id = ServiceId::from_bits(rand::rng().random());
    let change = Change::CreateService { id, spec: Box::new(spec) };
    leader.write(None, change).await.expect("a service");
}

/// Where connections to a task go.
struct End {
    task: TaskId,
    /// The place of its node.
    node: usize,
    network: NetworkId,
    address: IpAddr,
    /// Its address on the routing mesh.
    ingress: Ipv4Addr,
}

/// Those of all tasks, in the order of their ids, which is no order of theirs.
async fn ends(swarm: &Swarm, nodes: &[Node]) -> Vec<End> {
    let mesh = swarm.leader().await.manager().state().ingress().expect("a routing mesh");
    let mut ends = Vec::new();
    for (node, tasks) in nodes.iter().map(|node| node.tasks.borrow().clone()).enumerate() {
        for (task, assigned) in tasks {
            let (on_mesh, on): (Vec<_>, Vec<_>) =
                assigned.attachments.into_iter().partition(|on| on.network == mesh);
            let ([on_mesh], [on]) = (&on_mesh[..], &on[..]) else {
                panic!("a task has an address on its network and one on the mesh");
            };
            let IpAddr::V4(ingress) = on_mesh.addresses[0].addr() else {
                panic!("the mesh is of IPv4");
            };
            let (network, address) = (on.network, on.addresses[0].addr());
            ends.push(End { task, node, network, address, ingress });
        }
    }
    ends.sort_by_key(|end| end.task);
    ends
}

// === impl End ===

impl End {
    /// Whether a node's virtual addresses lead here; a node that is not on the network has
    /// none.
    fn is_balanced(&self, desired: &Desired, serves: bool) -> bool {
        desired.networks.get(&self.network).is_none_or(|network| {
            let mut all = network.balanced.values();
            all.any(|backends| backends.contains(&self.address)) == serves
        })
    }

    /// Whether a node's published ports lead here.
    fn is_published(&self, desired: &DesiredPorts, serves: bool) -> bool {
        let end = (self.ingress, TARGET);
        desired.ports.values().any(|ends| ends.backends.contains(&end)) == serves
    }
}

/// Returns when it is so.
async fn until<T>(wanted: &watch::Receiver<Wanted<T>>, is_so: impl Fn(&T) -> bool) {
    let mut wanted = wanted.clone();
    let there = wanted.wait_for(|wanted| wanted.as_ref().is_some_and(|wanted| is_so(wanted)));
    let there = tokio::time::timeout(PATIENCE, there).await;
    there.expect("it does not take so long").expect("somebody works it out");
}

/// A node, as the measurement sees it.
struct Node {
    orders: mpsc::Sender<(TaskId, TaskState)>,
    tasks: watch::Receiver<BTreeMap<TaskId, Assignment>>,
    networks: watch::Receiver<Wanted<Desired>>,
    ports: watch::Receiver<Wanted<DesiredPorts>>,
}

// === impl Node ===

impl Node {
    /// A new one, whose address follows its place.
    async fn join(swarm: &Swarm, place: u8) -> Self {
        let credentials = swarm.join(&swarm.tokens.worker).await.expect("a certificate");
        let channels = Channels::new(Tls::new(&credentials).expect("credentials"));
        let session = eventually("the leader welcomes agents", || async {
            let address = &swarm.leader().await.address;
            let mut session = Session::open(&channels, address).await.ok()?;
            session.say(FromAgent::Describe(describe(place))).await;
            matches!(session.hear().await.ok()?, ToAgent::Welcome(_)).then_some(session)
        })
        .await;
        let (orders, ordered) = mpsc::channel(ORDERS);
        let agent = Agent {
            session,
            view: NetworkView::new(credentials.identity.node),
            reports: 0,
            tasks: watch::Sender::default(),
            networks: watch::Sender::new(None),
            ports: watch::Sender::new(None),
        };
        let node = Self {
            orders,
            tasks: agent.tasks.subscribe(),
            networks: agent.networks.subscribe(),
            ports: agent.ports.subscribe(),
        };
        tokio::spawn(agent.follow(ordered));
        node
    }

    async fn report(&self, end: &End, state: TaskState) {
        self.orders.send((end.task, state)).await.expect("the session goes on");
    }

    /// Returns when the node leads connections to a task, or none any more.
    async fn is_led(&self, end: &End, serves: bool) {
        until(&self.networks, |desired| end.is_balanced(desired, serves)).await;
        until(&self.ports, |desired| end.is_published(desired, serves)).await;
    }
}

fn describe(place: u8) -> pb::Describe {
    let address = address(place);
    let driver = EnginePlugin { kind: NETWORK_PLUGIN.into(), name: OVERLAY_DRIVER.into() };
    let description = NodeDescription {
        hostname: format!("n{place}"),
        resources: Resources { nano_cpus: 1 << 40, memory_bytes: 1 << 40, ..Resources::default() },
        engine: EngineDescription { plugins: vec![driver], ..EngineDescription::default() },
        agent_address: format!("{address}:2377"),
        data_path_address: address.to_string(),
        kernel_ports: true,
        feature_level: FEATURE_LEVEL,
        ..NodeDescription::default()
    };
    pb::Describe { description: wire::encode(&description), knows_port_news: true }
}

fn address(place: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 200, 0, place)
}

/// What a node's agent does of networks.
struct Agent {
    session: Session,
    view: NetworkView,
    reports: u64,
    tasks: watch::Sender<BTreeMap<TaskId, Assignment>>,
    networks: watch::Sender<Wanted<Desired>>,
    ports: watch::Sender<Wanted<DesiredPorts>>,
}

// === impl Agent ===

impl Agent {
    async fn follow(mut self, mut ordered: mpsc::Receiver<(TaskId, TaskState)>) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    self.session.say(FromAgent::Heartbeat(pb::Heartbeat {})).await;
                }
                order = ordered.recv() => match order {
                    Some((task, state)) => self.report(task, state).await,
                    None => return,
                },
                message = self.session.hear() => match message {
                    Ok(message) => self.hear(message),
                    // At the end all goes at once.
                    Err(_) if ordered.is_closed() => return,
                    Err(error) => panic!("the session goes on: {error}"),
                },
            }
        }
    }

    async fn report(&mut self, task: TaskId, state: TaskState) {
        if state > TaskState::Running {
            // As an agent does: its own node is the first to lead nobody to it.
            self.view.end(task);
            self.work_out();
        }
        self.reports += 1;
        self.session.report(self.reports, task, state).await;
    }

    fn hear(&mut self, message: ToAgent) {
        match message {
            ToAgent::Networks(told) => {
                let news = wire::decode(&told.news).expect("ours");
                let is_new = self.view.learn(news);
                if is_new {
                    self.work_out();
                }
            }
            ToAgent::Ports(told) => {
                let news = wire::decode(&told.news).expect("ours");
                let ingress = match told.ingress.is_empty() {
                    true => None,
                    false => wire::decode(&told.ingress).expect("ours"),
                };
                let is_new = self.view.learn_ports(news, ingress);
                if is_new {
                    self.work_out_ports();
                }
            }
            ToAgent::Assignments(told) => {
                let update: Vec<Assignment> = wire::decode(&told.update).expect("ours");
                update.into_iter().for_each(|task| self.take(task));
                self.work_out();
            }
            ToAgent::Redirect(_) => panic!("another manager leads now: measure again"),
            _ => {}
        }
    }

    /// A task whose container is there from now on.
    fn take(&mut self, task: Assignment) {
        let there = self.tasks.borrow().len();
        if self.tasks.borrow().contains_key(&task.id) {
            return;
        }
        let last = 5 + u8::try_from(there).expect("few tasks on each node");
        let local = Local { v4: Some(Ipv4Addr::new(172, 18, 0, last)), v6: None };
        self.view.join(&task, local);
        self.tasks.send_modify(|tasks| drop(tasks.insert(task.id, task)));
    }

    /// Of networks, published ports depend on them too.
    fn work_out(&mut self) {
        self.networks.send_replace(self.view.desired().map(Arc::new));
        self.work_out_ports();
    }

    fn work_out_ports(&mut self) {
        self.ports.send_replace(Some(Arc::new(self.view.desired_ports())));
    }
}

/// The kernel of one node, kept as the node works out.
struct Kernel {
    networks: watch::Receiver<Wanted<Desired>>,
    ports: watch::Receiver<Wanted<DesiredPorts>>,
    networks_took: Took,
    ports_took: Took,
}

// === impl Kernel ===

impl Kernel {
    async fn open(machine: &Machine, node: &Node) -> Self {
        let settings =
            Settings { machine: machine.path(), ..Settings::new(format!("{}r", machine.name())) };
        let overlay = Overlay::open(settings).await.expect("opened");
        let settings = PortsSettings { machine: machine.path(), ..PortsSettings::default() };
        let kernel_ports = Ports::open(settings).await.expect("opened");
        let (networks_done, networks) = watch::channel(None);
        let (ports_done, ports) = watch::channel(None);
        let (networks_took, ports_took) = (Took::default(), Took::default());
        let (wanted, took) = (node.networks.clone(), networks_took.clone());
        tokio::spawn(keep_networks(overlay, wanted, networks_done, took));
        let (wanted, took) = (node.ports.clone(), ports_took.clone());
        tokio::spawn(keep_ports(kernel_ports, wanted, ports_done, took));
        Self { networks, ports, networks_took, ports_took }
    }

    /// Returns when the kernel leads connections to a task, or none any more.
    async fn is_led(&self, end: &End, serves: bool) {
        until(&self.networks, |desired| end.is_balanced(desired, serves)).await;
        until(&self.ports, |desired| end.is_published(desired, serves)).await;
    }

    fn forget_times(&self) {
        for took in [&self.networks_took, &self.ports_took] {
            took.lock().expect("nobody panicked").clear();
        }
    }

    fn print_times(&self) {
        for (what, took) in [
            ("  of that, the kernel's networks", &self.networks_took),
            ("  of that, the kernel's published ports", &self.ports_took),
        ] {
            print_spread(what, took.lock().expect("nobody panicked").clone());
        }
    }
}

async fn keep_networks(
    overlay: Overlay,
    mut wanted: watch::Receiver<Wanted<Desired>>,
    done: watch::Sender<Wanted<Desired>>,
    took: Took,
) {
    let mut linked: BTreeSet<Veth> = BTreeSet::new();
    wanted.mark_changed();
    while wanted.changed().await.is_ok() {
        let Some(desired) = wanted.borrow_and_update().clone() else { continue };
        for network in desired.networks.values() {
            for veth in network.here.values() {
                if linked.insert(veth.clone()) {
                    overlay.link(veth, network, desired.address).await.expect("linked");
                }
            }
        }
        let started = Instant::now();
        let applied = overlay.apply(Desired::clone(&desired)).await.expect("applied");
        assert!(applied.failed.is_empty() && applied.lost.is_empty(), "{applied:?}");
        if !applied.is_nothing() {
            took.lock().expect("nobody panicked").push(started.elapsed());
        }
        done.send_replace(Some(desired));
    }
}

async fn keep_ports(
    ports: Ports,
    mut wanted: watch::Receiver<Wanted<DesiredPorts>>,
    done: watch::Sender<Wanted<DesiredPorts>>,
    took: Took,
) {
    wanted.mark_changed();
    while wanted.changed().await.is_ok() {
        let Some(desired) = wanted.borrow_and_update().clone() else { continue };
        let started = Instant::now();
        let applied = ports.apply(DesiredPorts::clone(&desired)).await.expect("applied");
        if !applied.is_nothing() {
            took.lock().expect("nobody panicked").push(started.elapsed());
        }
        done.send_replace(Some(desired));
    }
}

/// The machine of the first node, with an engine's bridge.
fn machine() -> Machine {
    let machine = Machine::new("swme");
    let own = format!("address add {}/24 dev eth0", address(1));
    for words in [
        "link add docker_gwbridge type bridge",
        "address add 172.18.0.1/16 dev docker_gwbridge",
        "link set docker_gwbridge up",
        "link add eth0 type bridge",
        &own,
        "link set eth0 up",
    ] {
        machine.ip(words);
    }
    machine
}
