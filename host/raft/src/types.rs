//! The types that openraft works with, and their shape on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use openraft::alias::{LogIdOf, VoteOf};
use openraft::impls::leader_id_std;
use openraft::{BasicNode, EntryPayload, Membership};
use serde::{Deserialize, Serialize};
use swarmw_state::{Outcome, Transaction, encode_transaction};

openraft::declare_raft_types!(
    /// One leader per term, as the Raft paper has it: a user who compares terms
    /// and leaders then sees what he expects.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = BasicNode,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type LogId = LogIdOf<TypeConfig>;
pub(crate) type Vote = VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type LeaderId = leader_id_std::LeaderId<u64, u64>;

/// An encoded transaction.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal(#[serde(with = "bytes_as_bytes")] pub(crate) bytes::Bytes);

/// What became of a transaction's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) Vec<Outcome>);

/// An entry as it stands on disk: our own shape, so that another openraft is no
/// migration of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    term: u64,
    index: u64,
    payload: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Payload {
    Blank,
    Transaction(Proposal),
    Members { configs: Vec<BTreeSet<u64>>, addresses: BTreeMap<u64, String> },
}

/// A vote as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteRecord {
    term: u64,
    node: u64,
    committed: bool,
}

/// A position in the log as it stands on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

/// Members as they stand in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembersRecord {
    at: Option<Position>,
    configs: Vec<BTreeSet<u64>>,
    addresses: BTreeMap<u64, String>,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// === impl Proposal ===

impl Proposal {
    pub(crate) fn of(transaction: &Transaction) -> Self {
        Self(encode_transaction(transaction).into())
    }
}

// === impl VoteRecord ===

impl VoteRecord {
    pub(crate) fn of_candidate(term: u64, node: u64) -> Self {
        Self { term, node, committed: false }
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }
}

// === impl Record ===

impl Record {
    pub(crate) fn of_members(
        at: Position,
        members: BTreeSet<u64>,
        addresses: BTreeMap<u64, String>,
    ) -> Self {
        let payload = Payload::Members { configs: vec![members], addresses };
        Self { term: at.term, index: at.index, payload }
    }

    pub(crate) fn of_transaction(at: Position, proposal: Proposal) -> Self {
        Self { term: at.term, index: at.index, payload: Payload::Transaction(proposal) }
    }

    pub(crate) fn position(&self) -> Position {
        Position { term: self.term, index: self.index }
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }
}

// === conversions ===

impl From<&Entry> for Record {
    fn from(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            EntryPayload::Blank => Payload::Blank,
            EntryPayload::Normal(proposal) => Payload::Transaction(proposal.clone()),
            EntryPayload::Membership(members) => Payload::Members {
                configs: members.get_joint_config().clone(),
                addresses: addresses(members),
            },
        };
        let Position { term, index } = Position::from(&entry.log_id);
        Self { term, index, payload }
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        let payload = match record.payload {
            Payload::Blank => EntryPayload::Blank,
            Payload::Transaction(proposal) => EntryPayload::Normal(proposal),
            Payload::Members { configs, addresses } => {
                EntryPayload::Membership(members(configs, addresses))
            }
        };
        Self { log_id: Position { term: record.term, index: record.index }.into(), payload }
    }
}

impl From<&LogId> for Position {
    fn from(id: &LogId) -> Self {
        Self { term: *id.leader_id, index: id.index }
    }
}

impl From<Position> for LogId {
    fn from(at: Position) -> Self {
        LogId::new(at.term.into(), at.index)
    }
}

impl From<&Vote> for VoteRecord {
    fn from(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for,
            committed: vote.committed,
        }
    }
}

impl From<VoteRecord> for Vote {
    fn from(record: VoteRecord) -> Self {
        Self {
            leader_id: LeaderId { term: record.term, voted_for: record.node },
            committed: record.committed,
        }
    }
}

impl From<&StoredMembership> for MembersRecord {
    fn from(stored: &StoredMembership) -> Self {
        Self {
            at: stored.log_id().as_ref().map(Position::from),
            configs: stored.membership().get_joint_config().clone(),
            addresses: addresses(stored.membership()),
        }
    }
}

impl From<MembersRecord> for StoredMembership {
    fn from(record: MembersRecord) -> Self {
        Self::new(record.at.map(Into::into), members(record.configs, record.addresses))
    }
}

fn addresses(members: &Membership<u64, BasicNode>) -> BTreeMap<u64, String> {
    members.nodes().map(|(id, node)| (*id, node.addr.clone())).collect()
}

fn members(
    configs: Vec<BTreeSet<u64>>,
    addresses: BTreeMap<u64, String>,
) -> Membership<u64, BasicNode> {
    let nodes: BTreeMap<_, _> =
        addresses.into_iter().map(|(id, address)| (id, BasicNode::new(address))).collect();
    // The record is sealed, so it is what a valid membership once was.
    Membership::new(configs, nodes).expect("members as openraft gave them")
}

/// Bytes as bytes: serde would write a list of numbers.
mod bytes_as_bytes {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(bytes.into())
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}
