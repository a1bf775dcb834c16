//! How networks are listed and shown.

use ipnet::IpNet;
use serde_json::json;
use swarmw_api::Standing;
use swarmw_model::{
    EndpointId, Network, NetworkAttachment, NetworkEndpoint, NetworkId, NetworkNews, NetworkPeer,
    NodeId, Pool, TaskId,
};

use super::{bridge, create, names, overlay, run, service, shadow, with_engine};
use crate::client::filters;
use crate::fake::{leader, membership, serve};

#[tokio::test]
async fn a_network_of_the_cluster_is_shown_in_dockers_shape() {
    let served = leader().await;
    let id = create(
        &served,
        json!({"Name": "web", "Driver": "overlay", "Attachable": true, "Internal": true,
            "EnableIPv6": true, "Labels": {"a": "b"}, "Options": {"com.docker.network.driver.mtu": "1400"}, "Scope": "",
            "CheckDuplicate": true, "ConfigFrom": null, "ConfigOnly": false,
            "IPAM": {"Driver": "default", "Options": {}, "Config": [
                {"Subnet": "10.9.0.0/16", "IPRange": "10.9.5.0/24", "Gateway": "10.9.0.9",
                    "AuxiliaryAddresses": {"router": "10.9.0.7"}},
                {"Subnet": "fd00::/64"}]}}),
    )
    .await;
    let answered = served.client.get("/networks/web").await;
    let shown = answered.json();
    let vxlan = shown["Options"]["com.docker.network.driver.overlay.vxlanid_list"].clone();
    assert!(vxlan.as_str().is_some_and(|vni| vni.parse::<u32>().is_ok()), "{vxlan}");
    assert_eq!(
        shown,
        json!({
            "Name": "web",
            "Id": id,
            "Created": "2025-11-20T23:41:33.56Z",
            "Scope": "swarm",
            "Driver": "overlay",
            "EnableIPv4": true,
            "EnableIPv6": true,
            "IPAM": {"Driver": "default", "Options": null, "Config": [
                {"Subnet": "10.9.0.0/16", "IPRange": "10.9.5.0/24", "Gateway": "10.9.0.9",
                    "AuxiliaryAddresses": {"router": "10.9.0.7"}},
                {"Subnet": "fd00::/64", "Gateway": "fd00::1"}]},
            "Internal": true,
            "Attachable": true,
            "Ingress": false,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": false,
            "Containers": {},
            "Options": {"com.docker.network.driver.mtu": "1400", "com.docker.network.driver.overlay.vxlanid_list": vxlan},
            "Labels": {"a": "b"},
        })
    );
    let text = String::from_utf8_lossy(&answered.body);
    assert!(text.starts_with(r#"{"Name":"web","Id":"#), "in Docker's order: {text}");
    for reference in [&id[..], &id[..20], "web"] {
        for scope in ["", "?scope=swarm", "?verbose=false&scope="] {
            let one = served.client.get(&format!("/networks/{reference}{scope}")).await;
            assert_eq!(one.json(), shown, "{reference}{scope}");
        }
    }
    let refused = served.client.get("/networks/web?scope=local").await;
    assert_eq!((refused.status.as_u16(), &*refused.message()), (404, "network web not found"));
    let listed = served.client.get(&format!("/networks?{}", filters(r#"{"name":["web"]}"#))).await;
    assert_eq!(listed.json(), json!([shown]));
    // Fields in any letter case, and the user's keys as they are.
    let lower = json!({"name": "low", "driver": "overlay", "attachable": true,
        "labels": {"name": "x"}, "ipam": {"config": [{"subnet": "10.77.0.0/24",
            "auxiliaryaddresses": {"gateway": "10.77.0.3"}}]}});
    create(&served, lower).await;
    let low = served.client.get("/networks/low").await.json();
    assert_eq!((&low["Attachable"], &low["Labels"]), (&json!(true), &json!({"name": "x"})));
    assert_eq!(
        low["IPAM"]["Config"][0],
        json!({"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1",
            "AuxiliaryAddresses": {"gateway": "10.77.0.3"}})
    );
}

#[tokio::test]
async fn networks_of_the_cluster_and_the_engine_are_one_list_without_shadows() {
    let served = leader().await;
    let web =
        create(&served, json!({"Name": "web", "Driver": "overlay", "Labels": {"t": "x"}})).await;
    create(&served, overlay("idle")).await;
    let engine = with_engine(
        &served,
        vec![bridge("bridge", "b1"), bridge("mine", "b2"), shadow("web", "s1", &web)],
    );
    run(&served, service("api", &["web"])).await;
    let listed = served.client.get("/networks").await.json();
    assert_eq!(names(&listed), ["bridge", "idle", "ingress", "mine", "web"]);
    engine.networks.lock().unwrap().clear();
    for (filter, want) in [
        (r#"{"driver":["overlay"]}"#, &["idle", "ingress", "web"][..]),
        (r#"{"driver":["bridge"]}"#, &[]),
        (r#"{"name":["e"]}"#, &["idle", "ingress", "web"]),
        (r#"{"name":{"we":true}}"#, &["web"]),
        (r#"{"label":["t=x"]}"#, &["web"]),
        (r#"{"label":["t=y"]}"#, &[]),
        (r#"{"scope":["swarm"]}"#, &["idle", "ingress", "web"]),
        (r#"{"scope":["local"]}"#, &[]),
        (r#"{"type":["custom"]}"#, &["idle", "ingress", "web"]),
        (r#"{"type":["builtin"]}"#, &[]),
        (r#"{"dangling":["true"]}"#, &["idle"]),
        (r#"{"dangling":["false"]}"#, &["ingress", "web"]),
    ] {
        let found = served.client.get(&format!("/networks?{}", filters(filter))).await.json();
        assert_eq!(names(&found), want, "{filter}");
    }
    // The engine filters its own.
    let asked = engine.take_reads();
    assert!(asked.contains(&format!("/networks?{}", filters(r#"{"dangling":["true"]}"#))));
    for (filter, want) in [
        (r#"{"foo":["x"]}"#, "invalid filter 'foo'"),
        (r#"{"type":["x"]}"#, "invalid filter 'type=x'"),
        (r#"{"dangling":["x"]}"#, "invalid filter 'dangling=x'"),
    ] {
        let refused = served.client.get(&format!("/networks?{}", filters(filter))).await;
        assert_eq!((refused.status.as_u16(), &*refused.message()), (400, want));
    }
}

#[tokio::test]
async fn an_engine_that_is_away_does_not_hide_the_clusters_networks() {
    let served = leader().await;
    create(&served, overlay("web")).await;
    *served.fake.engine.lock().unwrap() = Some("/nowhere/docker.sock".into());
    let listed = served.client.get("/networks").await.json();
    assert_eq!(names(&listed), ["ingress", "web"]);
    assert_eq!(served.client.get("/networks/web").await.json()["Name"], "web");
    assert_eq!(served.client.get("/networks/other").await.status, 503);
}

#[tokio::test]
async fn a_worker_shows_what_its_engines_shadows_stand_for() {
    let served = serve(Standing::Worker(membership())).await;
    let web = NetworkId::from_bits(9).to_string();
    with_engine(&served, vec![bridge("mine", "b2"), shadow("web", "s1", &web)]);
    let listed = served.client.get("/networks").await.json();
    assert_eq!(names(&listed), ["mine", "web"]);
    let shown = served.client.get("/networks/web").await.json();
    assert_eq!((&shown["Id"], &shown["Scope"]), (&json!(web), &json!("swarm")));
    assert_eq!((&shown["Driver"], &shown["Options"]), (&json!("overlay"), &json!({})));
    assert_eq!(shown["Containers"]["c1"]["IPv4Address"], "10.0.7.5/24");
}

/// What a worker is told of a network that it and one other node of three have a task on.
fn told(network: NetworkId) -> NetworkNews {
    let subnet: IpNet = "10.0.7.0/24".parse().expect("a subnet");
    let spec = json!({"Name": "web", "Driver": {"Name": "overlay"}, "Labels": {"a": "b"}});
    let endpoint = |number: u8| NetworkEndpoint {
        id: EndpointId::Task(TaskId::from_bits(number.into())),
        service: None,
        names: Vec::new(),
        node: NodeId::from_bits(number.into()),
        on: vec![NetworkAttachment { network, addresses: vec![subnet] }],
        serves: true,
        user_space: false,
    };
    let peer = |number: u8| NetworkPeer {
        node: NodeId::from_bits(number.into()),
        number: number.into(),
        address: [192, 168, 9, number].into(),
        hostname: String::new(),
        agent: String::new(),
    };
    NetworkNews {
        complete: true,
        networks: vec![Network {
            id: network,
            version: Default::default(),
            created_at: Default::default(),
            updated_at: Default::default(),
            spec: serde_json::from_value(spec).expect("a spec"),
            pools: vec![Pool::of(subnet).expect("room")],
            vni: 4097,
        }],
        peers: vec![peer(1), peer(2), peer(3)],
        endpoints: vec![endpoint(1), endpoint(3)],
        ..NetworkNews::default()
    }
}

#[tokio::test]
async fn a_worker_shows_the_networks_of_its_tasks_as_the_leader_told_it() {
    let served = serve(Standing::Worker(membership())).await;
    let web = NetworkId::from_bits(9);
    *served.fake.heard.lock().unwrap() = told(web);
    let peers = |numbers: [u8; 2]| {
        numbers.map(|number| {
            let node = NodeId::from_bits(number.into()).to_string();
            json!({"Name": &node[..12], "IP": format!("192.168.9.{number}")})
        })
    };

    // Components are on networks without an engine.
    let shown = served.client.get("/networks/web").await.json();
    for (field, want) in [
        ("Id", json!(web)),
        ("Scope", json!("swarm")),
        ("Driver", json!("overlay")),
        (
            "IPAM",
            json!({"Driver": "default", "Options": null,
            "Config": [{"Subnet": "10.0.7.0/24", "Gateway": "10.0.7.1"}]}),
        ),
        ("Labels", json!({"a": "b"})),
        ("Containers", json!({})),
        ("Peers", json!(peers([1, 3]))),
    ] {
        assert_eq!(shown[field], want, "{field}");
    }

    // With one, its containers are there; a shadow of one that was removed is none of it.
    let removed = NetworkId::from_bits(8).to_string();
    let here = shadow("web", "s1", &web.to_string());
    with_engine(&served, vec![bridge("mine", "b2"), shadow("web", "s0", &removed), here]);
    let listed = served.client.get("/networks").await.json();
    assert_eq!(names(&listed), ["mine", "web"]);
    let of_swarm = format!("/networks?{}", filters(r#"{"scope":["swarm"]}"#));
    assert!(names(&served.client.get(&of_swarm).await.json()).contains(&"web"));
    let shown = served.client.get("/networks/web").await.json();
    assert_eq!(shown["Id"], json!(web));
    assert_eq!(shown["Containers"]["c1"]["IPv4Address"], "10.0.7.5/24");
    for verb in ["", "?verbose=true", "?scope=swarm"] {
        let refused = served.client.get(&format!("/networks/nope{verb}")).await;
        assert_eq!((refused.status.as_u16(), &*refused.message()), (404, "network nope not found"));
    }

    *served.fake.engine.lock().unwrap() = Some("/nowhere/docker.sock".into());
    assert_eq!(names(&served.client.get("/networks").await.json()), ["web"]);
    assert_eq!(served.client.get("/networks/web").await.json()["Name"], "web");
}
