//! Clients on the machines themselves: processes, and containers.

use std::collections::BTreeMap;

use super::super::peers::{Flow, ask, ask_often, by, serve_on};
use super::world::{PUBLISHED, World};

/// Two machines, a task on the second and two on the first.
async fn served() -> World {
    let mut world = World::new(2).await;
    for machine in [0, 0, 1] {
        world.task(machine);
    }
    world.publish(&[0, 1, 2]);
    world.apply().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_itself_is_a_client_by_all_its_addresses() {
    let world = served().await;
    let machine = &world.machines[0].own;
    for (to, here, there) in [
        ("127.0.0.1", "172.18.0.1", "192.168.7.1"),
        ("192.168.7.1", "192.168.7.1", "192.168.7.1"),
        ("fd77::1", "fd77::1", "fd77::1"),
    ] {
        let seen = [(by("c0", here), 2), (by("c1", here), 2), (by("c2", there), 2)];
        assert_eq!(ask_often(machine, to, 6), BTreeMap::from(seen), "TCP to {to}");
        for _ in 0..3 {
            Flow::open(machine, to).ask().expect(to);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loopback_of_ipv6_is_left_to_who_listens() {
    let world = served().await;
    let machine = &world.machines[0].own;
    serve_on(machine, PUBLISHED);
    assert_eq!(ask(machine, "::1").expect("an answer"), by("m1", "::1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_addresses_of_the_loopback_device_are_left_to_who_listens() {
    let mut world = served().await;
    let machine = world.machines[0].own.clone();
    serve_on(&machine, PUBLISHED);
    for tasks in [&[0, 1, 2][..], &[]] {
        world.publish(tasks);
        world.apply().await;
        for _ in 0..3 {
            assert_eq!(ask(&machine, "127.0.0.53").expect("an answer").by, "m1");
        }
        // The usual one is led to tasks, or refused.
        let is_led = ask(&machine, "127.0.0.1").is_ok_and(|answer| answer.by != "m1");
        assert_eq!(is_led, !tasks.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_a_client_by_another_that_may_send_it_back() {
    let world = served().await;
    let machine = &world.machines[0].own;
    // What comes back to the first machine is masked by the second.
    let seen =
        [(by("c0", "192.168.7.2"), 2), (by("c1", "192.168.7.2"), 2), (by("c2", "192.168.7.1"), 2)];
    assert_eq!(ask_often(machine, "192.168.7.2", 6), BTreeMap::from(seen));
    let masked = "fd53:5700:0:1::2";
    let seen = [(by("c0", masked), 2), (by("c1", masked), 2), (by("c2", "fd77::1"), 2)];
    assert_eq!(ask_often(machine, "fd77::2", 6), BTreeMap::from(seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_a_client_of_its_own_machine_and_of_who_is_beside_it() {
    let mut world = served().await;
    let client = world.task(0);
    world.apply().await;
    let container = &world.tasks[client].container;
    for (to, here, there) in [
        ("192.168.7.1", "172.18.0.1", "192.168.7.1"),
        ("172.18.0.1", "172.18.0.1", "192.168.7.1"),
        ("fd77::1", "fd18::1", "fd53:5700:0:1::1"),
    ] {
        let seen = [(by("c0", here), 2), (by("c1", here), 2), (by("c2", there), 2)];
        assert_eq!(ask_often(container, to, 6), BTreeMap::from(seen), "TCP to {to}");
        let mut answers: Vec<_> =
            (0..3).map(|_| Flow::open(container, to).ask().expect(to).by).collect();
        answers.sort();
        assert_eq!(answers, ["c0", "c1", "c2"], "UDP to {to}");
    }
    // By another machine, and back.
    let answers = ask_often(container, "192.168.7.2", 6).into_keys().map(|a| a.by);
    assert_eq!(answers.collect::<Vec<_>>(), ["c0", "c1", "c2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_serves_the_port_itself_is_left_to_who_listens() {
    let world = served().await;
    let container = &world.tasks[0].container;
    let refused = ask(container, "192.168.7.1").expect_err("nobody listens").kind();
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);
    serve_on(&world.machines[0].own, PUBLISHED);
    // This listener answers UDP from the nearest address.
    for (to, near, from) in
        [("192.168.7.1", "172.18.0.1", "172.18.0.5"), ("fd77::1", "fd18::1", "fd18::5")]
    {
        assert_eq!(ask(container, to).expect("an answer"), by("m1", from));
        assert_eq!(Flow::open(container, near).ask().expect("an answer"), by("m1", from));
    }
    // By another machine it is its own server, too.
    let answers = ask_often(container, "192.168.7.2", 6).into_keys().map(|a| a.by);
    assert_eq!(answers.collect::<Vec<_>>(), ["c0", "c1", "c2"]);
}
