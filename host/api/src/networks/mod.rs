//! `/networks`: those of the cluster and those of the node's engine, as one list.
//!
//! | request | |
//! |---|---|
//! | `GET /networks` | all |
//! | `POST /networks/create` | overlays are the cluster's, others the engine's |
//! | `GET /networks/{id}` | by id, name or the beginning of an id |
//! | `DELETE /networks/{id}` | 204; refused while it is used, with a user |
//! | `POST /networks/prune` | those that nobody uses |
//! | `POST /networks/{id}/connect`, `/disconnect` | a container of this node joins or leaves |
//! | `POST /containers/create` | with the networks that it names |
//! | `GET /containers/json`, `GET /containers/{id}/json` | with the cluster's ids of networks |
//!
//! What the cluster has is asked of the leader, as `/swarmw/networks`. For each network of
//! the cluster that containers of this node are on, the engine has a *shadow* whose
//! driver is swarmw: it carries the network's name and, as an option, its id. Shadows
//! are shown to nobody. A worker shows the networks that the leader has told it of, those
//! that somebody of it is on, and its shadows as what they stand for.

mod cluster;
mod containers;
mod create;
mod engines;
mod filter;
mod here;
mod join;
mod remove;
mod resource;

use std::fmt;
use std::str::FromStr;

use axum::extract::{Path, Request, State};
use http::Uri;
use serde::Serialize;
use serde_json::Value;

use swarmw_model::Refusal;

use crate::api::Host;
use crate::body::Params;
use crate::engine;
use crate::listing::REVISION;
use crate::page::{Cut, Page};
use crate::reply::{Refused, Reply, ok};
use crate::since::{self, In};

pub(crate) use cluster::{list as cluster_list, make, passes, remove as cluster_remove, resource};
pub(crate) use containers::{inspect as inspect_container, list as list_containers};
pub(crate) use create::{create, spec_of};
pub(crate) use engines::{DRIVER as SHADOWS_DRIVER, exists as engine_has};
pub(crate) use filter::{FILTERS_OF_ONE, check};
pub(crate) use join::{connect, create_container, disconnect};
pub(crate) use remove::{prune, remove};
use resource::Resource;
pub(crate) use resource::in_a_task;

/// A network as it is answered.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Cluster(Box<Resource>),
    Engine(Value),
}

/// Where a network stands in pages: the cluster's, whose ids are shorter, come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    length: usize,
    id: String,
}

/// `GET /networks`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let page: Page<Key> = Page::of("network", &params)?;
    let filters = params.filters(filter::KEYS)?;
    filter::check(&filters)?;
    let path = request.uri().path_and_query().map_or("/networks", |p| p.as_str());
    let mut revision = None;
    let mut all: Vec<Shown> = match cluster::networks_at(&host, request.uri().query()).await? {
        Some((networks, at)) => {
            revision = at;
            networks.into_iter().filter(Resource::is_overlay).map(shown).collect()
        }
        None => here::networks(&host)
            .await?
            .into_iter()
            // Whoever has a task on it here uses it.
            .filter(|network| filter::passes(&filters, network, true))
            .map(shown)
            .collect(),
    };
    match engines::own(&host, path).await {
        Ok(networks) => all.extend(networks.into_iter().map(Shown::Engine)),
        Err(refused) if all.is_empty() => return Err(refused),
        Err(Refused(why)) => tracing::warn!(%why, "networks are listed without the engine's"),
    }
    let Cut { items, head } = page.cut(all, |network| Key::of(network.id()));
    let version = engine::asked_in(&request);
    let shown = items.iter().map(|network| In::version(version, since::NETWORK, network));
    let mut answer = head.on(ok(shown.collect::<Vec<_>>())?);
    answer.headers_mut().extend(revision.map(|revision| (REVISION, revision)));
    Ok(answer)
}

fn shown(network: Resource) -> Shown {
    Shown::Cluster(Box::new(network))
}

