//! Connections to tasks that no kernel leads to.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::peers::{Flow, ask, by, echo};
use super::world::{World, inside, ip, within};

const BOTH: [&str; 2] = ["10.0.1.0/24", "fd00:1::/64"];

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A world with a client and a stranger on another network, and a task that nobody's kernel
/// leads to, which also serves a virtual address.
async fn world() -> World {
    let mut world = World::new(1).await;
    let web = world.network(4097, &BOTH);
    let other = world.network(4098, &["10.0.2.0/24", "fd00:2::/64"]);
    world.container(0, web, &["10.0.1.5", "fd00:1::5"]).await;
    world.container(0, other, &["10.0.2.5", "fd00:2::5"]).await;
    let task = ["10.0.1.50", "fd00:1::50"].map(address);
    world.networks[web].caught.extend(task);
    world.networks[web].balanced.insert(address("10.0.1.2"), vec![task[0]]);
    world.networks[web].balanced.insert(address("fd00:1::2"), vec![task[1]]);
    world.apply().await;
    world
}

/// Says to each connection where it wanted to go, and whom it comes from.
async fn listen(world: &World) -> JoinSet<()> {
    let listeners = world.machines[0].overlay.listen().await.expect("listeners");
    let mut serving = JoinSet::new();
    for listener in listeners.expect("a router") {
        serving.spawn(async move {
            while let Ok((mut stream, from)) = listener.accept().await {
                let to = stream.local_addr().expect("an address");
                let _ = stream.read_u8().await;
                let said = format!("{} {}\n", to.ip(), from.ip());
                let _ = stream.write_all(said.as_bytes()).await;
            }
        });
    }
    serving
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_handed_over_with_both_addresses() {
    let world = world().await;
    let _serving = listen(&world).await;
    let client = &world.containers[0];
    for (to, task, seen) in [
        ("10.0.1.50", "10.0.1.50", "10.0.1.5"),
        ("10.0.1.2", "10.0.1.50", "10.0.1.5"),
        ("fd00:1::50", "fd00:1::50", "fd00:1::5"),
        ("fd00:1::2", "fd00:1::50", "fd00:1::5"),
    ] {
        assert_eq!(ask(client, to).expect(to), by(task, seen), "{to}");
    }
    // Nothing but TCP, and nobody else.
    Flow::open(client, "10.0.1.50").ask_once().expect_err("UDP");
    echo(client, "10.0.1.50").expect_err("an echo");
    let nowhere = ask(client, "10.0.1.51").expect_err("nobody is there");
    assert_eq!(nowhere.kind(), ErrorKind::HostUnreachable, "{nowhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_networks_do_not_reach_them_nor_the_listener() {
    let world = world().await;
    let _serving = listen(&world).await;
    let stranger = &world.containers[1];
    ip(&format!("-n {} route add 10.0.1.0/24 via 10.0.2.1", stranger.space));
    ip(&format!("-n {} route add fd00:1::/64 via fd00:2::1", stranger.space));
    for to in ["10.0.1.50", "10.0.1.2", "fd00:1::50", "fd00:1::2"] {
        ask(stranger, to).expect_err("another network");
    }
    for (container, to) in
        [(1, "10.0.1.50"), (1, "10.0.2.1"), (1, "fd00:1::50"), (0, "10.0.1.1"), (0, "fd00:1::1")]
    {
        let to = SocketAddr::new(address(to), 5357);
        let connected = inside(&world.containers[container].space, || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
            stream.write_all(b"?\n")?;
            stream.read(&mut [0; 100])
        });
        connected.expect_err("the listener itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_and_go_and_nobody_has_them_while_nobody_listens() {
    let mut world = world().await;
    let overlay = &world.machines[0].overlay;
    let router = overlay.router().await.expect("a router");
    let unheard = ask(&world.containers[0], "10.0.1.50").expect_err("nobody listens");
    assert_eq!(unheard.kind(), ErrorKind::HostUnreachable, "{unheard}");
    let _serving = listen(&world).await;
    ask(&world.containers[0], "10.0.1.50").expect("somebody listens");

    world.networks[0].caught.insert(address("10.0.1.51"));
    let applied = world.apply_on(0).await;
    assert_eq!((applied.elements, applied.routes, applied.tables), (1, 0, 0), "{applied:?}");
    ask(&world.containers[0], "10.0.1.51").expect("it has come");
    world.networks[0].caught.remove(&address("10.0.1.51"));
    world.apply_on(0).await;
    ask(&world.containers[0], "10.0.1.51").expect_err("it has gone");
    assert_eq!(world.machines[0].overlay.router().await, Some(router));

    world.networks[0].caught.clear();
    world.apply_on(0).await;
    let tables = within(world.router(0), "nft list tables");
    assert!(!tables.contains("swarmw_user"), "{tables}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_took_away_is_back() {
    let world = world().await;
    let _serving = listen(&world).await;
    let overlay = &world.machines[0].overlay;
    assert_eq!(overlay.check().await.expect("checked"), []);
    let changed = "table inet swarmw_user of nftables was changed";
    for (harm, said) in [
        ("nft delete table inet swarmw_user", &[changed][..]),
        ("nft flush chain inet swarmw_user catch", &[changed]),
        ("nft delete element inet swarmw_user caught4 { 4097 . 10.0.1.50 }", &[changed]),
        ("ip rule del priority 5357", &[]),
    ] {
        within(world.router(0), harm);
        // Of a rule of routing nothing is said.
        let (drifts, _) = overlay.repair().await.expect(harm);
        let drifts: Vec<_> = drifts.iter().map(ToString::to_string).collect();
        assert_eq!(drifts, said, "{harm}");
        assert_eq!(overlay.check().await.expect(harm), [], "{harm}");
        ask(&world.containers[0], "10.0.1.2").expect(harm);
    }
}
