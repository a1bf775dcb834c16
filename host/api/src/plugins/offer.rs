//! A component is offered: to be added, to upgrade a plugin, to be looked at.

use axum::extract::{Request, State};
use http::HeaderMap;

use swarmw_model::{Consent, GrantRequest, Id, Plugin, PluginOffer, Refusal, RefusalKind};
use swarmw_state::{Lookup, State as Cluster};

use super::upload;
use crate::api::Host;
use crate::body::Params;
use crate::forward::{Begun, begin};
use crate::reply::{Reply, created, ok};

/// `POST /swarmw/plugins`: the body is the component, or `reference` names it in a
/// registry, to which the header `X-Registry-Auth` gives credentials.
///
/// | parameter | |
/// |---|---|
/// | `upgrade` | the plugin that it is another version of |
/// | `shadow` | it runs beside the present version |
/// | `yes`, `grant` | the operator's consent: to all powers, or to these |
/// | `revoke` | powers that the present version has and this one is not to have |
/// | `large` | it may be larger than usual |
/// | `dry` | nothing changes: the answer is what would become of it |
/// | `plan` | with `dry`: and what that would mean for tasks |
pub(crate) async fn add(State(host): State<Host>, request: Request) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    let params = Params::of(request.uri());
    let is_dry = params.is_on("dry");
    if let Some(first) = &begun.first
        && !is_dry
    {
        return created(made_before(&begun, first.clone()?)?);
    }
    let mut offer = offer(&begun.state, &params)?;
    let with_plan = params.is_on("plan");
    let reference = params.get("reference").to_owned();
    let component = if reference.is_empty() {
        upload(request).await?
    } else {
        let auth = registry_auth(request.headers())?;
        let fetched = host.fetch_component(reference, auth).await?;
        offer.source = Some(fetched.reference);
        offer.signer = fetched.signer;
        fetched.component
    };
    match is_dry {
        true => ok(host.report_plugin(component, offer, with_plan).await?),
        false => created(host.add_plugin(begun.request, component, offer).await?),
    }
}

/// What an earlier try of the same request made.
pub(super) fn made_before(begun: &Begun, id: Option<Id>) -> Result<&Plugin, Refusal> {
    let made = begun.state.plugins().find(|p| id.is_some_and(|id| id.bits() == p.id.bits()));
    made.map(|plugin| &**plugin).ok_or_else(|| {
        Refusal::plain(
            RefusalKind::NotFound,
            "the plugin was added by an earlier try and has been removed since",
        )
    })
}

fn offer(state: &Cluster, params: &Params<'_>) -> Result<PluginOffer, Refusal> {
    let upgrades = match params.get("upgrade") {
        "" => None,
        reference => Some(Plugin::find(state, reference)?.id),
    };
    Ok(PluginOffer {
        upgrades,
        shadow: params.is_on("shadow"),
        adopt: params.is_on("adopt"),
        large: params.is_on("large"),
        consent: consent(params)?,
        source: None,
        signer: None,
    })
}

/// What the request says of powers.
pub(super) fn consent(params: &Params<'_>) -> Result<Consent, Refusal> {
    let powers = |name: &str| -> Result<Vec<GrantRequest>, Refusal> {
        let read = |text: &str| {
            text.parse()
                .map_err(|error: swarmw_model::InvalidGrant| Refusal::invalid(error.to_string()))
        };
        params.all(name).map(read).collect()
    };
    let (granted, revoked) = (powers("grant")?, powers("revoke")?);
    match (params.is_on("yes"), granted.is_empty() && revoked.is_empty()) {
        (true, true) => Ok(Consent::All),
        (true, false) => {
            Err(Refusal::invalid("yes grants all powers: it goes without grant and revoke"))
        }
        (false, true) => Ok(Consent::Unsaid),
        (false, false) => Ok(Consent::These { granted, revoked }),
    }
}

fn registry_auth(headers: &HeaderMap) -> Result<String, Refusal> {
    let value = headers.get("x-registry-auth").map_or(Ok(""), |value| value.to_str());
    value.map(str::to_owned).map_err(|_| {
        Refusal::invalid("invalid X-Registry-Auth header: want base64url of a JSON object")
    })
}
