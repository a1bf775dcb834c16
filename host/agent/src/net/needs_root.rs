//! Containers' namespaces as an engine makes them, without an engine: what it would ask its
//! driver is asked here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;
use swarmw_ambient::Ambient;
use swarmw_ca::{Credentials, Identity, KeyPair, RootCa, Tls};
use swarmw_engine_driver::{AddressRequest, Attach, Endpoint, EngineNetwork, Purpose, Serving};
use swarmw_model::{
    ClusterId, EndpointId, Network, NetworkAttachment, NetworkEndpoint, NetworkId, NetworkNews,
    NetworkPeer, NodeId, NodeRole, Pool, ServiceId, ServiceOnNetworks, TaskId, Time, VirtualIp,
};
use swarmw_overlay::Settings;
use swarmw_proto::Channels;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::desire::veth;
use super::{Heard, Leader, Networks, Parts};
use crate::docker::{Engine, Shadows};
use crate::forward::Forward;
use crate::store::Store;

const NODE: NodeId = NodeId::from_bits(1);

/// A node on two networks, `web1` and `web2`, each with a service of that name, without a
/// leader that is reached.
struct Node {
    networks: Networks,
    ended: watch::Sender<std::collections::BTreeSet<TaskId>>,
    over: watch::Sender<std::collections::BTreeSet<TaskId>>,
    cancel: CancellationToken,
    /// The machine's namespace, and those of containers.
    machine: Space,
    router: String,
    _serving: Serving,
    _folder: TempDir,
}

/// A namespace, gone with this.
struct Space(String);

// === impl Space ===

impl Space {
    fn name() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("swn{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn new() -> Self {
        let space = Self(Self::name());
        space.make();
        space
    }

    /// The place for one.
    fn later() -> Self {
        Self(Self::name())
    }

