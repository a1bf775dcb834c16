//! Tasks as they are answered.
//!
//! A list may have 100,000. What many of them share, the template of their service and the
//! networks that they are on, is put into JSON once and copied into each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use swarmw_model::{
    GenericResource, NetworkAttachment, NetworkId, NodeId, ServiceFacts, ServiceId, Task, TaskId,
    TaskSpec, TaskState, TaskStatus, Time, Version,
};
use swarmw_state::State as Cluster;

use crate::networks;
use crate::reply;
use crate::services::ShownTemplate;
use crate::since;
use crate::version::ApiVersion;

/// Templates and networks of each that are kept in JSON; then all are made anew.
const TEXTS_KEPT: usize = 1_024;

/// Puts tasks of one state into JSON.
pub(crate) struct Writer {
    state: Arc<Cluster>,
    /// Of the request.
    version: ApiVersion,
    /// By address, which is nobody else's while the template is held.
    templates: HashMap<usize, (Arc<TaskSpec>, Vec<u8>)>,
    networks: HashMap<NetworkId, Vec<u8>>,
}

/// What stands before a task's template…
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Head {
    #[serde(rename = "ID")]
    id: TaskId,
    version: Version,
    created_at: Time,
    updated_at: Time,
    /// Docker's tasks have some; ours have their service's.
    labels: BTreeMap<(), ()>,
}

/// …and behind it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tail<'t> {
    #[serde(rename = "ServiceID")]
    service_id: ServiceId,
    /// As people see it; Docker leaves 0 out as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u64>,
    #[serde(rename = "NodeID", skip_serializing_if = "Option::is_none")]
    node_id: Option<NodeId>,
    status: Status<'t>,
    desired_state: TaskState,
    spec_version: Version,
    service_annotations: &'t ServiceFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_iteration: Option<Version>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    generic_resources: &'t [GenericResource],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status<'t> {
    #[serde(flatten)]
    status: &'t TaskStatus,
    /// Docker has it in every task, empty without ports of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    port_status: Option<BTreeMap<(), ()>>,
}

/// A task of `state` by itself, as this version of the API has it.
pub(crate) fn shown(state: &Arc<Cluster>, task: &Task, version: ApiVersion) -> Value {
    let mut text = Vec::new();
    Writer::new(state.clone(), version).write(&mut text, task);
    // What was written just now is JSON.
    serde_json::from_slice(&text).unwrap_or_default()
}

// === impl Writer ===

impl Writer {
    /// Of tasks of this state, as this version of the API has them.
    pub(crate) fn new(state: Arc<Cluster>, version: ApiVersion) -> Self {
        Self { state, version, templates: HashMap::new(), networks: HashMap::new() }
    }

