//! How bytes get from node to node: TCP, or what a test puts in its place. What
//! goes over it is TLS, whatever it is.

use std::io;
use std::net::SocketAddr;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Bytes both ways.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

/// Makes and takes connections.
pub trait Transport: Send + Sync + 'static {
    /// A connection to `host:port`.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Wire>>>;

    /// Takes connections on `host:port`.
    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
}

/// Takes connections on one address.
pub trait Listener: Send + 'static {
    /// The next connection, and where it is from.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Wire>, SocketAddr)>>;
}

/// TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

// === impl Tcp ===

impl Transport for Tcp {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let address = address.to_owned();
        async move { TcpStream::connect(address).await.map(at_once) }.boxed()
    }

    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let address = address.to_owned();
        async move {
            let listener: Box<dyn Listener> = Box::new(TcpListener::bind(address).await?);
            Ok(listener)
        }
        .boxed()
    }
}

impl Listener for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Wire>, SocketAddr)>> {
        async move {
            let (stream, from) = TcpListener::accept(self).await?;
            Ok((at_once(stream), from))
        }
        .boxed()
    }
}

impl Listener for Box<dyn Listener> {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Wire>, SocketAddr)>> {
        (**self).accept()
    }
}

/// Small messages do not wait for more; a connection that refuses this is slower, and
/// no worse.
fn at_once(stream: TcpStream) -> Box<dyn Wire> {
    let _ = stream.set_nodelay(true);
    Box::new(stream)
}
