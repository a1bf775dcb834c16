//! Networks: what a spec may say, and its subnets as it names them; what a cluster is
//! founded with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{rpc, service_name};
use crate::{
    AddressPools, DATA_PATH_PORT, IpamConfig, NetworkSpec, OVERLAY, POOLS_MAX, PREDEFINED, Pool,
    Refusal, RefusalKind,
};

/// Names that every engine has given already.
const TAKEN_NAMES: [&str; 4] = ["bridge", "default", "host", "none"];
/// The shortest and the longest prefix of a subnet of the default pools, as Swarm's.
const SUBNET_SIZES: std::ops::RangeInclusive<u32> = 8..=29;
/// The option of a network's driver that names the greatest packet.
const MTU_OPTION: &str = "com.docker.network.driver.mtu";
/// The least that IPv6 works with (RFC 8200), and what VXLAN adds at most: headers of
/// Ethernet, VXLAN, UDP and IPv6.
const MTU_MIN: u32 = 1_280 + 70;
/// The greatest packet that there is.
const MTU_MAX: u32 = 65_535;
/// The ports that VXLAN may have, as Swarm's.
const DATA_PATH_PORTS: std::ops::RangeInclusive<u32> = 1_024..=49_151;

/// Everything about a network's spec that can be told without the rest of the cluster.
pub fn network(spec: &NetworkSpec) -> Result<(), Refusal> {
    if spec.ingress && spec.driver.name != OVERLAY {
        return Err(Refusal::rpc(
            RefusalKind::Unimplemented,
            "only overlay driver is currently supported for ingress network",
        ));
    }
    if spec.ingress && spec.attachable {
        return Err(rpc("ingress network cannot be attachable"));
    }
    service_name(&spec.name)?;
    if TAKEN_NAMES.contains(&spec.name.as_str()) {
        return Err(Refusal::plain(
            RefusalKind::PermissionDenied,
            format!("operation is not permitted on predefined {} network", spec.name),
        ));
    }
    if spec.labels.contains_key(PREDEFINED) {
        return Err(Refusal::rpc(
            RefusalKind::PermissionDenied,
            format!(
                "label {PREDEFINED} is for internally created predefined networks and cannot be \
                 applied by users"
            ),
        ));
    }
    driver(spec)?;
    if let Some(option) = spec.ipam.options.keys().next() {
        return Err(rpc(format!(
            "no such IPAM option: {option}: the IPAM driver default has none, leave it out"
        )));
    }
    if !matches!(spec.ipam.driver.as_str(), "" | "default") {
        return Err(rpc(format!(
            "IPAM driver {} not found: swarmw has the driver default",
            spec.ipam.driver
        )));
    }
    pools(spec).map(drop)
}

fn driver(spec: &NetworkSpec) -> Result<(), Refusal> {
    match spec.driver.name.as_str() {
        OVERLAY => {}
        "bridge" | "host" => {
            return Err(Refusal::rpc(
                RefusalKind::Unimplemented,
                format!(
                    "the driver {name} makes networks of one node: services use the predefined \
                     network {name}, and the cluster's own networks have the driver overlay",
                    name = spec.driver.name
                ),
            ));
        }
        other => {
            return Err(rpc(format!(
                "network driver {other:?} not found: networks of the cluster have the driver overlay"
            )));
        }
    }
    let encrypted = spec.driver.options.get("encrypted");
    if encrypted.is_some_and(|value| !matches!(value.as_str(), "false" | "0")) {
        return Err(Refusal::plain(
            RefusalKind::Unimplemented,
            "encrypted networks need an encryption that this version of swarmw does not have: \
             leave out `--opt encrypted`, or keep the network on a link that is encrypted itself",
        ));
    }
    let known = |option: &&String| matches!(option.as_str(), "encrypted" | MTU_OPTION);
    if let Some(other) = spec.driver.options.keys().find(|option| !known(option)) {
        return Err(rpc(format!(
            "no such option of the network driver overlay: {other}: {MTU_OPTION} exists"
        )));
    }
    mtu(spec).map(drop)
}

/// The greatest packet of the machines' own network, as Docker's option means it, where the
/// spec says it: what networks carry is less, by what VXLAN adds.
pub(crate) fn mtu(spec: &NetworkSpec) -> Result<Option<u32>, Refusal> {
    let Some(text) = spec.driver.options.get(MTU_OPTION) else { return Ok(None) };
    match text.parse() {
        // As Docker's: whatever fits.
        Ok(0) => Ok(None),
        Ok(mtu) if (MTU_MIN..=MTU_MAX).contains(&mtu) => Ok(Some(mtu)),
        _ => Err(rpc(format!(
            "invalid MTU {text:?} of {MTU_OPTION}: want a number from {MTU_MIN} to {MTU_MAX}"
        ))),
    }
}

