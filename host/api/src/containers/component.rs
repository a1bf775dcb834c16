//! Tasks that are components: they have logs, and no container.

use axum::extract::{Path, Request, State};
use serde_json::{Value, json};

use swarmw_model::{ContainerCall, Refusal, RefusalKind, Task, TaskState};

use super::to;
use crate::api::Host;
use crate::reply::{Reply, ok};
use crate::{forward, logs, tasks};

/// Answers about a component's task, wherever it runs.
pub(super) async fn answer(
    host: &Host,
    task: &Task,
    call: ContainerCall,
    request: Request,
) -> Reply {
    match call {
        // Clients ask whether there is a terminal before they ask for logs.
        ContainerCall::Inspect => ok(shown(task)),
        ContainerCall::Logs => {
            let id = task.id.to_string();
            let request = to(request, &format!("/tasks/{id}/logs"))?;
            let read = |state: State<Host>, request: Request| {
                logs::of_task(state, Path(id.clone()), request)
            };
            forward::at_the_leader(host, request, read).await
        }
        _ => Err(Refusal::plain(
            RefusalKind::Unimplemented,
            format!(
                "task {} is a component: it has no container to enter, attach to or copy files \
                 of; `logs` shows what it prints",
                tasks::name(task)
            ),
        )
        .into()),
    }
}

/// As much of a container as clients look at.
fn shown(task: &Task) -> Value {
    let status = task.status.container_status.as_deref();
    let running = task.status.state == TaskState::Running;
    let word = match task.status.state {
        TaskState::Running => "running",
        state if state.is_terminal() => "exited",
        _ => "created",
    };
    json!({
        "Id": tasks::name(task),
        "Name": format!("/{}", tasks::name(task)),
        "Created": task.created_at,
        "Image": task.spec.image(),
        "State": {
            "Status": word,
            "Running": running,
            "Pid": status.map_or(0, |status| status.pid),
            "ExitCode": status.map_or(0, |status| status.exit_code),
            "Error": &*task.status.error,
        },
        "Config": {
            "Image": task.spec.image(),
            "Tty": false,
            "Labels": task.assignment().map(|task| task.container_labels()).unwrap_or_default(),
        },
        "HostConfig": {},
        "Mounts": [],
        "NetworkSettings": { "Networks": {} },
    })
}
