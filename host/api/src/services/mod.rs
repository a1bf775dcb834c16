//! `/services`.

mod canonical;
mod networks;
mod shape;
mod write;

pub(crate) use shape::{shown, shown_template};
pub(crate) use write::{create, remove, spec_of, update};

use axum::extract::{Path, Request, State};
use http::Extensions;

use swarmw_model::{Refusal, Service, ServiceMode};
use swarmw_state::Lookup;

use crate::api::Host;
use crate::body::Params;
use crate::listing::prefix;
use crate::ordered::Ordered;
use crate::reply::{self, Reply, ok};
use crate::version::ApiVersion;

const FILTERS: &[&str] = &["id", "name", "label", "mode", "runtime"];
const MODES: [&str; 4] = ["replicated", "global", "replicated-job", "global-job"];

/// First version that answers `status=true`.
const STATUS_SINCE: ApiVersion = ApiVersion::v1(41);

fn speaks(extensions: &Extensions, since: ApiVersion) -> bool {
    extensions.get::<ApiVersion>().is_none_or(|v| *v >= since)
}

/// `GET /services`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let filters = params.filters(FILTERS)?;
    if let Some(wrong) = filters.values("mode").iter().find(|v| !MODES.contains(&v.as_str())) {
        return Err(Refusal::invalid(format!("invalid filter 'mode={wrong}'")).into());
    }
    let with_status = params.is_on("status") && speaks(request.extensions(), STATUS_SINCE);
    let state = host.read().await?;
    let found: Vec<_> = state
        .services()
        .filter(|service| {
            prefix(&filters, "id", &service.id.to_string())
                && prefix(&filters, "name", &service.spec.name)
                && filters.labels("label", &service.spec.labels)
                && filters.any("mode", |m| m == mode(service))
                && filters.any("runtime", |r| r == "container")
        })
        .cloned()
        .collect();
    reply::list(found, move |service| {
        let mut value = shown(service, false);
        if with_status {
            value["ServiceStatus"] = shape::status(&state, service);
        }
        value
    })
}

fn mode(service: &Service) -> &'static str {
    match service.spec.mode {
        ServiceMode::Replicated(_) => "replicated",
        ServiceMode::Global(_) => "global",
        ServiceMode::ReplicatedJob(_) => "replicated-job",
        ServiceMode::GlobalJob(_) => "global-job",
    }
}

/// `GET /services/{id}`
pub(crate) async fn inspect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let with_defaults = Params::of(request.uri()).is_on("insertDefaults");
    let state = host.read().await?;
    let service = Service::find(&state, &reference)?;
    ok(Ordered(&shown(&service, with_defaults)))
}