    fn make(&self) {
        run(&format!("ip netns add {}", self.0));
        self.run("ip link set lo up");
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    #[track_caller]
    fn run(&self, words: &str) -> String {
        run(&format!("ip netns exec {} {words}", self.0))
    }

    /// What processes there find by a name.
    fn finds(&self, name: &str) -> String {
        let program = format!("ip netns exec {} dig +short +tries=1 +time=2 @127.0.0.11", self.0);
        let mut words = program.split(' ').chain(name.split(' '));
        let output = Command::new(words.next().unwrap_or_default()).args(words).output();
        let said = String::from_utf8_lossy(&output.expect("dig").stdout).into_owned();
        // What it says of its own troubles are comments.
        said.lines().filter(|line| !line.starts_with(';')).collect()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

#[track_caller]
fn run(words: &str) -> String {
    let mut parts = words.split(' ');
    let output = Command::new(parts.next().unwrap_or_default()).args(parts).output();
    let output = output.expect("iproute2 and nftables are installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {said} (tests with namespaces need root)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tls() -> Tls {
    let (cluster, now) = (ClusterId::from_bits(1), Ambient::system().now());
    let root = RootCa::generate(cluster, now).expect("a root");
    let identity = Identity { node: NODE, cluster, role: NodeRole::Worker };
    let key = KeyPair::generate().expect("a key");
    let life = swarmw_model::Duration::from_secs(3_600);
    let chain_pem = root.sign(&key.csr_pem, &identity, life, now).expect("a certificate");
    let root_pem = root.certificate_pem.clone();
    Tls::new(&Credentials { identity, chain_pem, key_pem: key.key_pem, root_pem }).expect("TLS")
}

fn net(text: String) -> IpNet {
    text.parse().expect("an address")
}

/// A network with a service that has a virtual address, and a task of it here.
fn news(numbers: &[u32]) -> NetworkNews {
    let mut news = NetworkNews { complete: true, data_path_port: 4789, ..Default::default() };
    let address = "192.168.9.1".parse().expect("an address");
    let (hostname, agent) = ("n1".to_owned(), String::new());
    news.peers = vec![NetworkPeer { node: NODE, number: 1, address, hostname, agent }];
    for number in numbers {
        let id = NetworkId::from_bits(u128::from(*number));
        let pool = Pool {
            subnet: net(format!("10.{number}.0.0/24")),
            range: net(format!("10.{number}.0.0/24")),
            gateway: net(format!("10.{number}.0.1/24")).addr(),
            auxiliary: Default::default(),
        };
        let spec = json!({"Name": format!("net{number}"), "Driver": {"Name": "overlay"}});
        news.networks.push(Network {
            id,
            version: Default::default(),
            created_at: Time::default(),
            updated_at: Time::default(),
            spec: serde_json::from_value(spec).expect("a spec"),
            pools: vec![pool],
            vni: 4096 + number,
        });
        let service = ServiceId::from_bits(u128::from(*number));
        news.services.push(ServiceOnNetworks {
            id: service,
            name: format!("web{number}"),
            mode: Default::default(),
            virtual_ips: vec![VirtualIp { network: id, addr: net(format!("10.{number}.0.2/24")) }],
            aliases: Default::default(),
        });
        let on = |last: u8| {
            let addresses = vec![net(format!("10.{number}.0.{last}/24"))];
            vec![NetworkAttachment { network: id, addresses }]
        };
        news.endpoints.push(NetworkEndpoint {
            id: EndpointId::Task(TaskId::from_bits(u128::from(*number))),
            service: Some(service),
            names: vec![format!("web{number}.1")],
            node: NODE,
            on: on(5),
            serves: true,
            user_space: false,
        });
    }
    news
}

/// A container's place on a network: `e` and a letter of its own.
fn endpoint(number: u32, letter: char, space: &Space) -> Endpoint {
    Endpoint {
        id: format!("e{letter}{number}").parse().expect("an id"),
        on: format!("n{number}").parse().expect("an id"),
        network: NetworkId::from_bits(u128::from(number)),
        addresses: vec![net(format!("10.{number}.0.{}/24", u32::from(letter)))],
        mac: None,
        sandbox: Some(space.path()),
    }
}

// === impl Node ===

impl Node {
    async fn new() -> Self {
        let machine = Space::new();
        machine.run("ip link add eth0 type veth peer name cable");
        machine.run("ip link set cable up");
        machine.run("ip address add 192.168.9.1/24 dev eth0");
        machine.run("ip link set eth0 up");
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Engine::new(folder.path().join("nowhere.sock"));
        let (ended, has_ended) = watch::channel(Default::default());
        let (over, is_over) = watch::channel(Default::default());
        let (_, leading) = watch::channel(None);
        let store = Store::open(folder.path().to_owned()).expect("opens");
        let parts = Parts {
            node: NODE,
            heard: Heard::open(NODE, store.clone(), (has_ended, is_over)),
            store,
            forward: Forward::new(),
            repairs: Default::default(),
            shadows: Shadows::new(engine.clone(), true),
            engine,
            leader: Leader::new(leading, Channels::new(tls())),
            ambient: Ambient::system(),
        };
        let router = Space::name();
        let settings = Settings { machine: machine.path(), ..Settings::new(router.clone()) };
        let socket = folder.path().join("driver.sock");
        let begun = Networks::begin_in(settings, parts, &socket).await;
        let (networks, _serving) = begun.expect("it begins");
        networks.learn(news(&[1, 2]));
        let cancel = CancellationToken::new();
        tokio::spawn(networks.clone().keep(cancel.clone()));
        for number in [1, 2] {
            let network = EngineNetwork {
                id: format!("n{number}").parse().expect("an id"),
                network: NetworkId::from_bits(number),
                pools: Vec::new(),
            };
            networks.0.memory.learn_network(&network).expect("written");
        }
        Self { networks, ended, over, cancel, machine, router, _serving, _folder: folder }
    }

    /// As the driver does it.
    async fn join(&self, endpoint: &Endpoint) -> Result<(), String> {
        self.networks.0.memory.learn_endpoint(endpoint).expect("written");
        let sandbox = endpoint.sandbox.as_deref().expect("a sandbox");
        match self.networks.join(endpoint, sandbox).await {
            Ok(_) => Ok(()),
            Err(why) => Err(why.0),
        }
    }

    async fn leave(&self, endpoint: &Endpoint) {
        let left = Endpoint { sandbox: None, ..endpoint.clone() };
        self.networks.0.memory.learn_endpoint(&left).expect("written");
        Attach::leave(&self.networks, endpoint).await.expect("left");
        self.networks.0.memory.forget_endpoint(&endpoint.id).expect("forgotten");
        self.networks.endpoint_gone(endpoint).await.expect("gone");
    }

    async fn address(&self, number: u32, address: &str) -> Result<IpNet, String> {
        let asked = AddressRequest {
            network: NetworkId::from_bits(u128::from(number)),
            pool: net("0.0.0.0/0".to_owned()),
            wanted: Some(address.parse().expect("an address")),
            purpose: Purpose::Endpoint,
        };
        Attach::address(&self.networks, &asked).await.map_err(|why| why.0)
    }

    /// Until names of a service are found, and at once: an answer that does not come is not
    /// waited for.
    #[track_caller]
    fn has_names(&self, space: &Space, name: &str, address: &str) {
        assert_eq!(space.finds(name), address, "{name}: {}", space.run("nft list ruleset"));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cancel.cancel();
        let _ = Command::new("ip").args(["netns", "delete", &self.router]).output();
    }
}

/// Longer than anybody takes to see that a sandbox is there, and to put rules in it.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_container_that_joins_two_networks_at_a_time_has_the_names_of_both() {
    let node = Node::new().await;
    for letter in 'a'..='f' {
        let space = Space::later();
        let (one, two) = (endpoint(1, letter, &space), endpoint(2, letter, &space));
        let (first, second) = tokio::join!(node.join(&one), node.join(&two));
        first.and(second).expect("joined");
        // Only now: both wait for it.
        space.make();
        a_while().await;
        node.has_names(&space, "web1", "10.1.0.2");
        node.has_names(&space, "web2", "10.2.0.2");
        node.leave(&one).await;
        assert_eq!(space.finds("web1"), "", "it is on that network no more");
        node.has_names(&space, "web2", "10.2.0.2");
        node.leave(&two).await;
        assert!(!space.run("nft list tables").contains("swarmw"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_kept_of_containers_that_end_at_once() {
    let node = Node::new().await;
    for letter in 'a'..='j' {
        let space = Space::later();
        let one = endpoint(1, letter, &space);
        node.join(&one).await.expect("joined");
        space.make();
        // Just while its names are about to be served, or after that.
        tokio::time::sleep(Duration::from_millis(u64::from(u32::from(letter)) % 10 * 2)).await;
        node.leave(&one).await;
        a_while().await;
        assert!(node.networks.0.sandboxes.paths().is_empty());
        assert!(!space.run("nft list tables").contains("swarmw"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_somebody_took_away_or_that_were_never_served_are_back() {
    let node = Node::new().await;
    let space = Space::new();
    let one = endpoint(1, 'a', &space);
    node.join(&one).await.expect("joined");
    a_while().await;
    node.has_names(&space, "web1", "10.1.0.2");
    space.run("nft flush ruleset");
    assert_eq!(space.finds("web1"), "");
    node.networks.clone().keep_names().await;
    node.has_names(&space, "web1", "10.1.0.2");

    // The daemon began while nft was not there, say.
    node.networks.0.sandboxes.forget(&space.path()).await;
    node.networks.clone().keep_names().await;
    node.has_names(&space, "web1", "10.1.0.2");
    // And a container that ended unseen leaves nothing open.
    let path = space.path();
    drop(space);
    node.networks.clone().keep_names().await;
    assert!(!node.networks.0.sandboxes.paths().contains(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_names_what_somebody_took_away_and_leaves_it_so() {
    let node = Node::new().await;
    let space = Space::new();
    node.join(&endpoint(1, 'a', &space)).await.expect("joined");
    a_while().await;
    let (well, _) = node.networks.examine().await;
    assert!(well.differences.is_empty(), "at first: {:?}", well.differences);
    assert_eq!((well.networks, well.sandboxes, well.named, well.mtu), (1, 1, 1, 1450));

    // All of this takes less than the keeper's first look is away.
    run(&format!("ip netns exec {} nft delete table inet swarmw", node.router));
    space.run("nft flush ruleset");
    for _ in 0..2 {
        let (told, _) = node.networks.examine().await;
        let said: Vec<_> = told.differences.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(said[0], "table inet swarmw of nftables is missing", "{said:?}");
        assert!(said[1].ends_with("questions for names here are missing"), "{said:?}");
        assert_eq!((said.len(), told.named), (2, 0), "a look mends nothing");
    }

    node.networks.repair().await;
    node.networks.clone().keep_names().await;
    let (mended, _) = node.networks.examine().await;
    assert!(mended.differences.is_empty(), "it was mended: {:?}", mended.differences);
    assert_eq!((mended.named, mended.notes.len()), (1, 2), "{:?}", mended.notes);
    node.networks.0.sandboxes.forget(&space.path()).await;
    let (told, _) = node.networks.examine().await;
    assert!(told.differences[0].what.ends_with("nobody answers questions for names there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_back_the_link_that_somebody_took_away() {
    let node = Node::new().await;
    let space = Space::new();
    let one = endpoint(1, 'a', &space);
    node.join(&one).await.expect("joined");
    a_while().await;
    let link = veth(&one.id);
    run(&format!("ip -n {} link del {link}", node.router));
    node.networks.repair().await;
    let inside = space.run("ip -brief address show dev eth0");
    assert!(inside.contains("UP") && inside.contains("10.1.0.97/24"), "{inside}");
    let routes = space.run("ip route");
    assert!(routes.contains("10.1.0.0/25 via 10.1.0.1 dev eth0"), "{routes}");
    let leads = run(&format!("ip -n {} route get 10.1.0.97", node.router));
    assert!(leads.contains(&format!("dev {link} ")), "{leads}");
    let (told, _) = node.networks.examine().await;
    assert!(told.differences.is_empty(), "{:?}", told.differences);
    let lost = format!("the link {link} of a container is missing");
    assert!(told.notes.iter().any(|note| note.contains(&lost)), "{:?}", told.notes);

    // A container that has just ended gets none.
    run(&format!("ip -n {} link del {link}", node.router));
    drop(space);
    node.networks.repair().await;
    let links = run(&format!("ip -n {} link", node.router));
    assert!(!links.contains(&link.to_string()), "{links}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_has_ended_has_no_name_and_one_that_is_about_to_has_it_yet() {
    let node = Node::new().await;
    let space = Space::new();
    node.join(&endpoint(1, 'a', &space)).await.expect("joined");
    a_while().await;
    let task = TaskId::from_bits(1);
    let looks_up = |name: &str| (space.finds(name), space.finds(&format!("tasks.{name}")));
    assert_eq!(looks_up("web1").1, "10.1.0.5");
    node.ended.send_if_modified(|ended| ended.insert(task));
    a_while().await;
    assert_eq!((looks_up("web1").1, looks_up("web1.1").0), (String::new(), "10.1.0.5".to_owned()));
    assert_eq!(space.finds("-x 10.1.0.5"), "web1.1.net1.");
    node.over.send_if_modified(|over| over.insert(task));
    node.ended.send_modify(|_| {});
    a_while().await;
    assert_eq!((space.finds("web1.1"), space.finds("-x 10.1.0.5")), Default::default());
    // The leader has not heard of it, and tells of it once more.
    node.networks.learn(news(&[1, 2]));
    assert_eq!((space.finds("web1.1"), space.finds("-x 10.1.0.5")), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_one_containers() {
    let node = Node::new().await;
    assert_eq!(node.address(1, "10.1.0.5").await.expect("a task's own").to_string(), "10.1.0.5/24");
    let again = node.address(1, "10.1.0.5").await.expect_err("it is given");
    assert!(again.starts_with("Address already in use: 10.1.0.5"), "{again}");

    // Of an engine that asked before this daemon began.
    let space = Space::new();
    let other =
        Endpoint { addresses: vec![net("10.2.0.5/24".to_owned())], ..endpoint(2, 'a', &space) };
    node.join(&other).await.expect("joined");
    let again = node.address(2, "10.2.0.5").await.expect_err("a container has it");
    assert!(again.starts_with("Address already in use"), "{again}");
    node.leave(&other).await;
    node.networks.release(other.network, other.addresses[0].addr()).await.expect("released");
    node.address(2, "10.2.0.5").await.expect("it is free");

    // A task's that has ended is nobody's, and nobody else's without the leader.
    let first = NetworkId::from_bits(1);
    node.networks.release(first, "10.1.0.5".parse().expect("one")).await.expect("released");
    node.ended.send_if_modified(|ended| ended.insert(TaskId::from_bits(1)));
    let refused = node.address(1, "10.1.0.5").await.expect_err("no leader");
    assert!(refused.contains("no manager of the cluster is reached"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_the_kernel_refuses_takes_no_containers_and_keeps_no_other_from_it() {
    let node = Node::new().await;
    let theirs = "ip link add theirs type vxlan id 4097 dstport 4789 local 192.168.9.1";
    node.machine.run(theirs);
    let space = Space::new();
    let refused = node.join(&endpoint(1, 'a', &space)).await.expect_err("the number is taken");
    assert!(refused.starts_with("VXLAN number 4097 on port 4789 is another device's"), "{refused}");
    node.join(&endpoint(2, 'a', &space)).await.expect("joined");
    node.machine.run("ip link del theirs");
    node.join(&endpoint(1, 'a', &space)).await.expect("joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_leader_removes_no_end_of_a_task_brings_back() {
    let node = Node::new().await;
    let networks = Arc::new(node.networks.clone());
    for _ in 0..300 {
        networks.take_in(news(&[1, 2]));
        let task = TaskId::from_bits(1);
        let removing = {
            let networks = networks.clone();
            std::thread::spawn(move || {
                let remove_endpoints = vec![EndpointId::Task(task)];
                networks.take_in(NetworkNews { remove_endpoints, ..Default::default() });
            })
        };
        networks.drop_ended(&[task].into());
        removing.join().expect("removed");
        assert!(!networks.0.heard.known().endpoints.contains_key(&EndpointId::Task(task)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leader_said_is_written_down_soon() {
    let node = Node::new().await;
    let store = node.networks.0.store.clone();
    node.networks.learn(news(&[1]));
    for _ in 0..100 {
        if store.networks().networks.len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.networks(), *node.networks.0.heard.known());
}
