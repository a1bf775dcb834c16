//! With a real engine, and a driver that wires containers in its own namespace.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use swarmw_engine_driver::{Driver, Memory, Serving};
use swarmw_model::{
    Assignment, Driver as DriverSpec, EnginePlugin, EngineSocket, NETWORK_PLUGIN, Network,
    NetworkAttachment, NetworkId, NetworkSpec, NodeDescription, NodeId, OVERLAY, OVERLAY_DRIVER,
    PortProtocol, ServiceFacts, ServiceId, TaskId, TaskState,
};
use swarmw_registry::CredentialHelpers;
use swarmw_test_engine::{IMAGE, TestEngine, Veths};
use tempfile::TempDir;
use tokio::sync::watch;

use super::engine::Engine;
use super::executor::DockerExecutor;
use super::left::{LeftOnEngine, clear_left};
use super::monitor::{Said, describe};
use super::shadows::Shadows;
use crate::executor::{Executor, Found};

/// A node's engine and its driver.
struct Node {
    _folder: TempDir,
    machine: TestEngine,
    engine: Arc<Engine>,
    memory: Arc<Memory>,
    serving: Option<Serving>,
}

// === impl Node ===

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = TestEngine::started(folder.path());
        let memory = Arc::new(Memory::open(folder.path().join("memory")).expect("opens"));
        let driver = Driver::new(Arc::new(Veths::new(machine.inside())), memory.clone());
        let socket = machine.plugins().join("swarmw.sock");
        let serving = Some(driver.serve(&socket).await.expect("serves"));
        let engine = Engine::new(machine.socket());
        engine.is_up(1);
        Self { _folder: folder, machine, engine, memory, serving }
    }

    /// Shadows of a daemon that begins now.
    fn shadows(&self, networks: &[&Network], grace: Duration) -> Arc<Shadows> {
        let shadows = Shadows::with_grace(self.engine.clone(), true, grace);
        shadows.serve(self.memory.clone());
        shadows.tell(networks.iter().map(|n| (n.id, (*n).clone())).collect());
        shadows
    }

    /// An executor of a daemon that begins now.
    fn executor(&self, networks: &[&Network]) -> DockerExecutor {
        let shadows = self.shadows(networks, Duration::ZERO);
        DockerExecutor::new(
            self.engine.clone(),
            shadows,
            "n1".to_owned(),
            EngineSocket::default(),
            CredentialHelpers::default(),
        )
    }

    #[track_caller]
    fn docker(&self, line: &str) -> String {
        let said = self.machine.docker(&line.split(' ').collect::<Vec<_>>());
        said.unwrap_or_else(|why| panic!("docker {line}: {why}"))
    }

    /// Names of the engine's networks with our driver.
    fn names(&self) -> Vec<String> {
        let all = self.docker("network ls --filter driver=swarmw --format {{.Name}}");
        all.lines().map(str::to_owned).collect()
    }
}

fn network(number: u128, name: &str) -> Network {
    Network {
        id: NetworkId::from_bits(number),
        version: Default::default(),
        created_at: Default::default(),
        updated_at: Default::default(),
        spec: NetworkSpec {
            name: name.to_owned(),
            driver: DriverSpec { name: OVERLAY.to_owned(), ..Default::default() },
            ..Default::default()
        },
        pools: Vec::new(),
        vni: 4097,
    }
}

/// A task with these addresses, that answers on port 80 wherever it is.
fn task(on: &[(&Network, &str)], networks: &[&str]) -> Assignment {
    let attachment = |(network, address): &(&Network, &str)| NetworkAttachment {
        network: network.id,
        addresses: vec![address.parse().expect("an address")],
    };
    let command = "while true; do echo hello | nc -l -p 80; done";
    let spec = json!({
        "ContainerSpec": {
            "Image": IMAGE, "Command": ["sh", "-c", command], "StopGracePeriod": 0
        },
        "Networks": networks.iter().map(|target| json!({"Target": target})).collect::<Vec<_>>(),
    });
    Assignment {
        id: TaskId::from_bits(1),
        service_id: ServiceId::from_bits(2),
        service: Arc::new(ServiceFacts { name: "web".to_owned(), ..Default::default() }),
        slot: 1,
        node_id: NodeId::from_bits(4),
        spec: Arc::new(serde_json::from_value(spec).expect("a task spec")),
        desired_state: TaskState::Running,
        status: Default::default(),
        job_iteration: None,
        attachments: on.iter().map(attachment).collect(),
        generic_resources: Vec::new(),
    }
}

