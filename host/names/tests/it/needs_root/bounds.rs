//! Clients that mean harm, or no client at all.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use swarmw_names::{CONNECTION_IDLE, CONNECTIONS_MAX, FORWARDS_OF_SANDBOX_MAX};

use super::world;
use crate::support::engine::{Engine, OUTSIDE};
use crate::support::namespace::Namespace;
use crate::support::serving::Node;

const RESOLVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 11), 53);

/// A query for addresses of IPv4.
fn query(id: u16, name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let size = u8::try_from(label.len()).expect("a short label");
        [&[size], label.as_bytes()].concat()
    });
    let [high, low] = id.to_be_bytes();
    let header = [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    header.into_iter().chain(labels).chain([0, 0, 1, 0, 1]).collect()
}

fn client(sandbox: &Namespace) -> UdpSocket {
    let open = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(RESOLVER).expect("connected");
        socket
    };
    let socket = sandbox.within(open);
    socket.set_read_timeout(Some(Duration::from_secs(8))).expect("a timeout");
    socket
}

fn received(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 4_096];
    socket.recv(&mut buffer).ok().map(|size| buffer[..size].to_vec())
}

fn code(answer: &[u8]) -> u8 {
    answer[3] & 0x0f
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_does_no_harm() {
    const FORMERR: u8 = 1;
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let socket = client(&sandbox);

    let whole = query(7, "web");
    let two_questions = [&whole[..5], &[2], &whole[6..], &whole[12..]].concat();
    let no_question = [&whole[..5], &[0], &whole[6..12]].concat();
    // Its name points to itself.
    let loops = [&whole[..12], &[0xc0, 12, 0, 1, 0, 1]].concat();
    for wrong in [&whole[..20], &two_questions, &no_question, &loops] {
        socket.send(wrong).expect("sent");
        let answer = received(&socket).expect("an answer");
        assert_eq!((&answer[..2], code(&answer)), (&[0, 7][..], FORMERR), "{wrong:?}");
    }
    // No header, and an answer: nothing is said, and the next answer is the next query's.
    let response = [&whole[..2], &[0x81], &whole[3..]].concat();
    for silent in [&[][..], &whole[..11], &response, &[0xff; 4_000]] {
        let _ = socket.send(silent);
    }
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..2_000 {
        let mut noise = query(8, "web");
        for _ in 0..rng.random_range(1..6) {
            let place = rng.random_range(2..noise.len());
            noise[place] = rng.random();
        }
        noise.truncate(rng.random_range(1..=noise.len()));
        let _ = socket.send(&noise);
    }
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    assert_eq!(sandbox.records(&["+tcp", "web"]), "10.1.0.2");
    assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_names_that_nobody_answers_for_is_bounded() {
    const SERVFAIL: u8 = 2;
    let (noisy, quiet) = (Namespace::new(), Namespace::new());
    let _engines = [Engine::start(&noisy), Engine::start(&quiet)];
    let node = Node::new(&world());
    let _serving = [node.serve(&noisy.path()).await, node.serve(&quiet.path()).await];
    let socket = client(&noisy);
    let beyond = 20;
    for id in 0..FORWARDS_OF_SANDBOX_MAX + beyond {
        socket.send(&query(u16::try_from(id).expect("small"), "mute.example")).expect("sent");
        // One socket's buffer has no room for all of them at once.
        if id % 16 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Far ahead of the others, which wait for the engine.
    for _ in 0..beyond {
        assert_eq!(received(&socket).map(|answer| code(&answer)), Some(SERVFAIL));
    }
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    assert_eq!(received(&socket), None, "the others wait");
    assert_eq!(noisy.records(&["web"]), "10.1.0.2");
    assert_eq!(noisy.status(&["outside.example"]), "SERVFAIL");
    assert_eq!(quiet.records(&["outside.example"]), OUTSIDE);
    assert_eq!(node.resolver.counts().refused, 1 + u64::try_from(beyond).expect("small"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_closed() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let connect = || TcpStream::connect(RESOLVER).expect("connected");
    let open = || (0..CONNECTIONS_MAX).map(|_| connect()).collect::<Vec<_>>();
    let mut idle = sandbox.within(open);
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2", "datagrams are answered meanwhile");

    let mut next = sandbox.within(connect);
    let query = query(9, "web");
    let size = u16::try_from(query.len()).expect("small");
    let framed = [&size.to_be_bytes(), &query[..]].concat();
    next.write_all(&framed).expect("sent");
    next.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    assert!(next.read(&mut [0; 2]).is_err(), "it waits for its turn");
    next.set_read_timeout(Some(CONNECTION_IDLE * 3)).expect("a timeout");
    let mut answer = [0; 4];
    next.read_exact(&mut answer).expect("its turn has come");
    assert_eq!(answer[2..], [0, 9]);
    assert_eq!(idle[0].read(&mut [0; 1]).expect("closed"), 0);

    // A connection may be used again.
    next.write_all(&framed).expect("sent");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([answer[0], answer[1]])) - 2 + 4];
    next.read_exact(&mut rest).expect("the rest, and the next answer's beginning");
    assert_eq!(rest[rest.len() - 2..], [0, 9]);
}
