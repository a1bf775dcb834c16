//! `POST /networks/create`.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Request, State};
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use serde::Deserialize;
use serde_json::Value;

use swarmw_model::{Driver, Ipam, NetworkSpec, OVERLAY, Refusal, RefusalKind};

use super::{cluster, engines};
use crate::api::Host;
use crate::refusals::not_supported;
use crate::reply::Reply;
use crate::{Standing, body, engine};

/// Names that every engine has given.
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];

/// What is posted, in Docker's words.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Posted {
    name: String,
    driver: String,
    scope: String,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_only: bool,
    config_from: Option<ConfigFrom>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigFrom {
    network: String,
}

/// `POST /networks/create`
pub(crate) async fn create(State(host): State<Host>, request: Request) -> Reply {
    let (mut parts, content) = request.into_parts();
    let content = body::bytes(content, body::JSON_MAX).await?;
    let posted: Posted = body::typed(body::value(&content)?)?;
    if !posted.is_for_the_cluster() {
        let taken = host.state().is_some_and(|state| state.network_named(&posted.name).is_some());
        if taken {
            return Err(conflict(&posted.name).into());
        }
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
        return engine::pass_on(&host, Request::from_parts(parts, Body::from(content))).await;
    }
    if PREDEFINED.contains(&posted.name.as_str()) {
        return Err(Refusal::plain(
            RefusalKind::PermissionDenied,
            format!("{} is a pre-defined network and cannot be created", posted.name),
        )
        .into());
    }
    if let Standing::Worker(_) = host.standing() {
        return Err(Refusal::plain(
            RefusalKind::PermissionDenied,
            "Cannot create a multi-host network from a worker node. Please create the network \
             from a manager node.",
        )
        .into());
    }
    let spec = posted.spec()?;
    if engines::exists(&host, &spec.name).await {
        return Err(conflict(&spec.name).into());
    }
    cluster::make_at_the_leader(&host, &spec).await
}

/// The spec of a network of the cluster, as a client posts it.
pub(crate) fn spec_of(posted: Value) -> Reply<NetworkSpec> {
    let posted: Posted = body::typed(posted)?;
    Ok(posted.spec()?)
}

fn conflict(name: &str) -> Refusal {
    let message = format!("network with name {name} already exists");
    Refusal::plain(RefusalKind::AlreadyExists, message)
}

// === impl Posted ===

impl Posted {
    fn is_for_the_cluster(&self) -> bool {
        self.driver == OVERLAY || self.scope == "swarm"
    }

    fn spec(self) -> Result<NetworkSpec, Refusal> {
        let from = self.config_from.is_some_and(|from| !from.network.is_empty());
        for (asked, what) in [
            (
                self.config_only || from,
                "networks of the cluster out of a configuration (ConfigOnly, ConfigFrom) are",
            ),
            (self.enable_ipv4 == Some(false), "networks of the cluster without IPv4 are"),
            (
                !matches!(self.scope.as_str(), "" | "swarm"),
                "overlay networks of another scope than swarm are",
            ),
        ] {
            if asked {
                return Err(not_supported(what));
            }
        }
        let driver = match self.driver.as_str() {
            "" => OVERLAY.to_owned(),
            _ => self.driver,
        };
        Ok(NetworkSpec {
            name: self.name,
            labels: self.labels,
            driver: Driver { name: driver, options: self.options },
            enable_ipv6: self.enable_ipv6,
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            ipam: self.ipam,
        })
    }
}
