//! What processes of a container see.

use std::sync::Arc;

use swarmw_model::ResolutionMode::Vip;

use super::world;
use crate::support::engine::{Engine, OUTSIDE};
use crate::support::namespace::Namespace;
use crate::support::serving::Node;
use crate::support::world::{World, network};

#[tokio::test(flavor = "multi_thread")]
async fn our_names_are_answered_and_the_engine_gets_the_rest() {
    let sandbox = Namespace::new();
    let engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;

    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    assert_eq!(sandbox.records(&["web", "AAAA"]), "fd01::2");
    assert_eq!(sandbox.records(&["api"]), "10.1.0.21 10.1.0.22");
    assert_eq!(sandbox.records(&["+tcp", "tasks.web"]), "10.1.0.11");
    assert_eq!(sandbox.records(&["-x", "10.1.0.21"]), "api.1.b.front.");
    assert_eq!(sandbox.records(&["-x", "fd01::11"]), "web.1.a.front.");
    assert_eq!(engine.asked(), [""; 0], "names of ours stay here");

    assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
    assert_eq!(sandbox.records(&["+tcp", "outside.example"]), OUTSIDE);
    assert_eq!(sandbox.status(&["nowhere.example"]), "NXDOMAIN");
    assert_eq!(sandbox.status(&["-x", "192.0.2.1"]), "NXDOMAIN");
    let asked = ["outside.example", "outside.example", "nowhere.example", "1.2.0.192.in-addr.arpa"];
    assert_eq!(engine.asked(), asked);
    let counts = node.resolver.counts();
    assert_eq!((counts.answered, counts.forwarded), (6, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_find_names_through_the_c_library() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let hosts = |database: &str, name: &str| sandbox.must(&["getent", database, name]);
    assert_eq!(hosts("ahostsv4", "WWW").split_whitespace().next(), Some("10.1.0.2"));
    assert_eq!(hosts("ahostsv6", "web").split_whitespace().next(), Some("fd01::2"));
    assert!(
        hosts("ahosts", "api").contains("10.1.0.22"),
        "of IPv4 only: {}",
        hosts("ahosts", "api")
    );
    assert!(hosts("ahosts", "outside.example").contains(OUTSIDE));
    assert!(hosts("hosts", "10.1.0.11").ends_with("web.1.a.front"));
    assert!(!sandbox.run(&["getent", "hosts", "nowhere.example"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_ours_without_what_is_asked_for_is_not_forwarded() {
    let sandbox = Namespace::new();
    let engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    for kind in ["AAAA", "MX", "TXT", "SRV", "HTTPS", "ANY"] {
        let said = sandbox.dig(&["+notcp", "api", kind]);
        assert!(said.contains("status: NOERROR"), "{said}");
        assert!(said.contains("ANSWER: 0"), "{said}");
    }
    assert_eq!(sandbox.status(&["+edns=1", "+noednsneg", "api"]), "BADVERS");
    assert_eq!(engine.asked(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_cut_to_the_datagram_and_whole_over_tcp() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let cut = |size: &[&str], min: usize, max: usize| {
        let said = sandbox.dig(&[&["+ignore", "big"], size].concat());
        assert!(said.contains("flags: qr tc rd"), "{said}");
        let records = said.matches("\tIN\tA\t").count();
        assert!((min..=max).contains(&records), "{records} records: {said}");
    };
    cut(&["+noedns"], 29, 30);
    cut(&["+bufsize=1232"], 70, 75);
    let said = sandbox.dig(&["+bufsize=4096", "+noall", "+stats", "big"]);
    assert!(said.contains("(TCP)"), "{said}");
    let whole = sandbox.records(&["big"]);
    assert_eq!(whole.split(' ').count(), 300, "{whole}");
    let larger = sandbox.dig(&["+bufsize=8192", "+stats", "big"]);
    assert!(larger.contains("(UDP)") && larger.contains("ANSWER: 300"), "{larger}");
    // The engine's answers as well.
    assert_eq!(sandbox.records(&["large.example"]).split(' ').count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_query_sees_a_new_table_and_new_networks() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    assert_eq!(sandbox.status(&["fresh"]), "NXDOMAIN");
    let more = World::default().service(9, "fresh", Vip, &[(1, &["10.1.0.9"], &[])]);
    let more = more.service(8, "far", Vip, &[(2, &["10.2.0.8"], &[])]);
    let mut table = node.table.load().as_ref().clone();
    table.apply(&more.0);
    node.table.store(Arc::new(table));
    assert_eq!(sandbox.records(&["fresh"]), "10.1.0.9");
    assert_eq!(sandbox.status(&["far"]), "NXDOMAIN");
    node.networks.store(Arc::new(vec![network(1), network(2)]));
    assert_eq!(sandbox.records(&["far"]), "10.2.0.8");
    assert_eq!(sandbox.records(&["fresh"]), "10.1.0.9");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_one_node_see_their_own_networks() {
    let (one, other) = (Namespace::new(), Namespace::new());
    let _engines = [Engine::start(&one), Engine::start(&other)];
    let node =
        Node::new(&world().network(2, "back").service(8, "web", Vip, &[(2, &["10.2.0.8"], &[])]));
    let _first = node.serve(&one.path()).await;
    let there = Node { networks: Arc::new(Arc::new(vec![network(2)]).into()), ..node };
    let _second = there.serve(&other.path()).await;
    assert_eq!(one.records(&["web"]), "10.1.0.2");
    assert_eq!(other.records(&["web"]), "10.2.0.8");
    assert_eq!(other.status(&["api"]), "NXDOMAIN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_whose_loopback_device_is_down_is_served() {
    let sandbox = Namespace::without_loopback();
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
}
