//! The shapes of answers, as Docker has them.

use serde_json::{Value, json};

use swarmw_api::Standing;
use swarmw_model::{NodeId, NodeRole, TlsInfo};
use swarmw_state::Change;

use crate::client::filters;
use crate::fake::{ROOT_KEY, SELF, Served, following, leader, leading, membership, node, serve};

const AT: &str = "2025-11-20T23:41:33.56Z";

#[tokio::test]
async fn a_node_is_shown_with_how_it_stands_as_a_manager() {
    let served = leader().await;
    let nodes = served.client.get("/v1.41/nodes").await.json();
    let shown = nodes[0].clone();
    assert_eq!(
        shown,
        json!({
            "ID": SELF,
            "Version": {"Index": 1},
            "CreatedAt": AT,
            "UpdatedAt": AT,
            "Spec": {"Labels": {}, "Role": "manager", "Availability": "active"},
            "Description": {
                "Hostname": "alpha",
                "Platform": {"Architecture": "x86_64", "OS": "linux"},
                "Resources": {"NanoCPUs": 2_000_000_000_i64, "MemoryBytes": 1_073_741_824},
                "Engine": {"EngineVersion": ""},
            },
            "Status": {"State": "ready", "Addr": "127.0.0.1"},
            "ObservedRole": "manager",
            "RaftMember": {"RaftID": 1, "Addr": "127.0.0.1:2377"},
            "ManagerStatus": {
                "Leader": true,
                "Reachability": "reachable",
                "Addr": "127.0.0.1:2377",
            },
        })
    );
    for reference in [SELF.to_string(), "alpha".to_owned(), SELF.to_string()[..22].to_owned()] {
        let one = served.client.get(&format!("/nodes/{reference}")).await;
        assert_eq!(one.json(), shown, "{reference}");
    }
}

#[tokio::test]
async fn the_cluster_is_shown_without_its_key() {
    let served = leader().await;
    let whole = served.client.get("/swarm").await;
    let text = String::from_utf8_lossy(&whole.body).into_owned();
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(ROOT_KEY);
    assert!(!text.contains(&key), "{text}");
    let cluster = whole.json();
    assert_eq!(
        cluster["JoinTokens"],
        json!({"Worker": "SWMTKN-1-root-worker", "Manager": "SWMTKN-1-root-manager"})
    );
    assert_eq!(cluster["TLSInfo"]["TrustRoot"], "the root's certificate");
    assert_eq!(cluster["Spec"]["Name"], "default");
    assert_eq!(cluster["Spec"]["Orchestration"], json!({"TaskHistoryRetentionLimit": 5}));

    assert_eq!(cluster["DefaultAddrPool"], json!(["10.0.0.0/8"]));
    assert_eq!((&cluster["SubnetSize"], &cluster["DataPathPort"]), (&json!(24), &json!(4789)));

    let info = served.client.get("/info").await.json();
    let block = &info["Swarm"];
    for field in ["DefaultAddrPool", "SubnetSize", "DataPathPort"] {
        assert_eq!(block["Cluster"][field], cluster[field]);
    }
    assert_eq!(block["NodeID"], json!(SELF));
    assert_eq!(block["LocalNodeState"], "active");
    assert_eq!(block["ControlAvailable"], true);
    assert_eq!(block["Managers"], 1);
    assert_eq!(block["Cluster"]["ID"], cluster["ID"]);
    assert_eq!(block["Cluster"]["JoinTokens"], Value::Null);
    assert_eq!(block["RemoteManagers"], json!([{"NodeID": SELF, "Addr": "127.0.0.1:2377"}]));
}

