//! Where a node is.

use std::net::{IpAddr, SocketAddr};

/// Where a node is: where its session comes from, as with Swarm. Nodes that share a
/// machine all come from its loopback; those are where they say they are.
pub(super) fn address_of(seen: &str, advertised: &str) -> String {
    let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    let advertised = advertised.parse::<SocketAddr>().ok().map(|address| address.ip());
    match (seen.parse().is_ok_and(loopback), advertised) {
        (true, Some(own)) if !own.is_unspecified() => own.to_string(),
        _ => seen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_where_it_comes_from_and_beside_us_where_it_says() {
        for (seen, advertised, is) in [
            ("10.0.0.7", "10.0.0.7:2377", "10.0.0.7"),
            ("10.0.0.7", "192.168.1.7:2377", "10.0.0.7"),
            ("127.0.0.1", "127.0.9.2:2377", "127.0.9.2"),
            ("::ffff:127.0.0.1", "127.0.9.2:2377", "127.0.9.2"),
            ("127.0.0.1", "0.0.0.0:2377", "127.0.0.1"),
            ("127.0.0.1", "", "127.0.0.1"),
            ("::1", "[fd00::7]:2377", "fd00::7"),
        ] {
            assert_eq!(address_of(seen, advertised), is, "{seen} {advertised}");
        }
    }
}
