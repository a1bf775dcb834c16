//! What is done with a plugin that is there.

use axum::extract::{Path, Request, State};

use swarmw_model::{Plugin, PluginState, Refusal};
use swarmw_state::{Change, Lookup};

use super::offer::{consent, made_before};
use crate::api::Host;
use crate::body::Params;
use crate::forward::begin;
use crate::reply::{Reply, ok, page_not_found};

/// Why a plugin is disabled by its operator.
const BY_HAND: &str = "by the operator";

/// `POST /swarmw/plugins/{id}/{action}`. Names have a slash, so the last word is the
/// action.
pub(crate) async fn act(
    State(host): State<Host>,
    Path(path): Path<String>,
    request: Request,
) -> Reply {
    let Some((reference, action)) = path.rsplit_once('/') else {
        return Ok(page_not_found());
    };
    if !["enable", "disable", "promote", "discard"].contains(&action) {
        return Ok(page_not_found());
    }
    let params = Params::of(request.uri());
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first.clone() {
        return ok(made_before(&begun, first?)?);
    }
    let id = Plugin::find(&begun.state, reference)?.id;
    let set = |state, message: &str| Change::SetPluginState {
        id,
        state,
        message: message.to_owned(),
        force: params.is_on("force"),
    };
    let change = match action {
        "promote" => {
            let consent = consent(&params)?;
            return ok(host.promote_plugin(begun.request, id, consent).await?);
        }
        "discard" => Change::DropCandidate(id),
        "disable" => set(PluginState::Disabled, BY_HAND),
        _ => set(PluginState::Enabled, ""),
    };
    host.write(begun.request, change).await?;
    let state = host.read().await?;
    let plugin = state.plugin(id).ok_or_else(|| Refusal::not_found("plugin", id))?;
    ok(plugin)
}
