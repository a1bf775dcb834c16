//! `GET /system/df`: what the engine says of its own, and the volumes that plugins keep
//! on this node.

use axum::extract::{Request, State};
use serde_json::{Value, json};

use swarmw_model::{Refusal, RefusalKind};

use super::show;
use crate::api::Host;
use crate::body::{self, Params};
use crate::engine;
use crate::reply::{Reply, ok};

/// Docker's word for what nobody knows.
const NOT_KNOWN: i64 = -1;
/// The longest answer of an engine, of tens of thousands of images and containers.
const ENGINES_MAX: usize = 64 << 20;

/// `GET /system/df`
pub(crate) async fn df(State(host): State<Host>, request: Request) -> Reply {
    let types: Vec<String> = Params::of(request.uri()).all("type").map(str::to_owned).collect();
    let ours = match types.is_empty() || types.iter().any(|t| t == "volume") {
        true => host.node_volumes().await?,
        false => Vec::new(),
    };
    let mut told: Value = match host.engine() {
        // Nothing to add: it may be as long as it likes.
        Some(_) if ours.is_empty() => return engine::pass_on(&host, request).await,
        Some(_) => {
            let answer = engine::pass_on(&host, request).await?;
            if !answer.status().is_success() {
                return Ok(answer);
            }
            let content = body::bytes(answer.into_body(), ENGINES_MAX).await?;
            serde_json::from_slice(&content).map_err(|e| {
                let message =
                    format!("the container engine's answer to /system/df is no JSON: {e}");
                Refusal::plain(RefusalKind::Unavailable, message)
            })?
        }
        None => json!({
            "LayersSize": 0, "Images": [], "Containers": [], "Volumes": [], "BuildCache": [],
        }),
    };
    let mut volumes = told["Volumes"].as_array().cloned().unwrap_or_default();
    let sizes = host.node_volume_sizes().await?;
    for volume in ours {
        if volumes.iter().any(|shown| shown["Name"] == volume.name.as_str()) {
            continue;
        }
        let size = sizes.get(&volume.name).map_or(json!(NOT_KNOWN), |size| json!(size));
        let mut shown = show::here(&volume);
        shown["UsageData"] = json!({"Size": size, "RefCount": volume.users.len()});
        volumes.push(shown);
    }
    told["Volumes"] = json!(volumes);
    ok(told)
}