/// The subnets that a spec names, in its order. Those of IPv6 are left out where the
/// network has none, as Docker does.
pub(crate) fn pools(spec: &NetworkSpec) -> Result<Vec<Pool>, Refusal> {
    let mut pools: Vec<Pool> = Vec::new();
    for config in spec.ipam.config.iter().filter(|config| **config != IpamConfig::default()) {
        let pool = pool(config)
            .map_err(|why| Refusal::invalid(format!("invalid network config:\n{why}")))?;
        if pool.subnet.addr().is_ipv6() && !spec.enable_ipv6 {
            continue;
        }
        if let Some(other) = pools.iter().find(|other| overlap(&other.subnet, &pool.subnet)) {
            return Err(Refusal::invalid(format!(
                "invalid network config:\ninvalid subnet {}: it overlaps with {}, which the \
                 network has as well",
                pool.subnet, other.subnet
            )));
        }
        pools.push(pool);
    }
    if pools.len() > POOLS_MAX {
        return Err(Refusal::invalid(format!(
            "invalid network config:\nit has {} subnets, and {POOLS_MAX} are the most that a \
             network has",
            pools.len()
        )));
    }
    Ok(pools)
}

/// Whether two subnets have an address in common.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

fn pool(config: &IpamConfig) -> Result<Pool, String> {
    let subnet = block("subnet", &config.subnet)?;
    let longest = subnet.max_prefix_len() - 2;
    if subnet.prefix_len() > longest {
        return Err(format!(
            "invalid subnet {subnet}: there is no room for a gateway and a task, /{longest} is \
             the least"
        ));
    }
    let range = match config.ip_range.as_str() {
        "" => subnet,
        text => range(text, &subnet)?,
    };
    let mut auxiliary = BTreeMap::new();
    for (name, text) in &config.auxiliary {
        auxiliary.insert(name.clone(), address("auxiliary address", text, &subnet)?);
    }
    let taken = |address: &IpAddr| auxiliary.values().any(|other| other == address);
    let gateway = match config.gateway.as_str() {
        "" => {
            let first = subnet.hosts().find(|host| *host != subnet.network() && !taken(host));
            first.ok_or_else(|| {
                format!("invalid subnet {subnet}: no address is left for a gateway")
            })?
        }
        text => {
            let gateway = address("gateway", text, &subnet)?;
            if taken(&gateway) {
                return Err(format!("invalid gateway {gateway}: it is an auxiliary address too"));
            }
            gateway
        }
    };
    Ok(Pool { subnet, range, gateway, auxiliary })
}

/// A block that begins where its prefix says.
fn block(what: &str, text: &str) -> Result<IpNet, String> {
    let net: IpNet =
        text.parse().map_err(|_| format!("invalid {what} {text}: invalid CIDR block notation"))?;
    if net != net.trunc() {
        return Err(format!("invalid {what} {net}: it should be {}", net.trunc()));
    }
    Ok(net)
}

fn range(text: &str, subnet: &IpNet) -> Result<IpNet, String> {
    let range = block("ip-range", text)?;
    same_family("ip-range", text, range.addr(), subnet)?;
    if range.prefix_len() < subnet.prefix_len() {
        return Err(format!(
            "invalid ip-range {range}: CIDR block is bigger than its parent subnet {subnet}"
        ));
    }
    if !subnet.contains(&range) {
        return Err(format!(
            "invalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range"
        ));
    }
    Ok(range)
}

fn address(what: &str, text: &str, subnet: &IpNet) -> Result<IpAddr, String> {
    let address: IpAddr =
        text.parse().map_err(|_| format!("invalid {what} {text}: invalid address"))?;
    same_family(what, text, address, subnet)?;
    if !subnet.contains(&address) {
        return Err(format!(
            "invalid {what} {address}: parent subnet {subnet} doesn't contain this address"
        ));
    }
    let edge = address == subnet.network() || address.is_ipv4() && address == subnet.broadcast();
    if edge {
        return Err(format!("invalid {what} {address}: it stands for all of {subnet}"));
    }
    Ok(address)
}

fn same_family(what: &str, text: &str, address: IpAddr, subnet: &IpNet) -> Result<(), String> {
    if address.is_ipv4() == subnet.addr().is_ipv4() {
        return Ok(());
    }
    let family = if subnet.addr().is_ipv4() { "IPv4" } else { "IPv6" };
    Err(format!("invalid {what} {text}: parent subnet is an {family} block"))
}

