//! Addresses and networks.

use std::net::IpAddr;

use crate::Ip;

/// A network such as `10.0.0.0/8`, or one address as a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

impl Network {
    /// Reads `10.0.0.7`, `10.0.0.0/8` or `fe80::/10`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => widest,
        };
        let mask = u128::MAX.checked_shl(widest - std::cmp::min(length, widest)).unwrap_or(0);
        (length <= widest).then(|| Self { base: bits(address) & mask, mask })
    }

    /// Whether the address lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Ip {
    /// The address as one number.
    pub fn bits(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl From<IpAddr> for Ip {
    fn from(address: IpAddr) -> Self {
        let bits = bits(address);
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }
}

/// IPv4 stands as `::ffff:a.b.c.d` in a column, and comes back as IPv4.
impl From<Ip> for IpAddr {
    fn from(ip: Ip) -> Self {
        IpAddr::V6(ip.bits().into()).to_canonical()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "fe80::1", false),
            ("fe80::/10", "fe80::1", true),
        ] {
            let read = Network::parse(network).expect(network);
            assert_eq!(read.contains(address.parse().expect(address)), want, "{network} {address}");
        }
        for bad in ["10.0.0.0/33", "10.0.0.0/-1", "x", "10.0.0.0/"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_come_back_as_they_were() {
        for text in ["10.0.0.1", "fe80::1"] {
            let address: IpAddr = text.parse().expect(text);
            assert_eq!(IpAddr::from(Ip::from(address)), address);
        }
    }
}
