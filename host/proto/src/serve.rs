//! Accepting connections of other nodes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use swarmw_ca::{Identity, Tls};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::{Caller, Listener, Wire};

/// Connections of other nodes at a time; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 16_384;
/// A connection that has not shaken hands by then is closed.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Connections that have shaken hands and wait for the server.
const ACCEPTED_MAX: usize = 64;
/// A peer is asked for a sign of life this often…
const KEEPALIVE: Duration = Duration::from_secs(5);
/// …and given this long to answer.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(5);
/// After accepting failed (too many open files), before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done. Each request carries its [`Caller`].
///
/// # Errors
/// The server failed as a whole; single connections fail by themselves.
pub async fn serve(
    listener: impl Listener,
    tls: Tls,
    routes: Routes,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let (accepted, incoming) = mpsc::channel(ACCEPTED_MAX);
    let accepting = tokio::spawn(accept(listener, tls, accepted));
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), shutdown)
        .await;
    accepting.abort();
    served
}

async fn accept(
    mut listener: impl Listener,
    tls: Tls,
    accepted: mpsc::Sender<Result<Connection, io::Error>>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, addr) = match listener.accept().await {
            Ok(connection) => connection,
            Err(e) => {
                warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, accepted) = (tls.clone(), accepted.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_DEADLINE, shake(tls, stream, addr)).await {
                Ok(Ok((stream, caller))) => {
                    let connection = Connection { stream, caller, _place: place };
                    // A server that has ended takes no connection any more.
                    let _ = accepted.send(Ok(connection)).await;
                }
                Ok(Err(e)) => debug!(%addr, error = %e, "a connection was turned away"),
                Err(_) => debug!(%addr, "a connection did not shake hands in time"),
            }
        });
    }
}

async fn shake(
    tls: Tls,
    stream: Box<dyn Wire>,
    addr: SocketAddr,
) -> io::Result<(TlsStream<Box<dyn Wire>>, Caller)> {
    let stream = TlsAcceptor::from(tls.server_config()).accept(stream).await?;
    let identity = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
        Some(leaf) => Some(Identity::of_certificate(leaf).map_err(io::Error::other)?),
        None => None,
    };
    Ok((stream, Caller { identity, addr, tls: Some(tls) }))
}

/// A connection that has shaken hands.
struct Connection {
    stream: TlsStream<Box<dyn Wire>>,
    caller: Caller,
    _place: OwnedSemaphorePermit,
}

// === impl Connection ===

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
