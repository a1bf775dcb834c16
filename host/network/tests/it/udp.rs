//! UDP.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use swarmw_model::PortProtocol::{Sctp, Udp};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::support::*;

/// Sends until it is answered (datagrams may be lost): the task's name.
async fn ask(client: &UdpSocket, published: &Published, text: &[u8]) -> u8 {
    eventually("a task answers", || async {
        client.send_to(text, (HERE, published.port)).await.ok()?;
        let mut buffer = [0; 2_000];
        let receiving = client.recv_from(&mut buffer);
        let (size, _) = timeout(Duration::from_secs(1), receiving).await.ok()?.ok()?;
        (&buffer[1..size] == text).then_some(buffer[0])
    })
    .await
}

async fn client() -> UdpSocket {
    UdpSocket::bind((HERE, 0)).await.unwrap()
}

#[tokio::test]
async fn a_client_stays_with_its_task_and_clients_go_round() {
    let (a, b) = (Task::udp(1).await, Task::udp(2).await);
    let published = Published::new(Udp);
    published.set(&[&a, &b]);
    ask(&client().await, &published, b"first").await;
    let mut names = Vec::new();
    for _ in 0..10 {
        let client = client().await;
        let name = ask(&client, &published, b"hello").await;
        for n in 0..5 {
            assert_eq!(ask(&client, &published, format!("again {n}").as_bytes()).await, name);
        }
        names.push(name);
    }
    assert_eq!(count(names), [(1, 5), (2, 5)].into());
}

#[tokio::test]
async fn a_task_that_cannot_be_reached_is_passed_over() {
    let (a, b) = (Task::udp(1).await, Task::udp(2).await);
    let published = Published::new(Udp);
    published.reach.gone.lock().unwrap().insert(a.backend.task);
    published.set(&[&a, &b]);
    for _ in 0..4 {
        assert_eq!(ask(&client().await, &published, b"hello").await, 2);
    }
}

#[tokio::test]
async fn a_client_is_served_by_another_task_when_its_own_has_died() {
    let (a, b) = (Task::udp(1).await, Task::udp(2).await);
    let published = Published::new(Udp);
    published.set(&[&a]);
    let client = client().await;
    assert_eq!(ask(&client, &published, b"hello").await, 1);
    a.served.abort();
    let _ = a.served.await;
    published.set(&[&b]);
    assert_eq!(ask(&client, &published, b"again").await, 2);
}

#[tokio::test]
async fn a_port_that_comes_back_at_once_is_open_at_once() {
    let (a, b) = (Task::udp(1).await, Task::udp(2).await);
    let published = Published::new(Udp);
    let mut refused = published.ports.refused();
    published.set(&[&a]);
    let client = client().await;
    assert_eq!(ask(&client, &published, b"hello").await, 1);
    // A session that does not end by itself.
    published.ports.set(Vec::new());
    published.set(&[&b]);
    assert_eq!(ask(&client, &published, b"again").await, 2);
    assert!(!refused.has_changed().unwrap(), "{:?}", *refused.borrow_and_update());
}

#[tokio::test]
async fn without_tasks_datagrams_are_refused_and_the_port_stays_this_nodes() {
    let a = Task::udp(1).await;
    for address in [HERE, Ipv4Addr::UNSPECIFIED.into()] {
        let published = Published::at(address, Udp);
        published.set(&[]);
        held(&published).await;
        refused_datagrams(&published).await;
        published.set(&[&a]);
        let first = client().await;
        assert_eq!(ask(&first, &published, b"hello").await, 1);
        // The session does not keep it, as its task has ended.
        published.set(&[]);
        held(&published).await;
        refused_datagrams(&published).await;
        assert_eq!(published.ports.errors(), []);
        published.set(&[&a]);
        assert_eq!(ask(&first, &published, b"again").await, 1);
        assert!(published.ports.refused().borrow().is_empty(), "nobody else had it");
    }
}

#[tokio::test]
async fn clients_of_a_task_that_leaves_keep_it_and_there_are_no_others() {
    let a = Task::udp(1).await;
    let published = Published::new(Udp);
    published.set(&[&a]);
    let first = client().await;
    assert_eq!(ask(&first, &published, b"hello").await, 1);
    published.set_with(&[], &[&a]);
    let asked = published.reach.asked.lock().unwrap().len();
    let other = client().await;
    for _ in 0..10 {
        other.send_to(b"anybody?", (HERE, published.port)).await.unwrap();
        assert_eq!(ask(&first, &published, b"again").await, 1);
    }
    assert_eq!(published.reach.asked.lock().unwrap().len(), asked, "nobody else was led to it");
    published.set(&[]);
    refused_datagrams(&published).await;
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_asked() {
    let (a, b) = (Task::udp(1).await, Task::udp(2).await);
    let published = Published::at(Ipv4Addr::UNSPECIFIED.into(), Udp);
    published.set(&[&a, &b]);
    let (v4, v6) = (client().await, UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap());
    let mut tasks = Vec::new();
    // To a client here the kernel itself would answer from 127.0.0.1 each time. Who asks at
    // another address begins another conversation.
    let addresses: [(&UdpSocket, IpAddr); 4] = [
        (&v4, HERE),
        (&v4, Ipv4Addr::new(127, 0, 0, 2).into()),
        (&v4, Ipv4Addr::new(127, 9, 8, 7).into()),
        (&v6, Ipv6Addr::LOCALHOST.into()),
    ];
    for (client, address) in addresses {
        let asked = SocketAddr::new(address, published.port);
        let (task, from) = eventually("an answer", || async {
            client.send_to(b"hello", asked).await.unwrap();
            let mut answer = [0; 100];
            let heard = timeout(Duration::from_millis(200), client.recv_from(&mut answer)).await;
            heard.ok().map(|heard| (answer[0], heard.unwrap().1))
        })
        .await;
        assert_eq!(from, asked);
        tasks.push(task);
    }
    assert_eq!(count(tasks), [(1, 2), (2, 2)].into(), "in turn");
}

/// Waits until no other process gets the port.
async fn held(published: &Published) {
    eventually("the port is held", || async {
        let taken = std::net::UdpSocket::bind((HERE, published.port));
        taken.err().filter(|why| why.kind() == ErrorKind::AddrInUse)
    })
    .await;
}

/// Waits until whoever sends hears that nobody listens.
async fn refused_datagrams(published: &Published) {
    let client = client().await;
    client.connect((HERE, published.port)).await.unwrap();
    eventually("datagrams are refused", || async {
        // Either says it.
        let sent = client.send(b"anybody?").await.map(drop);
        let mut buffer = [0; 10];
        let receiving = client.recv(&mut buffer);
        let received = tokio::time::timeout(Duration::from_millis(200), receiving).await;
        let received = received.unwrap_or(Ok(0)).map(drop);
        let why = sent.and(received).err()?;
        (why.kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_protocol_that_needs_the_kernel_is_reported() {
    let published = Published::new(Sctp);
    published.set(&[]);
    let errors = eventually("the port is reported", || async {
        Some(published.ports.errors()).filter(|errors| !errors.is_empty())
    })
    .await;
    assert!(errors[0].reason.contains("SCTP"), "{}", errors[0].reason);
}
