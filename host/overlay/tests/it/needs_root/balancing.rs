//! Virtual addresses.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::peers::{Flow, SERVED, ask, ask_often, by, echo, serve};
use super::sctp;
use super::world::{Container, World, ip, path};

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
        sctp::serve_on(&world.containers[server], SERVED);
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
        let refused = sctp::ask(client, to).expect_err("nobody").kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused, "SCTP to {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sctp_is_balanced_as_well() {
    let mut world = served().await;
    for (to, from) in [("10.0.1.2", "10.0.1.5"), ("fd00:1::2", "fd00:1::5")] {
        let each = ["c1", "c2", "c3"].map(|name| (by(name, from), 2));
        let answers = sctp::ask_often(&world.containers[0], to, 6);
        assert_eq!(answers, BTreeMap::from(each), "to {to}");
    }
    // A server that is its own client.
    for (to, from, gateway) in
        [("10.0.1.2", "10.0.1.10", "10.0.1.1"), ("fd00:1::2", "fd00:1::10", "fd00:1::1")]
    {
        let all = [(by("c1", gateway), 1), (by("c2", from), 1), (by("c3", from), 1)];
        let answers = sctp::ask_often(&world.containers[1], to, 3);
        assert_eq!(answers, BTreeMap::from(all), "to {to} from one of them");
    }
    // One that goes is led to no more.
    world.balance(0, "10.0.1.2", &[3]);
    world.balance(0, "fd00:1::2", &[3]);
    world.apply().await;
    for (to, from) in [("10.0.1.2", "10.0.1.5"), ("fd00:1::2", "fd00:1::5")] {
        let answers = sctp::ask_often(&world.containers[0], to, 3);
        assert_eq!(answers, BTreeMap::from([(by("c3", from), 3)]), "to {to}");
    }
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

/// Each is the only one of its network on its node: with it the network comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn containers_that_come_one_by_one_go_to_each_backend_in_turn() {
    let mut world = World::new(2).await;
    let web = world.network(4097, &["10.0.1.0/24"]);
    for server in 0..3 {
        let server = world.container(1, web, &[&format!("10.0.1.1{server}")]).await;
        serve(&world.containers[server]);
    }
    world.balance(web, "10.0.1.2", &[0, 1, 2]);
    let mut counted = BTreeMap::new();
    for _ in 0..6 {
        let client = world.container(0, web, &["10.0.1.5"]).await;
        world.apply().await;
        let answer = ask(&world.containers[client], "10.0.1.2").expect("an answer");
        *counted.entry(answer.by).or_insert(0) += 1;
        let Container { space, veth, .. } = world.containers.remove(client);
        world.apply().await;
        world.machines[0].overlay.unlink(&veth).await.expect("unlinked");
        ip(&format!("netns delete {space}"));
        assert!(!path(world.router(0)).exists(), "its router is left");
    }
    assert_eq!(counted, ["c0", "c1", "c2"].map(|server| (server.to_owned(), 2)).into());
}
