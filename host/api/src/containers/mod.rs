//! Containers of tasks by the names of their tasks, wherever they run.
//!
//! A request about a container that the cluster knows as a task's, and this node's engine
//! does not know by that name, goes to the node of the task: `docker exec -it web.3 sh` works
//! on every manager. A container of this node's engine that is called so wins, whatever it is.
//!
//! | named by | |
//! |---|---|
//! | `web.3` | the task of a slot that runs, or the newest of it |
//! | `web.NODE` | the same of a global service, by the node's id |
//! | `web.3.TASK` | one task, by the name of its container |
//! | the id of its container, or its first 12 characters | that one |
//!
//! What is served is what [`ContainerCall`] has words for. The id of a command that
//! `POST /containers/…/exec` gives begins with the id of the task, so that each manager
//! knows where it was made.
//!
//! A manager decides by the state as it last applied it, and opens the way by its own
//! certificate; agents let nobody else in. So a worker, which may be anybody's machine,
//! reaches the tasks on itself alone and says so. Where the cluster's `Swarmw.TasksFrom` is
//! `nodes`, it asks a manager, which answers in its place: about tasks of the cluster, and
//! never about another container of its own engine. Each request goes once.
//!
//! - `find.rs`: whom a name means. Pure.
//! - `component.rs`: tasks that are components, which have logs and no container.
//! - `worker.rs`: the same names on a worker.
//! - `reached.rs`: what a manager answers workers.

mod component;
mod find;
mod reached;
mod worker;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Uri};
use serde_json::Value;

use swarmw_model::{ContainerCall, ExecCall, NodeId, Refusal, RefusalKind, Task, TaskId};
use swarmw_state::State as Cluster;

use crate::api::Host;
use crate::reply::{Refused, Reply};
use crate::{body, engine, networks, tasks};

pub(crate) use reached::for_node;

/// What a request is about.
enum Asked {
    Container(String, ContainerCall),
    /// Of a task elsewhere, the engine's id there.
    Exec(TaskId, String, ExecCall),
}

/// `/containers/{id}/…` and `/exec/{id}/…`
pub(crate) async fn anywhere(State(host): State<Host>, request: Request) -> Response {
    let answered = match asked(&request) {
        Some(Asked::Container(name, call)) => of_container(&host, &name, call, request).await,
        Some(Asked::Exec(task, id, call)) => of_exec(&host, task, &id, call, request).await,
        None => return engine::anything(State(host), request).await,
    };
    answered.unwrap_or_else(Refused::into_response)
}

fn asked(request: &Request) -> Option<Asked> {
    let mut parts = request.uri().path().strip_prefix('/')?.splitn(3, '/');
    let (kind, id, end) = (parts.next()?, parts.next()?, parts.next()?);
    let method = request.method().as_str();
    match kind {
        "containers" => Some(Asked::Container(id.to_owned(), ContainerCall::of(method, end)?)),
        "exec" => {
            let (task, id) = id.split_once('.')?;
            Some(Asked::Exec(task.parse().ok()?, id.to_owned(), ExecCall::of(method, end)?))
        }
        _ => None,
    }
}

async fn of_container(host: &Host, name: &str, call: ContainerCall, request: Request) -> Reply {
    let Some(state) = host.state() else {
        return worker::answer(host, name, call, request).await;
    };
    let called = find::called(&state, name);
    if called.is_empty() || engine_has(host, name).await {
        return by_the_engine(host, call, request).await;
    }
    let task = find::one(name, &called, call)?;
    if task.spec.is_component() {
        return component::answer(host, &task, call, request).await;
    }
    if task.node_id == own_node(host) {
        return by_the_engine(host, call, about(request, &tasks::name(&task), call)?).await;
    }
    by_its_agent(host, &task, call, request).await
}