async fn address(executor: &DockerExecutor, task: &Assignment) -> SocketAddr {
    let address = executor.address(task.id, 80, PortProtocol::Tcp).await;
    address.expect("the task is reached from its node")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_on_its_networks_and_reached_from_its_node_by_a_bridge() {
    let node = Node::new().await;
    let (front, back) = (network(71, "front"), network(72, "back"));
    // Of the second subnet of its network.
    let task = task(&[(&front, "10.71.1.5/24"), (&back, "10.72.2.9/24")], &[]);
    node.executor(&[&front, &back]).prepare(&task).await.expect("a container");

    // The daemon starts anew: what was made is made; what is missing is still to be done.
    let executor = node.executor(&[&front, &back]);
    executor.prepare(&task).await.expect("it is there");
    executor.start(&task).await.expect("it starts");

    let shown = node.docker(&format!("exec {} ip -o -4 addr", task.name()));
    assert!(shown.contains("10.71.1.5/24") && shown.contains("10.72.2.9/24"), "{shown}");
    let reached = address(&executor, &task).await;
    assert!(reached.ip().to_string().starts_with("172."), "{reached}");
    let (ip, port) = (reached.ip().to_string(), reached.port().to_string());
    let said = node.machine.run(&["busybox", "nc", "-w", "5", &ip, &port]).expect("connects");
    assert_eq!(said, "hello");

    // And again: this time it runs.
    let executor = node.executor(&[&front, &back]);
    let found = executor.find(&task).await.expect("found");
    assert!(matches!(found, Found::Running(_)), "{found:?}");
    assert_eq!(address(&executor, &task).await, reached);

    executor.remove(&task).await.expect("removed");
    assert_eq!(node.memory.endpoints(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_networks_is_on_the_engines_bridge_and_one_on_host_on_the_nodes_own() {
    let node = Node::new().await;
    let executor = node.executor(&[]);
    for (networks, begins) in [(&[][..], "172."), (&["host"][..], "127.0.0.1")] {
        let task = task(&[], networks);
        executor.prepare(&task).await.expect("a container");
        executor.start(&task).await.expect("it starts");
        let reached = address(&executor, &task).await;
        assert!(reached.ip().to_string().starts_with(begins), "{reached}");
        executor.remove(&task).await.expect("removed");
    }
    assert_eq!(node.names(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_made_once_found_again_and_named_apart_where_its_name_is_taken() {
    let node = Node::new().await;
    node.docker("network create taken");
    let (web, taken) = (network(73, "web"), network(74, "taken"));
    let shadows = node.shadows(&[], Duration::ZERO);

    let many = (0..16).map(|_| shadows.ensure(&web));
    let all = futures::future::try_join_all(many).await.expect("made");
    assert!(all.iter().all(|shadow| *shadow == all[0]), "{all:?}");
    let other = shadows.ensure(&taken).await.expect("made");
    assert_eq!(other.name, format!("taken.{}", taken.id));
    assert_eq!(node.names().len(), 2);

    let anew = node.shadows(&[], Duration::ZERO);
    assert_eq!(anew.ensure(&web).await.expect("found"), all[0]);
    let mut listed: Vec<_> =
        anew.shadows().await.expect("listed").into_iter().map(|s| s.network).collect();
    listed.sort_unstable();
    assert_eq!(listed, [web.id, taken.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_shadow_goes_when_nobody_needs_it_or_is_about_to() {
    let node = Node::new().await;
    let web = network(75, "web");
    let patient = node.shadows(&[], Duration::from_secs(600));
    let hasty = node.shadows(&[], Duration::ZERO);
    let nobody = |_| false;
    patient.promise(&web).await.expect("made");

    patient.keep_only(nobody).await.expect("looked");
    assert_eq!(node.names(), ["web"], "it was named to somebody a moment ago");
    node.docker(&format!("create --name c1 --network web {IMAGE} true"));
    hasty.keep_only(nobody).await.expect("looked");
    assert_eq!(node.names(), ["web"], "a container that never ran could not start without");
    node.docker("start c1");
    node.docker(&format!("run -d --name c2 --network web {IMAGE} sleep 600"));
    hasty.keep_only(nobody).await.expect("looked");
    let residents = hasty.residents().await.expect("listed");
    let endpoints: Vec<_> = node
        .memory
        .endpoints()
        .iter()
        .filter(|e| e.sandbox.is_some())
        .map(|e| e.id.to_string())
        .collect();
    assert_eq!(residents.iter().map(|r| r.endpoint.clone()).collect::<Vec<_>>(), endpoints);
    assert!(residents.iter().all(|r| r.network == web.id));

    node.docker("rm -f c1 c2");
    hasty.keep_only(|id| id == web.id).await.expect("looked");
    assert_eq!(node.names(), ["web"], "it is needed");
    hasty.keep_only(nobody).await.expect("looked");
    assert_eq!(node.names(), [""; 0]);
    assert_eq!(node.memory.networks(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_the_driver_forgot_is_taken_up_and_goes_with_the_node() {
    let node = Node::new().await;
    let (web, back) = (network(76, "web"), network(77, "back"));
    let shadows = node.shadows(&[], Duration::ZERO);
    for network in [&web, &back] {
        shadows.ensure(network).await.expect("made");
    }
    let forget_all = || {
        for known in node.memory.networks() {
            node.memory.forget_network(&known.id).expect("forgotten");
        }
    };
    let told = node.memory.networks();
    // The folder was another, or was lost.
    forget_all();
    let run = |name: &str, network: &str| {
        node.docker(&format!("run -d --name {name} --network {network} {IMAGE} sleep 600"));
    };
    shadows.ensure(&web).await.expect("found");
    run("c1", "web");
    forget_all();
    shadows.acquaint().await.expect("looked");
    assert_eq!(node.memory.networks(), told);
    run("c2", "back");

    shadows.remove_all().await.expect("removed");
    assert_eq!(node.names(), [""; 0]);
    assert_eq!((node.memory.networks(), node.memory.endpoints()), (vec![], vec![]));
    assert_eq!(node.docker("ps -q").lines().count(), 2, "containers that no service made go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_left_on_its_engine_is_cleared_without_its_agent() {
    let mut node = Node::new().await;
    let (web, other) = (network(80, "web"), network(81, "other"));
    let task = task(&[(&web, "10.80.1.5/24")], &[]);
    let executor = node.executor(&[&web]);
    executor.prepare(&task).await.expect("a container");
    executor.start(&task).await.expect("it starts");
    node.docker(&format!("run -d --name plain --network web {IMAGE} sleep 600"));
    node.shadows(&[], Duration::ZERO).ensure(&other).await.expect("made");
    // The agent is gone, and so is what it remembered.
    if let Some(serving) = node.serving.take() {
        serving.end().await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = node.machine.plugins().join("swarmw.sock");
    let driver = Some((socket.as_path(), folder.path().to_owned()));
    let left = [LeftOnEngine { node: task.node_id, networks: vec![web.id] }];

    let gone = clear_left(&node.machine.socket(), driver, &left).await.expect("cleared");

    assert_eq!(gone, 1);
    assert_eq!(node.docker("ps --format {{.Names}}").trim(), "plain", "no task's: it goes on");
    assert_eq!(node.names(), ["other"], "another cluster's stays");
    assert!(!socket.exists(), "nobody serves the driver any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_on_no_bridge_is_looked_for_when_its_ports_are_asked_for() {
    let node = Node::new().await;
    let mut inner = network(78, "inner");
    inner.spec.internal = true;
    let task = task(&[(&inner, "10.78.1.5/24")], &[]);
    let executor = node.executor(&[&inner]);
    executor.prepare(&task).await.expect("a container");
    executor.start(&task).await.expect("it starts");
    assert_eq!(executor.address(task.id, 80, PortProtocol::Tcp).await, None);

    node.docker("network create -o com.docker.network.bridge.name=docker_gwbridge docker_gwbridge");
    node.docker(&format!("network connect docker_gwbridge {}", task.name()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let reached = address(&executor, &task).await;
    assert!(reached.ip().to_string().starts_with("172."), "{reached}");
    executor.remove(&task).await.expect("removed");
    assert_eq!(executor.address(task.id, 80, PortProtocol::Tcp).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_was_pruned_is_made_again_at_the_next_look() {
    let node = Node::new().await;
    let driver = EnginePlugin { kind: NETWORK_PLUGIN.to_owned(), name: OVERLAY_DRIVER.to_owned() };
    let mut description = NodeDescription::default();
    description.engine.plugins.push(driver);
    let told = watch::Sender::new(description.clone());
    let said = Said { id: NodeId::from_bits(4), description };
    let bridge = || {
        let made = "network ls --filter name=docker_gwbridge --format {{.Name}}:{{.IPv6}}";
        node.docker(made).trim().to_owned()
    };
    describe(&node.engine, &said, &told).await.expect("the engine answers");
    let first = bridge();
    assert!(first.starts_with("docker_gwbridge:"), "{first}");
    let v6 = told.borrow().gateway_v6;
    assert!(first.ends_with(&v6.to_string()), "{first}");

    node.docker("network prune --force");
    assert_eq!(bridge(), "");
    describe(&node.engine, &said, &told).await.expect("the engine answers");
    assert_eq!((bridge(), told.borrow().gateway_v6), (first, v6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_on_the_mesh_alone_is_on_the_engines_bridge_until_it_has_ended() {
    let node = Node::new().await;
    let mut mesh = network(79, "ingress");
    mesh.spec.ingress = true;
    let task = task(&[(&mesh, "10.0.0.7/24")], &[]);
    let shadows = node.shadows(&[&mesh], Duration::ZERO);
    let executor = DockerExecutor::new(
        node.engine.clone(),
        shadows.clone(),
        "n1".to_owned(),
        EngineSocket::default(),
        CredentialHelpers::default(),
    );
    executor.prepare(&task).await.expect("a container");
    executor.start(&task).await.expect("it starts");
    let reached = address(&executor, &task).await;
    let on = shadows.bridged().borrow().get(&task.id).cloned().expect("it is told of");
    assert_eq!(on.local.v4.map(IpAddr::V4), Some(reached.ip()));
    assert_eq!(on.attachments, task.attachments);
    assert_eq!(node.names(), [""; 0], "nothing stands for the mesh");
    let made = node.docker("network inspect docker_gwbridge --format {{.EnableIPv6}}{{.Options}}");
    let v6 = on.local.v6.is_some().to_string();
    assert!(made.starts_with(&v6) && made.contains("enable_icc:false"), "{made}");

    let again = node.shadows(&[&mesh], Duration::ZERO);
    let restarted = DockerExecutor::new(
        node.engine.clone(),
        again.clone(),
        "n1".to_owned(),
        EngineSocket::default(),
        CredentialHelpers::default(),
    );
    let found = restarted.find(&task).await.expect("looked");
    assert!(matches!(found, Found::Running(_)), "{found:?}");
    assert_eq!(again.bridged().borrow().get(&task.id), Some(&on), "after a restart");
    executor.stop(&task).await.expect("it stops");
    assert!(shadows.bridged().borrow().is_empty());
    executor.remove(&task).await.expect("removed");
}
