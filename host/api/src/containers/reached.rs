//! What a manager answers nodes that are no managers: calls to the containers of tasks, and no
//! more of what it has itself. Tasks on it are asked of its own agent, which lets a request to
//! the task's container alone, as every agent does.

use axum::extract::Request;

use swarmw_model::{ContainerCall, ExecCall, NodeId, Refusal, RefusalKind, Task, TaskId};
use swarmw_state::State as Cluster;

use super::{Asked, asked, by_its_agent, component, elsewhere, exec_of, find, to};
use crate::api::Host;
use crate::reply::Reply;
use crate::{refusals, tasks};

/// Answers a request of a node about a task's container, where the cluster lets it ask.
pub(crate) async fn for_node(host: &Host, from: NodeId, request: Request) -> Reply {
    let state = host.state().ok_or_else(refusals::manager_starting)?;
    check(&state, from)?;
    match asked(&request) {
        Some(Asked::Container(name, call)) => {
            of_container(host, &state, from, &name, call, request).await
        }
        Some(Asked::Exec(task, id, call)) => {
            of_exec(host, &state, from, (task, id.as_str()), call, request).await
        }
        None => Err(not_for_others(&request).into()),
    }
}

/// Refuses what the cluster does not allow any more: a connection may be older than its word.
fn check(state: &Cluster, from: NodeId) -> Result<(), Refusal> {
    let tasks_from = state.cluster().map(|cluster| cluster.spec.tasks_from());
    tasks_from.unwrap_or_default().check()?;
    match state.node(from) {
        Some(_) => Ok(()),
        None => {
            let message = format!("node {from} is not in this cluster");
            Err(Refusal::plain(RefusalKind::PermissionDenied, message))
        }
    }
}

async fn of_container(
    host: &Host,
    state: &Cluster,
    from: NodeId,
    name: &str,
    call: ContainerCall,
    request: Request,
) -> Reply {
    let task = find::one(name, &find::called(state, name), call)?;
    log(state, from, &task, call.end());
    match task.spec.is_component() {
        true => component::answer(host, &task, call, request).await,
        false => by_its_agent(host, &task, call, request).await,
    }
}

async fn of_exec(
    host: &Host,
    state: &Cluster,
    from: NodeId,
    (task, id): (TaskId, &str),
    call: ExecCall,
    request: Request,
) -> Reply {
    let task = exec_of(state, task, id)?;
    log(state, from, &task, &format!("exec {}", call.end()));
    let request = to(request, &format!("/exec/{id}/{}", call.end()))?;
    elsewhere(host, &task, request).await
}

/// Tells operators who was where.
fn log(state: &Cluster, from: NodeId, task: &Task, call: &str) {
    let hostname = state.node(from).map(|node| node.called().into_owned()).unwrap_or_default();
    let task = tasks::name(task);
    tracing::info!(node = %from, hostname, task, call, "a worker reaches a task's container");
}

fn not_for_others(request: &Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{method} {path} is not answered for other nodes");
    Refusal::plain(RefusalKind::Unimplemented, message)
}
