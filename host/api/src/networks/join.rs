//! Containers that no service made join networks of the cluster: when they are created,
//! by `connect`, and leave them by `disconnect`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Uri};
use serde_json::Value;

use swarmw_model::Refusal;

use super::resource::Resource;
use super::{cluster, engines};
use crate::api::Host;
use crate::reply::Reply;
use crate::{Standing, body, engine, refusals, sockets};

/// Modes of Docker's that name no network of the cluster.
const MODES: [&str; 5] = ["", "bridge", "default", "host", "none"];

/// A shadow that a container can join.
struct Joined {
    /// The engine's id of it.
    id: String,
    /// What the engine finds it by: the network's name, where that is the shadow's too.
    name: String,
}

/// `POST /containers/create`
pub(crate) async fn create_container(State(host): State<Host>, request: Request) -> Reply {
    let (mut parts, content) = request.into_parts();
    let mut content = body::bytes(content, body::JSON_MAX).await?;
    // What is no JSON the engine refuses in its own words.
    let mut posted: Value = serde_json::from_slice(&content).unwrap_or_default();
    let mut changed = sockets::put(&host.engine_socket(), &mut posted)?;
    for reference in named(&posted) {
        if let Some(joined) = shadow(&host, &reference).await?
            && joined.name != reference
        {
            rename(&mut posted, &reference, &joined.name);
            changed = true;
        }
    }
    if changed {
        content = posted.to_string().into();
    }
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    engine::pass_on(&host, Request::from_parts(parts, Body::from(content))).await
}

/// The networks that a container is to be on.
fn named(posted: &Value) -> BTreeSet<String> {
    let mode = posted.pointer("/HostConfig/NetworkMode").and_then(Value::as_str);
    let endpoints = posted.pointer("/NetworkingConfig/EndpointsConfig").and_then(Value::as_object);
    endpoints
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
        .chain(mode)
        .filter(|name| !MODES.contains(name) && !name.contains(':'))
        .map(str::to_owned)
        .collect()
}

/// Says `name` where `reference` stands: by a cluster's id the engine finds nothing.
fn rename(posted: &mut Value, reference: &str, name: &str) {
    if let Some(mode) = posted.pointer_mut("/HostConfig/NetworkMode")
        && mode == reference
    {
        *mode = Value::from(name);
    }
    let endpoints = posted.pointer_mut("/NetworkingConfig/EndpointsConfig");
    if let Some(map) = endpoints.and_then(Value::as_object_mut)
        && let Some(settings) = map.remove(reference)
    {
        map.insert(name.to_owned(), settings);
    }
}

/// `POST /networks/{id}/connect`
pub(crate) async fn connect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    mut request: Request,
) -> Reply {
    if let Some(joined) = shadow(&host, &reference).await? {
        *request.uri_mut() = path(&joined.id, "connect")?;
    }
    engine::pass_on(&host, request).await
}

/// `POST /networks/{id}/disconnect`
pub(crate) async fn disconnect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    mut request: Request,
) -> Reply {
    let own = engines::own(&host, "/networks").await?;
    let is_own = own.iter().any(|network| is(network, &reference));
    if !is_own {
        let mut found = engines::shadows(&host)
            .await?
            .into_iter()
            .filter(|shadow| shadow.network.answers_to(&reference) || shadow.id == reference);
        if let Some(shadow) = found.next() {
            *request.uri_mut() = path(&shadow.id, "disconnect")?;
        }
    }
    engine::pass_on(&host, request).await
}

fn path(id: &str, verb: &str) -> Result<Uri, Refusal> {
    let path = format!("/networks/{id}/{verb}");
    path.parse().map_err(|_| Refusal::invalid(format!("invalid path {path:?}")))
}

/// The engine's shadow for the network of the cluster that a reference names, made where
/// it is not there; `None` where the reference names a network of the engine's own, or
/// nothing at all.
async fn shadow(host: &Host, reference: &str) -> Reply<Option<Joined>> {
    if host.engine().is_none() || MODES.contains(&reference) {
        return Ok(None);
    }
    let manager = match host.standing() {
        Standing::Manager { ready: true, .. } => true,
        Standing::Worker(_) => false,
        _ => return Ok(None),
    };
    let own = engines::own(host, "/networks").await?;
    if own.iter().any(|network| is(network, reference)) {
        return Ok(None);
    }
    // A worker knows of those that are on it; of another its managers have to be asked.
    let all: Vec<Resource> = match cluster::networks(host, None).await? {
        Some(networks) => networks.into_iter().filter(Resource::is_overlay).collect(),
        None => engines::shadows(host).await?.into_iter().map(|s| s.network).collect(),
    };
    let exact = |network: &&Resource| network.id == reference || network.name == reference;
    let mut begins = all.iter().filter(|network| network.answers_to(reference));
    let network = match (all.iter().find(exact), begins.next(), begins.next()) {
        (Some(network), ..) => Some(network),
        (None, one, None) => one,
        (None, ..) => {
            let message = format!("network {reference} is ambiguous");
            return Err(Refusal::invalid(message).into());
        }
    };
    match network {
        Some(network) if manager && !network.attachable => {
            Err(refusals::not_attachable(&network.name).into())
        }
        Some(network) => {
            let id = host.shadow_network(network.id.clone()).await?;
            match id {
                Some(id) => joined(host, id, &network.name).await.map(Some),
                // A worker's shadow may be of a network that was removed, and made again.
                None if !manager => joined_unknown(host, reference).await,
                None => Ok(None),
            }
        }
        None if manager => Ok(None),
        None => joined_unknown(host, reference).await,
    }
}

/// A network that this worker has no shadow of yet; `None` where its managers know none.
async fn joined_unknown(host: &Host, reference: &str) -> Reply<Option<Joined>> {
    match host.shadow_network(reference.to_owned()).await? {
        Some(id) => joined(host, id, reference).await.map(Some),
        None => Ok(None),
    }
}

/// The shadow of this id, of a network of this name. A shadow has another name where the
/// engine has another network of this one: one of its own, or a shadow of one that was removed
/// a moment ago.
async fn joined(host: &Host, id: String, name: &str) -> Reply<Joined> {
    let is_taken = engines::has_another(host, name, &id).await?;
    let name = if is_taken { id.clone() } else { name.to_owned() };
    Ok(Joined { id, name })
}

/// Whether a network of the engine has this name, or an id that begins so.
fn is(network: &Value, reference: &str) -> bool {
    let id = network["Id"].as_str().unwrap_or_default();
    network["Name"] == reference || !reference.is_empty() && id.starts_with(reference)
}