/// `GET /networks/{id}`
pub(crate) async fn inspect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    mut request: Request,
) -> Reply {
    let params = Params::of(request.uri());
    let (scope, verbose) = (params.get("scope"), params.is_on("verbose"));
    match find(&host, &reference, scope).await? {
        Shown::Cluster(network) => {
            let mut network = match verbose {
                true => cluster::verbose(&host, &network.id).await?.unwrap_or(*network),
                false => *network,
            };
            match engines::containers_on(&host, &network.id).await {
                Ok(containers) => network.containers = containers,
                Err(Refused(why)) => tracing::warn!(%why, "a network is shown without containers"),
            }
            ok(In::version(engine::asked_in(&request), since::NETWORK, &network))
        }
        engines => {
            *request.uri_mut() = engines.path(request.uri().query())?;
            engine::pass_on(&host, request).await
        }
    }
}

/// The network that a reference names: by its whole id, then by name, then by the
/// beginning of an id; with a `scope`, only among the networks of it.
async fn find(host: &Host, reference: &str, scope: &str) -> Reply<Shown> {
    let of_cluster = match scope {
        "" | "swarm" => match cluster::networks(host, None).await? {
            Some(networks) => networks,
            None => here::networks(host).await?,
        },
        _ => Vec::new(),
    };
    // Docker finds the predefined ones by their id, or where the cluster's are asked for.
    let (overlays, predefined): (Vec<_>, Vec<_>) =
        of_cluster.into_iter().partition(Resource::is_overlay);
    let engines = engines::own(host, "/networks").await;
    let of_engine = match engines {
        Ok(networks) => networks,
        // The cluster's are found all the same.
        Err(_) if overlays.iter().any(|network| network.answers_to(reference)) => Vec::new(),
        Err(refused) => return Err(refused),
    };
    let mut all: Vec<Shown> = of_engine
        .into_iter()
        .filter(|network| scope.is_empty() || network["Scope"] == scope)
        .map(Shown::Engine)
        .collect();
    all.extend(overlays.into_iter().map(shown));
    let named = |network: &Resource| scope == "swarm" || network.id == reference;
    all.extend(predefined.into_iter().filter(named).map(shown));
    one_of(all, reference)
}

fn one_of(mut all: Vec<Shown>, reference: &str) -> Reply<Shown> {
    type Fits = fn(&Shown, &str) -> bool;
    let ways: [(Fits, &str); 3] = [
        (|network, text| network.id() == text, "id"),
        (|network, text| network.name() == text, "name"),
        (|network, text| !text.is_empty() && network.id().starts_with(text), "ID prefix"),
    ];
    for (fits, what) in ways {
        let found = all.iter().filter(|network| fits(network, reference)).count();
        match (found, all.iter().position(|network| fits(network, reference))) {
            (1, Some(at)) => return Ok(all.swap_remove(at)),
            (0, _) => {}
            _ => {
                return Err(Refusal::invalid(format!(
                    "network {reference} is ambiguous ({found} matches found based on {what})"
                ))
                .into());
            }
        }
    }
    Err(Refusal::not_found("network", reference).into())
}

// === impl Key ===

impl Key {
    fn of(id: &str) -> Self {
        Self { length: id.len(), id: id.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl FromStr for Key {
    type Err = Refusal;

    fn from_str(id: &str) -> Result<Self, Refusal> {
        match !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
            true => Ok(Self::of(id)),
            false => Err(Refusal::invalid(format!("invalid id {id:?}"))),
        }
    }
}

// === impl Shown ===

impl Shown {
    fn id(&self) -> &str {
        match self {
            Self::Cluster(network) => &network.id,
            Self::Engine(network) => network["Id"].as_str().unwrap_or_default(),
        }
    }

    /// Its path on the engine: by id, which is nobody else's.
    fn path(&self, query: Option<&str>) -> Result<Uri, Refusal> {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("/networks/{}{query}", self.id());
        path.parse().map_err(|_| Refusal::invalid(format!("invalid path {path:?}")))
    }

    fn name(&self) -> &str {
        match self {
            Self::Cluster(network) => &network.name,
            Self::Engine(network) => network["Name"].as_str().unwrap_or_default(),
        }
    }
}
