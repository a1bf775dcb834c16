//! Where no task elsewhere can be led to from this machine: the kernel keeps what is for its
//! own addresses, and on the engine's bridge there are containers. Other ways of the machine
//! are no hindrance: what is led to tasks goes by a routing table of its own.

use std::fs;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::docker::GATEWAY_BRIDGE;

/// All routing tables of IPv4: among others, what the kernel takes for its own.
const TABLES: &str = "/proc/net/fib_trie";
/// The main table, with devices.
const ROUTES: &str = "/proc/net/route";

/// Addresses of the machine itself, and of networks that it calls to as a whole; and the
/// engine's bridge.
pub(super) fn taken() -> Vec<Ipv4Net> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut taken = own(&read(TABLES));
    taken.extend(bridged(&read(ROUTES)));
    taken.sort();
    taken.dedup();
    taken
}

/// Each address is followed by lines that say of what kind its routes are.
fn own(tables: &str) -> Vec<Ipv4Net> {
    let mut own = Vec::new();
    let mut address: Option<Ipv4Addr> = None;
    for line in tables.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.parse().ok();
        } else if let Some(route) = line.strip_prefix('/') {
            let words: Vec<_> = route.split_whitespace().collect();
            let is_own = matches!(words[..], [_, _, "LOCAL" | "BROADCAST", ..]);
            let length = words.first().and_then(|length| length.parse().ok());
            let net = address.zip(length).and_then(|(to, length)| Ipv4Net::new(to, length).ok());
            own.extend(net.filter(|_| is_own));
        }
    }
    own
}

/// Networks of the engine's bridge.
fn bridged(routes: &str) -> Vec<Ipv4Net> {
    let networks = routes.lines().skip(1).filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (device, to, mask) = (words.first()?, words.get(1)?, words.get(7)?);
        let net = Ipv4Net::with_netmask(address(to)?, address(mask)?).ok()?;
        (*device == GATEWAY_BRIDGE && net.prefix_len() > 0).then_some(net)
    });
    networks.collect()
}

/// As the kernel prints the word in memory.
fn address(hex: &str) -> Option<Ipv4Addr> {
    u32::from_str_radix(hex, 16).ok().map(|word| Ipv4Addr::from(word.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(networks: Vec<Ipv4Net>) -> Vec<String> {
        networks.iter().map(Ipv4Net::to_string).collect()
    }

    #[test]
    fn the_machines_own_are_its_addresses_and_not_where_it_has_ways_to() {
        let tables = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        +-- 10.0.0.0/30 2 0 2
           |-- 10.0.0.0
              /24 link UNICAST
           |-- 10.0.0.2
              /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     |-- 127.0.0.0
        /31 link UNICAST
        /8 host LOCAL
Id 1398734848:
     |-- 10.0.0.5
        /32 universe UNICAST
nonsense
        /32 host
";
        assert_eq!(written(own(tables)), ["10.0.0.2/32", "10.0.0.255/32", "127.0.0.0/8"]);
    }

    #[test]
    fn the_engines_bridge_is_not_led_over() {
        let routes = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0107620A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
docker_gwbridge\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
nonsense
";
        assert_eq!(written(bridged(routes)), ["10.1.0.0/24"]);
    }
}
