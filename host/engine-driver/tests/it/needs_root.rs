//! With a real engine.

use std::path::PathBuf;
use std::sync::Arc;

use swarmw_engine_driver::{Driver, Memory, NETWORK_OPTION, Serving};
use swarmw_model::NetworkId;
use swarmw_test_engine::{IMAGE, TestEngine, Veths};
use tempfile::TempDir;

/// An engine, its driver, and who decides.
struct Bench {
    folder: TempDir,
    engine: TestEngine,
    veths: Arc<Veths>,
    memory: Arc<Memory>,
    serving: Option<Serving>,
}

// === impl Bench ===

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = TestEngine::started(folder.path());
        // The engine's namespace is the router between containers.
        engine.run(&["iptables", "-P", "FORWARD", "ACCEPT"]).expect("routes IPv4");
        let forwarding = "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
        engine.run(&["sh", "-c", forwarding]).expect("routes IPv6");
        let veths = Arc::new(Veths::new(engine.inside()));
        let memory = Memory::open(folder.path().join("memory")).expect("opens");
        let mut bench = Self { folder, engine, veths, memory: Arc::new(memory), serving: None };
        bench.serve().await;
        bench
    }

    async fn serve(&mut self) {
        let driver = Driver::new(self.veths.clone(), self.memory.clone());
        self.serving = Some(driver.serve(&self.socket()).await.expect("serves"));
    }

    /// The daemon ends.
    async fn driver_ends(&mut self) {
        self.serving.take().expect("a driver").end().await;
    }

    /// The daemon is back, with what it has on disk.
    async fn driver_is_back(&mut self) {
        let memory = Memory::open(self.folder.path().join("memory")).expect("opens");
        self.memory = Arc::new(memory);
        self.serve().await;
    }

    fn socket(&self) -> PathBuf {
        self.engine.plugins().join("swarmw.sock")
    }

    fn docker(&self, line: &str) -> Result<String, String> {
        self.engine.docker(&line.split(' ').collect::<Vec<_>>())
    }

    /// Must succeed.
    #[track_caller]
    fn does(&self, line: &str) -> String {
        self.docker(line).unwrap_or_else(|why| panic!("docker {line}: {why}"))
    }

    /// Makes a network of the engine for the cluster's network of this number, wide enough
    /// for every address.
    #[track_caller]
    fn create_network(&self, name: &str, number: u128) {
        let id = NetworkId::from_bits(number);
        self.does(&format!(
            "network create -d swarmw --ipam-driver swarmw -o {NETWORK_OPTION}={id} \
             --ipam-opt {NETWORK_OPTION}={id} --ipv6 --subnet 0.0.0.0/0 --subnet ::/0 {name}"
        ));
    }

    /// Nothing of any container is left, in the driver and in the kernel.
    #[track_caller]
    fn nobody_is_left(&self) {
        assert_eq!(self.memory.endpoints(), []);
        assert_eq!(self.veths.given(), Vec::<std::net::IpAddr>::new());
        let links = self.engine.run(&["ip", "-o", "link", "show", "type", "veth"]);
        let links = links.expect("links");
        assert!(links.is_empty(), "{links}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_the_addresses_it_names_reaches_the_others_and_leaves_nothing() {
    let bench = Bench::new().await;
    bench.create_network("web", 61);
    assert_eq!(bench.memory.networks().len(), 1);

    bench.does(&format!("run -d --name c1 --network web --ip 10.61.1.5 {IMAGE} sleep 600"));
    // Of a subnet that the network got later, and with an address of IPv6 of its choice.
    bench.does(&format!(
        "run -d --name c2 --network web --ip 10.61.2.9 --ip6 fd00:61::9 {IMAGE} sleep 600"
    ));
    bench.does(&format!("run -d --name c3 --network web {IMAGE} sleep 600"));

    let shown = bench.does("exec c1 ip -o addr show eth0");
    assert!(shown.contains("10.61.1.5/24") && shown.contains("fd00:61::2/64"), "{shown}");
    let link = bench.does("exec c1 ip link show eth0");
    assert!(link.contains("02:53:57:01:00:05"), "{link}");
    let routes = bench.does("exec c1 ip route");
    assert!(routes.contains("10.61.1.128/25 via 10.61.1.1 dev eth0"), "{routes}");
    assert!(routes.contains("10.61.2.0/25 via 10.61.1.1 dev eth0"), "{routes}");
    assert!(routes.contains("default via 172."), "the engine's own bridge: {routes}");
    for there in ["10.61.2.9", "10.61.1.3", "fd00:61::9"] {
        bench.does(&format!("exec c1 ping -c 1 -w 5 {there}"));
    }
    assert_eq!(bench.memory.endpoints().len(), 3);
    assert!(bench.memory.endpoints().iter().all(|e| e.sandbox.is_some()));

    let refused = bench.docker(&format!("run --rm --network web --ip 10.61.1.5 {IMAGE} true"));
    let why = refused.expect_err("the address is taken");
    assert!(why.contains("10.61.1.5 is taken on network web"), "{why}");

    bench.does("rm -f c1 c2 c3");
    bench.nobody_is_left();
    bench.veths.heard();
    bench.does("network rm web");
    assert_eq!(bench.memory.networks(), []);
    let heard = bench.veths.heard();
    for what in ["network_gone 61", "pool_gone 61 0.0.0.0/0", "pool_gone 61 ::/0"] {
        assert!(heard.iter().any(|h| h == what), "{what} in {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_on_two_networks_and_leaves_one_while_it_runs() {
    let bench = Bench::new().await;
    bench.create_network("front", 62);
    bench.create_network("back", 63);
    bench.does(&format!("create --name c1 --network front --ip 10.62.1.5 {IMAGE} sleep 600"));
    bench.does("network connect --ip 10.63.1.5 back c1");
    bench.does("start c1");
    bench.does(&format!("run -d --name c2 --network back --ip 10.63.2.6 {IMAGE} sleep 600"));

    bench.does("exec c1 ping -c 1 -w 5 10.63.2.6");
    let shown = bench.does("exec c1 ip -o -4 addr");
    assert!(shown.contains("10.62.1.5/24") && shown.contains("10.63.1.5/24"), "{shown}");

    bench.does("network disconnect back c1");
    let shown = bench.does("exec c1 ip -o -4 addr");
    assert!(shown.contains("10.62.1.5/24") && !shown.contains("10.63.1.5"), "{shown}");
    assert_eq!(bench.memory.endpoints().len(), 2);
    bench.does("rm -f c1 c2");
    bench.nobody_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_starts_again_has_its_containers_back_on_the_network() {
    let mut bench = Bench::new().await;
    bench.create_network("web", 64);
    bench.does(&format!(
        "run -d --name c1 --restart always --network web --ip 10.64.1.5 {IMAGE} sleep 600"
    ));

    bench.engine.end();
    assert_eq!(bench.memory.endpoints(), [], "the engine has told that it is gone");
    bench.engine.start(&[]);
    bench.does("exec c1 ping -c 1 -w 5 10.64.1.1");

    bench.engine.kill();
    bench.engine.start(&[]);
    bench.does("exec c1 ping -c 1 -w 5 10.64.1.1");
    assert_eq!(bench.memory.endpoints().len(), 1);
    bench.does("rm -f c1");
    bench.nobody_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_outlives_its_engine_keeps_its_network() {
    let mut bench = Bench::new().await;
    bench.create_network("web", 65);
    bench.engine.end();
    bench.engine.start(&["--live-restore"]);
    bench.does(&format!("run -d --name c1 --network web --ip 10.65.1.5 {IMAGE} sleep 600"));
    let before = bench.memory.endpoints();

    bench.engine.end();
    bench.driver_ends().await;
    assert!(bench.engine.run(&["busybox", "ping", "-c", "1", "-w", "5", "10.65.1.5"]).is_ok());
    bench.driver_is_back().await;
    bench.engine.start(&["--live-restore"]);

    bench.does("exec c1 ping -c 1 -w 5 10.65.1.1");
    assert_eq!(bench.memory.endpoints(), before);
    bench.does("rm -f c1");
    bench.nobody_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_away_is_named_and_one_that_is_back_goes_on() {
    let mut bench = Bench::new().await;
    bench.create_network("web", 66);
    bench.does(&format!("run -d --name c1 --network web --ip 10.66.1.5 {IMAGE} sleep 600"));
    bench.driver_ends().await;
    assert!(!bench.socket().exists());

    let refused = bench.docker(&format!("run --rm --network web {IMAGE} true"));
    let why = refused.expect_err("nobody gives it an address");
    assert!(why.contains("swarmw.sock"), "{why}");
    bench.does("exec c1 ping -c 1 -w 5 10.66.1.1");

    bench.driver_is_back().await;
    bench.does(&format!("run --rm --network web {IMAGE} ping -c 1 -w 5 10.66.1.5"));
    bench.does("rm -f c1");
    bench.nobody_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_a_network_by_hand_is_told_how() {
    let bench = Bench::new().await;
    for line in
        ["network create -d swarmw web", "network create -d swarmw --ipam-driver swarmw web"]
    {
        let why = bench.docker(line).expect_err("it stands for no network of the cluster");
        assert!(why.contains("docker network create --driver overlay"), "{why}");
    }
    assert_eq!(bench.memory.networks(), []);
}
