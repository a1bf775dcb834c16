//! Messages and what becomes of them.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use swarmw_ambient::Ambient;
use swarmw_model::{
    EndpointId, NetworkAttachment, NetworkEndpoint, NetworkId, NetworkNews, NodeId, TaskId,
};

use super::{Decision, Desk, Transport};
use crate::table::Table;

const NETWORK: NetworkId = NetworkId::from_bits(1);

/// A table where `box` has many addresses of both families.
fn desk(addresses: u16) -> Desk {
    let v4 = |number: u16| format!("10.1.{}.{}/16", number >> 8, number & 255);
    let v6 = |number: u16| format!("fd01::{number:x}/64");
    let addresses = (0..addresses).flat_map(|number| [v4(number), v6(number)]);
    let addresses = addresses.map(|address| address.parse().expect("an address")).collect();
    let endpoint = NetworkEndpoint {
        id: EndpointId::Task(TaskId::from_bits(1)),
        service: None,
        names: vec!["box".to_owned()],
        node: NodeId::from_bits(1),
        on: vec![NetworkAttachment { network: NETWORK, addresses }],
        serves: false,
        user_space: false,
    };
    let mut table = Table::default();
    table.apply(&NetworkNews { endpoints: vec![endpoint], ..NetworkNews::default() });
    Desk {
        table: Arc::new(ArcSwap::from_pointee(table)),
        networks: Arc::new(ArcSwap::from_pointee(vec![NETWORK])),
        ambient: Ambient::system(),
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message")
}

#[track_caller]
fn reply(desk: &Desk, query: &Message, transport: Transport) -> (Vec<u8>, Message) {
    match desk.decide(&bytes(query), transport) {
        Decision::Reply(reply) => (reply.clone(), Message::from_vec(&reply).expect("a message")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_repeats_what_was_asked() {
    let asked = query("BoX.", RecordType::A);
    let (_, answer) = reply(&desk(1), &asked, Transport::Udp);
    assert_eq!(answer.metadata.id, asked.metadata.id);
    assert!(answer.metadata.recursion_desired && answer.metadata.recursion_available);
    assert_eq!(answer.queries, asked.queries);
    assert_eq!(answer.answers[0].name.to_ascii(), "BoX.");
    assert_eq!(answer.edns, None);
}

#[test]
fn an_answer_has_as_many_records_as_the_asker_takes() {
    let desk = desk(5_000);
    for kind in [RecordType::A, RecordType::AAAA] {
        for size in [None, Some(0), Some(512), Some(513), Some(1_232), Some(4_096), Some(65_535)] {
            let mut asked = query("box.", kind);
            asked.edns = size.map(|size| {
                let mut edns = Edns::new();
                edns.set_max_payload(size);
                edns
            });
            let (bytes, answer) = reply(&desk, &asked, Transport::Udp);
            let limit = usize::from(size.unwrap_or(512).max(512));
            let record = if kind == RecordType::A { 16 } else { 28 };
            assert!(bytes.len() <= limit, "{} of {limit}", bytes.len());
            assert!(bytes.len() + record + 11 > limit, "{} of {limit}", bytes.len());
            assert!(answer.metadata.truncation);
            assert_eq!(answer.edns.is_some(), size.is_some(), "{size:?} {kind}");
            let distinct: HashSet<_> = answer.answers.iter().map(|a| a.data.to_string()).collect();
            assert_eq!(distinct.len(), answer.answers.len());
        }
        let (bytes, answer) = reply(&desk, &query("box.", kind), Transport::Tcp);
        assert!(bytes.len() > 65_000 && !answer.metadata.truncation, "{}", bytes.len());
    }
}

#[test]
fn what_is_not_for_us_is_forwarded() {
    let desk = desk(1);
    let forwarded = |message: &Message| desk.decide(&bytes(message), Transport::Udp);
    assert_eq!(forwarded(&query("example.com.", RecordType::A)), Decision::Forward);
    let mut chaos = query("box.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(forwarded(&chaos), Decision::Forward);
    let mut update = query("box.", RecordType::SOA);
    update.metadata.op_code = hickory_proto::op::OpCode::Update;
    assert_eq!(forwarded(&update), Decision::Forward);
    // One label with a dot in it.
    let mut dotted = query("box.", RecordType::A);
    dotted.queries[0].set_name(Name::from_labels([&b"a.box"[..]]).expect("a name"));
    assert_eq!(forwarded(&dotted), Decision::Forward);
}

#[test]
fn no_bytes_do_harm() {
    let desk = desk(40);
    let mut rng = StdRng::seed_from_u64(7);
    let mut asked = query("box.", RecordType::A);
    asked.edns = Some(Edns::new());
    let whole = bytes(&asked);
    for _ in 0..50_000 {
        let mut noise = whole.clone();
        for _ in 0..rng.random_range(1..8) {
            let place = rng.random_range(0..noise.len());
            noise[place] = rng.random();
        }
        noise.truncate(rng.random_range(0..=noise.len()));
        if let Decision::Reply(reply) = desk.decide(&noise, Transport::Udp) {
            let reply = Message::from_vec(&reply).unwrap_or_else(|e| panic!("{noise:?}: {e}"));
            let fine = [ResponseCode::NoError, ResponseCode::FormErr, ResponseCode::BADVERS];
            // By number: one number has two names.
            let code = u16::from(reply.metadata.response_code);
            assert!(fine.map(u16::from).contains(&code), "{noise:?}: {reply}");
        }
    }
}
