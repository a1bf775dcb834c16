//! The daemon, or the engine, is away, restarts, leaves.

use std::path::Path;
use std::time::{Duration, Instant};

use super::world;
use crate::support::engine::{Engine, OUTSIDE};
use crate::support::namespace::Namespace;
use crate::support::serving::Node;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_daemon_is_away_lookups_fail_for_the_moment() {
    let sandbox = Namespace::new();
    let engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let serving = node.serve(&sandbox.path()).await;
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    drop(serving);
    for name in ["web", "outside.example"] {
        let status = sandbox.status(&[name]);
        assert!(status.starts_with("none: "), "{name}: {status}");
    }
    // EAI_AGAIN, and not that there is no such name.
    let asked = sandbox.run(&[
        "perl",
        "-MSocket=getaddrinfo,EAI_AGAIN",
        "-e",
        "my ($e) = getaddrinfo('web', 80); exit($e == EAI_AGAIN ? 0 : 1)",
    ]);
    assert!(asked.status.success(), "{asked:?}");
    assert_eq!(engine.asked(), [""; 0], "nobody else answers for our names");

    let _serving = node.serve(&sandbox.path()).await;
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    assert_eq!(sandbox.records(&["+tcp", "web"]), "10.1.0.2");
    assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
    let tables = sandbox.must(&["nft", "list", "tables"]);
    assert_eq!(tables.matches("swarmw").count(), 1, "{tables}");
    let rules = sandbox.must(&["nft", "list", "table", "ip", "swarmw"]);
    assert_eq!(rules.matches("dnat").count(), 2, "the earlier daemon's rules are gone: {rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_leaves_is_the_engines_again() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let serving = node.serve(&sandbox.path()).await;
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    serving.withdraw().await.expect("withdrawn");
    assert_eq!(sandbox.status(&["web"]), "NXDOMAIN");
    assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
    assert!(!sandbox.must(&["nft", "list", "tables"]).contains("swarmw"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_took_away_are_put_again() {
    let sandbox = Namespace::new();
    let node = Node::new(&world());
    let mut serving = node.serve(&sandbox.path()).await;
    assert!(!serving.repair().await.expect("looked"), "they are as they were put");
    for harm in [
        &["nft", "flush", "ruleset"][..],
        &["nft", "flush", "table", "ip", "swarmw"],
        &["nft", "flush", "chain", "ip", "swarmw", "output"],
    ] {
        sandbox.must(harm);
        // A process that asks meanwhile gets nowhere, and not for as long as it goes on.
        assert_ne!(sandbox.records(&["-b", "127.0.0.1#45455", "web"]), "10.1.0.2", "{harm:?}");
        assert!(serving.repair().await.expect("looked"), "{harm:?}");
        assert_eq!(sandbox.records(&["-b", "127.0.0.1#45455", "web"]), "10.1.0.2", "{harm:?}");
        assert!(!serving.repair().await.expect("looked"), "{harm:?}");
    }
    // What is others' is theirs.
    sandbox.must(&["nft", "add", "table", "ip", "theirs"]);
    assert!(!serving.repair().await.expect("looked"));
    assert!(serving.is_current());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_may_make_its_rules_after_us_and_again() {
    let sandbox = Namespace::new();
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let engine = Engine::start(&sandbox);
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    for _ in 0..20 {
        assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
    }
    let engine = engine.restart(&sandbox);
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
    // The kernel still knows where the flows of before were led.
    for _ in 0..20 {
        assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
    }
    assert!(!engine.asked().contains(&"web".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engines_resolver_queries_fail_at_once() {
    let sandbox = Namespace::new();
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let start = Instant::now();
    assert_eq!(sandbox.status(&["outside.example"]), "SERVFAIL");
    assert_eq!(sandbox.status(&["+tcp", "outside.example"]), "SERVFAIL");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(sandbox.records(&["web"]), "10.1.0.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_says_nothing_is_given_up() {
    let sandbox = Namespace::new();
    let _engine = Engine::start(&sandbox);
    let node = Node::new(&world());
    let _serving = node.serve(&sandbox.path()).await;
    let start = Instant::now();
    assert_eq!(sandbox.status(&["mute.example"]), "SERVFAIL");
    assert!(start.elapsed() >= swarmw_names::FORWARD_DEADLINE, "{:?}", start.elapsed());
    assert_eq!(sandbox.records(&["outside.example"]), OUTSIDE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_namespace_is_refused_by_its_path() {
    crate::support::namespace::require_root();
    let resolver =
        swarmw_names::Resolver::new(std::sync::Arc::default(), swarmw_ambient::Ambient::system());
    for path in ["/nowhere/at/all", "/dev/null"] {
        let error = resolver.serve(Path::new(path), std::sync::Arc::default()).await;
        let error = error.expect_err("no namespace").to_string();
        assert!(error.contains(path), "{error}");
    }
}