/// Where networks that name no subnet get one, as `swarm init` says it; without pools and
/// size, Docker's.
pub fn address_pools(pools: &[String], subnet_size: u32) -> Result<AddressPools, Refusal> {
    let default = AddressPools::default();
    let subnet_size = match subnet_size {
        0 => default.subnet_size,
        size if SUBNET_SIZES.contains(&size) => size as u8,
        size => return Err(Refusal::invalid(format!("subnet size is out of range: {size}"))),
    };
    let mut parsed: Vec<IpNet> = Vec::new();
    for text in pools {
        let net: Ipv4Net = text.parse().map_err(|_| {
            let why = match text.parse::<Ipv6Net>() {
                Ok(_) => "default address pools are of IPv4",
                Err(_) => "invalid CIDR block notation",
            };
            Refusal::invalid(format!("invalid base pool {text}: {why}"))
        })?;
        let net = IpNet::V4(net.trunc());
        if subnet_size < net.prefix_len() {
            return Err(Refusal::invalid(format!(
                "invalid CIDR: {text:?}. Subnet size is too small for pool: {subnet_size}"
            )));
        }
        if let Some(other) = parsed.iter().find(|other| overlap(other, &net)) {
            return Err(Refusal::invalid(format!(
                "default address pools {other} and {net} overlap"
            )));
        }
        parsed.push(net);
    }
    if parsed.is_empty() {
        parsed = default.pools;
    }
    Ok(AddressPools { pools: parsed, subnet_size })
}

