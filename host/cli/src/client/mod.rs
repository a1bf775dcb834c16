//! A thin client of the Docker Engine API over a unix or TCP socket.

mod answers;
pub(crate) mod api;
mod host;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

pub(crate) use answers::*;
pub use host::{HOST_VARIABLE, Host, InvalidHost, default_socket};
pub use tls::{CERTIFICATES_VARIABLE, TlsFlags};

/// Largest answer read into memory, in bytes.
const ANSWER_MAX: usize = 512 << 20;
/// Time to reach a daemon over TCP.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a daemon's answer that is no HTTP mostly means.
const NO_TLS: &str = "* Are you trying to connect to a TLS-enabled daemon without TLS? \
     Give --tlscacert, --tlscert and --tlskey, or name their folder in SWARMW_CERT_PATH.";

/// A client of one daemon. Each request has its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    host: Host,
    /// For TCP; without it requests go in the clear.
    tls: Option<Arc<ClientConfig>>,
}

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("Cannot connect to the swarmw daemon at {0}. Is the daemon running?")]
    Unreachable(Host),
    /// The socket is another user's.
    #[error("permission denied while trying to connect to the swarmw daemon at {0}")]
    Forbidden(Host),
    /// The daemon said no.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// The HTTP status.
        status: u16,
        /// The daemon's own words.
        message: String,
    },
    /// The daemon went away in the middle, or spoke something else.
    #[error("error during connect to {host}: {reason}")]
    Broken {
        /// Where.
        host: Host,
        /// What happened.
        reason: String,
    },
}

/// One request on its way.
pub(crate) struct Call<'c> {
    client: &'c Client,
    method: Method,
    path: String,
    query: form_urlencoded::Serializer<'static, String>,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

#[derive(serde::Deserialize)]
struct Complaint {
    message: String,
}

// === impl Client ===

impl Client {
    /// A client of the daemon at `host`; nothing is opened yet.
    pub fn new(host: Host) -> Self {
        Self { host, tls: None }
    }

    /// The same with TLS over TCP.
    #[must_use]
    pub(crate) fn with_tls(self, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { tls, ..self }
    }

    /// A request to `path`, which starts with a slash and is encoded.
    pub(crate) fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        Call {
            client: self,
            method,
            path: path.into(),
            query: form_urlencoded::Serializer::new(String::new()),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn delete(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        match &self.host {
            Host::Unix(path) => {
                let stream =
                    UnixStream::connect(path).await.map_err(|error| self.unreachable(&error))?;
                self.over(stream, request).await
            }
            Host::Tcp(address) => {
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
                    .await
                    .map_err(|_| ClientError::Unreachable(self.host.clone()))?
                    .map_err(|error| self.unreachable(&error))?;
                let Some(tls) = &self.tls else { return self.over(stream, request).await };
                let name = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                let name = name.trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(name).map_err(|error| self.broken(error))?;
                let stream = TlsConnector::from(tls.clone())
                    .connect(name, stream)
                    .await
                    .map_err(|error| self.broken(error))?;
                self.over(stream, request).await
            }
        }
    }

    async fn over<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        // Ends with the connection; its errors reach the body's reader too.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| {
            let clear = self.tls.is_none() && matches!(self.host, Host::Tcp(_));
            match clear && error.is_parse() {
                true => self.broken(format!("{error}\n{NO_TLS}")),
                false => self.broken(error),
            }
        })
    }

    fn unreachable(&self, error: &std::io::Error) -> ClientError {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => ClientError::Forbidden(self.host.clone()),
            _ => ClientError::Unreachable(self.host.clone()),
        }
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        ClientError::Broken { host: self.host.clone(), reason: reason.to_string() }
    }
}

// === impl ClientError ===

impl ClientError {
    /// Whether the daemon knows no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Daemon { status: 404, .. })
    }
}

// === impl Call ===

impl Call<'_> {
    pub(crate) fn query(mut self, key: &str, value: impl ToString) -> Self {
        self.query.append_pair(key, &value.to_string());
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json<T: Serialize>(mut self, body: &T) -> Result<Self, ClientError> {
        self.body = serde_json::to_vec(body).map_err(|error| self.client.broken(error))?.into();
        Ok(self.header(CONTENT_TYPE.as_str(), "application/json"))
    }

    pub(crate) fn bytes(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Sends; the answer's status is a success.
    pub(crate) async fn send(mut self) -> Result<Response<Incoming>, ClientError> {
        let query = self.query.finish();
        let target = match query.as_str() {
            "" => self.path,
            query => format!("{}?{query}", self.path),
        };
        let authority = match &self.client.host {
            Host::Unix(_) => "swarmw",
            Host::Tcp(address) => address,
        };
        let mut request =
            Request::builder().method(self.method).uri(target).header(HOST, authority);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request =
            request.body(Full::new(self.body)).map_err(|error| self.client.broken(error))?;
        let answer = self.client.exchange(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = self.client.whole(answer).await?;
        Err(ClientError::Daemon { status: status.as_u16(), message: complaint(status, &body) })
    }

    /// Sends, and takes the whole answer.
    pub(crate) async fn fetch(self) -> Result<Bytes, ClientError> {
        let client = self.client;
        let answer = self.send().await?;
        client.whole(answer).await
    }

    /// Sends, and reads the answer as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let client = self.client;
        let body = self.fetch().await?;
        serde_json::from_slice(&body)
            .map_err(|error| client.broken(format!("unexpected answer: {error}")))
    }
}

impl Client {
    async fn whole(&self, answer: Response<Incoming>) -> Result<Bytes, ClientError> {
        Limited::new(answer.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|error| self.broken(error))
    }
}

/// The daemon's message: JSON `message`, or the plain text, or the status.
fn complaint(status: StatusCode, body: &[u8]) -> String {
    if let Ok(complaint) = serde_json::from_slice::<Complaint>(body) {
        return complaint.message;
    }
    match String::from_utf8_lossy(body).trim() {
        "" => status.to_string(),
        text => text.to_owned(),
    }
}

/// One path segment, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
