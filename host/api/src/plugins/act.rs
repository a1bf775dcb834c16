//! What is done with a plugin that is there.

use axum::extract::{Path, Request, State};

use swarmw_model::{Plugin, PluginAct, PluginState, Refusal};
use swarmw_state::{Change, Lookup};

use super::offer::{consent, made_before};
use crate::api::Host;
use crate::body::Params;
use crate::forward::begin;
use crate::reply::{Reply, ok, page_not_found};

/// Why a plugin is disabled by its operator.
const BY_HAND: &str = "by the operator";

/// `POST /swarmw/plugins/{id}/{action}`. Names have a slash, so the last word is the
/// action: `enable`, `disable`, `promote`, `grant`, `discard`. What the operator says of
/// powers comes as it does with [`super::offer::add`].
pub(crate) async fn act(
    State(host): State<Host>,
    Path(path): Path<String>,
    request: Request,
) -> Reply {
    let Some((reference, action)) = path.rsplit_once('/') else {
        return Ok(page_not_found());
    };
    if !["enable", "disable", "promote", "grant", "discard"].contains(&action) {
        return Ok(page_not_found());
    }
    let params = Params::of(request.uri());
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first.clone() {
        return ok(made_before(&begun, first?)?);
    }
    let id = Plugin::find(&begun.state, reference)?.id;
    let agreed = match action {
        "promote" => Some(PluginAct::Promote),
        "enable" => Some(PluginAct::Enable),
        "grant" => Some(PluginAct::Grant),
        _ => None,
    };
    if let Some(act) = agreed {
        let consent = consent(&params)?;
        return ok(host.act_on_plugin(begun.request, id, act, consent).await?);
    }
    let change = match action {
        "discard" => Change::DropCandidate(id),
        _ => Change::SetPluginState {
            id,
            state: PluginState::Disabled,
            message: BY_HAND.to_owned(),
            force: params.is_on("force"),
        },
    };
    host.write(begun.request, change).await?;
    let state = host.read().await?;
    let plugin = state.plugin(id).ok_or_else(|| Refusal::not_found("plugin", id))?;
    ok(plugin)
}
