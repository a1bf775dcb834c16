//! TCP.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use swarmw_model::PortProtocol::Tcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

#[tokio::test]
async fn connections_go_round_and_to_the_target_port() {
    let (a, b, c) = (Task::tcp(1).await, Task::tcp(2).await, Task::tcp(3).await);
    let published = Published::new(Tcp);
    published.set(&[&a, &b, &c]);
    let (first, _) = published.connected().await;
    let mut names = vec![first];
    for _ in 1..30 {
        names.push(published.connected().await.0);
    }
    assert_eq!(count(names), [(1, 10), (2, 10), (3, 10)].into());
    assert!(published.reach.asked.lock().unwrap().iter().all(|port| *port == TARGET));
}

#[tokio::test]
async fn a_task_that_cannot_be_reached_is_passed_over() {
    let (a, b) = (Task::tcp(1).await, Task::tcp(2).await);
    let published = Published::new(Tcp);
    published.reach.gone.lock().unwrap().insert(a.backend.task);
    published.set(&[&a, &b]);
    published.connected().await;
    for _ in 0..10 {
        let answered = published.connect().await.map(|(name, _)| name);
        assert_eq!(answered, Some(2), "the client need not try again");
    }
}

#[tokio::test]
async fn open_connections_outlive_a_change_of_tasks_and_the_port_itself() {
    let (a, b) = (Task::tcp(1).await, Task::tcp(2).await);
    let published = Published::new(Tcp);
    published.set(&[&a]);
    let (name, mut held) = published.connected().await;
    assert_eq!(name, 1);
    published.set(&[&b]);
    assert_eq!(published.connected().await.0, 2);
    assert!(echoes(&mut held).await, "the connection to a task that left the list");

    published.ports.set(Vec::new());
    eventually("nobody listens any more", || async {
        TcpStream::connect((HERE, published.port)).await.is_err().then_some(())
    })
    .await;
    assert!(echoes(&mut held).await, "the connection through a port that was closed");

    published.ports.shutdown();
    let mut rest = Vec::new();
    let _ = soon("the end", held.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn without_tasks_connections_are_refused_and_the_port_stays_this_nodes() {
    let a = Task::tcp(1).await;
    // On one address, and on all of both families.
    for address in [HERE, Ipv4Addr::UNSPECIFIED.into()] {
        let published = Published::at(address, Tcp);
        // From the beginning: whoever listens is not let in first.
        published.set(&[]);
        held(&published).await;
        for _ in 0..10 {
            assert_eq!(refusal(&published).await, Some(ErrorKind::ConnectionRefused));
        }
        published.set(&[&a]);
        let (_, mut open) = published.connected().await;

        published.set(&[]);
        eventually("connections are refused", || async {
            refusal(&published).await.filter(|why| *why == ErrorKind::ConnectionRefused)
        })
        .await;
        // Its connections have it still.
        held(&published).await;
        assert!(echoes(&mut open).await, "a connection from before");
        assert_eq!(published.ports.errors(), []);
        published.set(&[&a]);
        assert_eq!(published.connected().await.0, 1);
        assert!(published.ports.refused().borrow().is_empty(), "nobody else had it");
    }
}

/// Waits until no other process gets the port, though it asks as most servers do.
async fn held(published: &Published) {
    eventually("the port is held", || async {
        let taken = std::net::TcpListener::bind((HERE, published.port));
        taken.err().filter(|why| why.kind() == ErrorKind::AddrInUse)
    })
    .await;
}

/// Why a connection was not made; none: it was.
async fn refusal(published: &Published) -> Option<ErrorKind> {
    let connected = TcpStream::connect((HERE, published.port)).await;
    connected.err().map(|why| why.kind())
}

#[tokio::test]
async fn a_connection_that_no_task_takes_is_reset_and_not_ended() {
    let a = Task::tcp(1).await;
    let published = Published::new(Tcp);
    published.reach.gone.lock().unwrap().insert(a.backend.task);
    published.set(&[&a]);
    let mut stream = eventually("somebody listens", || async {
        TcpStream::connect((HERE, published.port)).await.ok()
    })
    .await;
    let mut rest = Vec::new();
    let ended = soon("the end", stream.read_to_end(&mut rest)).await;
    assert_eq!(ended.map_err(|why| why.kind()), Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_task_that_hangs_up_ends_its_connection_only() {
    let a = Task::tcp(1).await;
    let published = Published::new(Tcp);
    published.set(&[&a]);
    let (_, mut other) = published.connected().await;
    let (_, mut stream) = published.connected().await;
    stream.write_all(b"q").await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");
    assert!(echoes(&mut other).await);
}

#[tokio::test]
async fn clients_that_abort_do_not_harm_others() {
    let a = Task::tcp(1).await;
    let published = Published::new(Tcp);
    published.set(&[&a]);
    let (_, mut held) = published.connected().await;
    for _ in 0..50 {
        let stream = TcpStream::connect((HERE, published.port)).await.unwrap();
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    assert!(echoes(&mut held).await);
    assert_eq!(published.connected().await.0, 1);
}

#[tokio::test]
async fn one_direction_may_end_before_the_other() {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let mut task = Task::tcp(1).await;
    task.backend.address = listener.local_addr().unwrap().to_string();
    let published = Published::new(Tcp);
    published.set(&[&task]);
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked).await.unwrap();
        stream.write_all(&asked).await.unwrap();
    });
    let mut stream = eventually("somebody listens", || async {
        TcpStream::connect((HERE, published.port)).await.ok()
    })
    .await;
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    soon("the answer", stream.read_to_end(&mut got)).await.unwrap();
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
    serving.await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_reported_until_it_is_free() {
    let a = Task::tcp(1).await;
    let published = Published::new(Tcp);
    let squatter = TcpListener::bind((HERE, published.port)).await.unwrap();
    published.set(&[&a]);
    let errors = eventually("the port is reported", || async {
        Some(published.ports.errors()).filter(|errors| !errors.is_empty())
    })
    .await;
    assert_eq!((errors[0].protocol, errors[0].port), (Tcp, published.port));
    assert!(errors[0].reason.contains("in use"), "{}", errors[0].reason);
    drop(squatter);
    assert_eq!(published.connected().await.0, 1);
    assert_eq!(published.ports.errors(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_comes_back_at_once_is_open_at_once() {
    let (a, b) = (Task::tcp(1).await, Task::tcp(2).await);
    let published = Published::new(Tcp);
    let mut refused = published.ports.refused();
    published.set(&[&a]);
    let (_, mut held) = published.connected().await;
    // A listener that ends may answer once more.
    let answered_by_the_other = async || {
        let look = async || published.connect().await.filter(|(who, _)| *who == 2);
        eventually("the other answers", look).await;
    };
    for _ in 0..100 {
        published.ports.set(Vec::new());
        published.set(&[&b]);
        answered_by_the_other().await;
        assert!(!refused.has_changed().unwrap(), "{:?}", *refused.borrow_and_update());
    }
    // And once more before it was opened at all.
    for _ in 0..100 {
        published.ports.set(Vec::new());
        published.set(&[&b]);
    }
    answered_by_the_other().await;
    assert!(!refused.has_changed().unwrap(), "{:?}", *refused.borrow_and_update());
    assert!(echoes(&mut held).await, "a connection from before");
}

#[tokio::test]
async fn a_port_that_only_a_machines_own_resolver_has_is_not_told_as_taken() {
    for (squatted, is_taken) in [([127, 0, 0, 53], false), ([127, 0, 0, 1], true)] {
        let a = Task::tcp(1).await;
        let published = Published::at(Ipv4Addr::UNSPECIFIED.into(), Tcp);
        let _squatter =
            TcpListener::bind((Ipv4Addr::from(squatted), published.port)).await.unwrap();
        published.set(&[&a]);
        eventually("the port is reported", || async {
            Some(published.ports.errors()).filter(|errors| !errors.is_empty())
        })
        .await;
        let told = published.ports.refused().borrow().contains(&(Tcp, published.port));
        assert_eq!(told, is_taken, "{squatted:?}");
    }
}

#[tokio::test]
async fn all_addresses_are_those_of_both_families() {
    let a = Task::tcp(1).await;
    let published = Published::at(Ipv4Addr::UNSPECIFIED.into(), Tcp);
    published.set(&[&a]);
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let mut stream = eventually("the port is open", || async {
            TcpStream::connect((address, published.port)).await.ok()
        })
        .await;
        assert_eq!(soon("a task says its name", stream.read_u8()).await.unwrap(), 1, "{address}");
    }
}
