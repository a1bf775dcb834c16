//! A change of the table in the kernel's own words, for those that are made all the time.

use std::net::IpAddr;

use super::text::BACKENDS;
use super::{Element, Key, Turns};
use crate::netfilter::Asked;
use crate::nf_tables::{self, Expression, Header, Meta, REGISTER_1, REGISTER_1_WORD_1, REGISTER_2};

const TABLE: nf_tables::Table = nf_tables::Table("swarmw_ports");

/// What a part of a key or value is.
#[derive(Clone, Copy)]
enum Part {
    Protocol,
    Port,
    /// As this machine has it.
    Number,
    Address,
}

/// An empty chain of a port.
pub(super) fn new_chain(key: Key) -> Asked {
    TABLE.new_chain(&key.chain())
}

pub(super) fn delete_chain(key: Key) -> Asked {
    TABLE.delete_chain(&key.chain())
}

/// All rules of its chain.
pub(super) fn delete_rules(key: Key) -> Asked {
    TABLE.delete_rules(&key.chain())
}

/// The rule of its chain: `meta mark set MARK dnat ip to tcp dport . numgen inc mod COUNT map
/// @tcp4`.
pub(super) fn new_rule(key: Key, turns: &Turns) -> Asked {
    let (family, target) = if key.v6 { (10, REGISTER_2) } else { (2, REGISTER_1_WORD_1) };
    let modulus = u32::try_from(turns.slots.len()).unwrap_or(u32::MAX);
    let marks = key.mark(turns.snat).into_iter().flat_map(Expression::mark);
    let leads = [
        Expression::load(Meta::Protocol, REGISTER_1),
        Expression::equals(REGISTER_1, &[key.protocol]),
        // Of all protocols, the port that it is for is there.
        Expression::payload(Header::Transport, 2, 2, REGISTER_1),
        Expression::turn(modulus, REGISTER_1_WORD_1),
        Expression::look_up(&key.backends(), REGISTER_1, REGISTER_1),
        Expression::lead(family, REGISTER_1, Some(target)),
    ];
    let does: Vec<_> = marks.chain(leads).collect();
    TABLE.new_rule(&key.chain(), &does, &turns.comment())
}

/// An element of a set or map; none: one that does not change all the time.
pub(super) fn new_element(element: &Element) -> Option<Asked> {
    let Element { set, key, value } = element;
    let (of_key, of_value) = parts(set)?;
    let key = words(key, of_key)?;
    if let Some(chain) = value.strip_prefix("goto ") {
        return Some(TABLE.new_way(set, &key, chain));
    }
    let value = if of_value.is_empty() { None } else { Some(words(value, of_value)?) };
    Some(TABLE.new_element(set, &key, value.as_deref()))
}

pub(super) fn delete_element(element: &Element) -> Option<Asked> {
    let (of_key, _) = parts(&element.set)?;
    Some(TABLE.delete_element(&element.set, &words(&element.key, of_key)?))
}

/// Of keys and values of a set or map.
fn parts(set: &str) -> Option<(&'static [Part], &'static [Part])> {
    use Part::{Address, Number, Port, Protocol};
    let parts: (&[Part], &[Part]) = match set {
        "ports4" | "ports6" | "refused4" | "refused6" => (&[Protocol, Port], &[]),
        "here4" | "here6" => (&[Address], &[Address]),
        "there4" => (&[Address], &[]),
        "homes4" | "homes6" => (&[Address, Address], &[]),
        "itself4" | "itself6" => (&[Address, Protocol, Port], &[]),
        _ if BACKENDS.contains(&set) => (&[Port, Number], &[Address, Port]),
        _ => return None,
    };
    Some(parts)
}

/// Parts one after the other, each in words of four bytes.
fn words(text: &str, parts: &[Part]) -> Option<Vec<u8>> {
    let mut words = Vec::new();
    let mut said = text.split(" . ");
    for part in parts {
        let said = said.next()?;
        match part {
            Part::Protocol => words.push(said.parse().ok()?),
            Part::Port => words.extend(said.parse::<u16>().ok()?.to_be_bytes()),
            Part::Number => words.extend(said.parse::<u32>().ok()?.to_ne_bytes()),
            Part::Address => match said.parse().ok()? {
                IpAddr::V4(address) => words.extend(address.octets()),
                IpAddr::V6(address) => words.extend(address.octets()),
            },
        }
        words.resize(words.len().next_multiple_of(4), 0);
    }
    said.next().is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(asked: &Asked) -> String {
        asked.attributes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn turns(count: u8, snat: bool) -> Turns {
        let slots = (0..count).map(|number| ([10, 0, 0, number].into(), 80)).collect();
        Turns { slots, snat }
    }

    /// As `nft` 1.0.6 says them, but for the number of the map, which has a name as well.
    #[test]
    fn rules_are_those_of_nft() {
        let masked = "\
            2c0001800e000100696d6d6564696174650000001800028008000100000000010c00028008000100\
            01005f5324000180090001006d657461000000001400028008000200000000030800030000000001\
            24000180090001006d6574610000000014000280080002000000001008000100000000012c000180\
            08000100636d700020000280080001000000000108000200000000000c0003800500010006000000\
            340001800c0001007061796c6f616400240002800800010000000001080002000000000208000300\
            000000020800040000000002340001800b0001006e756d67656e0000240002800800010000000009\
            080002000000000308000300000000000800040000000000300001800b0001006c6f6f6b75700000\
            20000280080002000000000108000300000000010900010074637034000000003000018008000100\
            6e617400240002800800010000000001080002000000000208000300000000010800050000000009";
        let asked = new_rule(Key { protocol: 6, port: 80, v6: false }, &turns(3, true));
        let said = hexadecimal(&asked);
        assert!(said.contains(masked), "{said}");
        assert!(said.ends_with("0f000700000933206d61736b65640000"), "{said}");

        let of_ipv6 = "\
            24000180090001006d6574610000000014000280080002000000001008000100000000012c000180\
            08000100636d700020000280080001000000000108000200000000000c0003800500010011000000\
            340001800c0001007061796c6f616400240002800800010000000001080002000000000208000300\
            000000020800040000000002340001800b0001006e756d67656e0000240002800800010000000009\
            080002000000000208000300000000000800040000000000300001800b0001006c6f6f6b75700000\
            20000280080002000000000108000300000000010900010075647036000000003000018008000100\
            6e617400240002800800010000000001080002000000000a08000300000000010800050000000002";
        let asked = new_rule(Key { protocol: 17, port: 53, v6: true }, &turns(2, false));
        let said = hexadecimal(&asked);
        assert!(said.contains(of_ipv6) && !said.contains("696d6d656469617465"), "{said}");
    }

    #[test]
    fn an_element_is_that_of_nft() {
        let element = |set: &str, key: &str, value: &str| Element {
            set: set.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let said = "\
            30000180100001800c00010000350000010000001c00028018000100fd0000000000000000000000\
            0000000500350000";
        let asked = new_element(&element("udp6", "53 . 1", "fd00::5 . 53")).expect("known");
        assert!(hexadecimal(&asked).ends_with(said), "{}", hexadecimal(&asked));
        let asked = new_element(&element("itself4", "172.18.0.5 . 6 . 80", "")).expect("known");
        let said = "ac1200050600000000500000";
        assert!(hexadecimal(&asked).ends_with(said), "{}", hexadecimal(&asked));
        for (set, key) in [("zones", "02:00:00:00:00:01"), ("there4", "x"), ("refused4", "6")] {
            assert_eq!(new_element(&element(set, key, "")), None, "{set}");
        }
    }
}
