//! `/swarmw/plugins` and `/swarmw/blobs`: what Docker has no word for.
//!
//! | request | |
//! |---|---|
//! | `GET /swarmw/plugins` | all |
//! | `GET /swarmw/plugins/{id}` | one, with what it did and who needs it |
//! | `GET /swarmw/plugins/{id}/logs` | its log on the leader |
//! | `POST /swarmw/plugins` | adds, upgrades, or reports what would become of it |
//! | `POST /swarmw/plugins/{id}/enable`, `disable`, `promote`, `discard` | |
//! | `DELETE /swarmw/plugins/{id}` | |

mod act;
mod logs;
mod offer;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use bytes::Bytes;
use http::{Response, StatusCode};

use swarmw_model::{Consent, Plugin, PluginView, Refusal};
use swarmw_state::{Change, Lookup, State as Cluster};

use crate::api::{Host, Shared};
use crate::body::{self, UPLOAD_MAX};
use crate::forward::begin;
use crate::listing::at;
use crate::reply::{Reply, created, ok};

pub(crate) use act::act;
pub(crate) use offer::add;

/// `GET /swarmw/plugins`
pub(crate) async fn list(State(host): State<Host>) -> Reply {
    let state = host.read().await?;
    Ok(at(state.index(), ok(state.plugins().collect::<Vec<_>>())?))
}

/// `GET /swarmw/plugins/{id}` and `GET /swarmw/plugins/{id}/logs`. A plugin may be
/// called `acme/logs`: a whole name comes first.
pub(crate) async fn inspect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let state = host.read().await?;
    match (Plugin::find(&state, &reference), reference.strip_suffix("/logs")) {
        (Ok(plugin), _) => ok(view(&host, &state, &plugin)),
        (Err(_), Some(of)) => logs::read(&host, &*Plugin::find(&state, of)?, &request),
        (Err(refusal), None) => Err(refusal.into()),
    }
}

/// A plugin as it is shown.
fn view(host: &Shared, state: &Cluster, plugin: &Plugin) -> PluginView {
    let (used, shadow) = host.plugin_use(plugin);
    PluginView {
        services: state.users_of_plugin(plugin).iter().map(|s| s.spec.name.clone()).collect(),
        wanted: match state.candidate_powers(plugin, &Consent::Unsaid) {
            Some(Ok(powers)) => powers.wanted,
            _ => Vec::new(),
        },
        plugin: plugin.clone(),
        used,
        shadow,
    }
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
            let id = Plugin::find(&begun.state, &reference)?.id;
            host.write(begun.request, Change::RemovePlugin(id)).await?;
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