/// The UDP port of VXLAN, as `swarm init` says it; 0 is Docker's.
pub fn data_path_port(port: u32) -> Result<u16, Refusal> {
    match u16::try_from(port) {
        Ok(0) => Ok(DATA_PATH_PORT),
        Ok(number) if DATA_PATH_PORTS.contains(&port) => Ok(number),
        _ => Err(Refusal::invalid(format!(
            "Datapath port number is not in valid range (1024-49151) : {port}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Driver;

    fn spec(edit: impl FnOnce(&mut NetworkSpec)) -> NetworkSpec {
        let mut spec = NetworkSpec {
            name: "web".into(),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            ..NetworkSpec::default()
        };
        edit(&mut spec);
        spec
    }

    fn subnets(configs: &[[&str; 3]]) -> NetworkSpec {
        spec(|spec| {
            spec.enable_ipv6 = true;
            spec.ipam.config = configs
                .iter()
                .map(|[subnet, range, gateway]| IpamConfig {
                    subnet: (*subnet).into(),
                    ip_range: (*range).into(),
                    gateway: (*gateway).into(),
                    ..IpamConfig::default()
                })
                .collect();
        })
    }

    fn said(spec: &NetworkSpec) -> String {
        network(spec).err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_a_network_cannot_be_is_refused_in_words() {
        for (spec, want) in [
            (spec(|_| {}), ""),
            (spec(|s| s.name = "a.b".into()), "name must be valid as a DNS name component"),
            (spec(|s| s.name = String::new()), "name must be provided"),
            (spec(|s| s.name = "host".into()), "not permitted on predefined host network"),
            (
                spec(|s| (s.ingress, s.attachable) = (true, true)),
                "ingress network cannot be attachable",
            ),
            (spec(|s| s.driver.name = "macvlan".into()), "network driver \"macvlan\" not found"),
            (spec(|s| s.driver.name = "bridge".into()), "makes networks of one node"),
            (
                spec(|s| (s.ingress, s.driver.name) = (true, "bridge".into())),
                "only overlay driver is currently supported for ingress network",
            ),
            (spec(|s| s.ipam.driver = "dhcp".into()), "IPAM driver dhcp not found"),
            (
                spec(|s| drop(s.driver.options.insert("encrypted".into(), String::new()))),
                "encrypted networks need an encryption",
            ),
            (spec(|s| drop(s.driver.options.insert("encrypted".into(), "false".into()))), ""),
            (spec(|s| drop(s.driver.options.insert(MTU_OPTION.into(), "1400".into()))), ""),
            (spec(|s| drop(s.driver.options.insert(MTU_OPTION.into(), "0".into()))), ""),
            (
                spec(|s| drop(s.driver.options.insert(MTU_OPTION.into(), "100".into()))),
                "invalid MTU \"100\" of com.docker.network.driver.mtu: want a number from 1350 to",
            ),
            (
                spec(|s| drop(s.driver.options.insert("a".into(), "b".into()))),
                "no such option of the network driver overlay: a",
            ),
            (
                spec(|s| drop(s.ipam.options.insert("a".into(), "b".into()))),
                "no such IPAM option: a",
            ),
            (
                spec(|s| drop(s.labels.insert(PREDEFINED.into(), "x".into()))),
                "cannot be applied by users",
            ),
        ] {
            let said = said(&spec);
            let right = if want.is_empty() { said.is_empty() } else { said.contains(want) };
            assert!(right, "{spec:?}: {said}");
        }
    }

    #[test]
    fn subnets_are_read_and_what_is_wrong_with_them_is_told() {
        for (config, want) in [
            (&[["10.1.0.0/16", "10.1.5.0/24", "10.1.0.9"]][..], ""),
            (&[["10.1.0.0/16", "", ""], ["fd00::/64", "", ""]], ""),
            (&[["10.1.0.0", "", ""]], "invalid subnet 10.1.0.0: invalid CIDR block notation"),
            (&[["10.1.0.5/16", "", ""]], "invalid subnet 10.1.0.5/16: it should be 10.1.0.0/16"),
            (&[["10.1.0.0/31", "", ""]], "there is no room for a gateway and a task"),
            (&[["10.1.0.0/16", "10.2.0.0/24", ""]], "doesn't contain ip-range"),
            (&[["10.1.0.0/16", "10.0.0.0/8", ""]], "bigger than its parent subnet 10.1.0.0/16"),
            (&[["10.1.0.0/16", "fd00::/64", ""]], "parent subnet is an IPv4 block"),
            (&[["10.1.0.0/16", "", "10.2.0.1"]], "doesn't contain this address"),
            (&[["10.1.0.0/16", "", "10.1.0.0"]], "it stands for all of 10.1.0.0/16"),
            (&[["10.1.0.0/16", "", "gw"]], "invalid gateway gw: invalid address"),
            (&[["", "", "10.1.0.1"]], "invalid subnet : invalid CIDR block notation"),
            (
                &[["10.1.0.0/16", "", ""], ["10.1.7.0/24", "", ""]],
                "invalid subnet 10.1.7.0/24: it overlaps with 10.1.0.0/16",
            ),
        ] {
            let said = said(&subnets(config));
            let right = if want.is_empty() { said.is_empty() } else { said.contains(want) };
            assert!(right, "{config:?}: {said}");
        }
        let pools =
            pools(&subnets(&[["10.1.0.0/16", "", ""], ["fd00::/64", "", ""]])).expect("two");
        let gateways: Vec<_> = pools.iter().map(|pool| pool.gateway.to_string()).collect();
        assert_eq!(gateways, ["10.1.0.1", "fd00::1"]);
    }

    #[test]
    fn a_gateway_goes_round_what_is_taken() {
        let mut spec = subnets(&[["10.1.0.0/24", "", ""]]);
        spec.ipam.config[0].auxiliary.insert("router".into(), "10.1.0.1".into());
        let pools = pools(&spec).expect("one");
        assert_eq!(pools[0].gateway.to_string(), "10.1.0.2");
        assert!(!pools[0].gives("10.1.0.1".parse().expect("an address")));
        spec.ipam.config[0].gateway = "10.1.0.1".into();
        assert!(said(&spec).contains("it is an auxiliary address too"));
    }

    #[test]
    fn a_cluster_is_founded_with_pools_that_hold_subnets() {
        let pools = |texts: &[&str], size| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            address_pools(&texts, size).map_err(|why| why.to_string())
        };
        assert_eq!(pools(&[], 0), Ok(AddressPools::default()));
        assert_eq!(pools(&["10.20.0.0/16"], 26).map(|p| p.subnet_size), Ok(26));
        for (texts, size, want) in [
            (&["10.0.0.0/25"][..], 24, "Subnet size is too small for pool: 24"),
            (&["10.0.0.0/8"], 30, "subnet size is out of range: 30"),
            (&["10.0.0.0/8", "10.9.0.0/16"], 24, "10.0.0.0/8 and 10.9.0.0/16 overlap"),
            (&["fd00::/48"], 24, "default address pools are of IPv4"),
            (&["ten"], 24, "invalid base pool ten"),
        ] {
            let said = pools(texts, size).expect_err(want);
            assert!(said.contains(want), "{said}");
        }
        assert_eq!(data_path_port(0).ok(), Some(4789));
        assert_eq!(data_path_port(1024).ok(), Some(1024));
        for port in [1023, 49_152, 70_000] {
            let said = data_path_port(port).expect_err("out of range").to_string();
            assert!(said.ends_with(&format!("(1024-49151) : {port}")), "{said}");
        }
    }
}
