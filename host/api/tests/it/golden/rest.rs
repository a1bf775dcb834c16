//! What the rest of a cluster had done when Docker was asked: nodes that had joined, tasks that
//! had been placed and had run, addresses that had been given. The recording says so, and before
//! the API is asked it is put into the state, in the way in which our other rooms put it there.
//! How it is shown is then the API's own doing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use swarmw_api::{LogLine, LogOutput, Membership, Standing};
use swarmw_model::{
    FEATURE_LEVEL, NetworkAttachment, NetworkId, NodeDescription, NodeId, NodeRole, PortConfig,
    Service, ServiceId, ServiceMode, Slot, Task, TaskId, TlsInfo, UpdateStatus, VirtualIp,
};
use swarmw_state::{Change, NewTask, State, TaskChange};

use super::replay::{Exchange, Replay};
use crate::fake::{NOW, membership, node};

const BETA: NodeId = NodeId::from_bits(0xbe7a);

/// What the daemon's certificate says; see `record.py` for the words.
pub fn tls_info() -> TlsInfo {
    TlsInfo {
        cert_issuer_subject: "<name or key of the root>".to_owned(),
        cert_issuer_public_key: "<name or key of the root>".to_owned(),
        ..TlsInfo::default()
    }
}

/// What was done by others before this was asked.
pub fn before(replay: &mut Replay, exchange: &Exchange) {
    if exchange.status >= 400 || exchange.method() != "GET" {
        return;
    }
    let told = exchange.told.as_ref();
    if exchange.is_of_logs() {
        let lines = told.map(|told| lines(replay, exchange, told)).unwrap_or_default();
        *replay.alpha.fake.lines.lock().unwrap() = lines;
        return;
    }
    let objects = match told {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    for told in objects {
        if told.get("Description").is_some() {
            describe_node(replay, told);
        } else if told.get("Endpoint").is_some() {
            provide_service(replay, told);
        } else if told.get("DesiredState").is_some() {
            run_task(replay, told);
        } else if told.get("LocalNodeState").is_some_and(|state| state == "locked") {
            // It was started again.
            replay.alpha.fake.set(Standing::Locked);
        }
    }
}

/// What unlocks the manager here.
pub fn unlock_key(replay: &Replay) -> String {
    let state = state(replay);
    let key = state.cluster().and_then(|cluster| cluster.unlock_key.as_ref());
    key.map(ToString::to_string).unwrap_or_default()
}

/// What followed from it.
pub fn after(replay: &Replay, exchange: &Exchange) {
    if exchange.status >= 300 {
        return;
    }
    match (exchange.method(), exchange.path()) {
        ("POST", "/v1.41/swarm/join") => join(replay),
        ("DELETE", path) if path.starts_with("/v1.41/services/") => stop_tasks(replay),
        _ => {}
    }
}

fn join(replay: &Replay) {
    let membership =
        Membership { node: Some(BETA), address: "127.0.0.2".to_owned(), ..membership() };
    replay.beta.fake.set(Standing::Worker(membership));
    let joined = node(BETA, "beta", NodeRole::Worker);
    change(replay, Change::AddNode(Box::new(joined)));
}

fn stop_tasks(replay: &Replay) {
    let state = state(replay);
    let left = state.tasks().filter(|task| state.service(task.service_id).is_none());
    for task in left {
        change(replay, Change::RemoveTask(task.id));
    }
}

fn describe_node(replay: &Replay, told: &Value) {
    let mut description: NodeDescription = field(told, "/Description");
    description.feature_level = FEATURE_LEVEL;
    let state = state(replay);
    let known = state.nodes().find(|node| node.description.hostname == description.hostname);
    let Some(id) = known.map(|node| node.id) else { return };
    let (addr, message) = (text(told, "/Status/Addr"), text(told, "/Status/Message"));
    change(replay, Change::RegisterNode { id, description: Box::new(description), addr });
    change(replay, Change::SetNodeState { id, state: field(told, "/Status/State"), message });
}

fn provide_service(replay: &Replay, told: &Value) {
    let told = &replay.pairs.translate_all(told);
    let state = state(replay);
    let Some(service) = service(&state, &text(told, "/ID")) else { return };
    let ports: Vec<PortConfig> = field_or_default(told, "/Endpoint/Ports");
    let on = state.networks_with_address(&service.spec);
    let mut virtual_ips: Vec<VirtualIp> = field_or_default(told, "/Endpoint/VirtualIPs");
    virtual_ips.retain(|ip| on.contains(&ip.network));
    if service.endpoint.ports != ports || service.endpoint.virtual_ips != virtual_ips {
        change(replay, {
            let (service, version) = (service.id, service.version);
            Change::SetEndpoint { service, version, ports, virtual_ips: Some(virtual_ips) }
        });
    }
    if told.get("UpdateStatus").is_some() {
        let status: UpdateStatus = field(told, "/UpdateStatus");
        change(replay, {
            let (service, spec_version) = (service.id, service.spec_version);
            Change::SetUpdateStatus { service, spec_version, status: Some(status) }
        });
    }
}

fn run_task(replay: &mut Replay, told: &Value) {
    let theirs = text(told, "/ID");
    let id = task_id(&theirs);
    replay.pairs.meet(&theirs, &id.to_string());
    let told = &replay.pairs.translate_all(told);
    let state = state(replay);
    let Some(service) = service(&state, &text(told, "/ServiceID")) else { return };
    let (status, desired) = (field(told, "/Status"), field(told, "/DesiredState"));
    if state.task(id).is_none() {
        let node = told.get("NodeID").map(|_| field(told, "/NodeID"));
        change(
            replay,
            Change::CreateTask(NewTask {
                id,
                service: service.id,
                spec_version: service.spec_version,
                slot: slot(service, told, node),
                node,
                desired,
                error: "".into(),
                attachments: attachments(service, told),
                generic_resources: field_or_default(told, "/GenericResources"),
            }),
        );
    }
    let news = TaskChange { status: Some(status), desired: Some(desired), ..TaskChange::of(id) };
    change(replay, Change::Task(news));
}

/// What a task is called here: no answer to a client says it first. Docker's ids have more bits
/// than ours.
fn task_id(theirs: &str) -> TaskId {
    let digit = |byte: u8| u128::from(char::from(byte).to_digit(36).unwrap_or_default());
    let shifted = |bits: u128, byte| bits.wrapping_mul(36).wrapping_add(digit(byte));
    TaskId::from_bits(theirs.bytes().fold(0, shifted))
}

fn slot(service: &Service, told: &Value, node: Option<NodeId>) -> Slot {
    let number = told.get("Slot").and_then(Value::as_u64).unwrap_or_default();
    match &service.spec.mode {
        ServiceMode::Replicated(_) => Slot::Replica(number),
        // Those of a job count from 0 for people.
        ServiceMode::ReplicatedJob(_) => Slot::Replica(number + 1),
        ServiceMode::Global(_) | ServiceMode::GlobalJob(_) => {
            Slot::Node(node.expect("a node of its own"))
        }
    }
}

/// Its addresses, but for those on the routing mesh, which tasks here are not on.
fn attachments(service: &Service, told: &Value) -> Vec<NetworkAttachment> {
    let on: BTreeSet<NetworkId> = service.spec.task_template.network_ids().collect();
    let told = told.get("NetworksAttachments").and_then(Value::as_array);
    let attachment = |told: &Value| NetworkAttachment {
        network: field(told, "/Network/ID"),
        addresses: field(told, "/Addresses"),
    };
    let all = told.into_iter().flatten().map(attachment);
    all.filter(|attachment| on.contains(&attachment.network)).collect()
}

/// What a log holds, as agents send it: without the details that stand before a line.
fn lines(replay: &Replay, exchange: &Exchange, told: &Value) -> Vec<LogLine> {
    let state = state(replay);
    let task = task_of_log(&state, &replay.pairs.translate(exchange.path()));
    let Some(task) = task else { return Vec::new() };
    let line = |frame: &Value| {
        let said = text(frame, "/text");
        let (_, said) =
            said.split_once(' ').filter(|(begin, _)| begin.contains('=')).unwrap_or(("", &said));
        LogLine {
            task: task.id,
            service: task.service_id,
            node: task.node_id.expect("it ran somewhere"),
            output: match frame["output"].as_u64() {
                Some(2) => LogOutput::Stderr,
                _ => LogOutput::Stdout,
            },
            at: NOW,
            text: Bytes::copy_from_slice(said.as_bytes()),
            attributes: BTreeMap::new(),
        }
    };
    told["frames"].as_array().into_iter().flatten().map(line).collect()
}

fn task_of_log<'s>(state: &'s State, path: &str) -> Option<&'s Task> {
    let mut parts = path.rsplit('/').skip(1);
    let (reference, kind) = (parts.next()?, parts.next());
    let task = match kind {
        Some("tasks") => state.task(reference.parse().ok()?),
        _ => state.tasks_of_service(state.service_named(reference)?.id).next(),
    };
    task.map(|task| &**task)
}

fn state(replay: &Replay) -> State {
    replay.alpha.fake.shared.state.lock().unwrap().clone()
}

fn service<'s>(state: &'s State, id: &str) -> Option<&'s Service> {
    let id: ServiceId = id.parse().ok()?;
    state.service(id).map(|service| &**service)
}

/// Changes the state; what it has already is no change.
fn change(replay: &Replay, change: Change) {
    replay.alpha.fake.apply_if_new(change);
}

fn field<T: DeserializeOwned>(told: &Value, path: &str) -> T {
    let value = told.pointer(path).cloned().unwrap_or_default();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{path} of {told}: {error}"))
}

fn field_or_default<T: DeserializeOwned + Default>(told: &Value, path: &str) -> T {
    let is_there = told.pointer(path).is_some_and(|value| !value.is_null());
    if is_there { field(told, path) } else { T::default() }
}

fn text(told: &Value, path: &str) -> String {
    told.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}
