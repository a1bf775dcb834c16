//! Virtual addresses.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::peers::{Flow, ask, ask_often, by, echo, sctp_init, serve};
use super::world::World;

const BOTH: [&str; 2] = ["10.0.1.0/24", "fd00:1::/64"];

/// A client on the first of three machines, and a server on each.
async fn served() -> World {
    let mut world = World::new(3).await;
    let web = world.network(4097, &BOTH);
    world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    for machine in 0..3 {
        let (four, six) = (format!("10.0.1.1{machine}"), format!("fd00:1::1{machine}"));
        let server = world.container(machine, web, &[&four, &six]).await;
        serve(&world.containers[server]);
    }
    world.balance(web, "10.0.1.2", &[1, 2, 3]);
    world.balance(web, "fd00:1::2", &[1, 2, 3]);
    world.apply().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_to_each_backend_in_turn_and_it_sees_the_client() {
    let world = served().await;
    let client = &world.containers[0];
    for (to, from) in [("10.0.1.2", "10.0.1.5"), ("fd00:1::2", "fd00:1::5")] {
        let each = ["c1", "c2", "c3"].map(|name| (by(name, from), 10));
        assert_eq!(ask_often(client, to, 30), BTreeMap::from(each), "{to}");
        let mut answers: Vec<_> =
            (0..3).map(|_| Flow::open(client, to).ask().expect("an answer")).collect();
        answers.sort();
        assert_eq!(answers, ["c1", "c2", "c3"].map(|name| by(name, from)), "UDP to {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_its_own_client_is_answered() {
    let world = served().await;
    for (to, from, gateway) in
        [("10.0.1.2", "10.0.1.10", "10.0.1.1"), ("fd00:1::2", "fd00:1::10", "fd00:1::1")]
    {
        let counted = ask_often(&world.containers[1], to, 6);
        let own = (by("c1", gateway), 2);
        assert_eq!(counted, BTreeMap::from([own, (by("c2", from), 2), (by("c3", from), 2)]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_requests_to_virtual_addresses_are_answered_served_or_not() {
    let mut world = served().await;
    world.balance(0, "10.0.1.3", &[]);
    world.apply().await;
    for to in ["10.0.1.2", "fd00:1::2", "10.0.1.3"] {
        echo(&world.containers[0], to).expect(to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_serves_is_refused_at_once() {
    let mut world = served().await;
    world.balance(0, "10.0.1.3", &[]);
    world.balance(0, "fd00:1::3", &[]);
    world.apply().await;
    let client = &world.containers[0];
    for to in ["10.0.1.3", "fd00:1::3"] {
        // Each of many.
        for _ in 0..30 {
            let refused = ask(client, to).expect_err("nobody").kind();
            assert_eq!(refused, ErrorKind::ConnectionRefused, "TCP to {to}");
            let refused = Flow::open(client, to).ask().expect_err("nobody").kind();
            assert_eq!(refused, ErrorKind::ConnectionRefused, "UDP to {to}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sctp_is_balanced_as_well() {
    let mut world = served().await;
    world.balance(0, "10.0.1.2", &[3]);
    world.apply().await;
    let (client, server) = (&world.containers[0], &world.containers[3]);
    let seen = sctp_init(client, server, "10.0.1.2").expect("it arrives");
    assert_eq!(seen.to_string(), "10.0.1.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_on_several_nodes_do_not_all_begin_with_one_backend() {
    let mut world = served().await;
    let mut first = Vec::new();
    for machine in 0..3 {
        let address = format!("10.0.1.2{machine}");
        first.push(world.container(machine, 0, &[&address]).await);
    }
    world.apply().await;
    let mut answers: Vec<_> = first
        .into_iter()
        .map(|client| ask(&world.containers[client], "10.0.1.2").expect("an answer").by)
        .collect();
    answers.sort();
    assert_eq!(answers, ["c1", "c2", "c3"]);
}
