//! Where a node listens, `--listen-addr`, and where networks get their addresses,
//! `--default-addr-pool`.

use ipnet::IpNet;

/// Swarm's port for everything between nodes.
const DEFAULT_PORT: &str = "2377";

/// Reads `HOST[:PORT]` or `:PORT`; which host it is, an address or an interface, the
/// daemon finds out.
pub(crate) fn node_address(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("tcp://").unwrap_or(text);
    if address.is_empty() {
        return Err("invalid bind address (): ".to_owned());
    }
    let bare_ipv6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !bare_ipv6 && !address.ends_with(']') => (host, port),
        _ => (address, DEFAULT_PORT),
    };
    if !port.bytes().all(|b| b.is_ascii_digit()) || host.contains(':') && !is_ipv6(host) {
        return Err(format!("parse \"tcp://{address}\": invalid port \":{port}\" after host"));
    }
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let host = if bare_ipv6 { format!("[{host}]") } else { host.to_owned() };
    Ok(format!("{host}:{}", if port.is_empty() { DEFAULT_PORT } else { port }))
}

/// A block of addresses, from where its prefix begins.
pub(crate) fn address_pool(text: &str) -> Result<IpNet, String> {
    let pool: Result<IpNet, _> = text.trim().parse();
    pool.map(|pool| pool.trunc())
        .map_err(|_| format!("invalid string being converted to CIDR: {text}"))
}

fn is_ipv6(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{address_pool, node_address};

    #[test]
    fn a_port_is_added_and_a_wrong_one_refused() {
        for (text, want) in [
            ("10.0.0.1", "10.0.0.1:2377"),
            ("eth0:99", "eth0:99"),
            (":99", "0.0.0.0:99"),
            ("tcp://eth0", "eth0:2377"),
            ("fe80::1", "[fe80::1]:2377"),
            ("[::1]:99", "[::1]:99"),
            ("[::1]", "[::1]:2377"),
        ] {
            assert_eq!(node_address(text).as_deref(), Ok(want), "{text}");
        }
        for text in ["foo:bar", "foo:bar:baz", "1.2.3.4:x"] {
            assert!(node_address(text).unwrap_err().contains("invalid port"), "{text}");
        }
        assert!(node_address("").is_err());
    }

    #[test]
    fn a_pool_begins_where_its_prefix_does() {
        assert_eq!(address_pool("10.30.0.1/16").map(|p| p.to_string()), Ok("10.30.0.0/16".into()));
        for text in ["foo", "10.0.0.0"] {
            let want = format!("invalid string being converted to CIDR: {text}");
            assert_eq!(address_pool(text), Err(want));
        }
    }
}