    /// Adds a task to a text.
    pub(crate) fn write(&mut self, text: &mut Vec<u8>, task: &Task) {
        reply::write(text, &Head::of(task));
        text.pop();
        text.extend_from_slice(br#","Spec":"#);
        text.extend_from_slice(self.template(&task.spec));
        text.push(b',');
        // Without the brace that opens it.
        let begun = text.len();
        reply::write(text, &Tail::of(task, self.version));
        text.remove(begun);
        if !task.attachments.is_empty() {
            text.pop();
            text.extend_from_slice(br#","NetworksAttachments":"#);
            self.write_attachments(text, &task.attachments);
            text.push(b'}');
        }
    }

    fn template(&mut self, template: &Arc<TaskSpec>) -> &[u8] {
        let address = Arc::as_ptr(template) as usize;
        if self.templates.len() >= TEXTS_KEPT && !self.templates.contains_key(&address) {
            self.templates.clear();
        }
        let version = self.version;
        let kept = self.templates.entry(address).or_insert_with(|| {
            let shown = ShownTemplate::of(template);
            if since::has_whole_services(version) {
                return (template.clone(), reply::json(&shown));
            }
            let mut shown = json!(shown);
            since::tell_template(version, &mut shown);
            (template.clone(), reply::json(&shown))
        });
        &kept.1
    }

    fn write_attachments(&mut self, text: &mut Vec<u8>, attachments: &[NetworkAttachment]) {
        if self.networks.len() >= TEXTS_KEPT {
            self.networks.clear();
        }
        let mut mark = b'[';
        for attachment in attachments {
            text.push(mark);
            mark = b',';
            text.extend_from_slice(br#"{"Network":"#);
            let network = self.networks.entry(attachment.network).or_insert_with(|| {
                reply::json(&networks::in_a_task(&self.state, attachment.network))
            });
            text.extend_from_slice(network);
            text.extend_from_slice(br#","Addresses":"#);
            reply::write(text, &attachment.addresses);
            text.push(b'}');
        }
        text.push(b']');
    }
}

// === impl Head ===

impl Head {
    fn of(task: &Task) -> Self {
        Self {
            id: task.id,
            version: task.version,
            created_at: task.created_at,
            updated_at: task.updated_at,
            labels: BTreeMap::new(),
        }
    }
}

// === impl Tail ===

impl<'t> Tail<'t> {
    fn of(task: &'t Task, version: ApiVersion) -> Self {
        let has_ports = task.status.port_status.is_some();
        Self {
            service_id: task.service_id,
            slot: task.number().filter(|number| *number > 0),
            node_id: task.node_id,
            status: Status { status: &task.status, port_status: (!has_ports).then(BTreeMap::new) },
            desired_state: task.desired_state,
            spec_version: task.spec_version,
            service_annotations: &task.service,
            job_iteration: task.job_iteration.filter(|_| version >= since::JOBS),
            generic_resources: &task.generic_resources,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::MAXIMUM;

    fn task() -> Task {
        serde_json::from_value(json!({
            "ID": "0000000000000000000000001", "Version": {"Index": 7},
            "CreatedAt": "2025-11-20T23:41:33Z", "UpdatedAt": "2025-11-20T23:41:34Z",
            "Spec": {"ContainerSpec": {"Image": "redis:1"}, "RegistryAuth": "secret"},
            "ServiceID": "0000000000000000000000002", "Slot": 3,
            "NodeID": "0000000000000000000000003",
            "Status": {"Timestamp": "2025-11-20T23:41:34Z", "State": "running",
                "Message": "started"},
            "DesiredState": "running", "SpecVersion": {"Index": 5},
            "ServiceAnnotations": {"Name": "web", "Labels": {"a": "b"}},
            "Attachments": [
                {"NetworkID": "0000000000000000000000009", "Addresses": ["10.0.1.3/24"]},
                {"NetworkID": "0000000000000000000000009", "Addresses": ["10.0.1.4/24"]},
            ],
            "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}],
        }))
        .expect("a task")
    }

    #[test]
    fn every_field_of_a_task_is_answered_but_for_what_is_ours_alone() {
        let task = task();
        let shown = shown(&Arc::default(), &task, MAXIMUM);
        let stored = json!(task);
        for (key, value) in stored.as_object().expect("an object") {
            match key.as_str() {
                "Attachments" => assert!(shown.get(key).is_none()),
                "Spec" => assert_eq!(shown[key], json!(ShownTemplate::of(&task.spec))),
                "Status" => {
                    let mut status = value.clone();
                    status["PortStatus"] = json!({});
                    assert_eq!(shown[key], status);
                }
                _ => assert_eq!(shown[key], *value, "{key}"),
            }
        }
        assert_eq!(shown["Labels"], json!({}));
        let on = |address: &str| json!({"Network": {"ID": "0000000000000000000000009"}, "Addresses": [address]});
        assert_eq!(shown["NetworksAttachments"], json!([on("10.0.1.3/24"), on("10.0.1.4/24")]));
        assert!(!shown.to_string().contains("secret"));
    }

    #[test]
    fn each_task_has_its_own_template_however_many_there_are() {
        let mut writer = Writer::new(Arc::default(), MAXIMUM);
        let mut tasks = Vec::new();
        for n in 0..TEXTS_KEPT + 10 {
            let mut task = task();
            let template = Arc::make_mut(&mut task.spec);
            template.container_spec.get_or_insert_default().image = format!("image:{n}");
            tasks.push(task);
        }
        for round in 0..2 {
            for task in &tasks {
                let mut text = Vec::new();
                writer.write(&mut text, task);
                let shown: Value = serde_json::from_slice(&text).expect("JSON");
                let image = &shown["Spec"]["ContainerSpec"]["Image"];
                assert_eq!(image, task.spec.image(), "in round {round}");
                assert!(writer.templates.len() <= TEXTS_KEPT);
            }
        }
    }
}