/// Answers by the agent of a task's node.
async fn by_its_agent(host: &Host, task: &Task, call: ContainerCall, request: Request) -> Reply {
    let request = about(request, &task.id.to_string(), call)?;
    let answer = elsewhere(host, task, request).await?;
    match call {
        ContainerCall::Exec => renamed(answer, |id| format!("{}.{id}", task.id)).await,
        // Clients go on with the id that they were shown, and while a task starts nobody
        // but its node knows its container's id.
        ContainerCall::Inspect if task.status.container_status.is_none() => {
            renamed(answer, |_| tasks::name(task)).await
        }
        _ => Ok(answer),
    }
}

async fn of_exec(host: &Host, task: TaskId, id: &str, call: ExecCall, request: Request) -> Reply {
    let Some(state) = host.state() else {
        return worker::exec(host, id, request).await;
    };
    let task = exec_of(&state, task, id)?;
    let request = to(request, &format!("/exec/{id}/{}", call.end()))?;
    match task.node_id == own_node(host) {
        true => engine::pass_on(host, request).await,
        false => elsewhere(host, &task, request).await,
    }
}

/// The task that a command was made in.
fn exec_of(state: &Cluster, task: TaskId, id: &str) -> Result<Arc<Task>, Refusal> {
    state.task(task).cloned().ok_or_else(|| {
        Refusal::plain(RefusalKind::NotFound, format!("No such exec instance: {id}"))
    })
}

/// Answers by this node's engine, as if nobody had looked.
async fn by_the_engine(host: &Host, call: ContainerCall, request: Request) -> Reply {
    match call {
        ContainerCall::Inspect => networks::inspect_container(State(host.clone()), request).await,
        _ => Ok(engine::anything(State(host.clone()), request).await),
    }
}

/// Whether this node's engine has a container by this name.
async fn engine_has(host: &Host, name: &str) -> bool {
    engine::knows(host, &format!("/containers/{name}/json")).await
}

fn own_node(host: &Host) -> Option<NodeId> {
    host.standing().membership()?.node
}

/// Sends a request to the node of a task, once, and gives its answer back.
async fn elsewhere(host: &Host, task: &Task, request: Request) -> Reply {
    let request = outward(request)?;
    let connection = host.open_container(task.id).await?;
    let answer = engine::exchange(connection, request).await;
    Ok(answer.map_err(|error| {
        let task = tasks::name(task);
        let message = format!("the way to the node of task {task} broke off: {error}");
        Refusal::plain(RefusalKind::Unavailable, message)
    })?)
}

/// The request for another node: its path names the version again.
fn outward(request: Request) -> Result<Request, Refusal> {
    let version = engine::asked_in(&request);
    let rest = request.uri().path_and_query().map_or("/", |rest| rest.as_str());
    let path = format!("/v{version}{rest}");
    to_uri(request, &path)
}

/// The request with another container.
fn about(request: Request, container: &str, call: ContainerCall) -> Result<Request, Refusal> {
    to(request, &format!("/containers/{container}/{}", call.end()))
}

/// The request with another path, and its own query.
fn to(request: Request, path: &str) -> Result<Request, Refusal> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    to_uri(request, &format!("{path}{query}"))
}

fn to_uri(mut request: Request, uri: &str) -> Result<Request, Refusal> {
    let invalid = |_| Refusal::invalid(format!("invalid path {uri:?}"));
    *request.uri_mut() = uri.parse::<Uri>().map_err(invalid)?;
    Ok(request)
}

/// An answer of JSON with another id in it; one that has none stays what it is.
async fn renamed(answer: Response, name: impl FnOnce(&str) -> String) -> Reply {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let (mut parts, content) = answer.into_parts();
    let mut content = body::bytes(content, body::JSON_MAX).await?;
    let mut told: Value = serde_json::from_slice(&content).unwrap_or_default();
    if let Some(id) = told.get("Id").and_then(Value::as_str) {
        told["Id"] = Value::from(name(id));
        content = told.to_string().into();
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    }
    Ok(Response::from_parts(parts, Body::from(content)))
}
