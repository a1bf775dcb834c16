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
//! Configs are the same, and shown with their data. `POST /swarmw/secrets/{id}/rotate` puts
//! another version under a secret's name.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use swarmw_model::{
    Config, ConfigId, ConfigReference, Data, DataId, DataReference, DataSpec, Filters, Payload,
    Refusal, RefusalKind, Secret, SecretId, SecretReference, Service, ServiceId, Version,
};
use swarmw_state::{Change, Lookup, Rotation, State as Cluster, Successor};

use crate::api::Host;
use crate::body::{self, Params};
use crate::forward::begin;
use crate::listing::{at, prefix};
use crate::page::{Cut, Page};
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

    /// The change that puts another version in its place.
    fn rotate(rotation: Rotation<Self>) -> Change;

    /// The version that was the present one before.
    fn before(state: &Cluster, present: &Data<Self>) -> Option<Self>;

    /// The services that name it.
    fn users(state: &Cluster, id: Self) -> Vec<ServiceId>;
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

    fn rotate(rotation: Rotation<Self>) -> Change {
        Change::RotateSecret(Box::new(rotation))
    }

    fn before(state: &Cluster, present: &Secret) -> Option<Self> {
        state.secret_before(present).map(|secret| secret.id)
    }

    fn users(state: &Cluster, id: Self) -> Vec<ServiceId> {
        users_of::<SecretReference>(state, id)
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

    fn rotate(rotation: Rotation<Self>) -> Change {
        Change::RotateConfig(Box::new(rotation))
    }

    fn before(state: &Cluster, present: &Config) -> Option<Self> {
        state.config_before(present).map(|config| config.id)
    }

    fn users(state: &Cluster, id: Self) -> Vec<ServiceId> {
        users_of::<ConfigReference>(state, id)
    }
}

fn users_of<R: DataReference>(state: &Cluster, id: R::Id) -> Vec<ServiceId> {
    let names = |service: &&Arc<Service>| {
        let container = service.spec.container();
        container.is_some_and(|container| R::of(container).iter().any(|r| r.id() == Some(id)))
    };
    state.services().filter(names).map(|service| service.id).collect()
}

/// `GET /secrets`
pub(crate) async fn list<I: Answered>(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let page = Page::of(I::KIND, &params)?;
    let filters = params.filters(I::FILTERS)?;
    let state = host.read().await?;
    let mut found = I::all(&state);
    found.retain(|data| passes(&filters, data));
    let Cut { items, head } = page.cut(found, |data| data.id.id());
    Ok(at(
        state.index(),
        head.on(reply::list(items, |text, data| reply::write(text, &I::shown(data)))?),
    ))
}

/// Whether one is wanted.
pub(crate) fn passes<I: DataId>(filters: &Filters, data: &Data<I>) -> bool {
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

/// Another version: new bytes, or the ones before.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Posted {
    data: Payload,
    rollback: bool,
}

/// `POST /swarmw/secrets/{id}/rotate`: puts another version under its name, and has the
/// services that have the present one take it, by their update policies. All in one write.
pub(crate) async fn rotate<I: Answered>(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    let made = match begun.first {
        Some(first) => first?,
        None => {
            let posted: Posted = body::typed(body::json(request).await?)?;
            let present = I::find(&begun.state, &reference)?;
            let new = || I::from_id(swarmw_model::Id::from_bits(host.random()));
            let to = successor(&begun.state, &present, posted, new)?;
            let rotation = Rotation { id: present.id, version: present.version, to };
            host.write(begun.request, I::rotate(rotation)).await?
        }
    };
    let id = made.map(I::from_id).ok_or_else(|| {
        Refusal::plain(RefusalKind::Unknown, format!("the cluster gave the {} no id", I::KIND))
    })?;
    let state = host.read().await?;
    let present = I::find(&state, &id.to_string())?;
    ok(json!({
        "ID": id, "Name": present.spec.name, "Number": present.number(),
        "Services": I::users(&state, id),
    }))
}

fn successor<I: Answered>(
    state: &Cluster,
    present: &Data<I>,
    posted: Posted,
    new: impl FnOnce() -> I,
) -> Result<Successor<I>, Refusal> {
    let (kind, name) = (I::KIND, &present.spec.name);
    let failed = |why: String| Refusal::rpc(RefusalKind::FailedPrecondition, why);
    match (posted.rollback, posted.data.is_empty()) {
        (true, true) => I::before(state, present)
            .map(Successor::Earlier)
            .ok_or_else(|| failed(format!("{kind} {name} has no earlier version"))),
        (false, false) if posted.data == present.spec.data => {
            Err(failed(format!("{kind} {name} has these data already")))
        }
        (false, false) => Ok(Successor::New { id: new(), data: posted.data }),
        _ => Err(Refusal::invalid(format!(
            "want either Data for another version of {kind} {name}, or Rollback"
        ))),
    }
}
