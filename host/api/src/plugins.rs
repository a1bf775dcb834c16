//! `/swarmw/plugins` and `/swarmw/blobs`: what Docker has no word for.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use bytes::Bytes;
use http::{Response, StatusCode};

use swarmw_model::{Plugin, PluginClaim, PluginKind, Refusal, RefusalKind, Service};
use swarmw_state::{Change, Lookup};

use crate::api::Host;
use crate::body::{self, UPLOAD_MAX};
use crate::forward::begin;
use crate::reply::{Reply, created, ok};

/// `GET /swarmw/plugins`
pub(crate) async fn list(State(host): State<Host>) -> Reply {
    let state = host.read().await?;
    ok(state.plugins().collect::<Vec<_>>())
}

/// `GET /swarmw/plugins/{id}`
pub(crate) async fn inspect(State(host): State<Host>, Path(reference): Path<String>) -> Reply {
    let state = host.read().await?;
    ok(Plugin::find(&state, &reference)?)
}

/// `POST /swarmw/plugins`: the body is the component.
pub(crate) async fn add(State(host): State<Host>, request: Request) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        let id = first?;
        let made = begun.state.plugins().find(|p| id.is_some_and(|id| id.bits() == p.id.bits()));
        let plugin = made.ok_or_else(|| {
            Refusal::plain(
                RefusalKind::NotFound,
                "the plugin was added by an earlier try and has been removed since",
            )
        })?;
        return created(plugin);
    }
    let component = upload(request).await?;
    created(host.add_plugin(begun.request, component).await?)
}

/// `DELETE /swarmw/plugins/{id}`
pub(crate) async fn remove(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    match begun.first {
        Some(first) => drop(first?),
        None => {
            let plugin = Plugin::find(&begun.state, &reference)?;
            check_unused(&plugin, begun.state.services().map(|s| &**s))?;
            let change = Change::RemovePlugin(plugin.id);
            host.write(begun.request, change).await?;
        }
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// `POST /swarmw/blobs`: the body is the blob.
pub(crate) async fn put_blob(State(host): State<Host>, request: Request) -> Reply {
    let blob = upload(request).await?;
    created(host.put_blob(blob).await?)
}

async fn upload(request: Request) -> Reply<Bytes> {
    let whole = body::bytes(request.into_body(), UPLOAD_MAX).await?;
    if whole.is_empty() {
        return Err(Refusal::invalid("the request has no body: want a file's bytes").into());
    }
    Ok(whole)
}

/// Refuses to remove a plugin that came with the binary, or whose claimed name a
/// service's spec has. A constraint that loses its plugin fails closed: its tasks
/// wait, with the reason on them.
fn check_unused<'a>(
    plugin: &Plugin,
    services: impl Iterator<Item = &'a Service>,
) -> Result<(), Refusal> {
    let refuse = |message| Err(Refusal::plain(RefusalKind::FailedPrecondition, message));
    if plugin.built_in {
        return refuse(format!("plugin {} is built in and cannot be removed", plugin.name));
    }
    let users: Vec<_> = services
        .filter(|service| names(plugin.kind, service).any(|name| claims(plugin, &name)))
        .map(|service| service.spec.name.as_str())
        .collect();
    match users.len() {
        0 => Ok(()),
        1 => refuse(format!(
            "plugin {} is in use by the following service: {}",
            plugin.name, users[0]
        )),
        _ => refuse(format!(
            "plugin {} is in use by the following services: {}",
            plugin.name,
            users.join(", ")
        )),
    }
}

fn claims(plugin: &Plugin, name: &str) -> bool {
    plugin
        .metadata
        .claims
        .iter()
        .any(|claim| matches!(claim, PluginClaim::Name(claimed) if claimed == name))
}

/// The names of plugins of `kind` that a service's spec has.
fn names(kind: PluginKind, service: &Service) -> impl Iterator<Item = String> {
    let spec = &service.spec;
    let found: Vec<String> = match kind {
        PluginKind::Constraint => Vec::new(),
        PluginKind::Preference => spec.preferences().into_iter().map(|p| p.name).collect(),
        PluginKind::UpdatePolicy => [&spec.update_config, &spec.rollback_config]
            .into_iter()
            .flatten()
            .map(|config| config.failure_action.clone())
            .collect(),
        PluginKind::VolumeDriver => spec
            .container()
            .into_iter()
            .flat_map(|c| &c.mounts)
            .filter_map(|m| m.volume_options.as_ref()?.driver_config.as_ref())
            .map(|driver| driver.name.clone())
            .collect(),
    };
    found.into_iter()
}
