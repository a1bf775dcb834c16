//! Messages of nftables (linux/netfilter/nf_tables.h), for the changes that are made all the
//! time: the words that `nft` says for the text of them. Values of attributes are big-endian;
//! what packets are compared with is as it is in packets.

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
const NFT_GOTO: i32 = -4;

/// Registers: of 16 bytes, and the second word of the first.
pub(crate) const REGISTER_1: u32 = 1;
pub(crate) const REGISTER_2: u32 = 2;
pub(crate) const REGISTER_1_WORD_1: u32 = 9;

/// What is loaded of a packet's surroundings.
pub(crate) enum Meta {
    Mark = 3,
    Family = 15,
    Protocol = 16,
}

/// Where a part of a packet is counted from.
pub(crate) enum Header {
    Network = 1,
    Transport = 2,
}

/// A table of the family `inet`, by name.
pub(crate) struct Table(pub(crate) &'static str);

/// An expression of a rule.
pub(crate) struct Expression(Vec<u8>);

// === impl Table ===

impl Table {
    /// An empty chain without a hook.
    pub(crate) fn new_chain(&self, chain: &str) -> Asked {
        self.asked(NEW_CHAIN, NLM_F_CREATE, &[(3, name(chain))])
    }

    /// A chain that has no rules.
    pub(crate) fn delete_chain(&self, chain: &str) -> Asked {
        self.asked(DELETE_CHAIN, 0, &[(3, name(chain))])
    }

    /// All rules of a chain.
    pub(crate) fn delete_rules(&self, chain: &str) -> Asked {
        self.asked(DELETE_RULE, 0, &[(2, name(chain))])
    }

    /// The last rule of a chain.
    pub(crate) fn new_rule(&self, chain: &str, does: &[Expression], comment: &str) -> Asked {
        let does: Vec<_> = does.iter().flat_map(|expression| expression.0.clone()).collect();
        // As `nft` keeps it.
        let mut said = vec![0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
        said.extend(name(comment));
        let attributes = [(2, name(chain)), (4 | NESTED, does), (7, said)];
        self.asked(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, &attributes)
    }

    /// An element of a set; of a map, with its value.
    pub(crate) fn new_element(&self, set: &str, key: &[u8], to: Option<&[u8]>) -> Asked {
        let to = to.map(|to| (2 | NESTED, value(to)));
        self.element(NEW_ELEMENT, NLM_F_CREATE, set, key, to)
    }

    /// An element of a map that leads to a chain.
    pub(crate) fn new_way(&self, set: &str, key: &[u8], chain: &str) -> Asked {
        let verdict = nested(&[(1, NFT_GOTO.to_be_bytes().to_vec()), (2, name(chain))]);
        let to = (2 | NESTED, nested(&[(2 | NESTED, verdict)]));
        self.element(NEW_ELEMENT, NLM_F_CREATE, set, key, Some(to))
    }

    pub(crate) fn delete_element(&self, set: &str, key: &[u8]) -> Asked {
        self.element(DELETE_ELEMENT, 0, set, key, None)
    }

    fn element(
        &self,
        kind: u16,
        flags: u16,
        set: &str,
        key: &[u8],
        to: Option<(u16, Vec<u8>)>,
    ) -> Asked {
        let said: Vec<_> = [(1 | NESTED, value(key))].into_iter().chain(to).collect();
        let elements = nested(&[(1 | NESTED, nested(&said))]);
        self.asked(kind, flags, &[(2, name(set)), (3 | NESTED, elements)])
    }

    fn asked(&self, kind: u16, flags: u16, attributes: &[(u16, Vec<u8>)]) -> Asked {
        let mut all = nested(&[(1, name(self.0))]);
        all.extend(nested(attributes));
        Asked { kind, flags, family: NFPROTO_INET, attributes: all }
    }
}

// === impl Expression ===

impl Expression {
    pub(crate) fn load(what: Meta, to: u32) -> Self {
        Self::of("meta", &[(2, number(what as u32)), (1, number(to))])
    }

    /// Marks the packet.
    pub(crate) fn mark(mark: u32) -> [Self; 2] {
        let from = REGISTER_1;
        let mark = value(&mark.to_ne_bytes());
        [
            Self::of("immediate", &[(1, number(from)), (2 | NESTED, mark)]),
            Self::of("meta", &[(2, number(Meta::Mark as u32)), (3, number(from))]),
        ]
    }

    /// Goes on only where a register has these bytes.
    pub(crate) fn equals(register: u32, bytes: &[u8]) -> Self {
        Self::of("cmp", &[(1, number(register)), (2, number(0)), (3 | NESTED, value(bytes))])
    }

    /// Some bytes of the packet.
    pub(crate) fn payload(of: Header, offset: u32, length: u32, to: u32) -> Self {
        let said = [number(to), number(of as u32), number(offset), number(length)];
        Self::of("payload", &(1..).zip(said).collect::<Vec<_>>())
    }

    /// The next number in turn, from 0 on.
    pub(crate) fn turn(modulus: u32, to: u32) -> Self {
        let said = [number(to), number(modulus), number(0), number(0)];
        Self::of("numgen", &(1..).zip(said).collect::<Vec<_>>())
    }

    /// What a map has for a key.
    pub(crate) fn look_up(map: &str, key: u32, to: u32) -> Self {
        Self::of("lookup", &[(2, number(key)), (3, number(to)), (1, name(map))])
    }

    /// Leads to an address of a family, and to a port where one is given.
    pub(crate) fn lead(family: u8, address: u32, port: Option<u32>) -> Self {
        // The destination.
        let mut said = vec![(1, number(1)), (2, number(family.into())), (3, number(address))];
        said.extend(port.map(|port| (5, number(port))));
        Self::of("nat", &said)
    }

    /// What it is, and what it works on.
    fn of(kind: &str, said: &[(u16, Vec<u8>)]) -> Self {
        let expression = nested(&[(1, name(kind)), (2 | NESTED, nested(said))]);
        Self(nested(&[(1 | NESTED, expression)]))
    }
}

fn nested(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in attributes {
        put(&mut bytes, *kind, value);
    }
    bytes
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
