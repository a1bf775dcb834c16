//! Containers of this node's tasks that no task needs any more: left behind by a
//! daemon or an engine that was away when they should have gone.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptions, RemoveContainerOptions};
use swarmw_model::{NodeId, TaskId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::engine::{Engine, Standing};
use super::failure::Failure;
use crate::worker::Worker;

/// The node that a task's container belongs to; the engine may serve others too.
const NODE_ID_LABEL: &str = "com.docker.swarm.node.id";
const TASK_ID_LABEL: &str = "com.docker.swarm.task.id";

/// Looks for orphans whenever the leader has told all tasks of the node and
/// whenever the engine is back, until cancelled.
pub(crate) async fn sweep(
    engine: Arc<Engine>,
    node: NodeId,
    worker: Worker,
    cancel: CancellationToken,
) {
    let mut told = worker.told();
    let mut standing = engine.standing();
    loop {
        let up = matches!(*standing.borrow_and_update(), Standing::Up(_));
        if up && *told.borrow_and_update() > 0 {
            match remove_orphans(&engine, node, |task| worker.knows(task)).await {
                Ok(0) => {}
                Ok(gone) => info!(gone, "removed containers that no task needs"),
                Err(failure) => warn!(%failure, "orphaned containers could not be removed"),
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            true = changed(&mut told) => {}
            true = changed(&mut standing) => {}
            else => return,
        }
    }
}

async fn changed<T>(receiver: &mut watch::Receiver<T>) -> bool {
    receiver.changed().await.is_ok()
}

/// Removes the containers of a node's tasks but those that are needed: how many there were.
pub(super) async fn remove_orphans(
    engine: &Engine,
    node: NodeId,
    is_needed: impl Fn(TaskId) -> bool,
) -> Result<usize, Failure> {
    let label = vec![format!("{NODE_ID_LABEL}={node}")];
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), label)])),
        ..Default::default()
    };
    let options = &options;
    let list =
        move |docker: Docker| async move { docker.list_containers(Some(options.clone())).await };
    let all = engine.call(list).await?;
    let mut gone = 0;
    for container in all {
        let task = container.labels.as_ref().and_then(|l| l.get(TASK_ID_LABEL));
        let task: Option<TaskId> = task.and_then(|task| task.parse().ok());
        // Asked after the list was made: a container is made only for a known task.
        let (Some(task), Some(id)) = (task, container.id) else { continue };
        if is_needed(task) {
            continue;
        }
        let id = &id;
        let remove = move |docker: Docker| async move {
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            docker.remove_container(id, Some(options)).await
        };
        match engine.call(remove).await {
            Ok(()) => gone += 1,
            // Its own runner is at it.
            Err(failure) if failure.is_not_found() || failure.is_conflict() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(gone)
}
