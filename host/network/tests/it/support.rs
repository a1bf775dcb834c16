//! Tasks that answer with their name, and ports in front of them.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use swarmw_model::{Backend, NodeId, PortProtocol, PublishedPort, TaskId};
use swarmw_network::{Datagrams, PublishedPorts, Reach, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEADLINE: Duration = Duration::from_secs(60);

pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends with the test when something hangs.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("hangs: {what}"))
}

/// Reaches backends by their address on this machine.
#[derive(Default)]
pub struct Local {
    /// Ports that tasks were asked at.
    pub asked: Mutex<Vec<u16>>,
    pub gone: Mutex<HashSet<TaskId>>,
}

struct Socket(UdpSocket);

impl Datagrams for Socket {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async { self.0.send(datagram).await.map(drop) })
    }
    fn receive(&self) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async {
            let mut buffer = vec![0; 2_000];
            let size = self.0.recv(&mut buffer).await?;
            buffer.truncate(size);
            Ok(buffer)
        })
    }
}

impl Local {
    fn find(&self, backend: &Backend, port: u16) -> io::Result<SocketAddr> {
        self.asked.lock().unwrap().push(port);
        if self.gone.lock().unwrap().contains(&backend.task) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        backend.address.parse().map_err(io::Error::other)
    }
}

impl Reach for Local {
    fn tcp(&self, backend: Backend, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.find(&backend, port)?).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
    fn udp(&self, backend: Backend, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let to = self.find(&backend, port)?;
            let socket = UdpSocket::bind((HERE, 0)).await?;
            socket.connect(to).await?;
            Ok(Box::new(Socket(socket)) as Box<dyn Datagrams>)
        })
    }
}

/// A task: says its name to every connection, then echoes. `q` makes it hang up.
pub struct Task {
    pub backend: Backend,
    pub served: JoinHandle<()>,
}

impl Task {
    pub async fn tcp(name: u8) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let _ = stream.write_all(&[name]).await;
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() && byte != *b"q" {
                        let _ = stream.write_all(&byte).await;
                    }
                });
            }
        });
        Self { backend: backend(name, address), served }
    }

    pub async fn udp(name: u8) -> Self {
        let socket = UdpSocket::bind((HERE, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            loop {
                let Ok((size, client)) = socket.recv_from(&mut buffer).await else { continue };
                let mut answer = vec![name];
                answer.extend_from_slice(&buffer[..size]);
                let _ = socket.send_to(&answer, client).await;
            }
        });
        Self { backend: backend(name, address), served }
    }
}

fn backend(name: u8, address: SocketAddr) -> Backend {
    Backend {
        task: TaskId::from_bits(name.into()),
        node: NodeId::from_bits(1),
        address: address.to_string(),
        ingress: None,
        number: 0,
        data_path: None,
        v6: false,
        target: 0,
    }
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    StdListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port()
}

/// One published port.
pub struct Published {
    pub ports: PublishedPorts,
    pub reach: Arc<Local>,
    pub port: u16,
    pub protocol: PortProtocol,
}

pub const TARGET: u16 = 8_080;

impl Published {
    pub fn new(protocol: PortProtocol) -> Self {
        Self::at(HERE, protocol)
    }

    pub fn at(address: IpAddr, protocol: PortProtocol) -> Self {
        let reach = Arc::new(Local::default());
        let ports = PublishedPorts::new(address, reach.clone());
        Self { ports, reach, port: free_port(), protocol }
    }

    pub fn set(&self, tasks: &[&Task]) {
        self.set_with(tasks, &[]);
    }

    /// `leaving`: tasks that keep the clients that they have.
    pub fn set_with(&self, tasks: &[&Task], leaving: &[&Task]) {
        let backends = |tasks: &[&Task]| tasks.iter().map(|t| t.backend.clone()).collect();
        self.ports.set(vec![PublishedPort {
            protocol: self.protocol,
            published: self.port,
            target: TARGET,
            backends: backends(tasks),
            leaving: backends(leaving),
            snat: false,
        }]);
    }

    /// A connection that a task has answered: its name.
    pub async fn connect(&self) -> Option<(u8, TcpStream)> {
        let mut stream = TcpStream::connect((HERE, self.port)).await.ok()?;
        let name = soon("a task says its name", stream.read_u8()).await.ok()?;
        Some((name, stream))
    }

    pub async fn connected(&self) -> (u8, TcpStream) {
        eventually("a task answers", || self.connect()).await
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.ports.shutdown();
    }
}

/// How often each was there.
pub fn count(names: impl IntoIterator<Item = u8>) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

pub async fn echoes(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"x").await.is_ok();
    sent && soon("an echo", stream.read_u8()).await.ok() == Some(b'x')
}
