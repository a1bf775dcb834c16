//! `/secrets` and `/configs`.
//!
//! | request | |
//! |---|---|
//! | `GET /secrets` | all, without their data |
//! | `POST /secrets/create` | 201 with the id |
//! | `GET /secrets/{id}` | by id, name or the beginning of an id; without its data |
//! | `POST /secrets/{id}/update?version=` | its labels |
//! | `DELETE /secrets/{id}` | 204; refused while it is used, with the users |
//!
//! Configs are the same, and shown with their data.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::json;

use swarmw_model::{
    Config, ConfigId, Data, DataId, DataSpec, Filters, Refusal, RefusalKind, Secret, SecretId,
    Version,
};
use swarmw_state::{Change, Lookup, State as Cluster};

use crate::api::Host;
use crate::body::{self, Params};
use crate::forward::begin;
use crate::listing::prefix;
use crate::reply::{self, Reply, created, done, ok};
use crate::version::ApiVersion;

/// First version with templates.
const TEMPLATING_SINCE: ApiVersion = ApiVersion::v1(37);

/// What tells secrets and configs apart here.
pub(crate) trait Answered: DataId {
    /// Keys of `filters`.
    const FILTERS: &'static [&'static str];

    /// All there are.
    fn all(state: &Cluster) -> Vec<Arc<Data<Self>>>;

    /// The one that a reference names.
    fn find(state: &Cluster, reference: &str) -> Result<Arc<Data<Self>>, Refusal>;

    /// As it is answered.
    fn shown(data: &Data<Self>) -> serde_json::Value;

    /// The change that makes it.
    fn create(data: Data<Self>) -> Change;

    /// The change that sets its labels.
    fn update(id: Self, version: Version, spec: DataSpec) -> Change;

    /// The change that removes it.
    fn remove(id: Self) -> Change;
}

impl Answered for SecretId {
    const FILTERS: &'static [&'static str] = &["id", "label", "name", "names"];

    fn all(state: &Cluster) -> Vec<Arc<Secret>> {
        state.secrets().cloned().collect()
    }

    fn find(state: &Cluster, reference: &str) -> Result<Arc<Secret>, Refusal> {
        Secret::find(state, reference)
    }

    fn shown(data: &Secret) -> serde_json::Value {
        json!(data.without_data())
    }

    fn create(data: Secret) -> Change {
        Change::CreateSecret(Box::new(data))
    }

    fn update(id: Self, version: Version, spec: DataSpec) -> Change {
        Change::UpdateSecret { id, version, spec: Box::new(spec) }
    }

    fn remove(id: Self) -> Change {
        Change::RemoveSecret(id)
    }
}

impl Answered for ConfigId {
    const FILTERS: &'static [&'static str] = &["id", "label", "name"];

    fn all(state: &Cluster) -> Vec<Arc<Config>> {
        state.configs().cloned().collect()
    }

    fn find(state: &Cluster, reference: &str) -> Result<Arc<Config>, Refusal> {
        Config::find(state, reference)
    }

    fn shown(data: &Config) -> serde_json::Value {
        json!(data)
    }

    fn create(data: Config) -> Change {
        Change::CreateConfig(Box::new(data))
    }

    fn update(id: Self, version: Version, spec: DataSpec) -> Change {
        Change::UpdateConfig { id, version, spec: Box::new(spec) }
    }

    fn remove(id: Self) -> Change {
        Change::RemoveConfig(id)
    }
}

/// `GET /secrets`
pub(crate) async fn list<I: Answered>(State(host): State<Host>, request: Request) -> Reply {
    let filters = Params::of(request.uri()).filters(I::FILTERS)?;
    let state = host.read().await?;
    let mut found = I::all(&state);
    found.retain(|data| passes(&filters, data));
    reply::list(found, |data| I::shown(data))
}

fn passes<I: DataId>(filters: &Filters, data: &Data<I>) -> bool {
    prefix(filters, "id", &data.id.to_string())
        && prefix(filters, "name", &data.spec.name)
        && filters.any("names", |name| name == data.spec.name)
        && filters.labels("label", &data.spec.labels)
}

/// `GET /secrets/{id}`
pub(crate) async fn inspect<I: Answered>(
    State(host): State<Host>,
    Path(reference): Path<String>,
) -> Reply {
    let state = host.read().await?;
    ok(I::shown(&*I::find(&state, &reference)?))
}

/// `POST /secrets/create`
pub(crate) async fn create<I: Answered>(State(host): State<Host>, request: Request) -> Reply {
    let version = request.extensions().get::<ApiVersion>().copied();
    let begun = begin(&host, request.headers()).await?;
    let made = match begun.first {
        Some(first) => first?,
        None => {
            let spec: DataSpec = body::typed(body::json(request).await?)?;
            if let Some(version) = version.filter(|v| *v < TEMPLATING_SINCE)
                && spec.templating.is_some()
            {
                return Err(Refusal::invalid(format!(
                    "{} templating is not supported on the specified API version: {version}",
                    I::KIND
                ))
                .into());
            }
            let id = I::from_id(swarmw_model::Id::from_bits(host.random()));
            host.write(begun.request, I::create(Data::new(id, spec))).await?
        }
    };
    let id = made.ok_or_else(|| {
        Refusal::plain(RefusalKind::Unknown, format!("the cluster gave the {} no id", I::KIND))
    })?;
    created(json!({"ID": id}))
}

/// `POST /secrets/{id}/update`
pub(crate) async fn update<I: Answered>(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let version = Params::of(request.uri()).get("version").parse();
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return done();
    }
    let spec: DataSpec = body::typed(body::json(request).await?)?;
    // Docker says no more than this here.
    let version = version.map_err(|_| Refusal::invalid(format!("invalid {} version", I::KIND)))?;
    let id = I::find(&begun.state, &reference)?.id;
    host.write(begun.request, I::update(id, Version { index: version }, spec)).await?;
    done()
}

/// `DELETE /secrets/{id}`
pub(crate) async fn remove<I: Answered>(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    match begun.first {
        Some(first) => drop(first?),
        None => {
            let id = I::find(&begun.state, &reference)?.id;
            host.write(begun.request, I::remove(id)).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
