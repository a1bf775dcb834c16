//! One message in, one decision out: everything between bytes and the table.

mod reply;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::{Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::BinDecodable;
use swarmw_ambient::Ambient;
use swarmw_model::NetworkId;

use crate::question::{Answer, Question, Want};
use crate::table::Table;

pub(crate) use reply::failure;

/// The longest query that is read; a name and some options have at most a quarter.
pub(crate) const QUERY_MAX: usize = 4_096;
const HEADER: usize = 12;

/// How a query came, and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// An answer may be cut short, and says so.
    Udp,
    /// An answer may have 64 KiB.
    Tcp,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is no query: nothing is said.
    Silence,
    /// The answer.
    Reply(Vec<u8>),
    /// The engine's resolver is asked.
    Forward,
}

/// Decides for the processes of one sandbox.
pub(crate) struct Desk {
    pub(crate) table: Arc<ArcSwap<Table>>,
    pub(crate) networks: Arc<ArcSwap<Vec<NetworkId>>>,
    pub(crate) ambient: Ambient,
}

// === impl Desk ===

impl Desk {
    pub(crate) fn decide(&self, bytes: &[u8], transport: Transport) -> Decision {
        let Some((metadata, questions)) = head(bytes) else { return Decision::Silence };
        if metadata.message_type == MessageType::Response {
            return Decision::Silence;
        }
        if metadata.op_code != OpCode::Query {
            return Decision::Forward;
        }
        let message = Message::from_vec(bytes).ok().filter(|_| questions == 1);
        let Some(message) = message else { return reply_of(failure(bytes, ResponseCode::FormErr)) };
        let Some(query) = message.queries.first() else { return Decision::Silence };
        match self.answer(query) {
            Answer::NotOurs => Decision::Forward,
            answer => reply_of(reply::encode(&message, query, answer, transport)),
        }
    }

    fn answer(&self, query: &Query) -> Answer {
        let Some(name) = text(query.name()).filter(|_| query.query_class() == DNSClass::IN) else {
            return Answer::NotOurs;
        };
        let want = match query.query_type() {
            RecordType::A => Want::V4,
            RecordType::AAAA => Want::V6,
            RecordType::PTR => Want::Name,
            _ => Want::Other,
        };
        let question = Question { name: &name, want };
        self.table.load().answer(&self.networks.load(), question, self.ambient.chance())
    }
}

fn reply_of(reply: Option<Vec<u8>>) -> Decision {
    reply.map_or(Decision::Silence, Decision::Reply)
}

/// The header, and how many questions it announces.
fn head(bytes: &[u8]) -> Option<(Metadata, u16)> {
    let header = Header::from_bytes(bytes.get(..HEADER)?).ok()?;
    Some((header.metadata, header.counts.queries))
}

/// The name as text, where it has one: a label may hold any bytes, a dot too.
fn text(name: &Name) -> Option<String> {
    let labels: Option<Vec<_>> = name
        .iter()
        .map(|label| std::str::from_utf8(label).ok().filter(|label| !label.contains('.')))
        .collect();
    labels.map(|labels| labels.join("."))
}
