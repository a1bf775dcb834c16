//! The network of an engine that stands for one of the cluster. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{Ipam, IpamConfig, Network as EngineNetwork, NetworkCreateRequest};
use ipnet::IpNet;
use swarmw_engine_driver::{EngineNetwork as Known, NAME, NETWORK_OPTION};
use swarmw_model::{Network, NetworkId};

use super::shadows::Shadow;

/// Networks that each engine has, and names that it takes for one of them.
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];
/// A subnet that every address of IPv4 is in.
const ALL_V4: &str = "0.0.0.0/0";
/// A subnet that every address of IPv6 is in.
const ALL_V6: &str = "::/0";

pub(super) fn create_request(network: &Network, name: &str) -> NetworkCreateRequest {
    let option = || Some(HashMap::from([(NETWORK_OPTION.to_owned(), network.id.to_string())]));
    let subnets: &[&str] = if network.spec.enable_ipv6 { &[ALL_V4, ALL_V6] } else { &[ALL_V4] };
    let config =
        |subnet: &&str| IpamConfig { subnet: Some((*subnet).to_owned()), ..Default::default() };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some(NAME.to_owned()),
        internal: Some(network.spec.internal),
        enable_ipv6: Some(network.spec.enable_ipv6),
        ipam: Some(Ipam {
            driver: Some(NAME.to_owned()),
            config: Some(subnets.iter().map(config).collect()),
            options: option(),
        }),
        options: option(),
        // By this label the API keeps it from the engine's own prune.
        labels: Some(
            network.spec.labels.clone().into_iter().chain(option().into_iter().flatten()).collect(),
        ),
        ..Default::default()
    }
}

/// The network's own name, or one that says which it is: of two networks of one name an
/// engine finds neither.
pub(super) fn name_on_engine(network: &Network, is_taken: impl Fn(&str) -> bool) -> String {
    let name = &network.spec.name;
    if is_taken(name) || PREDEFINED.contains(&name.as_str()) {
        format!("{name}.{}", network.id)
    } else {
        name.clone()
    }
}

/// The network of the cluster that one of the engine stands for.
pub(super) fn stands_for(seen: &EngineNetwork) -> Option<NetworkId> {
    if seen.driver.as_deref() != Some(NAME) {
        return None;
    }
    seen.options.as_ref()?.get(NETWORK_OPTION)?.parse().ok()
}

pub(super) fn shadow(seen: &EngineNetwork) -> Option<Shadow> {
    Some(Shadow { id: seen.id.clone()?, name: seen.name.clone()?, network: stands_for(seen)? })
}

/// A shadow, as the engine told its driver of it when it was made.
pub(super) fn known_to_driver(seen: &EngineNetwork) -> Option<Known> {
    let shadow = shadow(seen)?;
    let config = seen.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    let subnets = config.into_iter().flatten().filter_map(|config| config.subnet.as_ref());
    Some(Known {
        id: shadow.id.parse().ok()?,
        network: shadow.network,
        pools: subnets.filter_map(|subnet| subnet.parse().ok()).collect(),
    })
}

/// Whether containers of the network can be on this shadow: addresses of all its families
/// are in its subnets, and the way out is as it should be.
pub(super) fn fits(seen: &EngineNetwork, network: &Network) -> bool {
    let config = seen.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    let has = |subnet: &str| {
        config.into_iter().flatten().any(|config| config.subnet.as_deref() == Some(subnet))
    };
    has(ALL_V4)
        && has(ALL_V6) == network.spec.enable_ipv6
        && seen.internal == Some(network.spec.internal)
}

/// The address of `172.18.0.3/16`.
pub(super) fn without_prefix(text: &str) -> Option<IpAddr> {
    text.parse::<IpNet>().ok().map(|net| net.addr())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swarmw_model::{Driver, NetworkSpec, OVERLAY};

    use super::*;

    fn network(name: &str, enable_ipv6: bool, internal: bool) -> Network {
        let driver = Driver { name: OVERLAY.to_owned(), ..Default::default() };
        Network {
            id: NetworkId::from_bits(7),
            version: Default::default(),
            created_at: Default::default(),
            updated_at: Default::default(),
            spec: NetworkSpec {
                name: name.to_owned(),
                driver,
                enable_ipv6,
                internal,
                ..Default::default()
            },
            pools: Vec::new(),
            vni: 4097,
        }
    }

    /// What an engine shows of what it was asked to make.
    fn made(request: NetworkCreateRequest) -> EngineNetwork {
        EngineNetwork {
            id: Some("e1".to_owned()),
            name: Some(request.name),
            driver: request.driver,
            internal: request.internal,
            enable_ipv6: request.enable_ipv6,
            ipam: request.ipam,
            options: request.options,
            ..Default::default()
        }
    }

    #[test]
    fn a_shadow_has_room_for_every_subnet_and_says_whose_it_is() {
        let network = network("web", true, true);
        let asked = serde_json::to_value(create_request(&network, "web")).expect("JSON");
        for (path, want) in [
            ("/Driver", json!("swarmw")),
            ("/IPAM/Driver", json!("swarmw")),
            ("/IPAM/Config/0/Subnet", json!("0.0.0.0/0")),
            ("/IPAM/Config/1/Subnet", json!("::/0")),
            ("/IPAM/Options/swarmw.network", json!(network.id.to_string())),
            ("/Options/swarmw.network", json!(network.id.to_string())),
            ("/Internal", json!(true)),
            ("/EnableIPv6", json!(true)),
        ] {
            assert_eq!(asked.pointer(path), Some(&want), "{path} of {asked:#}");
        }
    }

    #[test]
    fn a_shadow_is_known_by_its_option_and_fits_networks_of_its_kind() {
        let one = network("web", false, false);
        let seen = made(create_request(&one, "any"));
        let shadow = shadow(&seen).expect("a shadow");
        assert_eq!((shadow.name.as_str(), shadow.network), ("any", one.id));
        assert!(fits(&seen, &one));
        assert!(!fits(&seen, &network("web", true, false)), "it has no IPv6");
        assert!(!fits(&seen, &network("web", false, true)), "it has a way out");

        let other = EngineNetwork { driver: Some("bridge".to_owned()), ..seen };
        assert_eq!(stands_for(&other), None, "an option alone makes no shadow");
    }

    #[test]
    fn a_name_that_is_taken_or_special_is_told_apart() {
        let taken = |name: &str| name == "back";
        let named = |name: &str| name_on_engine(&network(name, false, false), taken);
        assert_eq!(named("web"), "web");
        for name in ["back", "host", "default"] {
            assert_eq!(named(name), format!("{name}.{}", NetworkId::from_bits(7)));
        }
    }
}
