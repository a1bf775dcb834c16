//! The engine's bridge `docker_gwbridge`: by it containers on networks of the cluster reach
//! the world, and published ports reach containers.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use bollard::Docker;
use bollard::models::{
    ContainerInspectResponse, EndpointSettings, Ipam, IpamConfig, NetworkCreateRequest,
};
use bollard::query_parameters::ListNetworksOptions;
use ipnet::Ipv6Net;
use swarmw_model::{NetworkAttachment, NodeId, TaskId};
use swarmw_overlay::Local;
use tracing::{info, warn};

use super::engine::Engine;
use super::failure::Failure;

/// As engines call it that make it themselves.
pub(crate) const GATEWAY_BRIDGE: &str = "docker_gwbridge";

/// Settings of IPv6, by device.
const SETTINGS: &str = "/proc/sys/net/ipv6/conf";
/// All routes of IPv6.
const ROUTES: &str = "/proc/net/ipv6_route";
/// The flag of routes that routers have advertised.
const ADVERTISED: u32 = 0x0004_0000;

/// Tasks with addresses of the cluster, and where their containers are on the bridge.
pub(crate) type Bridged = BTreeMap<TaskId, OnBridge>;

/// A task's container, which runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnBridge {
    /// What the task has on networks of the cluster.
    pub(crate) attachments: Vec<NetworkAttachment>,
    /// Its addresses on the bridge, if it is there.
    pub(crate) local: Local,
}

/// The bridge as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    /// Containers have IPv6 there.
    pub(super) v6: bool,
}

/// The bridge, if there is one.
pub(super) async fn look(engine: &Engine) -> Result<Option<Gateway>, Failure> {
    let filters = HashMap::from([("name".to_owned(), vec![GATEWAY_BRIDGE.to_owned()])]);
    let options = &ListNetworksOptions { filters: Some(filters) };
    let list =
        move |docker: Docker| async move { docker.list_networks(Some(options.clone())).await };
    let found = engine.call(list).await?;
    // A part of a name is enough for the engine.
    let found = found.iter().find(|seen| seen.name.as_deref() == Some(GATEWAY_BRIDGE));
    Ok(found.map(|seen| Gateway { v6: seen.enable_ipv6 == Some(true) }))
}

/// Has the engine make the bridge, as it would itself for the first container that needs it,
/// but with IPv6 where the node has it. One that is there is left as it is.
pub(super) async fn ensure(engine: &Engine, node: NodeId) -> Result<(), Failure> {
    if look(engine).await?.is_some() {
        return Ok(());
    }
    if has_ipv6() {
        keep_advertised();
        match make(engine, Some(subnet_of(node))).await {
            Err(Failure::Refused { message, .. }) => {
                info!(message, "the engine makes {GATEWAY_BRIDGE} without IPv6");
            }
            made => return made,
        }
    }
    make(engine, None).await
}

/// The bridge, made again where somebody removed it, as a prune of networks does while no
/// container is on it: one that the engine makes for the next container has no IPv6.
pub(super) async fn keep(engine: &Engine, node: NodeId) -> Result<Option<Gateway>, Failure> {
    if let Some(bridge) = look(engine).await? {
        return Ok(Some(bridge));
    }
    ensure(engine, node).await?;
    look(engine).await
}

async fn make(engine: &Engine, v6: Option<Ipv6Net>) -> Result<(), Failure> {
    let request = &create_request(v6);
    let create = move |docker: Docker| async move { docker.create_network(request.clone()).await };
    let Err(failure) = engine.call(create).await else { return Ok(()) };
    match look(engine).await? {
        // Somebody else was faster.
        Some(_) => Ok(()),
        None => Err(failure),
    }
}

