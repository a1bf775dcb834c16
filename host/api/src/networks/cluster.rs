//! `/swarmw/networks`: the cluster's networks on the leader, and how this node asks for
//! them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use swarmw_model::{Filters, Network, NetworkId, NetworkSpec, Refusal};
use swarmw_state::{Change, Holder, Lookup, State as Cluster};

use super::filter;
use super::resource::Resource;
use crate::Standing;
use crate::api::Host;
use crate::body::{self, Params};
use crate::forward::{self, begin};
use crate::listing::{REVISION, at};
use crate::reply::{Reply, created, ok};

/// How long the leader is waited for before this manager tells what it last heard.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer of a leader.
const LIST_MAX: usize = 64 << 20;
const PATH: &str = "/swarmw/networks";

/// `GET /swarmw/networks`: with the filters of `/networks`; with `verbose`, their services
/// and nodes too.
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let filters = params.filters(filter::KEYS)?;
    filter::check(&filters)?;
    let state = host.read().await?;
    Ok(at(state.index(), ok(found(&state, &filters, params.is_on("verbose")))?))
}

/// Whether a network is wanted, by filters that look at it alone.
pub(crate) fn passes(filters: &Filters, network: &Network) -> bool {
    filter::passes(filters, &Resource::of(network), false)
}

/// A network as all its users see it.
pub(crate) fn resource(network: &Network) -> Value {
    json!(Resource::of(network))
}

fn found(state: &Cluster, filters: &Filters, verbose: bool) -> Vec<Resource> {
    let asks_use = !filters.values("dangling").is_empty();
    state
        .networks()
        .filter(|network| {
            let used = asks_use && is_used(state, network);
            filter::passes(filters, &Resource::of(network), used)
        })
        .map(|network| match verbose {
            true => Resource::verbose(state, network),
            false => Resource::of(network),
        })
        .collect()
}

/// Whether a service, a task or a container is on it.
fn is_used(state: &Cluster, network: &Network) -> bool {
    let held =
        |(_, holder): &(_, Holder)| network.spec.ingress || !matches!(holder, Holder::Service(_));
    state.services_of_network(network.id).next().is_some()
        || state.addresses(network.id).any(|held_by| held(&held_by))
}

/// `POST /swarmw/networks`: the body is a network's spec.
pub(crate) async fn make(State(host): State<Host>, request: Request) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    // What was chosen for a network was taken by another one: the try goes through the
    // choices again.
    let first = begun.first.filter(|first| *first != Err(Refusal::out_of_sequence()));
    let id = match first {
        Some(first) => first?.map(|id| NetworkId::from_bits(id.bits())),
        None => {
            let content = body::bytes(request.into_body(), body::JSON_MAX).await?;
            let spec: NetworkSpec = serde_json::from_slice(&content)
                .map_err(|e| Refusal::invalid(format!("invalid JSON: {e}")))?;
            Some(host.create_network(begun.request, spec).await?)
        }
    };
    created(json!({"Id": id, "Warning": ""}))
}

/// `DELETE /swarmw/networks/{id}`
pub(crate) async fn remove(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    match begun.first {
        Some(first) => drop(first?),
        None => {
            let id = Network::find(&begun.state, &reference)?.id;
            host.write(begun.request, Change::RemoveNetwork(id)).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The cluster's networks, the predefined ones too, as the leader knows them; while none
/// is heard, as this manager last did. `None` on other nodes.
pub(super) async fn networks(host: &Host, query: Option<&str>) -> Reply<Option<Vec<Resource>>> {
    Ok(networks_at(host, query).await?.map(|(networks, _)| networks))
}

/// The same, with the revision that they are of.
pub(super) async fn networks_at(
    host: &Host,
    query: Option<&str>,
) -> Reply<Option<(Vec<Resource>, Option<HeaderValue>)>> {
    if !matches!(host.standing(), Standing::Manager { ready: true, .. }) {
        return Ok(None);
    }
    let path = query.map_or_else(|| PATH.to_owned(), |query| format!("{PATH}?{query}"));
    let request = request(Method::GET, &path, None)?;
    let answer = forward::at_the_leader(host, request, list);
    if let Ok(answer) = tokio::time::timeout(LEADER_PATIENCE, answer).await {
        let answer = answer?;
        if answer.status().is_success() {
            let revision = answer.headers().get(REVISION).cloned();
            let content = body::bytes(answer.into_body(), LIST_MAX).await?;
            let told = serde_json::from_slice(&content);
            let told = told.map_err(|e| {
                Refusal::invalid(format!("the leader's list of networks cannot be read: {e}"))
            })?;
            return Ok(Some((told, revision)));
        }
    }
    let Some(state) = host.state() else { return Ok(None) };
    let uri = path.parse().map_err(|_| Refusal::invalid(format!("invalid path {path:?}")))?;
    let params = Params::of(&uri);
    let filters = params.filters(filter::KEYS)?;
    let revision = HeaderValue::from(state.index());
    Ok(Some((found(&state, &filters, params.is_on("verbose")), Some(revision))))
}

/// One network with its services and nodes.
pub(super) async fn verbose(host: &Host, id: &str) -> Reply<Option<Resource>> {
    let filters = json!({"id": [id]}).to_string();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &filters)
        .append_pair("verbose", "true")
        .finish();
    let found = networks(host, Some(&query)).await?;
    Ok(found.and_then(|networks| networks.into_iter().find(|network| network.id == id)))
}

/// Has the leader make a network.
pub(super) async fn make_at_the_leader(host: &Host, spec: &NetworkSpec) -> Reply<Response> {
    let request = request(Method::POST, PATH, Some(json!(spec)))?;
    forward::at_the_leader(host, request, make).await
}

/// Has the leader remove one.
pub(super) async fn remove_at_the_leader(host: &Host, id: &str) -> Reply<Response> {
    let request = request(Method::DELETE, &format!("{PATH}/{id}"), None)?;
    let id = id.to_owned();
    forward::at_the_leader(host, request, |host, request| remove(host, Path(id.clone()), request))
        .await
}

fn request(method: Method, path: &str, content: Option<Value>) -> Result<Request, Refusal> {
    let content = content.map(|content| content.to_string()).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(content))
        .map_err(|e| Refusal::invalid(e.to_string()))
}
