//! `/tasks`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use serde_json::{Value, json};

use swarmw_model::{Filters, Node, NodeId, Refusal, Service, ServiceId, Task};
use swarmw_state::{Lookup, State as Cluster};

use crate::api::Host;
use crate::body::Params;
use crate::listing::prefix;
use crate::networks;
use crate::reply::{self, Reply, ok};
use crate::services::shown_template;

const FILTERS: &[&str] =
    &["id", "name", "label", "service", "node", "desired-state", "runtime", "_up-to-date"];

/// The words that `desired-state` takes.
const STATES: [&str; 14] = [
    "new",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "running",
    "complete",
    "shutdown",
    "failed",
    "rejected",
    "remove",
    "orphaned",
];

/// A task as it is answered.
fn shown(state: &Cluster, task: &Task) -> Value {
    let mut value = json!(task);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("Attachments");
        fields.remove("Slot");
        // Docker leaves 0 out as well.
        if let Some(number) = task.number().filter(|number| *number > 0) {
            fields.insert("Slot".to_owned(), json!(number));
        }
    }
    value["Labels"] = json!({});
    value["Spec"] = shown_template(&task.spec);
    // Docker has it in every task, empty without ports of the node.
    if task.status.port_status.is_none() {
        value["Status"]["PortStatus"] = json!({});
    }
    if !task.attachments.is_empty() {
        value["NetworksAttachments"] = networks::in_a_task(state, &task.attachments);
    }
    value
}

/// `GET /tasks`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let filters = Params::of(request.uri()).filters(FILTERS)?;
    if let Some(wrong) = filters
        .values("desired-state")
        .iter()
        .find(|v| !STATES.contains(&v.to_lowercase().as_str()))
    {
        return Err(Refusal::invalid(format!("invalid filter 'desired-state={wrong}'")).into());
    }
    let state = host.read().await?;
    let services = named::<Service, ServiceId>(&state, &filters, "service", |s| s.id)?;
    let nodes = named::<Node, NodeId>(&state, &filters, "node", |n| n.id)?;
    let up_to_date =
        filters.values("_up-to-date").iter().any(|v| matches!(v.as_str(), "true" | "1"));
    let wanted = |task: &&Arc<Task>| {
        services.as_ref().is_none_or(|s| s.contains(&task.service_id))
            && nodes.as_ref().is_none_or(|n| task.node_id.is_some_and(|id| n.contains(&id)))
            && prefix(&filters, "id", &task.id.to_string())
            && filters.any("name", |beginning| name(task).starts_with(beginning))
            && filters.labels("label", &task.service.labels)
            && filters.any("desired-state", |s| s.eq_ignore_ascii_case(task.desired_state.as_str()))
            && filters.any("runtime", |r| r == "container")
            && (!up_to_date
                || state
                    .service(task.service_id)
                    .is_some_and(|s| s.spec_version == task.spec_version))
    };
    // A few services or nodes are read by their index, not out of all tasks.
    let found: Vec<_> = match (&services, &nodes) {
        (Some(services), _) => services
            .iter()
            .flat_map(|id| state.tasks_of_service(*id))
            .filter(wanted)
            .cloned()
            .collect(),
        (None, Some(nodes)) => {
            nodes.iter().flat_map(|id| state.tasks_of_node(*id)).filter(wanted).cloned().collect()
        }
        (None, None) => state.tasks().filter(wanted).cloned().collect(),
    };
    reply::list(found, move |task| shown(&state, task))
}

/// What the values of a filter refer to; `None` where it is not filtered by.
fn named<T: Lookup, I: Eq + std::hash::Hash>(
    state: &Cluster,
    filters: &Filters,
    key: &str,
    id: impl Fn(&T) -> I,
) -> Result<Option<HashSet<I>>, Refusal> {
    let references = filters.values(key);
    if references.is_empty() {
        return Ok(None);
    }
    references
        .iter()
        .map(|reference| T::find(state, reference).map(|found| id(&found)))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// `SERVICE.SLOT.TASK`, or `SERVICE.NODE.TASK` for a global task and for a job's first.
pub(crate) fn name(task: &Task) -> String {
    match (task.number().unwrap_or(0), task.node_id) {
        (0, Some(node)) => format!("{}.{node}.{}", task.service.name, task.id),
        (slot, _) => format!("{}.{slot}.{}", task.service.name, task.id),
    }
}

/// `GET /tasks/{id}`
pub(crate) async fn inspect(State(host): State<Host>, Path(reference): Path<String>) -> Reply {
    let state = host.read().await?;
    ok(shown(&state, &*Task::find(&state, &reference)?))
}
