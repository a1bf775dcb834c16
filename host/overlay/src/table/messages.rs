//! A change of the table in the kernel's own words, for those that are made all the time.

use std::net::IpAddr;

use super::text::chain_of;
use crate::netfilter::Asked;
use crate::nf_tables::{self, Expression, Header, Meta, REGISTER_1, REGISTER_1_WORD_1, REGISTER_2};

const TABLE: nf_tables::Table = nf_tables::Table("swarmw");

/// An empty chain of a virtual address.
pub(super) fn new_chain(address: IpAddr) -> Asked {
    TABLE.new_chain(&chain_of(address))
}

pub(super) fn delete_chain(address: IpAddr) -> Asked {
    TABLE.delete_chain(&chain_of(address))
}

/// All rules of its chain.
pub(super) fn delete_rules(address: IpAddr) -> Asked {
    TABLE.delete_rules(&chain_of(address))
}

/// The rule of its chain: `dnat ip to ip daddr . numgen inc mod COUNT map @backends4`.
pub(super) fn new_rule(address: IpAddr, backends: &str, count: usize) -> Asked {
    let (family, offset, length, turn) =
        if address.is_ipv4() { (2, 16, 4, REGISTER_1_WORD_1) } else { (10, 24, 16, REGISTER_2) };
    let modulus = u32::try_from(count).unwrap_or(u32::MAX);
    let does = [
        Expression::load(Meta::Family, REGISTER_1),
        Expression::equals(REGISTER_1, &[family]),
        Expression::payload(Header::Network, offset, length, REGISTER_1),
        Expression::turn(modulus, turn),
        Expression::look_up(backends, REGISTER_1, REGISTER_1),
        Expression::lead(family, REGISTER_1, None),
    ];
    TABLE.new_rule(&chain_of(address), &does, &count.to_string())
}

/// An element of a set or map, as [`super::text`] writes it; none: in words that are not of
/// this table.
pub(super) fn new_element(set: &str, key: &str, to: &str) -> Option<Asked> {
    let key = words(key)?;
    if let Some(chain) = to.strip_prefix("goto ") {
        return Some(TABLE.new_way(set, &key, chain));
    }
    let to = if to.is_empty() { None } else { Some(words(to)?) };
    Some(TABLE.new_element(set, &key, to.as_deref()))
}

pub(super) fn delete_element(set: &str, key: &str) -> Option<Asked> {
    Some(TABLE.delete_element(set, &words(key)?))
}

/// The parts of a key one after the other: numbers as this machine has them, addresses as
/// they are in packets.
fn words(text: &str) -> Option<Vec<u8>> {
    let mut words = Vec::new();
    for part in text.split(" . ") {
        match (part.parse::<u32>(), part.parse()) {
            (Ok(number), _) => words.extend(number.to_ne_bytes()),
            (_, Ok(IpAddr::V4(address))) => words.extend(address.octets()),
            (_, Ok(IpAddr::V6(address))) => words.extend(address.octets()),
            _ => return None,
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(asked: &Asked) -> String {
        asked.attributes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As `nft` 1.0.6 says it, but for the number of the set, which has a name as well.
    #[test]
    fn a_rule_is_that_of_nft() {
        let said = "\
             0b000100737761726d77000010000200746f2d31302e302e302e3200180104802400018009000100\
             6d6574610000000014000280080002000000000f08000100000000012c00018008000100636d7000\
             20000280080001000000000108000200000000000c0003800500010002000000340001800c000100\
             7061796c6f6164002400028008000100000000010800020000000001080003000000001008000400\
             00000004340001800b0001006e756d67656e0000240002800800010000000009080002000000000a\
             08000300000000000800040000000000340001800b0001006c6f6f6b757000002400028008000200\
             0000000108000300000000010e0001006261636b656e64733400000028000180080001006e617400\
             1c000280080001000000000108000200000000020800030000000001090007000003313000000000";
        let address = [10, 0, 0, 2].into();
        assert_eq!(hexadecimal(&new_rule(address, "backends4", 10)), said);
    }

    #[test]
    fn an_element_is_that_of_nft() {
        let said = "\
             0b000100737761726d7700000b0002007475726e73360000400003803c0001801c00018018000100\
             01100000fd0000010000000000000000000000021c0002801800028008000100fffffffc0c000200\
             746f2d6664303000";
        let asked = new_element("turns6", "4097 . fd00:1::2", "goto to-fd00").expect("words");
        assert_eq!(hexadecimal(&asked), said);
        assert_eq!(new_element("turns6", "any . fd00:1::2", ""), None);
    }
}