#[tokio::test]
async fn an_older_version_is_answered_without_what_came_later() {
    let served = leader().await;
    let mut worker = node(NodeId::from_bits(7), "beta", NodeRole::Worker);
    worker.description.tls_info = Some(TlsInfo::default());
    served.fake.apply(None, Change::AddNode(Box::new(worker))).expect("added");
    let beta = format!("/nodes?{}", filters(r#"{"name":["beta"]}"#));
    for (path, part, field, since) in [
        (&*beta, "/0/Description", "TLSInfo", 30),
        ("/nodes/beta", "/Description", "TLSInfo", 30),
        ("/networks", "/0", "Created", 25),
        ("/networks/ingress", "", "Created", 25),
        ("/swarm", "", "TLSInfo", 30),
        ("/swarm", "", "RootRotationInProgress", 30),
        ("/swarm", "", "SubnetSize", 39),
        ("/info", "/Swarm/Cluster", "DefaultAddrPool", 39),
        ("/info", "/Swarm/Cluster", "DataPathPort", 40),
    ] {
        for (minor, want) in [(since - 1, false), (since, true)] {
            let told = served.client.get(&format!("/v1.{minor}{path}")).await.json();
            let whole = told.pointer(part).unwrap_or_else(|| panic!("{path}: {told}"));
            assert_eq!(whole.get(field).is_some(), want, "{path} in 1.{minor}: {whole}");
        }
    }
    // What clients read that keep to 1.24, and Docker answers them.
    let node = served.client.get("/v1.24/nodes/alpha").await.json();
    assert_eq!(node["Status"]["Addr"], "127.0.0.1");
    let network = served.client.get("/v1.24/networks/ingress").await.json();
    assert_eq!(network["Ingress"], true);
}

#[tokio::test]
async fn ping_says_where_the_node_stands() {
    let served = serve(Standing::Inactive).await;
    let error = || Standing::Error("no disk".to_owned());
    for (standing, word) in [
        (Standing::Inactive, "inactive"),
        (Standing::Pending(membership()), "pending"),
        (error(), "error"),
        (Standing::Locked, "locked"),
        (Standing::Worker(membership()), "active/worker"),
        (leading(), "active/manager"),
        (following(), "active/manager"),
    ] {
        served.fake.set(standing);
        for (method, body) in [("GET", "OK"), ("HEAD", "")] {
            let pong = served.client.call(method, "/_ping", None).await;
            assert_eq!(pong.status, 200);
            assert_eq!(pong.body, body);
            assert_eq!(pong.header("swarm"), word);
            assert_eq!(pong.header("api-version"), "1.47");
            assert_eq!(pong.header("ostype"), "linux");
            assert!(pong.header("server").starts_with("Docker/"));
        }
    }
    served.fake.set(error());
    let info = served.client.get("/info").await.json();
    assert_eq!(info["Swarm"]["Error"], "no disk");
}

#[tokio::test]
async fn every_answer_to_a_request_that_is_known_has_dockers_headers() {
    let served = leader().await;
    for (path, experimental, version) in [
        ("/services", "false", "1.47"),
        ("/v1.41/services/none", "false", "1.47"),
        ("/v1.99/services", "", "1.47"),
        ("/v1.41/swarms", "", ""),
    ] {
        let answer = served.client.get(path).await;
        assert_eq!(answer.header("docker-experimental"), experimental, "{path}");
        assert_eq!(answer.header("api-version"), version, "{path}");
        let (os, server) = match version {
            "" => (String::new(), String::new()),
            _ => ("linux".to_owned(), format!("Docker/{} (linux)", env!("CARGO_PKG_VERSION"))),
        };
        assert_eq!((answer.header("ostype"), answer.header("server")), (&*os, &*server), "{path}");
    }
}

#[tokio::test]
async fn lists_are_never_null() {
    let served = leader().await;
    for path in ["/services", "/tasks", "/secrets", "/configs"] {
        let listed = served.client.get(path).await;
        assert_eq!((listed.status.as_u16(), &listed.body[..]), (200, &b"[]"[..]), "{path}");
    }
}

async fn with_a_second_node() -> Served {
    let served = leader().await;
    let mut second = node(NodeId::from_bits(7), "beta", NodeRole::Worker);
    second.spec.labels.insert("rack".to_owned(), "2".to_owned());
    second.description.engine.labels.insert("disk".to_owned(), "ssd".to_owned());
    served.fake.apply(None, Change::AddNode(Box::new(second))).expect("added");
    served
}

#[tokio::test]
async fn nodes_are_filtered_in_both_encodings() {
    let served = with_a_second_node().await;
    for (filter, want) in [
        (r#"{"role":{"worker":true}}"#, &["beta"][..]),
        (r#"{"role":["manager","worker"]}"#, &["alpha", "beta"]),
        (r#"{"name":["al"]}"#, &["alpha"]),
        (r#"{"name":["lpha"]}"#, &[]),
        (r#"{"label":["disk=ssd"]}"#, &["beta"]),
        (r#"{"label":["disk=hdd"]}"#, &[]),
        (r#"{"node.label":{"rack":true}}"#, &["beta"]),
        (r#"{"membership":["accepted"],"role":["manager"]}"#, &["alpha"]),
        (r#"{"membership":["pending"]}"#, &[]),
        (r#"{"id":["00000000000000000000000"]}"#, &["beta"]),
    ] {
        let found = served.client.get(&format!("/nodes?{}", filters(filter))).await;
        let mut names: Vec<_> = found
            .json()
            .as_array()
            .expect("a list")
            .iter()
            .map(|n| n["Description"]["Hostname"].as_str().expect("a name").to_owned())
            .collect();
        names.sort();
        assert_eq!(names, want, "{filter}");
    }
}
