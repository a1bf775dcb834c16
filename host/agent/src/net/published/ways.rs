//! The ways that the machine has without us: tasks of published ports are not led to where
//! one of them goes.

use std::fs;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The main table, of IPv4.
const ROUTES: &str = "/proc/net/route";
/// The device between nodes: its ways are those of published ports.
const OURS: &str = "swingress";

/// Networks that this machine has a way to, besides its default one.
pub(super) fn taken() -> Vec<Ipv4Net> {
    parse(&fs::read_to_string(ROUTES).unwrap_or_default())
}

fn parse(routes: &str) -> Vec<Ipv4Net> {
    let networks = routes.lines().skip(1).filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (device, to, mask) = (words.first()?, words.get(1)?, words.get(7)?);
        let net = Ipv4Net::with_netmask(address(to)?, address(mask)?).ok()?;
        (*device != OURS && net.prefix_len() > 0).then_some(net)
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

    #[test]
    fn ways_are_all_but_the_default_one_and_those_of_published_ports() {
        let routes = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0107620A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
swingress\t0500000A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
nonsense
";
        let [net] = &parse(routes)[..] else { panic!("{:?}", parse(routes)) };
        assert_eq!(net.to_string(), "10.0.0.0/24");
    }
}
