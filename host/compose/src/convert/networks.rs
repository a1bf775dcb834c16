//! Networks that a stack's services join.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use swarmw_model::NetworkAttachmentConfig;

use super::{DEFAULT_NETWORK, NetworkRequest, Refused, Stack, scoped, with_namespace};
use crate::project::{Ipam, Network, Project, Service};

/// The driver where the file names none.
const DRIVER: &str = "overlay";

/// The networks that are used: those to be made, and those that must be there.
pub(super) fn of(project: &Project, stack: &mut Stack) {
    let used: BTreeSet<&str> = project
        .services
        .values()
        .flat_map(|service| match service.networks.is_empty() {
            true => vec![DEFAULT_NETWORK],
            false => service.networks.keys().map(String::as_str).collect(),
        })
        .collect();
    let blank = Network::default();
    let mut made = BTreeMap::new();
    for key in used {
        let network = match project.networks.get(key) {
            Some(network) => network,
            None if key == DEFAULT_NETWORK => &blank,
            // Whoever joins it is refused.
            None => continue,
        };
        if network.external {
            stack.external_networks.push(network.name.clone());
            continue;
        }
        let name = scoped(&stack.namespace, key, &network.name);
        made.insert(name.clone(), request(name, network, &stack.namespace));
    }
    stack.networks = made.into_values().collect();
}

fn request(name: String, network: &Network, namespace: &str) -> NetworkRequest {
    let driver = if network.driver.is_empty() { DRIVER } else { &network.driver };
    let mut body = json!({
        "Name": name,
        "Driver": driver,
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Options": network.driver_opts,
        "Labels": with_namespace(namespace, &network.labels),
    });
    if network.ipam != Ipam::default() {
        let subnets: Vec<_> = network
            .ipam
            .config
            .iter()
            .map(|subnet| {
                let mut config = json!({});
                for (field, text) in [
                    ("Subnet", &subnet.subnet),
                    ("IPRange", &subnet.ip_range),
                    ("Gateway", &subnet.gateway),
                ] {
                    if !text.is_empty() {
                        config[field] = text.as_str().into();
                    }
                }
                if !subnet.aux_addresses.is_empty() {
                    config["AuxiliaryAddresses"] = json!(subnet.aux_addresses);
                }
                config
            })
            .collect();
        body["IPAM"] = json!({
            "Driver": network.ipam.driver,
            "Options": network.ipam.options,
            "Config": subnets,
        });
    }
    for (field, given) in [("EnableIPv4", network.enable_ipv4), ("EnableIPv6", network.enable_ipv6)]
    {
        if let Some(given) = given {
            body[field] = given.into();
        }
    }
    NetworkRequest { name, body }
}

/// The networks of a service, sorted, so that equal files make equal specs.
pub(super) fn attachments(
    project: &Project,
    service: &Service,
    namespace: &str,
) -> Result<Vec<NetworkAttachmentConfig>, Refused> {
    let by_default = BTreeMap::from([(DEFAULT_NETWORK.to_owned(), None)]);
    let joined = if service.networks.is_empty() { &by_default } else { &service.networks };
    let mut all = Vec::new();
    for (key, settings) in joined {
        let network = project.networks.get(key);
        if network.is_none() && key != DEFAULT_NETWORK {
            return Err(format!("undefined network {key:?}").into());
        }
        let target = scoped(namespace, key, network.map_or("", |network| &network.name));
        let settings = settings.clone().unwrap_or_default();
        let mut aliases = settings.aliases;
        if is_user_defined(&target) {
            aliases.push(service.name.clone());
        }
        all.push(NetworkAttachmentConfig { target, aliases, driver_opts: settings.driver_opts });
    }
    all.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(all)
}

/// The engine's own networks know no names.
fn is_user_defined(target: &str) -> bool {
    !matches!(target, "default" | "bridge" | "host" | "none") && !target.starts_with("container:")
}
