//! Flows: the kernel decides once where the datagrams of one pair of ports are led.

use std::net::Ipv4Addr;

use super::world;
use crate::support::engine::{Engine, OUTSIDE};
use crate::support::namespace::Namespace;
use crate::support::serving::Node;

/// Asks from a port of the test's choosing, as a program does that keeps its socket.
fn from_port(sandbox: &Namespace, port: u16, name: &str) -> String {
    sandbox.records(&["-b", &format!("127.0.0.1#{port}"), name])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_we_had_is_no_way_around_us() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    for _ in 0..5 {
        let peer = sandbox.records(&["peer.example", "TXT"]);
        let peer: std::net::SocketAddr = peer.trim_matches('"').parse().expect("an address");
        assert_ne!(peer.ip(), Ipv4Addr::LOCALHOST, "its flows are those of others");
        assert_eq!(from_port(&sandbox, peer.port(), "web"), "10.1.0.2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_its_port_follows_who_answers() {
    const PORT: u16 = 45_454;
    let sandbox = Namespace::new();
    let engine = Engine::start(&sandbox);
    assert_eq!(from_port(&sandbox, PORT, "web"), "", "nobody has joined yet");
    assert_eq!(engine.asked(), ["web"]);

    let node = Node::new(&world());
    let serving = node.serve(&sandbox.path()).await;
    assert_eq!(from_port(&sandbox, PORT, "web"), "10.1.0.2");
    drop(serving);
    let serving = node.serve(&sandbox.path()).await;
    assert_eq!(from_port(&sandbox, PORT, "web"), "10.1.0.2");
    serving.withdraw().await.expect("withdrawn");
    assert_eq!(from_port(&sandbox, PORT, "outside.example"), OUTSIDE);
    assert_eq!(engine.asked(), ["web", "outside.example"]);
}
