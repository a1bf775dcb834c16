//! Published ports in user space: every node listens while tasks run, and forwards round robin to
//! them.
//!
//! This room knows which tasks stand behind a port ([`PublishedPort`]), not where
//! they are: reaching one is the business of whoever implements [`Reach`].
//!
//! [`PublishedPort`]: swarmw_model::PublishedPort

mod backends;
mod held;
mod listen;
mod ports;
mod tcp;
mod udp;

use std::io;

use futures::future::BoxFuture;
use swarmw_model::Backend;
use tokio::io::{AsyncRead, AsyncWrite};

pub use ports::{PortError, PublishedPorts};
pub use tcp::CONNECTIONS_MAX;
pub use udp::{SESSION_IDLE, SESSIONS_MAX};

/// A stream to a task.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Datagrams to a task and back.
pub trait Datagrams: Send + Sync {
    /// Sends one.
    fn send<'a>(&'a self, datagram: &'a [u8]) -> BoxFuture<'a, io::Result<()>>;
    /// Receives one.
    fn receive(&self) -> BoxFuture<'_, io::Result<Vec<u8>>>;
}

/// Reaches tasks, here or on other nodes.
pub trait Reach: Send + Sync + 'static {
    /// A TCP connection to a port of a task.
    fn tcp(&self, backend: Backend, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
    /// A UDP session with a port of a task.
    fn udp(&self, backend: Backend, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>>;
}
