//! Serving the API on unix sockets and TCP.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use swarmw_model::EngineSocket;

use crate::{Api, Connection, contained};

/// Connections of one listener at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 1_024;
/// The most time for a request's headers, and for a client to send its next one.
const HEADERS_PATIENCE: Duration = Duration::from_secs(60);
/// The most time for a TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// What requests under way are given to end when the daemon stops; then followed
/// logs and events are cut off.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// After the system refused a connection, out of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place where the API can be reached.
pub struct Listener(Kind);

enum Kind {
    Unix(UnixListener, PathBuf),
    Contained(UnixListener, PathBuf),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// Why the API cannot be served there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process answers on the socket.
    #[error("unix://{0} is in use: another daemon answers there")]
    InUse(PathBuf),
    /// The file is something else.
    #[error("unix://{0} is not a socket: remove the file, or choose another --host")]
    NotASocket(PathBuf),
    /// Anybody could command the cluster.
    #[error("tcp://{0} needs TLS: only loopback addresses are served without")]
    NeedsTls(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {address}")]
    Io {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
}

// === impl Listener ===

impl Listener {
    /// Listens on a unix socket whose file has `mode`. A file that a dead daemon left
    /// is replaced.
    ///
    /// # Errors
    /// A daemon answers there, the file is no socket, or the system refuses.
    pub async fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        let failed =
            |source| ListenError::Io { address: format!("unix://{}", path.display()), source };
        match UnixStream::connect(path).await {
            Ok(_) => return Err(ListenError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                use std::os::unix::fs::FileTypeExt;
                let meta = std::fs::symlink_metadata(path).map_err(failed)?;
                if !meta.file_type().is_socket() {
                    return Err(ListenError::NotASocket(path.to_owned()));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        // Under another name first: nobody connects before the mode is set.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        let _ = std::fs::remove_file(&fresh);
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        std::fs::rename(&fresh, path).map_err(failed)?;
        Ok(Self(Kind::Unix(listener, path.to_owned())))
    }

    /// Listens on a socket that containers get in place of the one of this engine, and says
    /// how. Everything about it is kept in `folder`, which is this daemon's alone: containers
    /// that have the socket reach the next daemon as well, which opens it there again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn in_containers(
        folder: &Path,
        engine: &Path,
    ) -> Result<(Self, EngineSocket), ListenError> {
        let failed =
            |source| ListenError::Io { address: format!("unix://{}", folder.display()), source };
        let opened = contained::open(folder, engine).map_err(failed)?;
        Ok((Self(Kind::Contained(opened.listener, opened.place)), opened.socket))
    }

    /// Listens on TCP, with TLS where it is configured.
    ///
    /// # Errors
    /// The address is not a loopback one and there is no TLS, or the system refuses.
    pub async fn tcp(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<Self, ListenError> {
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(ListenError::NeedsTls(address));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError::Io { address: format!("tcp://{address}"), source })?;
        Ok(Self(Kind::Tcp(listener, tls.map(TlsAcceptor::from))))
    }

    /// Where a client reaches it, as after `--host`.
    pub fn address(&self) -> String {
        match &self.0 {
            Kind::Unix(_, path) | Kind::Contained(_, path) => {
                format!("unix://{}", path.display())
            }
            Kind::Tcp(listener, _) => match listener.local_addr() {
                Ok(address) => format!("tcp://{address}"),
                Err(_) => "tcp://".to_owned(),
            },
        }
    }

    /// Serves `api` until `shutdown`, then lets requests under way end for a few
    /// seconds, and removes a unix socket's file.
    pub async fn serve(self, api: Api, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let _cut_at_the_end = cut.clone().drop_guard();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.accept(&places) => accepted,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the API");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (api, shutdown, cut) = (api.clone(), shutdown.clone(), cut.clone());
            connections.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = stream.serve(api, shutdown) => {}
                }
            });
        }
        connections.close();
        let ended = tokio::time::timeout(SHUTDOWN_PATIENCE, connections.wait()).await;
        if ended.is_err() {
            tracing::info!("connections to the API are cut off");
        }
        if let Kind::Unix(_, path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> io::Result<(Accepted, Option<OwnedSemaphorePermit>)> {
        // The semaphore is never closed.
        let place = places.clone().acquire_owned().await.ok();
        let stream = match &self.0 {
            Kind::Unix(listener, _) | Kind::Contained(listener, _) => {
                Accepted::Unix(listener.accept().await?.0)
            }
            Kind::Tcp(listener, tls) => Accepted::Tcp(listener.accept().await?.0, tls.clone()),
        };
        Ok((stream, place))
    }
}

enum Accepted {
    Unix(UnixStream),
    Tcp(tokio::net::TcpStream, Option<TlsAcceptor>),
}

// === impl Accepted ===

impl Accepted {
    async fn serve(self, api: Api, shutdown: CancellationToken) {
        let answer = move |request| {
            let api = api.clone();
            async move { api.call(request).await }
        };
        match self {
            Self::Unix(stream) => connection(stream, answer, shutdown).await,
            Self::Tcp(stream, None) => connection(stream, answer, shutdown).await,
            Self::Tcp(stream, Some(tls)) => {
                match tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, answer, shutdown).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }
}

/// Serves one connection, whose requests `answer` answers, until `shutdown`.
pub(crate) async fn connection<F>(
    stream: impl Connection,
    answer: impl Fn(Request<Body>) -> F,
    shutdown: CancellationToken,
) where
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = answer(request.map(Body::new));
        async move { Ok::<_, std::convert::Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API broke off");
    }
}
