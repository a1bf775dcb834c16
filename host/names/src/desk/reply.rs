//! Answers as bytes.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use super::{Transport, head};
use crate::question::Answer;

/// What everybody takes in a datagram (RFC 1035 §2.3.4).
const DATAGRAM_MIN: u16 = 512;
/// What we take in a datagram ourselves.
const OUR_PAYLOAD: u16 = 4_096;
/// The name of every record: a pointer to the question's, which follows the header.
const QUESTIONS_NAME: [u8; 2] = [0xc0, 12];
/// The class of every record.
const INTERNET: [u8; 2] = [0, 1];
/// Where the header counts answers, and additional records.
const ANSWERS: usize = 6;
const ADDITIONALS: usize = 10;
/// The header's flag of an answer that was cut.
const TRUNCATED: u8 = 0x02;

/// An answer without records. It has the question where that can be read.
pub(crate) fn failure(query: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let (metadata, _) = head(query)?;
    let mut reply = response(&metadata, code);
    if let Ok(message) = Message::from_vec(query) {
        reply.edns = message.edns.as_ref().map(|_| our_edns());
        reply.queries = message.queries;
    }
    reply.to_vec().ok()
}

/// An answer of ours. It has the asker's spelling of the name, EDNS where the query had
/// it, and as many records as there is room for.
///
/// The records are written here: the codec gives up pointing to the question's name after
/// some records, and an answer would have room for a part of what it could have.
pub(super) fn encode(
    asked: &Message,
    query: &Query,
    answer: Answer,
    transport: Transport,
) -> Option<Vec<u8>> {
    let mut reply = response(&asked.metadata, ResponseCode::NoError);
    reply.add_query(query.clone());
    let mut bytes = reply.to_vec().ok()?;
    let known = asked.version() == 0;
    let edns = match &asked.edns {
        Some(_) => edns_bytes(if known { ResponseCode::NoError } else { ResponseCode::BADVERS })?,
        None => Vec::new(),
    };
    let limit = match transport {
        Transport::Udp => asked.max_payload().max(DATAGRAM_MIN),
        Transport::Tcp => u16::MAX,
    };
    let (records, ttl) = if known { records(answer) } else { (Vec::new(), 0) };
    let room = usize::from(limit).saturating_sub(edns.len());
    let written = write(&mut bytes, &records, ttl, room);
    // Over TCP there is no other way to get more, so nobody is told to look for one.
    if written < records.len() && transport == Transport::Udp {
        bytes[2] |= TRUNCATED;
    }
    bytes[ANSWERS..ANSWERS + 2].copy_from_slice(&u16::try_from(written).ok()?.to_be_bytes());
    bytes[ADDITIONALS..ADDITIONALS + 2].copy_from_slice(&[0, u8::from(!edns.is_empty())]);
    bytes.extend(edns);
    Some(bytes)
}

fn response(asked: &Metadata, code: ResponseCode) -> Message {
    let mut reply = Message::response(asked.id, asked.op_code);
    reply.metadata = Metadata::response_from_request(asked);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply
}

fn our_edns() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(OUR_PAYLOAD);
    edns
}

/// As a record; it has the part of the code that the header has no room for.
fn edns_bytes(code: ResponseCode) -> Option<Vec<u8>> {
    let mut edns = our_edns();
    edns.set_rcode_high(code.high());
    Record::from(&edns).to_bytes().ok()
}

/// A record's type and data.
type Data = (RecordType, Vec<u8>);

fn records(answer: Answer) -> (Vec<Data>, u32) {
    match answer {
        Answer::Addresses { addresses, ttl } => {
            let data = |address| match address {
                IpAddr::V4(v4) => (RecordType::A, v4.octets().to_vec()),
                IpAddr::V6(v6) => (RecordType::AAAA, v6.octets().to_vec()),
            };
            (addresses.into_iter().map(data).collect(), ttl)
        }
        Answer::Names { names, ttl } => {
            // A name that is too long for a record cannot be asked for either.
            let data = |name: String| {
                let mut name = Name::from_labels(name.split('.').map(str::as_bytes)).ok()?;
                name.set_fqdn(true);
                Some((RecordType::PTR, name.to_bytes().ok()?))
            };
            (names.into_iter().filter_map(data).collect(), ttl)
        }
        Answer::Nothing | Answer::NotOurs => (Vec::new(), 0),
    }
}

/// Writes records while there is room; how many there are then.
fn write(bytes: &mut Vec<u8>, records: &[Data], ttl: u32, room: usize) -> usize {
    for (number, (kind, data)) in records.iter().enumerate() {
        let before = bytes.len();
        let Ok(size) = u16::try_from(data.len()) else { return number };
        bytes.extend(QUESTIONS_NAME);
        bytes.extend(u16::from(*kind).to_be_bytes());
        bytes.extend(INTERNET);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend(size.to_be_bytes());
        bytes.extend(data);
        if bytes.len() > room {
            bytes.truncate(before);
            return number;
        }
    }
    records.len()
}
