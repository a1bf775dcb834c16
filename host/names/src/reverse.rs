//! Addresses that are asked for as names: `4.0.0.10.in-addr.arpa`, and by nibbles
//! under `ip6.arpa` (RFC 1035 §3.5, RFC 3596 §2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that a name in lower case, without a dot at the end, stands for.
pub(crate) fn address(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        v4(octets).map(IpAddr::V4)
    } else {
        name.strip_suffix(".ip6.arpa").and_then(v6).map(IpAddr::V6)
    }
}

fn v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut labels = text.split('.');
    for octet in octets.iter_mut().rev() {
        *octet = labels.next().and_then(decimal)?;
    }
    labels.next().is_none().then(|| octets.into())
}

/// As Rust's parser of addresses has it: no sign, no zero before another digit.
fn decimal(label: &str) -> Option<u8> {
    let plain =
        label.bytes().all(|b| b.is_ascii_digit()) && (label == "0" || !label.starts_with('0'));
    label.parse().ok().filter(|_| plain)
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    let mut bits = 0;
    let mut labels = text.split('.');
    for place in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        bits |= u128::from_str_radix(label, 16).ok()? << (4 * place);
    }
    labels.next().is_none().then(|| Ipv6Addr::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_backwards() {
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(address(v6), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(address("4.3.0.10.in-addr.arpa"), Some("10.0.3.4".parse().unwrap()));
    }

    #[test]
    fn what_is_no_whole_address_is_none() {
        let long = format!("0.{}", "1.".repeat(32)) + "ip6.arpa";
        let names = [
            "in-addr.arpa",
            ".in-addr.arpa",
            "3.0.10.in-addr.arpa",
            "5.4.3.0.10.in-addr.arpa",
            "256.0.0.10.in-addr.arpa",
            "+1.0.0.10.in-addr.arpa",
            "01.0.0.10.in-addr.arpa",
            "x.0.0.10.in-addr.arpa",
            "8.b.d.0.1.0.0.2.ip6.arpa",
            &long,
            "web",
            "",
        ];
        for name in names {
            assert_eq!(address(name), None, "{name}");
        }
    }
}
