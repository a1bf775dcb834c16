//! A change of the table in the kernel's own words (linux/netfilter/nf_tables.h), for those
//! that are made all the time. They are the words that `nft` says for the text of it.

use std::net::IpAddr;

use super::text::chain_of;
use crate::netfilter::{Asked, put};

/// Kinds of messages, of nftables' subsystem.
const NEW_CHAIN: u16 = 10 << 8 | 3;
const DELETE_CHAIN: u16 = 10 << 8 | 5;
const NEW_RULE: u16 = 10 << 8 | 6;
const DELETE_RULE: u16 = 10 << 8 | 8;
const NEW_ELEMENT: u16 = 10 << 8 | 12;
const DELETE_ELEMENT: u16 = 10 << 8 | 14;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NFPROTO_INET: u8 = 1;
/// Of attributes that have attributes in them.
const NESTED: u16 = 0x8000;

/// The name of the table.
const TABLE: &str = "swarmw";
const NFT_GOTO: i32 = -4;

const NFT_REG_1: u32 = 1;
/// What follows an address of IPv4, or of IPv6, in register 1.
const NFT_REG32_01: u32 = 9;
const NFT_REG_2: u32 = 2;

/// An empty chain of a virtual address.
pub(super) fn new_chain(address: IpAddr) -> Asked {
    asked(NEW_CHAIN, NLM_F_CREATE, &[(3, name(&chain_of(address)))])
}

pub(super) fn delete_chain(address: IpAddr) -> Asked {
    asked(DELETE_CHAIN, 0, &[(3, name(&chain_of(address)))])
}

/// All rules of its chain.
pub(super) fn delete_rules(address: IpAddr) -> Asked {
    asked(DELETE_RULE, 0, &[(2, name(&chain_of(address)))])
}

/// The rule of its chain: `dnat ip to ip daddr . numgen inc mod COUNT map @backends4`.
pub(super) fn new_rule(address: IpAddr, backends: &str, count: usize) -> Asked {
    let (family, offset, length, turn) =
        if address.is_ipv4() { (2, 16, 4, NFT_REG32_01) } else { (10, 24, 16, NFT_REG_2) };
    let count_said = count.to_string();
    let modulus = u32::try_from(count).unwrap_or(u32::MAX);
    let first = NFT_REG_1;
    let does = [
        // NFT_META_NFPROTO
        expression("meta", &[(2, number(15)), (1, number(first))]),
        // Equal.
        expression("cmp", &[(1, number(first)), (2, number(0)), (3 | NESTED, value(&[family]))]),
        // Of the network header.
        expression(
            "payload",
            &[(1, number(first)), (2, number(1)), (3, number(offset)), (4, number(length))],
        ),
        // In turn, from 0 on.
        expression(
            "numgen",
            &[(1, number(turn)), (2, number(modulus)), (3, number(0)), (4, number(0))],
        ),
        expression("lookup", &[(2, number(first)), (3, number(first)), (1, name(backends))]),
        // The destination.
        expression("nat", &[(1, number(1)), (2, number(family.into())), (3, number(first))]),
    ];
    // A comment, as `nft` keeps it.
    let mut comment = vec![0, u8::try_from(count_said.len() + 1).unwrap_or(u8::MAX)];
    comment.extend(name(&count_said));
    let attributes = [(2, name(&chain_of(address))), (4 | NESTED, does.concat()), (7, comment)];
    asked(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, &attributes)
}

/// An element of a set or map, as [`super::text`] writes it; none: in words that are not of
/// this table.
pub(super) fn new_element(set: &str, key: &str, to: &str) -> Option<Asked> {
    let mut said = vec![(1 | NESTED, value(&words(key)?))];
    if let Some(chain) = to.strip_prefix("goto ") {
        let verdict = nested(&[(1, NFT_GOTO.to_be_bytes().to_vec()), (2, name(chain))]);
        said.push((2 | NESTED, nested(&[(2 | NESTED, verdict)])));
    } else if !to.is_empty() {
        said.push((2 | NESTED, value(&words(to)?)));
    }
    Some(element(NEW_ELEMENT, NLM_F_CREATE, set, &said))
}

pub(super) fn delete_element(set: &str, key: &str) -> Option<Asked> {
    Some(element(DELETE_ELEMENT, 0, set, &[(1 | NESTED, value(&words(key)?))]))
}

fn element(kind: u16, flags: u16, set: &str, said: &[(u16, Vec<u8>)]) -> Asked {
    let elements = nested(&[(1 | NESTED, nested(said))]);
    asked(kind, flags, &[(2, name(set)), (3 | NESTED, elements)])
}

fn asked(kind: u16, flags: u16, attributes: &[(u16, Vec<u8>)]) -> Asked {
    let mut all = nested(&[(1, name(TABLE))]);
    all.extend(nested(attributes));
    Asked { kind, flags, family: NFPROTO_INET, attributes: all }
}

/// What an expression is, and what it works on.
fn expression(kind: &str, said: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let expression = nested(&[(1, name(kind)), (2 | NESTED, nested(said))]);
    nested(&[(1 | NESTED, expression)])
}

fn nested(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in attributes {
        put(&mut bytes, *kind, value);
    }
    bytes
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

fn value(bytes: &[u8]) -> Vec<u8> {
    nested(&[(1, bytes.to_vec())])
}

fn number(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
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
