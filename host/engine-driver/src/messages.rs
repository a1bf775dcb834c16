//! The protocol's messages, by libnetwork's names.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What a driver can do, to `Plugin.Activate`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Activated {
    pub(crate) implements: [&'static str; 2],
}

/// Where the network driver's networks live.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkCapabilities {
    pub(crate) scope: &'static str,
    pub(crate) connectivity_scope: &'static str,
}

/// What the address driver wants of the engine.
#[derive(Debug, Serialize)]
pub(crate) struct AddressCapabilities {
    #[serde(rename = "RequiresMACAddress")]
    pub(crate) requires_mac_address: bool,
    #[serde(rename = "RequiresRequestReplay")]
    pub(crate) requires_request_replay: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddressSpaces {
    pub(crate) local_default_address_space: &'static str,
    pub(crate) global_default_address_space: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    pub(crate) network_id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) options: BTreeMap<String, Value>,
    #[serde(default, rename = "IPv4Data", deserialize_with = "null_as_default")]
    pub(crate) ipv4_data: Vec<PoolData>,
    #[serde(default, rename = "IPv6Data", deserialize_with = "null_as_default")]
    pub(crate) ipv6_data: Vec<PoolData>,
}

/// A pool of a network; its gateway and address space are the address driver's own words.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PoolData {
    #[serde(default)]
    pub(crate) pool: String,
}

/// `DeleteNetwork`.
#[derive(Debug, Deserialize)]
pub(crate) struct OfNetwork {
    #[serde(rename = "NetworkID")]
    pub(crate) network_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateEndpoint {
    #[serde(rename = "NetworkID")]
    pub(crate) network_id: String,
    #[serde(rename = "EndpointID")]
    pub(crate) endpoint_id: String,
    #[serde(default)]
    pub(crate) interface: Option<Interface>,
}

/// An endpoint's interface: what is settled; empty: not yet.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Interface {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) address: String,
    #[serde(rename = "AddressIPv6", skip_serializing_if = "String::is_empty")]
    pub(crate) address_ipv6: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mac_address: String,
}

/// What the engine does not know yet of an endpoint's interface. What it does know must
/// not be said again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreatedEndpoint {
    pub(crate) interface: Option<Interface>,
}

/// `DeleteEndpoint`, `EndpointOperInfo`, `Leave`.
#[derive(Debug, Deserialize)]
pub(crate) struct OfEndpoint {
    #[serde(rename = "EndpointID")]
    pub(crate) endpoint_id: String,
}

/// What is shown of an endpoint: nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointInfo {
    pub(crate) value: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Join {
    #[serde(rename = "NetworkID")]
    pub(crate) network_id: String,
    #[serde(rename = "EndpointID")]
    pub(crate) endpoint_id: String,
    pub(crate) sandbox_key: String,
}

/// No gateway: the engine then connects the container to a bridge of its own, its way to
/// what is in no network of the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JoinedInterface {
    pub(crate) interface_name: InterfaceName,
    pub(crate) static_routes: Vec<StaticRoute>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InterfaceName {
    pub(crate) src_name: String,
    pub(crate) dst_prefix: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StaticRoute {
    pub(crate) destination: String,
    /// [`NEXT_HOP`] or [`CONNECTED`].
    pub(crate) route_type: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) next_hop: String,
}

/// A route by way of another address.
pub(crate) const NEXT_HOP: u8 = 0;
/// A route to what is on the link. Engines make these first.
pub(crate) const CONNECTED: u8 = 1;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RequestPool {
    #[serde(default)]
    pub(crate) pool: String,
    #[serde(default)]
    pub(crate) sub_pool: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) options: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) v6: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestedPool {
    #[serde(rename = "PoolID")]
    pub(crate) pool_id: String,
    #[serde(rename = "Pool")]
    pub(crate) pool: String,
    #[serde(rename = "Data")]
    pub(crate) data: BTreeMap<&'static str, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReleasePool {
    #[serde(rename = "PoolID")]
    pub(crate) pool_id: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RequestAddress {
    #[serde(rename = "PoolID")]
    pub(crate) pool_id: String,
    #[serde(default, rename = "Address")]
    pub(crate) address: String,
    #[serde(default, rename = "Options", deserialize_with = "null_as_default")]
    pub(crate) options: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestedAddress {
    #[serde(rename = "Address")]
    pub(crate) address: String,
    #[serde(rename = "Data")]
    pub(crate) data: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReleaseAddress {
    #[serde(rename = "PoolID")]
    pub(crate) pool_id: String,
    #[serde(default, rename = "Address")]
    pub(crate) address: String,
}

/// Nothing to say.
#[derive(Debug, Serialize)]
pub(crate) struct Done {}

/// Why not. Network drivers say `Err`, address drivers `Error`, and what has a status of
/// its own is read as `Err` for both.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Fault<'a> {
    pub(crate) err: &'a str,
    pub(crate) error: &'a str,
}

/// The name of an option that says that an address is for the network itself.
pub(crate) const ADDRESS_TYPE: &str = "RequestAddressType";
/// Its value; also what the gateway is called in a pool's data.
pub(crate) const GATEWAY: &str = "com.docker.network.gateway";
/// Under this, a network's options hold those of its driver.
pub(crate) const GENERIC: &str = "com.docker.network.generic";

/// Go writes `null` for what is empty.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
