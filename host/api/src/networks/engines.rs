//! The networks of the node's engine: its own, and those that stand in for the cluster's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::resource::{Container, Resource};
use crate::api::Host;
use crate::engine;
use crate::reply::Reply;

/// The driver of shadows.
pub(crate) const DRIVER: &str = "swarmw";
/// Their option, and their label, that names the cluster's network by its id.
pub(crate) const OPTION: &str = "swarmw.network";

/// A network of the engine that stands in for one of the cluster.
pub(super) struct Shadow {
    /// The engine's id of it.
    pub(super) id: String,
    /// What it stands for, as far as the engine knows it.
    pub(super) network: Resource,
}

/// The engine's own networks: what it answers to `path`, without shadows.
pub(super) async fn own(host: &Host, path: &str) -> Reply<Vec<Value>> {
    let mut networks = listed(host, path).await?;
    networks.retain(|network| stands_for(network).is_none());
    Ok(networks)
}

/// The shadows.
pub(super) async fn shadows(host: &Host) -> Reply<Vec<Shadow>> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &json!({"driver": [DRIVER]}).to_string())
        .finish();
    let networks = listed(host, &format!("/networks?{query}")).await?;
    Ok(networks.into_iter().filter_map(Shadow::of).collect())
}

async fn listed(host: &Host, path: &str) -> Reply<Vec<Value>> {
    let told = engine::ask_in_version(host, path).await?;
    Ok(match told {
        Some(Value::Array(networks)) => networks,
        _ => Vec::new(),
    })
}

/// The containers of this node on a network of the cluster.
pub(super) async fn containers_on(host: &Host, id: &str) -> Reply<BTreeMap<String, Container>> {
    let Some(shadow) = shadows(host).await?.into_iter().find(|s| s.network.id == id) else {
        return Ok(BTreeMap::new());
    };
    let told = engine::ask_in_version(host, &format!("/networks/{}", shadow.id)).await?;
    let containers = told.map(|mut network| network["Containers"].take());
    Ok(containers.and_then(|all| serde_json::from_value(all).ok()).unwrap_or_default())
}

/// Whether the engine has a network of its own of this name or id.
pub(crate) async fn exists(host: &Host, reference: &str) -> bool {
    let Ok(networks) = own(host, "/networks").await else { return false };
    networks.iter().any(|network| network["Name"] == reference || network["Id"] == reference)
}

/// Whether the engine has a network of this name that is not the one of this id, shadows
/// included.
pub(super) async fn has_another(host: &Host, name: &str, id: &str) -> Reply<bool> {
    let networks = listed(host, "/networks").await?;
    Ok(networks.iter().any(|network| network["Name"] == name && network["Id"] != id))
}

fn stands_for(network: &Value) -> Option<&str> {
    let of_ours = network["Driver"] == DRIVER;
    network.pointer("/Options").filter(|_| of_ours)?.get(OPTION)?.as_str()
}

// === impl Shadow ===

impl Shadow {
    fn of(network: Value) -> Option<Self> {
        let stands_for = stands_for(&network)?.to_owned();
        let id = network["Id"].as_str()?.to_owned();
        let mut network = network;
        // Go's empty maps and lists.
        if let Some(fields) = network.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let mut network: Resource = serde_json::from_value(network).ok()?;
        network.stand_for(&stands_for, OPTION);
        Some(Self { id, network })
    }
}