fn create_request(v6: Option<Ipv6Net>) -> NetworkCreateRequest {
    let option =
        |key: &str, value: &str| (format!("com.docker.network.bridge.{key}"), value.to_owned());
    let config =
        |subnet: Ipv6Net| IpamConfig { subnet: Some(subnet.to_string()), ..IpamConfig::default() };
    NetworkCreateRequest {
        name: GATEWAY_BRIDGE.to_owned(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(v6.is_some()),
        ipam: v6.map(|subnet| Ipam { config: Some(vec![config(subnet)]), ..Ipam::default() }),
        options: Some(HashMap::from([
            option("name", GATEWAY_BRIDGE),
            option("enable_icc", "false"),
            option("enable_ip_masquerade", "true"),
        ])),
        ..NetworkCreateRequest::default()
    }
}

/// A subnet of the node's own, of addresses that nobody routes: RFC 4193.
fn subnet_of(node: NodeId) -> Ipv6Net {
    let bits = node.bits();
    let folded = (bits ^ (bits >> 64)) & u128::from(u64::MAX);
    let prefix = (0xfd << 56) | (folded >> 8);
    Ipv6Net::new_assert(Ipv6Addr::from_bits(prefix << 64), 64)
}

fn has_ipv6() -> bool {
    setting("all", "disable_ipv6").as_deref() == Some("0")
}

/// With the bridge the engine has the machine forward IPv6, and one that forwards is deaf to
/// routers, but for devices that are told to listen nevertheless.
fn keep_advertised() {
    if setting("all", "forwarding").as_deref() != Some("0") {
        return;
    }
    let routes = fs::read_to_string(ROUTES).unwrap_or_default();
    for device in advertised(&routes) {
        if setting(device, "accept_ra").as_deref() == Some("1")
            && let Err(error) = fs::write(format!("{SETTINGS}/{device}/accept_ra"), "2")
        {
            warn!(%error, device, "a device will not hear what routers advertise");
        }
    }
}

fn setting(device: &str, key: &str) -> Option<String> {
    let value = fs::read_to_string(format!("{SETTINGS}/{device}/{key}")).ok()?;
    Some(value.trim().to_owned())
}

/// Devices with routes that were advertised.
fn advertised(routes: &str) -> impl Iterator<Item = &str> {
    routes.lines().filter_map(|line| {
        let mut words = line.split_whitespace().rev();
        let (device, flags) = (words.next()?, words.next()?);
        let flags = u32::from_str_radix(flags, 16).ok()?;
        (flags & ADVERTISED != 0 && device != "lo").then_some(device)
    })
}

/// Where a container is on the bridge, if it was made there.
pub(super) fn made_on_bridge(seen: &ContainerInspectResponse) -> Local {
    let networks = seen.network_settings.as_ref().and_then(|s| s.networks.as_ref());
    let bridge: Option<&EndpointSettings> = networks.and_then(|all| all.get(GATEWAY_BRIDGE));
    bridge.map_or_else(Local::default, |on| {
        let parsed = |text: Option<&String>| text.and_then(|text| text.parse().ok());
        local(parsed(on.ip_address.as_ref()), parsed(on.global_ipv6_address.as_ref()))
    })
}

/// Addresses of each family.
pub(super) fn local(first: Option<IpAddr>, second: Option<IpAddr>) -> Local {
    let mut local = Local::default();
    for address in first.into_iter().chain(second) {
        match address {
            IpAddr::V4(address) => local.v4 = Some(address),
            IpAddr::V6(address) => local.v6 = Some(address),
        }
    }
    local
}

/// The one that the node itself connects to.
pub(super) fn address_of(local: Local) -> Option<IpAddr> {
    local.v4.map(IpAddr::V4).or(local.v6.map(IpAddr::V6))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bridge_is_made_as_engines_make_it_and_has_ipv6_of_the_nodes_own() {
        let subnet = subnet_of(NodeId::from_bits(0x0123_4567_89ab_cdef));
        assert_eq!(subnet.to_string(), "fd01:2345:6789:abcd::/64");
        let asked = serde_json::to_value(create_request(Some(subnet))).expect("JSON");
        for (path, want) in [
            ("/Name", json!("docker_gwbridge")),
            ("/Driver", json!("bridge")),
            ("/EnableIPv6", json!(true)),
            ("/IPAM/Config", json!([{"Subnet": "fd01:2345:6789:abcd::/64"}])),
            ("/Options/com.docker.network.bridge.name", json!("docker_gwbridge")),
            ("/Options/com.docker.network.bridge.enable_icc", json!("false")),
            ("/Options/com.docker.network.bridge.enable_ip_masquerade", json!("true")),
        ] {
            assert_eq!(asked.pointer(path), Some(&want), "{path} of {asked:#}");
        }
        let asked = serde_json::to_value(create_request(None)).expect("JSON");
        assert_eq!((&asked["EnableIPv6"], asked.get("IPAM")), (&json!(false), None));
    }

    #[test]
    fn devices_that_live_by_routers_are_known_by_their_routes() {
        let zero = "0".repeat(32);
        let line = |flags: &str, device: &str| {
            format!("{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 {flags} {device:>8}\n")
        };
        let routes = [
            line("00450003", "eth0"),
            line("00000001", "eth1"),
            line("00040001", "lo"),
            "nonsense\n".to_owned(),
        ];
        assert_eq!(advertised(&routes.concat()).collect::<Vec<_>>(), ["eth0"]);
    }

    #[test]
    fn a_container_made_on_the_bridge_says_where_it_is() {
        let seen = |networks: serde_json::Value| -> ContainerInspectResponse {
            serde_json::from_value(json!({"NetworkSettings": {"Networks": networks}}))
                .expect("a container")
        };
        let on = json!({"IPAddress": "172.18.0.3", "GlobalIPv6Address": "fd01::3"});
        let local = made_on_bridge(&seen(json!({ GATEWAY_BRIDGE: on })));
        assert_eq!(local.v4, Some([172, 18, 0, 3].into()));
        assert_eq!(address_of(local), Some([172, 18, 0, 3].into()));
        assert_eq!(local.v6, "fd01::3".parse().ok());
        let bare = json!({"IPAddress": "172.18.0.3", "GlobalIPv6Address": ""});
        assert_eq!(made_on_bridge(&seen(json!({ GATEWAY_BRIDGE: bare }))).v6, None);
        assert_eq!(made_on_bridge(&seen(json!({ "bridge": bare }))), Local::default());
    }
}
