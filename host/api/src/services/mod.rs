//! `/services`.

mod canonical;
mod networks;
mod pin;
mod shape;
mod write;

use shape::Status;
pub(crate) use shape::{ShownTemplate, shown, shown_with_defaults};
pub(crate) use write::{create, remove, spec_of, update};

use axum::extract::{Path, Request, State};

use swarmw_model::{Filters, Refusal, Service, ServiceMode};
use swarmw_state::Lookup;

use crate::api::Host;
use crate::body::Params;
use crate::engine::asked_in;
use crate::listing::{at, prefix};
use crate::ordered::Ordered;
use crate::page::{Cut, Page};
use crate::reply::{self, Reply, ok};
use crate::since;
use crate::version::ApiVersion;

/// Keys of `filters`.
pub(crate) const FILTERS: &[&str] = &["id", "name", "label", "mode", "runtime"];
const MODES: [&str; 4] = ["replicated", "global", "replicated-job", "global-job"];

/// First version that answers `status=true`.
const STATUS_SINCE: ApiVersion = ApiVersion::v1(41);

/// Refuses words that say nothing.
pub(crate) fn check(filters: &Filters) -> Result<(), Refusal> {
    match filters.values("mode").iter().find(|v| !MODES.contains(&v.as_str())) {
        Some(wrong) => Err(Refusal::invalid(format!("invalid filter 'mode={wrong}'"))),
        None => Ok(()),
    }
}

/// Whether a service is wanted.
pub(crate) fn passes(filters: &Filters, service: &Service) -> bool {
    prefix(filters, "id", &service.id.to_string())
        && prefix(filters, "name", &service.spec.name)
        && filters.labels("label", &service.spec.labels)
        && filters.any("mode", |m| m == mode(service))
        && filters.any("runtime", |r| r == "container")
}

/// `GET /services`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let page = Page::of("service", &params)?;
    let filters = params.filters(FILTERS)?;
    check(&filters)?;
    let version = asked_in(&request);
    let with_status = params.is_on("status") && version >= STATUS_SINCE;
    let state = host.read().await?;
    let found: Vec<_> =
        state.services().filter(|service| passes(&filters, service)).cloned().collect();
    let Cut { items, head } = page.cut(found, |service| service.id);
    let revision = state.index();
    let listed = reply::list(items, move |text, service| {
        let status = with_status.then(|| Status::of(service, &state));
        shape::write(text, service, status, version);
    })?;
    Ok(at(revision, head.on(listed)))
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
    let mut shown = match with_defaults {
        true => shown_with_defaults(&service),
        false => shown(&service),
    };
    since::tell_service(asked_in(&request), &mut shown);
    ok(Ordered(&shown))
}
