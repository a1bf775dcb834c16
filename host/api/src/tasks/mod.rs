//! `/tasks`.

mod shape;

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Path, Request, State};

use swarmw_model::{Filters, Node, NodeId, Refusal, Service, ServiceId, Task, TaskId};
use swarmw_state::{Lookup, State as Cluster};

use crate::api::Host;
use crate::body::Params;
use crate::engine::asked_in;
use crate::listing::{at, prefix};
use crate::page::{Cut, Page};
use crate::reply::{self, Reply, ok};

use shape::Writer;
pub(crate) use shape::shown;

/// Keys of `filters`.
const FILTERS: &[&str] =
    &["id", "name", "label", "service", "node", "desired-state", "runtime", "_up-to-date"];
/// Those that look at a task alone, not at what its service wants by now.
pub(crate) const FILTERS_OF_ONE: &[&str] =
    &["id", "name", "label", "service", "node", "desired-state", "runtime"];

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

/// Which tasks are wanted.
pub(crate) struct Wanted {
    filters: Filters,
    services: Option<HashSet<ServiceId>>,
    nodes: Option<HashSet<NodeId>>,
    is_up_to_date: bool,
}

/// `GET /tasks`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let page = Page::of("task", &params)?;
    let filters = params.filters(FILTERS)?;
    let state = host.read().await?;
    let found = Wanted::of(&state, filters)?.all(&state);
    let Cut { items, head } = page.cut(found, |(id, _)| *id);
    let items: Vec<_> = items.into_iter().map(|(_, task)| task.clone()).collect();
    let revision = state.index();
    let mut writer = Writer::new(state, asked_in(&request));
    let listed = reply::list(items, move |text, task| writer.write(text, task))?;
    Ok(at(revision, head.on(listed)))
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
pub(crate) async fn inspect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let state = host.read().await?;
    let task = Task::find(&state, &reference)?;
    ok(shown(&state, &task, asked_in(&request)))
}

// === impl Wanted ===

impl Wanted {
    /// What the filters say of these services and nodes.
    ///
    /// # Errors
    /// They name a state that there is not, or a service or node that is not there.
    pub(crate) fn of(state: &Cluster, filters: Filters) -> Result<Self, Refusal> {
        let is_unknown = |word: &&String| !STATES.contains(&word.to_lowercase().as_str());
        if let Some(wrong) = filters.values("desired-state").iter().find(is_unknown) {
            return Err(Refusal::invalid(format!("invalid filter 'desired-state={wrong}'")));
        }
        let services = named::<Service, ServiceId>(state, &filters, "service", |s| s.id)?;
        let nodes = named::<Node, NodeId>(state, &filters, "node", |n| n.id)?;
        let is_up_to_date =
            filters.values("_up-to-date").iter().any(|v| matches!(v.as_str(), "true" | "1"));
        Ok(Self { filters, services, nodes, is_up_to_date })
    }

    /// Whether a task is wanted.
    pub(crate) fn passes(&self, state: &Cluster, task: &Task) -> bool {
        let filters = &self.filters;
        if filters.is_empty() {
            return true;
        }
        let on_a_node = |nodes: &HashSet<NodeId>| task.node_id.is_some_and(|n| nodes.contains(&n));
        let is_up_to_date = || {
            let service = state.service(task.service_id);
            service.is_some_and(|service| service.spec_version == task.spec_version)
        };
        self.services.as_ref().is_none_or(|s| s.contains(&task.service_id))
            && self.nodes.as_ref().is_none_or(on_a_node)
            && (filters.values("id").is_empty() || prefix(filters, "id", &task.id.to_string()))
            && filters.any("name", |beginning| name(task).starts_with(beginning))
            && filters.labels("label", &task.service.labels)
            && filters.any("desired-state", |s| s.eq_ignore_ascii_case(task.desired_state.as_str()))
            && filters.any("runtime", |r| r == "container")
            && (!self.is_up_to_date || is_up_to_date())
    }

    /// All that are: of a few services or nodes by their index, not out of all tasks. With
    /// their ids, so that a page of many is found without a look at the others.
    fn all<'s>(&self, state: &'s Cluster) -> Vec<(TaskId, &'s Arc<Task>)> {
        let is_wanted = |(_, task): &(TaskId, &Arc<Task>)| self.passes(state, task);
        match (&self.services, &self.nodes) {
            (Some(services), _) => {
                let tasks = services.iter().flat_map(|id| state.tasks_of_service(*id));
                tasks.map(|task| (task.id, task)).filter(is_wanted).collect()
            }
            (None, Some(nodes)) => {
                let tasks = nodes.iter().flat_map(|id| state.tasks_of_node(*id));
                tasks.map(|task| (task.id, task)).filter(is_wanted).collect()
            }
            (None, None) => state.tasks_by_id().filter(is_wanted).collect(),
        }
    }
}
