//! `/networks`: of the cluster, of the engine, and containers on both.

mod containers;
mod life;
mod services;
mod shown;

use serde_json::{Value, json};

use crate::fake::{FakeEngine, Served};

pub async fn create(served: &Served, body: Value) -> String {
    let made = served.client.post("/v1.47/networks/create", body).await;
    assert_eq!(made.status, 201, "{}", made.message());
    assert_eq!(made.json()["Warning"], "");
    made.json()["Id"].as_str().expect("an id").to_owned()
}

pub fn overlay(name: &str) -> Value {
    json!({"Name": name, "Driver": "overlay"})
}

pub fn names(listed: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        listed.as_array().expect("a list").iter().filter_map(|n| n["Name"].as_str()).collect();
    names.sort_unstable();
    names
}

pub fn with_engine(served: &Served, networks: Vec<Value>) -> FakeEngine {
    let engine = FakeEngine::start(served.folder.path());
    *served.fake.engine.lock().unwrap() = Some(engine.socket.clone());
    *engine.networks.lock().unwrap() = networks;
    engine
}

/// A network of the engine's own.
pub fn bridge(name: &str, id: &str) -> Value {
    json!({"Name": name, "Id": id, "Driver": "bridge", "Scope": "local", "Labels": {}})
}

/// What stands in an engine for a network of the cluster.
pub fn shadow(name: &str, id: &str, of: &str) -> Value {
    json!({"Name": name, "Id": id, "Driver": "swarmw", "Scope": "local", "Labels": null,
        "Options": {"swarmw.network": of}, "Created": "2026-11-22T06:00:00.5+01:00",
        "IPAM": {"Driver": "swarmw", "Options": null, "Config": [{"Subnet": "10.0.7.0/24"}]},
        "Containers": {"c1": {"Name": "one", "EndpointID": "e1", "MacAddress": "02:42",
            "IPv4Address": "10.0.7.5/24", "IPv6Address": ""}}})
}

/// A service with one task on networks.
pub fn service(name: &str, networks: &[&str]) -> Value {
    let networks: Vec<_> = networks.iter().map(|target| json!({"Target": target})).collect();
    json!({"Name": name, "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]},
        "TaskTemplate": {"ContainerSpec": {"Image": "redis"}, "Networks": networks}})
}

pub async fn run(served: &Served, spec: Value) {
    let made = served.client.post("/services/create", spec).await;
    assert_eq!(made.status, 201, "{}", made.message());
}
