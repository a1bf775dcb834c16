//! `/volumes`: those of the node's engine, those that plugins keep on this node, and
//! those of the cluster, as one list. Names are found in the reverse order.
//!
//! | request | |
//! |---|---|
//! | `GET /volumes` | all |
//! | `POST /volumes/create` | by whoever has the driver; for the cluster where its data are the same from every node |
//! | `GET /volumes/{name}` | one |
//! | `DELETE /volumes/{name}` | refused while it is used, with the users |
//! | `POST /volumes/prune` | this node's without users; never the cluster's |
//! | `POST /swarmw/volumes/{name}/expand` | grows one of this node's |
//! | `GET /system/df` | how large this node's are, beside what its engine says of its own |
//!
//! Changes of the cluster's own go to the leader as `/swarmw/volumes`.

mod cluster;
mod create;
mod df;
mod expand;
mod prune;
mod remove;
mod show;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::Method;
use serde_json::{Value, json};

use swarmw_model::{ClusterVolume, Driver, Filters, NodeVolume, Refusal, RefusalKind, VolumeSpec};
use swarmw_state::State as Cluster;

use crate::api::Host;
use crate::body::Params;
use crate::engine;
use crate::reply::{Reply, ok};

pub(crate) use cluster::{change, make};
pub(crate) use create::create;
pub(crate) use df::df;
pub(crate) use expand::expand;
pub(crate) use prune::prune;
pub(crate) use remove::remove;
pub(crate) use show::of_cluster as shown;

/// `GET /volumes`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let known = ["name", "driver", "label", "dangling", "scope"];
    let filters = Params::of(request.uri()).filters(&known)?;
    let path = request.uri().path_and_query().map_or("/volumes", |p| p.as_str()).to_owned();
    // What is the engine's own filter it applies itself; it knows no other.
    let mut all = match filters.values("scope") {
        [] => match engine::ask_in_version(&host, &path).await? {
            Some(engines) => engines["Volumes"].as_array().cloned().unwrap_or_default(),
            None => Vec::new(),
        },
        _ => Vec::new(),
    };
    let state = host.state();
    let here = host.node_volumes().await?;
    let dangles = |used: bool| filters.any("dangling", |d| matches!(d, "1" | "true") != used);
    for volume in &here {
        let fits = filters.any("scope", |s| s == "local") && dangles(!volume.users.is_empty());
        let named = |shown: &Value| shown["Name"] == volume.name.as_str();
        if fits && passes_here(&filters, volume) && !all.iter().any(named) {
            all.push(show::here(volume));
        }
    }
    if let Some(state) = &state {
        // One that is mounted here is the cluster's all the same.
        let of_cluster = |shown: &Value| {
            shown["Name"].as_str().is_some_and(|name| state.volume_named(name).is_some())
        };
        all.retain(|shown| !of_cluster(shown));
        for volume in state.volumes() {
            let used = !state.users_of_volume(&volume.spec).is_empty();
            let fits = filters.any("scope", |s| s == "global") && dangles(used);
            if fits && passes(&filters, volume) {
                all.push(show::of_cluster(state, volume));
            }
        }
    }
    ok(json!({"Volumes": all, "Warnings": null}))
}

/// `GET /volumes/{name}`
pub(crate) async fn inspect(
    State(host): State<Host>,
    Path(name): Path<String>,
    request: Request,
) -> Reply {
    if let Some((state, volume)) = of_cluster(&host, &name) {
        return ok(show::of_cluster(&state, &volume));
    }
    if host.engine().is_some() {
        let path = request.uri().path().to_owned();
        if let Some(volume) = engine::ask_in_version(&host, &path).await? {
            return ok(volume);
        }
    }
    match on_this_node(&host, &name).await? {
        Some(volume) => ok(show::here(&volume)),
        None => Err(unknown("get", &name).into()),
    }
}

/// A volume of the cluster, as this manager last heard; `None` on other nodes.
fn of_cluster(host: &Host, name: &str) -> Option<(std::sync::Arc<Cluster>, ClusterVolume)> {
    let state = host.state()?;
    let volume = ClusterVolume::clone(state.volume_named(name)?);
    Some((state, volume))
}

/// A volume that a plugin keeps here.
async fn on_this_node(host: &Host, name: &str) -> Result<Option<NodeVolume>, Refusal> {
    Ok(host.node_volumes().await?.into_iter().find(|volume| volume.name == name))
}

/// What a volume of this node was made with.
fn spec(volume: &NodeVolume) -> VolumeSpec {
    VolumeSpec {
        name: volume.name.clone(),
        labels: volume.labels.clone(),
        driver: Driver { name: volume.driver.clone(), options: volume.options.clone() },
        ..VolumeSpec::default()
    }
}

/// Docker's words for a volume that is not there.
fn unknown(what: &str, name: &str) -> Refusal {
    Refusal::plain(RefusalKind::NotFound, format!("{what} {name}: no such volume"))
}

fn passes_here(filters: &Filters, volume: &NodeVolume) -> bool {
    filters.any("name", |name| volume.name.contains(name))
        && filters.any("driver", |driver| volume.driver == driver)
        && filters.labels("label", &volume.labels)
}

/// Whether a volume of the cluster is wanted.
pub(crate) fn passes(filters: &Filters, volume: &ClusterVolume) -> bool {
    filters.any("name", |name| volume.spec.name.contains(name))
        && filters.any("driver", |driver| volume.spec.driver.name == driver)
        && filters.labels("label", &volume.spec.labels)
}

/// A request of our own to the leader, with a body in JSON.
fn to_leader(method: Method, path: String, content: Value) -> Result<Request, Refusal> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(content.to_string()))
        .map_err(|e| Refusal::invalid(e.to_string()))
}
