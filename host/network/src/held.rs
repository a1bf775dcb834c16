//! Who has a port that cannot be opened on all addresses of a node.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use swarmw_model::PortProtocol;

/// The state of a socket that listens, as the kernel prints it.
const LISTENS: &str = "0A";

/// Whether a port is in use at addresses of the loopback device alone, and not at 127.0.0.1:
/// as many machines have a resolver at 127.0.0.53. Nobody else reaches those, and kernels that
/// lead the port leave them to who has them.
pub(crate) fn is_apart(protocol: PortProtocol, port: u16) -> bool {
    let tables = match protocol {
        PortProtocol::Tcp => ["tcp", "tcp6"],
        PortProtocol::Udp => ["udp", "udp6"],
        PortProtocol::Sctp => return false,
    };
    let listed = tables.iter().flat_map(|table| {
        let lines = fs::read_to_string(format!("/proc/thread-self/net/{table}"));
        holders(&lines.unwrap_or_default(), protocol, port)
    });
    are_apart(&listed.collect::<Vec<_>>())
}

fn are_apart(holders: &[IpAddr]) -> bool {
    let is_apart = |holder: &IpAddr| holder.is_loopback() && *holder != Ipv4Addr::LOCALHOST;
    !holders.is_empty() && holders.iter().all(|holder| holder.is_ipv4() && is_apart(holder))
}

/// The addresses where a table of sockets has a port.
fn holders(table: &str, protocol: PortProtocol, port: u16) -> Vec<IpAddr> {
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        let (address, at) = local.split_once(':')?;
        let holds = protocol != PortProtocol::Tcp || state == LISTENS;
        let is_it = holds && u16::from_str_radix(at, 16) == Ok(port);
        self::address(address).filter(|_| is_it)
    });
    sockets.collect()
}

/// As the kernel prints the words in memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 1 1 0
   1: 3600007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 2 1 0
   2: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0
   3: 0507A8C0:0035 0907A8C0:C001 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0
nonsense
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:0
   1: 0000000000000000FFFF00003500007F:0051 00000000000000000000000000000000:0000 0A 00000000:0
   2: 00000000000000000000000001000000:0052 00000000000000000000000000000000:0000 0A 00000000:0
";

    fn texts(table: &str, port: u16) -> Vec<String> {
        holders(table, PortProtocol::Tcp, port).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn who_listens_is_read_from_the_kernels_tables() {
        assert_eq!(texts(TCP, 53), ["127.0.0.53", "127.0.0.54"]);
        assert_eq!(texts(TCP, 631), ["127.0.0.1"]);
        assert_eq!(texts(TCP, 80), [""; 0]);
        assert_eq!(texts(TCP6, 80), ["::"]);
        assert_eq!(texts(TCP6, 81), ["127.0.0.53"]);
        assert_eq!(texts(TCP6, 82), ["::1"]);
    }

    #[test]
    fn addresses_of_the_loopback_device_but_the_usual_one_are_apart() {
        for (holders, wanted) in [
            (&["127.0.0.53"][..], true),
            (&["127.0.0.53", "127.0.0.54"], true),
            (&["127.0.0.53", "127.0.0.1"], false),
            (&["127.0.0.53", "192.168.7.5"], false),
            (&["0.0.0.0"], false),
            (&["::1"], false),
            (&["::"], false),
            // It went meanwhile.
            (&[], false),
        ] {
            let all: Vec<_> = holders.iter().map(|text| text.parse().expect("one")).collect();
            assert_eq!(are_apart(&all), wanted, "{holders:?}");
        }
    }
}
