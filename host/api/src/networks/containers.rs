//! Containers as the engine shows them, with the cluster's ids of networks for those of
//! its shadows, and with the engine's socket where they asked for it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Uri};
use serde_json::Value;

use swarmw_model::{EngineSocket, Filters, Refusal};

use super::engines;
use crate::api::Host;
use crate::body::{self, Params};
use crate::reply::Reply;
use crate::{engine, sockets};

/// The longest answer of an engine, of tens of thousands of containers.
const ANSWER_MAX: usize = 64 << 20;

/// The engine's id of each shadow, and the cluster's id of what it stands for.
type Ids = BTreeMap<String, String>;

/// `GET /containers/json`
pub(crate) async fn list(State(host): State<Host>, mut request: Request) -> Reply {
    let (ids, socket) = (ids(&host).await, host.engine_socket());
    if let Some(uri) = with_engines_ids(request.uri(), &ids)? {
        *request.uri_mut() = uri;
    }
    let answer = engine::pass_on(&host, request).await?;
    rewritten(answer, &ids, &socket, |containers| {
        for container in containers.as_array_mut().into_iter().flatten() {
            put_ids(container, &ids);
            sockets::put_back(&socket, container);
        }
    })
    .await
}

/// `GET /containers/{id}/json`
pub(crate) async fn inspect(State(host): State<Host>, request: Request) -> Reply {
    let (ids, socket) = (ids(&host).await, host.engine_socket());
    let answer = engine::pass_on(&host, request).await?;
    rewritten(answer, &ids, &socket, |container| {
        put_ids(container, &ids);
        sockets::put_back(&socket, container);
    })
    .await
}

async fn ids(host: &Host) -> Ids {
    // What is wrong with the engine its own answer says.
    let shadows = engines::shadows(host).await.unwrap_or_default();
    shadows.into_iter().map(|shadow| (shadow.id, shadow.network.id)).collect()
}

fn put_ids(container: &mut Value, ids: &Ids) {
    let networks = container.pointer_mut("/NetworkSettings/Networks");
    for network in networks.and_then(Value::as_object_mut).into_iter().flat_map(|n| n.values_mut())
    {
        let id = network["NetworkID"].as_str().and_then(|id| ids.get(id));
        if let Some(id) = id {
            network["NetworkID"] = Value::from(id.as_str());
        }
    }
}

/// The filter `network=ID` with the ids that the engine knows.
fn with_engines_ids(uri: &Uri, ids: &Ids) -> Reply<Option<Uri>> {
    let params = Params::of(uri);
    let Ok(filters) = Filters::parse(params.get("filters")) else { return Ok(None) };
    let engines = |wanted: &str| {
        let mut known = ids.iter().filter(|(_, id)| id.starts_with(wanted) && !wanted.is_empty());
        known.next().map(|(engines, _)| engines.clone())
    };
    if !filters.values("network").iter().any(|wanted| engines(wanted).is_some()) {
        return Ok(None);
    }
    let mut said: Value = serde_json::from_str(&filters.to_json()).unwrap_or_default();
    said["network"] = filters
        .values("network")
        .iter()
        .map(|wanted| (engines(wanted).unwrap_or_else(|| wanted.clone()), Value::Bool(true)))
        .collect();
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in params.pairs().filter(|(key, _)| *key != "filters") {
        query.append_pair(key, value);
    }
    let query = query.append_pair("filters", &said.to_string()).finish();
    let path = format!("{}?{query}", uri.path());
    let uri = path.parse().map_err(|_| Refusal::invalid(format!("invalid path {path:?}")))?;
    Ok(Some(uri))
}

/// An answer with its JSON changed, where something in it may be ours; one that is none
/// stays what it is.
async fn rewritten(
    answer: Response,
    ids: &Ids,
    socket: &EngineSocket,
    change: impl FnOnce(&mut Value),
) -> Reply {
    if !answer.status().is_success() || (ids.is_empty() && socket.links().is_none()) {
        return Ok(answer);
    }
    let (mut parts, content) = answer.into_parts();
    let content = body::bytes(content, ANSWER_MAX).await?;
    let content = match serde_json::from_slice::<Value>(&content) {
        Ok(mut told) => {
            change(&mut told);
            told.to_string().into()
        }
        Err(_) => content,
    };
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    Ok(Response::from_parts(parts, Body::from(content)))
}
