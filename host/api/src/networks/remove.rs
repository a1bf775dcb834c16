//! `DELETE /networks/{id}` and `POST /networks/prune`.

use axum::extract::{Path, Request, State};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use swarmw_model::{Duration, Filters, Refusal, Time};

use super::engines::OPTION;
use super::resource::Resource;
use super::{Shown, cluster, find};
use crate::api::Host;
use crate::body::{self, Params};
use crate::engine;
use crate::reply::{Refused, Reply, message, ok};

/// `DELETE /networks/{id}`
pub(crate) async fn remove(
    State(host): State<Host>,
    Path(reference): Path<String>,
    mut request: Request,
) -> Reply {
    match find(&host, &reference, "").await? {
        Shown::Cluster(network) => cluster::remove_at_the_leader(&host, &network.id).await,
        engines => {
            *request.uri_mut() = engines.path(None)?;
            engine::pass_on(&host, request).await
        }
    }
}

/// `POST /networks/prune`
pub(crate) async fn prune(State(host): State<Host>, mut request: Request) -> Reply {
    let filters = Params::of(request.uri()).filters(&["label", "label!", "until"])?;
    let until = until(&filters, host.now())?;
    let mut gone = Vec::new();
    let unused = dangling();
    for network in cluster::networks(&host, Some(&unused)).await?.unwrap_or_default() {
        if !network.is_overlay() || !is_pruned(&network, &filters, until) {
            continue;
        }
        // One that somebody has just begun to use stays.
        let removed = cluster::remove_at_the_leader(&host, &network.id).await;
        if removed.is_ok_and(|answer| answer.status().is_success()) {
            gone.push(network.name);
        }
    }
    if host.engine().is_some() {
        *request.uri_mut() = sparing_shadows(&filters)?;
        match pruned_by_the_engine(&host, request).await {
            Ok(removed) => gone.extend(removed),
            Err((status, why)) => return Ok(message(status, &half_done(why, &gone))),
        }
    }
    ok(json!({"NetworksDeleted": gone}))
}

/// The names of what the engine removed, or how it answers that it does not.
async fn pruned_by_the_engine(
    host: &Host,
    request: Request,
) -> Result<Vec<String>, (StatusCode, String)> {
    let failed = |refused: Refused| (refused.status(), refused.0.to_string());
    let answer = engine::pass_on(host, request).await.map_err(failed)?;
    let status = answer.status();
    let content = body::bytes(answer.into_body(), body::JSON_MAX).await.map_err(failed)?;
    let told: Value = serde_json::from_slice(&content).unwrap_or_default();
    if !status.is_success() {
        let said = told["message"].as_str().map(str::to_owned);
        return Err((status, said.unwrap_or_else(|| format!("the engine answers {status}"))));
    }
    let names = told["NetworksDeleted"].as_array().into_iter().flatten();
    Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// An error with what is gone all the same: nobody else says which networks that were.
fn half_done(why: String, gone: &[String]) -> String {
    if gone.is_empty() {
        return why;
    }
    format!("{why}; these networks of the cluster were removed before: {}", gone.join(", "))
}

fn dangling() -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &json!({"dangling": ["true"]}).to_string())
        .finish()
}

/// Whether a network that nobody uses goes: the routing mesh's stays until it is named.
fn is_pruned(network: &Resource, filters: &Filters, until: Option<Time>) -> bool {
    let unlabelled = |label: &String| match label.split_once('=') {
        Some((key, value)) => network.labels.get(key).is_none_or(|have| have != value),
        None => !network.labels.contains_key(label),
    };
    let old = |until| network.created.parse::<Time>().is_ok_and(|created| created <= until);
    !network.ingress
        && filters.labels("label", &network.labels)
        && filters.values("label!").iter().all(unlabelled)
        && until.is_none_or(old)
}

/// The moment before which networks were made that go.
fn until(filters: &Filters, now: Time) -> Result<Option<Time>, Refusal> {
    let text = match filters.values("until") {
        [] => return Ok(None),
        [one] => one,
        _ => return Err(Refusal::invalid("more than one until filter specified")),
    };
    if let Ok(span) = text.parse::<Duration>() {
        return Ok(Some(now - span));
    }
    let moment = text.parse::<Time>().ok().or_else(|| crate::logs::unix_time(text));
    moment.map(Some).ok_or_else(|| {
        Refusal::invalid(format!(
            "invalid filter 'until={text}': want a span as 24h, a time as 2006-01-02T15:04:05Z, \
             or seconds since 1970"
        ))
    })
}

/// The engine's prune: it leaves our shadows, which the agent takes away itself when
/// their last container has gone.
fn sparing_shadows(filters: &Filters) -> Result<Uri, Refusal> {
    let mut filters = filters.clone();
    filters.add("label!", OPTION);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &filters.to_json())
        .finish();
    let path = format!("/networks/prune?{query}");
    path.parse().map_err(|_| Refusal::invalid(format!("invalid path {path:?}")))
}
