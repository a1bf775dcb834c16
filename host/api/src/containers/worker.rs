//! The names of tasks on a node that is no manager: those on it are found at its engine, by
//! what their containers are called. For the others a manager is asked, which refuses unless
//! the cluster says otherwise: a worker may be a machine that is trusted with its own tasks
//! alone.

use axum::extract::Request;
use serde_json::{Value, json};

use swarmw_model::{ContainerCall, Refusal, RefusalKind, TaskId};

use super::{about, by_the_engine, engine_has, find, outward};
use crate::api::Host;
use crate::reply::Reply;
use crate::{Connection, Membership, Standing, engine};

/// Managers that a refusal names.
const MANAGERS_MAX: usize = 3;

/// Answers by the engine of this node, whose containers of tasks have their short names too;
/// for what it does not have, by a manager.
pub(super) async fn answer(
    host: &Host,
    name: &str,
    call: ContainerCall,
    request: Request,
) -> Reply {
    let is_worker = matches!(host.standing(), Standing::Worker(_));
    let is_id = find::is_an_id(name);
    if !is_worker || !(is_id || find::is_a_tasks(name)) || engine_has(host, name).await {
        return by_the_engine(host, call, request).await;
    }
    if is_id {
        // It may be of anything. Where no manager leads there, the engine says so in its words.
        return match host.open_manager().await {
            Ok(manager) => ask(manager, request).await,
            Err(why) => {
                tracing::debug!(%why, container = name, "no manager leads there");
                by_the_engine(host, call, request).await
            }
        };
    }
    let Here { running, ended } = here(host, name).await?;
    let container = match (&running[..], ended) {
        ([container], _) => container.clone(),
        // One that runs on another node is meant before one that has ended here.
        ([], ended) => match (host.open_manager().await, ended) {
            (Ok(manager), _) => return ask(manager, request).await,
            (Err(_), Some(ended)) => ended,
            (Err(why), None) => return Err(not_led(host, name, why).into()),
        },
        (several, _) => {
            let message = format!(
                "{} tasks called {name} run on this node: {}; name one of them",
                several.len(),
                several.join(", ")
            );
            return Err(Refusal::plain(RefusalKind::AlreadyExists, message).into());
        }
    };
    by_the_engine(host, call, about(request, &container, call)?).await
}

/// Answers about a command in a container on another node.
pub(super) async fn exec(host: &Host, id: &str, request: Request) -> Reply {
    match host.standing() {
        Standing::Worker(_) => match host.open_manager().await {
            Ok(manager) => ask(manager, request).await,
            Err(why) => Err(not_led(host, id, why).into()),
        },
        _ => Err(not_reached(host, id).into()),
    }
}

/// Sends a request to a manager, once, and gives its answer back.
async fn ask(manager: Box<dyn Connection>, request: Request) -> Reply {
    let answer = engine::exchange(manager, outward(request)?).await;
    Ok(answer.map_err(|error| {
        let message = format!("the way by a manager broke off: {error}");
        Refusal::plain(RefusalKind::Unavailable, message)
    })?)
}

/// Why no manager leads to a container: the cluster does not let this node ask, or none answers.
fn not_led(host: &Host, name: &str, why: Refusal) -> Refusal {
    match why.kind {
        RefusalKind::PermissionDenied => not_reached(host, name),
        _ => why,
    }
}

/// That a worker does not reach what is not on itself.
fn not_reached(host: &Host, name: &str) -> Refusal {
    let standing = host.standing();
    let managers = standing.membership().map(managers).unwrap_or_default();
    let message = format!(
        "No such container: {name}: this node is no manager, and reaches the tasks on itself \
         alone; ask a manager{managers}, or allow it on one: swarmw swarm update --tasks-from nodes"
    );
    Refusal::plain(RefusalKind::NotFound, message)
}

fn managers(membership: &Membership) -> String {
    let known: Vec<_> =
        membership.managers.iter().take(MANAGERS_MAX).map(|known| known.addr.as_str()).collect();
    if known.is_empty() { String::new() } else { format!(" (on {})", known.join(", ")) }
}

/// Containers of tasks in a slot, as this node's engine calls them.
#[derive(Debug, PartialEq, Eq)]
struct Here {
    running: Vec<String>,
    /// The newest of the others.
    ended: Option<String>,
}

async fn here(host: &Host, slot: &str) -> Reply<Here> {
    let filters = json!({ "label": ["com.docker.swarm.task.id"], "name": [format!("{slot}.")] });
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("all", "1")
        .append_pair("filters", &filters.to_string())
        .finish();
    let listed = engine::ask_in_version(host, &format!("/containers/json?{query}")).await?;
    let listed = listed.unwrap_or_default();
    Ok(of_slot(listed.as_array().map_or(&[], Vec::as_slice), slot))
}

/// Of an engine's list, the newest first.
fn of_slot(listed: &[Value], slot: &str) -> Here {
    let called = |container: &Value| {
        let mut names = container["Names"].as_array()?.iter().filter_map(Value::as_str);
        let is_of_slot = |name: &&str| {
            let task = name.strip_prefix(slot).and_then(|rest| rest.strip_prefix('.'));
            task.is_some_and(|task| task.parse::<TaskId>().is_ok())
        };
        names.by_ref().map(|name| name.trim_start_matches('/')).find(is_of_slot).map(str::to_owned)
    };
    let (running, ended): (Vec<_>, Vec<_>) =
        listed.iter().partition(|container| container["State"] == "running");
    Here {
        running: running.into_iter().filter_map(called).collect(),
        ended: ended.into_iter().find_map(called),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, state: &str) -> Value {
        json!({ "Names": [format!("/{name}")], "State": state })
    }

    #[test]
    fn containers_of_a_slot_are_told_by_their_names() {
        let [one, two] = [1, 2].map(|n| format!("web.1.{}", TaskId::from_bits(n)));
        let other = format!("web.10.{}", TaskId::from_bits(3));
        let listed = [
            container(&other, "running"),
            container("web.1.mine", "running"),
            container(&one, "exited"),
            container(&two, "exited"),
        ];
        let newest = Here { running: Vec::new(), ended: Some(one.clone()) };
        assert_eq!(of_slot(&listed, "web.1"), newest, "the engine lists the newest first");
        let listed = [container(&one, "exited"), container(&two, "running")];
        let both = Here { running: vec![two], ended: Some(one) };
        assert_eq!(of_slot(&listed, "web.1"), both);
        assert_eq!(of_slot(&listed, "web"), Here { running: Vec::new(), ended: None });
    }
}
