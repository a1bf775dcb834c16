//! `POST /swarmw/plan`: what would come of writes, before anything is written.

use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::Value;

use swarmw_model::Wish;

use crate::api::Host;
use crate::reply::{Reply, ok};
use crate::{body, networks, services};

/// The writes, in the shapes of their own requests.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Posted {
    /// As `POST /networks/create` takes them.
    networks: Vec<Value>,
    /// Names.
    secrets: Vec<String>,
    /// Names.
    configs: Vec<String>,
    /// As `POST /services/create` takes them, with names for ids where there are none yet.
    services: Vec<Value>,
    /// Names of services that are to go.
    removed: Vec<String>,
}

/// `POST /swarmw/plan`
pub(crate) async fn plan(State(host): State<Host>, request: Request) -> Reply {
    let posted: Posted = body::typed(body::json(request).await?)?;
    let mut wish = Wish {
        secrets: posted.secrets,
        configs: posted.configs,
        removed: posted.removed,
        ..Wish::default()
    };
    for network in posted.networks {
        wish.networks.push(networks::spec_of(network)?);
    }
    for service in posted.services {
        wish.services.push(services::spec_of(service)?);
    }
    ok(host.plan(wish).await?)
}
