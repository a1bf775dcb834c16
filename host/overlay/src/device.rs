//! Names and addresses of devices, made of numbers.

use std::fmt;
use std::net::Ipv6Addr;

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

// === impl Mac ===

impl Mac {
    /// That of a node on each of its VXLAN devices.
    pub(crate) fn of_node(number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        // Locally administered; "SW" follows.
        Self([0x02, 0x53, 0x57, 0x00, high, low])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What routes to a node go through, for both families. It is never on the wire: a
/// permanent neighbour says whose it is.
pub(crate) fn next_hop(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5357, number)
}

/// Names of VXLAN devices begin so.
pub(crate) const TUNNEL: &str = "vx";

/// The VXLAN device of a network.
pub(crate) fn tunnel_name(vni: u32) -> String {
    format!("{TUNNEL}{vni}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_one_address_of_each_kind() {
        assert_eq!(Mac::of_node(0x0102).to_string(), "02:53:57:00:01:02");
        assert_eq!(next_hop(0x0102).to_string(), "fe80::5357:102");
        assert_eq!(tunnel_name(16_777_215).len(), 10);
    }
}
