//! Requests as an engine 20.10 sends them, recorded; and what it reads of the answers.

use std::sync::Arc;

use serde_json::{Value, json};
use swarmw_engine_driver::{Driver, Memory, Serving};
use swarmw_model::NetworkId;
use swarmw_test_engine::Veths;
use tempfile::TempDir;

use crate::socket::ask;

const NETWORK: &str = "82397ab4b2023ddb6bd3d9b9e411530ce7dfe46af79beda32e14665f0963750f";
const ENDPOINT: &str = "3117c2a30ea6df53b6193963a900327db2242e76e957b9d204c3ec7991cd97b8";
const CLUSTER: &str = "000000000000000000000001p";
const POOL: &str = "000000000000000000000001p/0.0.0.0/0";
/// What an engine says of a container's ports with every endpoint.
const OPTIONS: &str =
    r#""Options":{"com.docker.network.endpoint.exposedports":[],"com.docker.network.portmap":[]}"#;

/// A driver whose `ip` does nothing, and so succeeds.
struct Bench {
    folder: TempDir,
    veths: Arc<Veths>,
    memory: Arc<Memory>,
    _serving: Serving,
}

// === impl Bench ===

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let veths = Arc::new(Veths::new(vec!["true".to_owned()]));
        let memory = Arc::new(Memory::open(folder.path().join("memory")).expect("opens"));
        let driver = Driver::new(veths.clone(), memory.clone());
        let serving = driver.serve(&folder.path().join("s")).await.expect("serves");
        Self { folder, veths, memory, _serving: serving }
    }

    /// The answer to a request.
    async fn ask(&self, method: &str, body: &str) -> Value {
        // An engine ends a request's body with a new line.
        let body = if body.is_empty() { String::new() } else { format!("{body}\n") };
        let (status, answer) = ask(&self.folder.path().join("s"), method, &body).await;
        assert_eq!(status, 200, "{method}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    async fn create_network(&self) -> Value {
        let body = format!(
            r#"{{"NetworkID":"{NETWORK}","Options":{{"com.docker.network.enable_ipv6":true,"com.docker.network.generic":{{"swarmw.network":"{CLUSTER}"}}}},"IPv4Data":[{{"AddressSpace":"swarmw","Gateway":"10.61.1.1/24","Pool":"0.0.0.0/0"}}],"IPv6Data":[{{"AddressSpace":"swarmw","Gateway":"fd00:61::1/64","Pool":"::/0"}}]}}"#
        );
        self.ask("NetworkDriver.CreateNetwork", &body).await
    }

    async fn create_endpoint(&self, mac: &str) -> Value {
        let body = format!(
            r#"{{"NetworkID":"{NETWORK}","EndpointID":"{ENDPOINT}","Interface":{{"Address":"10.61.1.5/24","AddressIPv6":"fd00:61::2/64","MacAddress":"{mac}"}},{OPTIONS}}}"#
        );
        self.ask("NetworkDriver.CreateEndpoint", &body).await
    }

    async fn of_endpoint(&self, method: &str) -> Value {
        let body = format!(r#"{{"NetworkID":"{NETWORK}","EndpointID":"{ENDPOINT}"}}"#);
        self.ask(&format!("NetworkDriver.{method}"), &body).await
    }

    async fn join(&self) -> Value {
        let body = format!(
            r#"{{"NetworkID":"{NETWORK}","EndpointID":"{ENDPOINT}","SandboxKey":"/run/docker/netns/deb0a6f86ab4",{OPTIONS}}}"#
        );
        self.ask("NetworkDriver.Join", &body).await
    }
}

#[tokio::test]
async fn an_engine_is_told_what_the_driver_is() {
    let bench = Bench::new().await;
    for (method, answer) in [
        ("NetworkDriver.GetCapabilities", json!({"Scope": "local", "ConnectivityScope": "local"})),
        (
            "IpamDriver.GetCapabilities",
            json!({"RequiresMACAddress": false, "RequiresRequestReplay": false}),
        ),
        (
            "IpamDriver.GetDefaultAddressSpaces",
            json!({
                "LocalDefaultAddressSpace": "swarmw", "GlobalDefaultAddressSpace": "swarmw"
            }),
        ),
        // Not asked of a driver whose networks have no gateway, but an answer is due.
        ("NetworkDriver.ProgramExternalConnectivity", json!({})),
        ("NetworkDriver.RevokeExternalConnectivity", json!({})),
        ("NetworkDriver.DiscoverNew", json!({})),
        ("NetworkDriver.DiscoverDelete", json!({})),
    ] {
        assert_eq!(bench.ask(method, "").await, answer, "{method}");
    }
    let refused = bench.ask("NetworkDriver.AllocateNetwork", "{}").await;
    assert!(refused["Err"].as_str().is_some_and(|why| why.contains("one engine")), "{refused}");
}

#[tokio::test]
async fn pools_and_addresses_are_the_clusters() {
    let bench = Bench::new().await;
    let pool = format!(
        r#"{{"AddressSpace":"swarmw","Pool":"0.0.0.0/0","SubPool":"","Options":{{"swarmw.network":"{CLUSTER}"}},"V6":false}}"#
    );
    assert_eq!(
        bench.ask("IpamDriver.RequestPool", &pool).await,
        json!({
            "PoolID": POOL, "Pool": "0.0.0.0/0",
            "Data": {"com.docker.network.gateway": "10.61.1.1/24"}
        })
    );
    let gateway = format!(
        r#"{{"PoolID":"{POOL}","Address":"","Options":{{"RequestAddressType":"com.docker.network.gateway"}}}}"#
    );
    bench.ask("IpamDriver.RequestAddress", &gateway).await;
    assert!(bench.veths.given().is_empty(), "a gateway's is no container's");

    // Of the subnet that the network got when it grew.
    let wanted = format!(r#"{{"PoolID":"{POOL}","Address":"10.61.2.5","Options":null}}"#);
    let given = bench.ask("IpamDriver.RequestAddress", &wanted).await;
    assert_eq!(given["Address"], "10.61.2.5/24");
    let refused = bench.ask("IpamDriver.RequestAddress", &wanted).await;
    for word in ["Err", "Error"] {
        assert_eq!(refused[word], "10.61.2.5 is taken on network web");
    }
    let free = format!(r#"{{"PoolID":"{POOL}","Address":"10.61.2.5"}}"#);
    bench.ask("IpamDriver.ReleaseAddress", &free).await;
    assert!(bench.veths.given().is_empty());
    bench.veths.heard();
    bench.ask("IpamDriver.ReleasePool", &format!(r#"{{"PoolID":"{POOL}"}}"#)).await;
    assert_eq!(bench.veths.heard(), ["pool_gone 61 0.0.0.0/0"]);
}

#[tokio::test]
async fn a_container_comes_and_goes() {
    let bench = Bench::new().await;
    assert_eq!(bench.create_network().await, json!({}));
    let networks = bench.memory.networks();
    assert_eq!(networks.len(), 1);
    assert_eq!(networks[0].network, NetworkId::from_bits(61));

    let made = bench.create_endpoint("").await;
    assert_eq!(made, json!({"Interface": {"MacAddress": "02:53:57:01:00:05"}}));
    assert_eq!(bench.of_endpoint("EndpointOperInfo").await, json!({"Value": {}}));

    let joined = bench.join().await;
    assert_eq!(
        joined["InterfaceName"],
        json!({"SrcName": format!("i{}", &ENDPOINT[..10]), "DstPrefix": "eth"})
    );
    assert!(joined.get("Gateway").is_none(), "the engine's bridge is the way out: {joined}");
    let routes = joined["StaticRoutes"].as_array().expect("routes");
    for route in [
        json!({"Destination": "10.61.2.128/25", "RouteType": 0, "NextHop": "10.61.1.1"}),
        json!({"Destination": "fd00:61::/65", "RouteType": 0, "NextHop": "fd00:61::1"}),
    ] {
        assert!(routes.contains(&route), "{route} in {routes:?}");
    }
    // Linux knows no gateway of IPv6 that is not on the link.
    assert_eq!(routes[0], json!({"Destination": "fd00:61::1/128", "RouteType": 1}));
    let sandbox = |bench: &Bench| bench.memory.endpoints()[0].sandbox.clone();
    assert_eq!(sandbox(&bench), Some("/run/docker/netns/deb0a6f86ab4".into()));

    assert_eq!(bench.of_endpoint("Leave").await, json!({}));
    assert_eq!(sandbox(&bench), None);
    for _ in ["once", "and again, as nobody heard the answer"] {
        assert_eq!(bench.of_endpoint("DeleteEndpoint").await, json!({}));
        let gone = format!(r#"{{"NetworkID":"{NETWORK}"}}"#);
        assert_eq!(bench.ask("NetworkDriver.DeleteNetwork", &gone).await, json!({}));
    }
    assert!(bench.memory.networks().is_empty() && bench.memory.endpoints().is_empty());
    let heard = bench.veths.heard();
    assert_eq!(heard.iter().filter(|h| h.starts_with("endpoint_gone")).count(), 1, "{heard:?}");
}

#[tokio::test]
async fn a_hardware_address_that_the_engine_chose_is_not_said_again() {
    let bench = Bench::new().await;
    bench.create_network().await;
    assert_eq!(bench.create_endpoint("02:42:0a:01:02:03").await, json!({"Interface": null}));
    let mac = bench.memory.endpoints()[0].mac.expect("an address");
    assert_eq!(mac.to_string(), "02:42:0a:01:02:03");
}

#[tokio::test]
async fn what_the_driver_does_not_know_is_refused_with_what_to_do() {
    let bench = Bench::new().await;
    let refused = bench.create_endpoint("").await;
    let why = refused["Err"].as_str().expect("refused");
    assert!(why.contains("docker network rm") && why.contains(NETWORK), "{why}");
    bench.create_network().await;
    let refused = bench.join().await;
    let why = refused["Err"].as_str().expect("refused");
    assert!(why.contains("connect it again") && why.contains(ENDPOINT), "{why}");
}
