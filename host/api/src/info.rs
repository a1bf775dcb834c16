//! `/_ping`, `/version` and `/info`: the node, its engine and the cluster in one.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use swarmw_model::{NodeRole, Refusal};

use crate::api::Host;
use crate::reply::{Refused, Reply, ok};
use crate::version::{ApiVersion, MAXIMUM, MINIMUM};
use crate::{Standing, engine, refusals, since, swarm};

/// `GET` and `HEAD /_ping`. Clients build as the engine recommends; where there is none,
/// nothing is recommended.
pub(crate) async fn ping(State(host): State<Host>, request: Request) -> Response {
    let standing = match host.standing() {
        Standing::Worker(_) => "active/worker",
        Standing::Manager { .. } => "active/manager",
        other => other.local_node_state(),
    };
    let text = if request.method() == Method::HEAD { "" } else { "OK" };
    let hello = engine::hello(&host).await;
    let mut response = text.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (PRAGMA, "no-cache"),
        (HeaderName::from_static("swarm"), standing),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(builder) = hello.and_then(|hello| hello.builder) {
        headers.insert(HeaderName::from_static("builder-version"), builder);
    }
    response
}

/// `GET /version`: the engine's words, with the range of versions that is answered
/// here and swarmw among the components.
pub(crate) async fn version(State(host): State<Host>) -> Reply {
    let own = env!("CARGO_PKG_VERSION");
    let mut whole = match engine::ask(&host, "/version").await {
        Ok(Some(theirs)) if theirs.is_object() => theirs,
        _ => json!({
            "Platform": {"Name": "swarmw"},
            "Version": own,
            "GitCommit": "",
            "GoVersion": "",
            "Os": std::env::consts::OS,
            "Arch": go_architecture(),
            "BuildTime": "",
        }),
    };
    whole["ApiVersion"] = json!(MAXIMUM.to_string());
    whole["MinAPIVersion"] = json!(MINIMUM.to_string());
    let component = json!({
        "Name": "swarmw",
        "Version": own,
        "Details": {"ApiVersion": MAXIMUM.to_string(), "MinAPIVersion": MINIMUM.to_string()},
    });
    match whole.get_mut("Components").and_then(Value::as_array_mut) {
        Some(components) => components.push(component),
        None => whole["Components"] = json!([component]),
    }
    ok(whole)
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /info`: the engine's words where there is an engine, and the cluster as
/// this node sees it.
pub(crate) async fn info(State(host): State<Host>, request: Request) -> Reply {
    let version = engine::asked_in(&request);
    let mut whole = match of_engine(&host, version).await {
        Ok(Some(theirs)) if theirs.is_object() => theirs,
        Ok(_) => without_engine(&host),
        Err(refusal) => {
            let mut own = without_engine(&host);
            own["Warnings"] = json!([format!("WARNING: {}", refusal.message)]);
            own
        }
    };
    // The engine's, and those that the daemon was told of.
    let generic = host.description().resources.generic_resources;
    if !generic.is_empty() {
        whole["GenericResources"] = json!(generic);
    }
    whole["Swarm"] = swarm(&host);
    if let Some(cluster) = whole.pointer_mut("/Swarm/Cluster") {
        since::tell_cluster(version, cluster);
    }
    ok(whole)
}

/// The engine leaves out itself what is later than the request.
async fn of_engine(host: &Host, asked: ApiVersion) -> Result<Option<Value>, Refusal> {
    match engine::spoken(host, asked).await {
        Ok(Some(version)) => engine::ask(host, &format!("/v{version}/info")).await,
        Ok(None) => Ok(None),
        Err(Refused(why)) => Err(why),
    }
}

/// What a node without an engine says of itself, in an engine's words.
fn without_engine(host: &Host) -> Value {
    let node = host.description();
    let id = match host.standing().membership() {
        Some(membership) => membership.node.map(|n| n.to_string()).unwrap_or_default(),
        None => String::new(),
    };
    let labels = &node.engine.labels;
    let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    json!({
        "ID": id,
        "Name": node.hostname,
        "Containers": 0,
        "ContainersRunning": 0,
        "ContainersPaused": 0,
        "ContainersStopped": 0,
        "Images": 0,
        "Driver": "",
        "DriverStatus": [],
        "Plugins": {"Volume": [], "Network": [], "Authorization": [], "Log": []},
        "NCPU": node.resources.nano_cpus / 1_000_000_000,
        "MemTotal": node.resources.memory_bytes,
        "OSType": std::env::consts::OS,
        "Architecture": node.platform.architecture,
        "OperatingSystem": "swarmw, without a container engine",
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "SystemTime": host.now(),
        "Labels": labels,
        "Runtimes": {},
        "SecurityOptions": [],
        "Warnings": [],
    })
}

/// The block `Swarm`. On a follower its counts may be a moment old.
fn swarm(host: &Host) -> Value {
    let standing = host.standing();
    let mut block = json!({
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": standing.local_node_state(),
        "ControlAvailable": standing.controls(),
        "Error": "",
        "RemoteManagers": null,
    });
    match &standing {
        Standing::Error(why) => block["Error"] = json!(why),
        Standing::Locked => block["Error"] = json!(refusals::locked().message),
        _ => {}
    }
    if let Some(membership) = standing.membership() {
        if let Some(id) = membership.node {
            block["NodeID"] = json!(id);
        }
        block["NodeAddr"] = json!(membership.address);
        let mut managers = membership.managers.clone();
        managers.sort_by_key(|m| m.node_id);
        block["RemoteManagers"] = json!(managers);
    }
    if let Some(state) = host.state().filter(|_| standing.controls()) {
        let managers = state.nodes().filter(|n| n.role == NodeRole::Manager).count();
        block["Nodes"] = json!(state.node_count());
        block["Managers"] = json!(managers);
        if let Some(cluster) = state.cluster() {
            block["Cluster"] = swarm::shown(host, cluster);
        }
        if managers == 2 {
            block["Warnings"] = json!([TWO_MANAGERS]);
        }
    }
    block
}

const TWO_MANAGERS: &str = "WARNING: Running Swarm in a two-manager configuration. This \
     configuration provides no fault tolerance, and poses a high risk to lose control over the \
     cluster. Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the Swarm \
     for fault-tolerance.";
