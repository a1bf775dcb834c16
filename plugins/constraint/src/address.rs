//! Addresses and networks, for `node.ip`.

use std::net::IpAddr;

/// A network, or one address as a network of one. IPv4 stands as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

const BITS: u32 = 128;
const BITS_V4: u32 = 32;

impl Network {
    /// `10.0.0.7`, `10.0.0.0/8`, `fe80::/10`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, widest) = match address {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), BITS_V4),
            IpAddr::V6(v6) => (v6.to_bits(), BITS),
        };
        let length = match length {
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => widest,
        };
        if length > widest {
            return None;
        }
        let mask = u128::MAX.checked_shl(widest - length).unwrap_or(0);
        Some(Self { base: bits & mask, mask })
    }

    /// Whether the address lies inside.
    pub fn contains(&self, address: u128) -> bool {
        address & self.mask == self.base
    }
}
