//! `POST /volumes/create`.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use swarmw_model::{Driver, Refusal, Sharing, VolumeScope, VolumeSpec, check_volume_name};

use super::{on_this_node, show, to_leader};
use crate::api::Host;
use crate::refusals::not_supported;
use crate::reply::{Reply, created};
use crate::{body, engine, forward};

/// The driver that a volume has if none is named.
const LOCAL: &str = "local";

/// What is posted, in Docker's words.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Posted {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    cluster_volume_spec: Option<Value>,
}

/// `POST /volumes/create`
pub(crate) async fn create(State(host): State<Host>, request: Request) -> Reply {
    let (mut parts, content) = request.into_parts();
    let content = body::bytes(content, body::JSON_MAX).await?;
    let posted: Posted = match content.is_empty() {
        true => Posted::default(),
        false => body::typed(
            serde_json::from_slice(&content)
                .map_err(|e| Refusal::invalid(format!("invalid JSON: {e}")))?,
        )?,
    };
    let for_cluster = posted.cluster_volume_spec.is_some();
    let spec = spec(&host, posted)?;
    match host.volume_scope(&spec).await? {
        Some(VolumeScope::Cluster) => {
            let made = json!(spec);
            let request = to_leader(Method::POST, "/swarmw/volumes".to_owned(), made)?;
            forward::at_the_leader(&host, request, super::make).await
        }
        _ if for_cluster => Err(Refusal::invalid(format!(
            "volume driver {}: a volume of the cluster wants a plugin whose data are the same \
             from every node",
            spec.driver.name
        ))
        .into()),
        Some(VolumeScope::Local) if spec.driver.name != LOCAL || host.engine().is_none() => {
            check_volume_name(&spec.name).map_err(Refusal::invalid)?;
            host.create_node_volume(spec.clone()).await?;
            let made = on_this_node(&host, &spec.name).await?;
            created(made.map(|volume| show::here(&volume)))
        }
        _ => {
            // The engine's own, with all that it was asked.
            parts.headers.remove(TRANSFER_ENCODING);
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
            engine::pass_on(&host, Request::from_parts(parts, Body::from(content))).await
        }
    }
}

fn spec(host: &Host, posted: Posted) -> Result<VolumeSpec, Refusal> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut spec = VolumeSpec {
        // Docker's names of volumes that were given none have 64 digits.
        name: given(posted.name)
            .unwrap_or_else(|| format!("{:032x}{:032x}", host.random(), host.random())),
        labels: posted.labels.unwrap_or_default(),
        driver: Driver {
            name: given(posted.driver).unwrap_or_else(|| LOCAL.to_owned()),
            options: posted.driver_opts.unwrap_or_default(),
        },
        ..VolumeSpec::default()
    };
    if let Some(cluster) = posted.cluster_volume_spec {
        of_cluster(&mut spec, &cluster)?;
    }
    Ok(spec)
}

/// Docker's `ClusterVolumeSpec`, as far as it is known here.
fn of_cluster(spec: &mut VolumeSpec, posted: &Value) -> Result<(), Refusal> {
    let text = |path: &str| posted.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let scope = text("/AccessMode/Scope");
    spec.sharing = match text("/AccessMode/Sharing") {
        "" => Sharing::All,
        "none" => Sharing::None,
        "readonly" => Sharing::ReadOnly,
        "onewriter" => Sharing::OneWriter,
        "all" => Sharing::All,
        other => {
            return Err(Refusal::invalid(format!(
                "invalid sharing {other:?}: want none, readonly, onewriter or all"
            )));
        }
    };
    if scope == "single" && spec.sharing != Sharing::None {
        return Err(not_supported(
            "volumes that several tasks of one node share (scope single with another sharing than none) are",
        ));
    }
    if !matches!(text("/Availability"), "" | "active") {
        return Err(not_supported("volumes that are paused or drained are"));
    }
    if !text("/Group").is_empty() {
        return Err(not_supported("groups of volumes are"));
    }
    let some = |path: &str| {
        posted.pointer(path).is_some_and(|value| match value {
            Value::Null => false,
            Value::Array(list) => !list.is_empty(),
            Value::Number(number) => number.as_i64() != Some(0),
            _ => true,
        })
    };
    for (path, what) in [
        ("/AccessMode/BlockVolume", "block volumes are"),
        (
            "/CapacityRange/RequiredBytes",
            "sizes beside the driver's options (--required-bytes) are",
        ),
        ("/CapacityRange/LimitBytes", "sizes beside the driver's options (--limit-bytes) are"),
        ("/AccessibilityRequirements/Preferred", "preferred topologies are"),
    ] {
        if some(path) {
            return Err(not_supported(what));
        }
    }
    let secrets = posted.get("Secrets").cloned().unwrap_or_default();
    if secrets.is_array() {
        spec.secrets = serde_json::from_value(secrets)
            .map_err(|e| Refusal::invalid(format!("invalid secrets: {e}")))?;
    }
    let requisite = posted.pointer("/AccessibilityRequirements/Requisite");
    for topology in requisite.and_then(Value::as_array).into_iter().flatten() {
        let segments = topology.get("Segments").cloned().unwrap_or_default();
        let segments = serde_json::from_value(segments)
            .map_err(|e| Refusal::invalid(format!("invalid topology: {e}")))?;
        spec.reachable.push(segments);
    }
    Ok(())
}

/// 201 with what was made.
pub(super) fn made(shown: Value) -> Response {
    let mut response = axum::response::IntoResponse::into_response(axum::Json(shown));
    *response.status_mut() = StatusCode::CREATED;
    response
}
