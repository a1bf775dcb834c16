//! Creating, updating and removing services.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use http::HeaderMap;
use serde_json::{Value, json};

use swarmw_model::{
    NetworkAttachmentConfig, Refusal, RefusalKind, Service, ServiceId, ServiceSpec, Version,
    validate,
};
use swarmw_state::{Change, Lookup};

use super::canonical::canonical;
use super::{networks, pin};
use crate::api::Host;
use crate::body::{self, Params};
use crate::engine::asked_in;
use crate::forward::begin;
use crate::reply::{Reply, created, done, ok};
use crate::{names, since, words};

/// Becomes the message of a service that its operator rolls back.
const ROLLED_BACK_BY_HAND: &str = "manually requested rollback";

/// `POST /services/create`
pub(crate) async fn create(State(host): State<Host>, request: Request) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    let mut warnings = Vec::new();
    let made = match begun.first {
        Some(first) => first?,
        None => {
            let auth = registry_auth(request.headers())?;
            let asked_in = asked_in(&request);
            let mut spec = read_spec(request).await?;
            if spec.name.is_empty() {
                spec.name = names::random(host.random());
            }
            Arc::make_mut(&mut spec.task_template).registry_auth = auth.unwrap_or_default();
            warnings = without_effect(&spec);
            networks::resolve(&host, &begun.state, &mut spec).await?;
            warnings.extend(pin::pin(&host, asked_in, &mut spec).await);
            check(&host, &spec, None).await?;
            let change = Change::CreateService {
                id: ServiceId::from_bits(host.random()),
                spec: Box::new(spec),
            };
            host.write(begun.request, change).await?
        }
    };
    let id = made.ok_or_else(|| {
        Refusal::plain(RefusalKind::Unknown, "the cluster gave the new service no id")
    })?;
    created(json!({"ID": id, "Warnings": warnings}))
}

/// `POST /services/{id}/update`
pub(crate) async fn update(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let params = Params::of(request.uri());
    let version = params.version("service")?;
    let rolls_back = match params.get("rollback") {
        "" | "none" => false,
        "previous" => true,
        other => {
            return Err(Refusal::invalid(format!("unrecognized rollback option {other}")).into());
        }
    };
    let auth_from = params.get("registryAuthFrom").to_owned();
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return ok(json!({"Warnings": []}));
    }
    let service = Service::find(&begun.state, &reference)?;
    let auth = match registry_auth(request.headers())? {
        Some(auth) => auth,
        None => stored_auth(&service, &auth_from)?,
    };
    let mut warnings = Vec::new();
    let change = if rolls_back {
        Change::RollbackService {
            id: service.id,
            version: Some(version),
            message: ROLLED_BACK_BY_HAND.to_owned(),
        }
    } else {
        let asked_in = asked_in(&request);
        let mut spec = read_spec(request).await?;
        Arc::make_mut(&mut spec.task_template).registry_auth = auth;
        // Plugins judge the spec as it will stand.
        if spec.swarmw.is_none() {
            spec.swarmw.clone_from(&service.spec.swarmw);
        }
        check_update(&service, version, &spec)?;
        warnings = without_effect(&spec);
        networks::resolve(&host, &begun.state, &mut spec).await?;
        warnings.extend(pin::pin(&host, asked_in, &mut spec).await);
        check(&host, &spec, Some(&service.spec)).await?;
        Change::UpdateService { id: service.id, version, spec: Box::new(spec) }
    };
    host.write(begun.request, change).await?;
    ok(json!({"Warnings": warnings}))
}

/// What is kept and shown, and changes nothing: the overlay has no options of an attachment, and
/// Docker's takes those that it does not know as well.
fn without_effect(spec: &ServiceSpec) -> Vec<String> {
    let attachments = spec.networks_wanted().iter();
    let options = attachments.flat_map(|on| on.driver_opts.keys().map(move |key| (on, key)));
    let warning = |(on, key): (&NetworkAttachmentConfig, &String)| {
        format!("driver option {key} on network {} is kept and has no effect", on.target)
    };
    options.map(warning).collect()
}

/// What will be refused anyway is refused before plugins are asked: a client that
/// read an old version hears of that, not of a plugin.
fn check_update(service: &Service, version: Version, spec: &ServiceSpec) -> Result<(), Refusal> {
    if service.version > version {
        return Err(Refusal::out_of_sequence());
    }
    if spec.name.is_empty() || spec.name != service.spec.name {
        return Err(Refusal::rpc(RefusalKind::Unimplemented, "renaming services is not supported"));
    }
    Ok(())
}

/// `DELETE /services/{id}`
pub(crate) async fn remove(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return done();
    }
    let id = Service::find(&begun.state, &reference)?.id;
    host.write(begun.request, Change::RemoveService { id }).await?;
    done()
}

async fn read_spec(request: Request) -> Reply<ServiceSpec> {
    let version = asked_in(&request);
    let mut posted = body::json(request).await?;
    since::ask_service(version, &mut posted)?;
    spec_of(posted)
}

/// The spec of a service, as a client posts it.
pub(crate) fn spec_of(mut posted: Value) -> Reply<ServiceSpec> {
    words::of_service(&mut posted)?;
    let mut spec: ServiceSpec = body::typed(posted)?;
    canonical(&mut spec);
    Ok(spec)
}

async fn check(
    host: &Host,
    spec: &ServiceSpec,
    before: Option<&ServiceSpec>,
) -> Result<(), Refusal> {
    validate::service(spec)?;
    host.check_service(spec, before).await
}

/// The client's registry credentials, kept as encoded.
fn registry_auth(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("x-registry-auth") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => {
            Err(Refusal::invalid("invalid X-Registry-Auth header: want base64url of a JSON object"))
        }
    }
}

/// The credentials that an update without its own keeps.
fn stored_auth(service: &Service, from: &str) -> Result<String, Refusal> {
    let kept = match from {
        "" | "spec" => &service.spec,
        "previous-spec" => service.previous_spec.as_ref().ok_or_else(|| {
            Refusal::rpc(
                RefusalKind::FailedPrecondition,
                format!("service {} does not have a previous spec", service.id),
            )
        })?,
        other => {
            return Err(Refusal::invalid(format!("unsupported registryAuthFrom value: {other:?}")));
        }
    };
    Ok(kept.task_template.registry_auth.clone())
}
