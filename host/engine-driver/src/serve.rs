//! The socket.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::driver::Answer;
use crate::messages::Fault;
use crate::{Driver, Refused};

/// The most time for one call, its wait for a place included. An engine waits for ever,
/// but with locks held, and whoever asked it does not.
pub const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// Calls at a time; further ones wait.
pub const CALLS_MAX: usize = 64;
/// Connections at a time; further ones wait to be accepted. An engine uses one per call
/// under way.
pub const CONNECTIONS_MAX: usize = 256;
/// The most bytes of a request. An engine says the ports of a container with each
/// endpoint, some hundred bytes each.
pub const REQUEST_MAX: usize = 4 << 20;

/// The most time for a request's headers, and for an engine to send its next one.
const HEADERS_PATIENCE: Duration = Duration::from_secs(60);
/// What calls under way are given to end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// After the system refused a connection, out of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Read and written by its owner.
const MODE: u32 = 0o600;

/// A driver that answers. When this is dropped, calls under way are broken off.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// Why a driver cannot be served there.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process answers on the socket.
    #[error("{0} is in use: another driver answers there")]
    InUse(PathBuf),
    /// The file is something else.
    #[error("{0} is not a socket: remove the file")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot listen on {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file of a socket, as long as it is ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// What every connection shares.
#[derive(Clone)]
struct Desk {
    driver: Driver,
    places: Arc<Semaphore>,
}

// === impl Serving ===

impl Serving {
    pub(crate) async fn begin(driver: Driver, path: &Path) -> Result<Self, ServeError> {
        let (listener, file) = listen(path).await?;
        let stop = CancellationToken::new();
        let desk = Desk { driver, places: Arc::new(Semaphore::new(CALLS_MAX)) };
        let ended = tokio::spawn(accept_all(listener, file, desk, stop.clone()));
        Ok(Self { stop, ended })
    }

    /// Answers no further calls, lets those under way end for a few seconds, and removes
    /// the socket.
    pub async fn end(mut self) {
        self.stop.cancel();
        // A panic there has been told where it happened.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        self.ended.abort();
    }
}

async fn listen(path: &Path) -> Result<(UnixListener, SocketFile), ServeError> {
    let failed = |source| ServeError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(failed)?;
    match UnixStream::connect(path).await {
        Ok(_) => return Err(ServeError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let meta = std::fs::symlink_metadata(path).map_err(failed)?;
            if !meta.file_type().is_socket() {
                return Err(ServeError::NotASocket(path.to_owned()));
            }
        }
        Err(error) => return Err(failed(error)),
    }
    // In a folder that nobody else looks into: no engine finds it half made.
    let aside = folder.join(format!(".swarmw-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&aside);
    std::fs::DirBuilder::new().mode(0o700).create(&aside).map_err(failed)?;
    let bound = bind(&aside.join("s"), path);
    let _ = std::fs::remove_dir_all(&aside);
    bound.map_err(failed)
}

fn bind(fresh: &Path, path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = UnixListener::bind(fresh)?;
    std::fs::set_permissions(fresh, std::fs::Permissions::from_mode(MODE))?;
    let meta = std::fs::symlink_metadata(fresh)?;
    std::fs::rename(fresh, path)?;
    Ok((listener, SocketFile { path: path.to_owned(), device: meta.dev(), inode: meta.ino() }))
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        let meta = std::fs::symlink_metadata(&self.path);
        if meta.is_ok_and(|meta| meta.dev() == self.device && meta.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Accepts until told to stop. The socket goes first: an engine that finds none says so at
/// once, where it would try one that nobody answers for half a minute.
async fn accept_all(listener: UnixListener, file: SocketFile, desk: Desk, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let _cut_at_the_end = cut.clone().drop_guard();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection of the engine");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (desk, stop, cut) = (desk.clone(), stop.clone(), cut.clone());
        connections.spawn(async move {
            let _place = place;
            tokio::select! {
                () = cut.cancelled() => {}
                () = connection(stream, desk, stop) => {}
            }
        });
    }
    drop(file);
    drop(listener);
    connections.close();
    if tokio::time::timeout(SHUTDOWN_PATIENCE, connections.wait()).await.is_err() {
        warn!("calls of the engine are broken off");
    }
}

async fn accept(
    listener: &UnixListener,
    room: &Arc<Semaphore>,
) -> io::Result<(UnixStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // The semaphore is never closed.
    let place = room.clone().acquire_owned().await.ok();
    Ok((listener.accept().await?.0, place))
}

async fn connection(stream: UnixStream, desk: Desk, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection of the engine broke off");
    }
}

// === impl Desk ===

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let call = self.call(&method, request.into_body());
        match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(answer) => answer,
            Err(_) => {
                warn!(method, "a call of the engine took too long");
                let seconds = CALL_DEADLINE.as_secs();
                fault(StatusCode::OK, &format!("{method} took longer than {seconds} s"))
            }
        }
    }

    async fn call(&self, method: &str, body: Incoming) -> Response<Full<Bytes>> {
        let body = match Limited::new(body, REQUEST_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let why = format!("{method} has more than {REQUEST_MAX} bytes");
                return fault(StatusCode::PAYLOAD_TOO_LARGE, &why);
            }
            Err(error) => {
                return fault(StatusCode::BAD_REQUEST, &format!("{method} broke off: {error}"));
            }
        };
        // The semaphore is never closed.
        let _place = self.places.acquire().await.ok();
        match self.driver.call(method, &body).await {
            Answer::Done(json) => response(StatusCode::OK, json),
            Answer::Refused(Refused(why)) => {
                debug!(method, why, "refused what the engine asked");
                fault(StatusCode::OK, &why)
            }
            Answer::Unknown => {
                fault(StatusCode::NOT_FOUND, &format!("this driver has no method {method:?}"))
            }
        }
    }
}

fn fault(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    // Two strings: there is nothing in it that cannot be written.
    let json = serde_json::to_vec(&Fault { err: why, error: why }).unwrap_or_default();
    response(status, json)
}

fn response(status: StatusCode, json: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
