//! The engine's resolver, asked for what is not ours.

use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use swarmw_ambient::Ambient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::desk::Transport;
use crate::sandbox::{RESOLVER, Sandbox, tcp_to_engine, udp_to_engine};

/// Forwarded queries of a node at a time; more are refused at once.
pub const FORWARDS_MAX: usize = 1_024;
/// Those of one sandbox: a container that asks for names nobody answers for leaves the
/// others their share.
pub const FORWARDS_OF_SANDBOX_MAX: usize = 256;
/// How long the engine may take: it gives each of its servers 4 seconds, and the answer of
/// the second should still come through; clients ask again after 5.
pub const FORWARD_DEADLINE: Duration = Duration::from_secs(5);
/// Sockets that wait for the next query, of one sandbox.
const IDLE_MAX: usize = 8;
/// The engine's resolver, as its own rules lead there.
const ENGINE: SocketAddrV4 = SocketAddrV4::new(RESOLVER, 53);

/// Asks the engine's resolver for one sandbox.
pub(crate) struct Engine {
    sandbox: Sandbox,
    ambient: Ambient,
    of_node: Arc<Semaphore>,
    of_sandbox: Semaphore,
    idle: Mutex<Vec<UdpSocket>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("{FORWARDS_OF_SANDBOX_MAX} queries of the container wait for the engine's resolver")]
    SandboxBusy,
    #[error("{FORWARDS_MAX} queries of this node wait for the engine's resolvers")]
    NodeBusy,
    #[error("the engine's resolver did not answer within {} s", FORWARD_DEADLINE.as_secs())]
    Silent,
    #[error("the engine's resolver cannot be asked: {0}")]
    Failed(#[from] io::Error),
}

// === impl Engine ===

impl Engine {
    pub(crate) fn new(sandbox: Sandbox, ambient: Ambient, of_node: Arc<Semaphore>) -> Self {
        let of_sandbox = Semaphore::new(FORWARDS_OF_SANDBOX_MAX);
        Self { sandbox, ambient, of_node, of_sandbox, idle: Mutex::default() }
    }

    /// The engine's answer, byte for byte. It is asked as we were: by datagram, or by stream.
    pub(crate) async fn ask(
        &self,
        query: &[u8],
        transport: Transport,
    ) -> Result<Vec<u8>, Unanswered> {
        let _place = self.place()?;
        let answer = async {
            match transport {
                Transport::Udp => self.by_datagram(query).await,
                Transport::Tcp => self.by_stream(query).await,
            }
        };
        let answer = tokio::time::timeout(FORWARD_DEADLINE, answer).await;
        Ok(answer.map_err(|_| Unanswered::Silent)??)
    }

    fn place(&self) -> Result<[SemaphorePermit<'_>; 2], Unanswered> {
        let of_sandbox = self.of_sandbox.try_acquire().map_err(|_| Unanswered::SandboxBusy)?;
        let of_node = self.of_node.try_acquire().map_err(|_| Unanswered::NodeBusy)?;
        Ok([of_sandbox, of_node])
    }

    async fn by_datagram(&self, query: &[u8]) -> io::Result<Vec<u8>> {
        let socket = self.socket().await?;
        socket.connect(ENGINE).await?;
        let id: u16 = self.ambient.chance().random();
        socket.send(&with_id(query, id)).await?;
        let mut answer = vec![0; usize::from(u16::MAX)];
        loop {
            let size = socket.recv(&mut answer).await?;
            if answers(&answer[..size], id) {
                answer.truncate(size);
                break;
            }
        }
        self.keep(socket);
        Ok(with_id(&answer, id_of(query)))
    }

    async fn by_stream(&self, query: &[u8]) -> io::Result<Vec<u8>> {
        let socket = self.sandbox.within(tcp_to_engine).await?;
        let mut stream = TcpSocket::from_std_stream(socket).connect(ENGINE.into()).await?;
        write_message(&mut stream, query).await?;
        let answer = read_message(&mut stream, usize::from(u16::MAX)).await?;
        if answers(&answer, id_of(query)) {
            Ok(answer)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "not an answer to the query"))
        }
    }

    async fn socket(&self) -> io::Result<UdpSocket> {
        let kept = self.idle().pop();
        match kept {
            Some(socket) => Ok(socket),
            None => UdpSocket::from_std(self.sandbox.within(udp_to_engine).await?),
        }
    }

    /// Keeps a socket whose query was answered. It gives its port away and gets another
    /// with the next query: a flow that the kernel remembers would lead to where the
    /// engine's resolver was before the engine restarted. What arrived late is read away.
    fn keep(&self, socket: UdpSocket) {
        let released = rustix::net::connect_unspec(&socket).is_ok();
        while socket.try_recv(&mut [0]).is_ok() {}
        let mut idle = self.idle();
        if released && idle.len() < IDLE_MAX {
            idle.push(socket);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<UdpSocket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a message is an answer with this id.
fn answers(message: &[u8], id: u16) -> bool {
    message.len() >= 12 && message[2] & 0x80 != 0 && id_of(message) == id
}

fn id_of(message: &[u8]) -> u16 {
    message.first_chunk().copied().map_or(0, u16::from_be_bytes)
}

fn with_id(message: &[u8], id: u16) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(place) = message.first_chunk_mut() {
        *place = id.to_be_bytes();
    }
    message
}

/// A message of a stream: its length comes first.
pub(crate) async fn read_message(stream: &mut TcpStream, max: usize) -> io::Result<Vec<u8>> {
    let size = usize::from(stream.read_u16().await?);
    if size > max {
        let why = format!("a message of {size} bytes, where {max} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut message = vec![0; size];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one, with its length, in one piece.
pub(crate) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a message of over 64 KiB");
    let size = u16::try_from(message.len()).map_err(too_long)?;
    stream.write_all(&[&size.to_be_bytes(), message].concat()).await
}
