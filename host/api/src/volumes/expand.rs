//! `POST /swarmw/volumes/{name}/expand`.

use axum::extract::{Path, Request, State};
use serde::Deserialize;

use swarmw_model::{Refusal, RefusalKind};

use super::{of_cluster, on_this_node, show, spec, unknown};
use crate::api::Host;
use crate::body;
use crate::refusals::not_supported;
use crate::reply::{Reply, ok};

/// What is posted.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Posted {
    /// Bytes that the volume is to have.
    size: u64,
}

/// `POST /swarmw/volumes/{name}/expand`
pub(crate) async fn expand(
    State(host): State<Host>,
    Path(name): Path<String>,
    request: Request,
) -> Reply {
    let content = body::bytes(request.into_body(), body::JSON_MAX).await?;
    let posted: Posted = serde_json::from_slice(&content)
        .map_err(|e| Refusal::invalid(format!("invalid JSON: {e}; want {{\"Size\": BYTES}}")))?;
    if of_cluster(&host, &name).is_some() {
        return Err(not_supported("expanding volumes of the cluster is").into());
    }
    let kept = on_this_node(&host, &name).await?;
    let volume = kept.ok_or_else(|| {
        let message = format!("expand {name}: no plugin keeps a volume of this name on this node");
        Refusal::plain(RefusalKind::NotFound, message)
    })?;
    host.expand_node_volume(spec(&volume), posted.size).await?;
    let volume = on_this_node(&host, &name).await?.ok_or_else(|| unknown("expand", &name))?;
    ok(show::here(&volume))
}
