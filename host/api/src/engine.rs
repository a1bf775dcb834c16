//! The node's container engine behind the API: what is not Swarm's passes through,
//! bodies streaming both ways, hijacked connections joined end to end.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{HOST, UPGRADE};
use http::{HeaderValue, Method, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use swarmw_model::{Refusal, RefusalKind};

use crate::api::Host;
use crate::body;
use crate::reply::{Refused, Reply, page_not_found};
use crate::version::{ApiVersion, MAXIMUM};

/// The most time for the engine to take a connection, and to answer a question of
/// our own. What is passed through may take as long as it likes.
const ENGINE_PATIENCE: Duration = Duration::from_secs(5);

/// How long the engine's newest API version is taken to stay what it was: an engine
/// may be replaced under us.
const VERSION_KEPT: Duration = Duration::from_secs(60);

/// Paths that are Swarm's: never the engine's, whatever comes after.
const SWARMS: [&str; 7] = ["swarm", "swarmw", "nodes", "services", "tasks", "secrets", "configs"];

/// Paths that an engine answers: without one they are refused with the reason.
const ENGINES: [&str; 13] = [
    "auth",
    "build",
    "commit",
    "containers",
    "distribution",
    "exec",
    "grpc",
    "images",
    "networks",
    "plugins",
    "session",
    "system",
    "volumes",
];

/// The engine's newest API version as last heard.
#[derive(Default)]
pub(crate) struct EngineVersion(Mutex<Option<(Instant, ApiVersion)>>);

/// Every path that is not in the table.
pub(crate) async fn anything(State(host): State<Host>, request: Request) -> Response {
    let first = request.uri().path().trim_start_matches('/').split('/').next();
    let first = first.unwrap_or("");
    if SWARMS.contains(&first) {
        return page_not_found();
    }
    match host.engine() {
        Some(socket) => pass(&host, &socket, request).await.unwrap_or_else(Refused::into_response),
        None if let Some((image, auth)) = image_looked_up(&request) => {
            let found = host.look_up_image(image, auth).await;
            found.map_or_else(
                |why| Refused(why).into_response(),
                |found| Json(found).into_response(),
            )
        }
        None if ENGINES.contains(&first) => Refused(no_engine()).into_response(),
        None => page_not_found(),
    }
}

/// The image of `GET /distribution/NAME/json` and the client's credentials; a node
/// without an engine answers it itself.
fn image_looked_up(request: &Request) -> Option<(String, String)> {
    let image = request.uri().path().strip_prefix("/distribution/")?.strip_suffix("/json")?;
    let auth = request.headers().get("x-registry-auth").and_then(|value| value.to_str().ok());
    (request.method() == Method::GET)
        .then(|| (image.to_owned(), auth.unwrap_or_default().to_owned()))
}

fn no_engine() -> Refusal {
    Refusal::plain(
        RefusalKind::Unavailable,
        "this node has no container engine: start its daemon with \
         --engine unix:///path/to/docker.sock, or ask a node that has one",
    )
}

fn silent(socket: &Path, why: impl std::fmt::Display) -> Refusal {
    Refusal::plain(
        RefusalKind::Unavailable,
        format!("the container engine at unix://{} does not answer: {why}", socket.display()),
    )
}

/// Passes a request on to the engine, where there is one.
pub(crate) async fn pass_on(host: &Host, request: Request) -> Reply {
    let socket = host.engine().ok_or_else(no_engine)?;
    pass(host, &socket, request).await
}

/// The engine's answer to a question of the client's, in the newest version that both
/// speak; `None` without an engine, or where it knows of no such thing.
pub(crate) async fn ask_in_version(host: &Host, path: &str) -> Reply<Option<Value>> {
    let Some(socket) = host.engine() else {
        return Ok(None);
    };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri(path)?;
    let answer = pass(host, &socket, request).await?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => {
            let whole = body::bytes(answer.into_body(), body::JSON_MAX).await?;
            let told = serde_json::from_slice(&whole).map_err(|error| silent(&socket, error))?;
            Ok(Some(told))
        }
        status => Err(silent(&socket, format!("{path} gives {status}")).into()),
    }
}

/// Passes a request to the engine and its answer back.
async fn pass(host: &Host, socket: &Path, mut request: Request) -> Reply {
    let asked = request.extensions().get::<ApiVersion>().copied();
    let version = asked.unwrap_or(MAXIMUM).min(host.engine_version.of(socket).await?);
    let rest = request.uri().path_and_query().map_or("/", |p| p.as_str());
    *request.uri_mut() = uri(&format!("/v{version}{rest}"))?;
    let client = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let mut response = send(socket, request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = client
    {
        let engine = hyper::upgrade::on(&mut response);
        tokio::spawn(join(client, engine));
        return Ok(response.map(|_| Body::empty()));
    }
    Ok(response)
}

/// Copies both ways until both ends are through, or one is gone.
async fn join(client: OnUpgrade, engine: OnUpgrade) {
    let ends = tokio::try_join!(client, engine);
    let (client, engine) = match ends {
        Ok(ends) => ends,
        Err(error) => {
            tracing::debug!(%error, "a hijacked connection was not taken over");
            return;
        }
    };
    let (mut client, mut engine) = (TokioIo::new(client), TokioIo::new(engine));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut engine).await {
        tracing::debug!(%error, "a hijacked connection broke off");
    }
}

/// One request on a connection of its own: a client that goes away takes the
/// engine's work with it.
async fn send(socket: &Path, mut request: Request) -> Result<Response, Refusal> {
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("docker"));
    let connected = tokio::time::timeout(ENGINE_PATIENCE, UnixStream::connect(socket)).await;
    let stream = connected
        .map_err(|_| silent(socket, "it takes no connection"))?
        .map_err(|error| silent(socket, error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
            .await
            .map_err(|error| silent(socket, error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the engine broke off");
        }
    });
    let answer = sender.send_request(request).await;
    answer.map(|response| response.map(Body::new)).map_err(|error| silent(socket, error))
}

/// A question of our own; `None` without an engine.
pub(crate) async fn ask(host: &Host, path: &str) -> Result<Option<Value>, Refusal> {
    let Some(socket) = host.engine() else {
        return Ok(None);
    };
    let answer = async {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri(path)?;
        let answer = send(&socket, request).await?;
        if !answer.status().is_success() {
            return Err(silent(&socket, format!("{path} gives {}", answer.status())));
        }
        let whole = body::bytes(answer.into_body(), body::JSON_MAX)
            .await
            .map_err(|Refused(refusal)| silent(&socket, refusal))?;
        serde_json::from_slice(&whole).map_err(|error| silent(&socket, error))
    };
    tokio::time::timeout(ENGINE_PATIENCE, answer)
        .await
        .unwrap_or_else(|_| Err(silent(&socket, "it takes too long")))
        .map(Some)
}

/// The engine's answer to a stream of its own, such as its events; `None` without
/// an engine.
pub(crate) async fn stream(host: &Host, path_and_query: &str) -> Result<Option<Body>, Refusal> {
    let Some(socket) = host.engine() else {
        return Ok(None);
    };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri(path_and_query)?;
    let answer = pass(host, &socket, request).await.map_err(|Refused(refusal)| refusal)?;
    match answer.status() {
        StatusCode::OK => Ok(Some(answer.into_body())),
        status => Err(silent(&socket, format!("{path_and_query} gives {status}"))),
    }
}

fn uri(text: &str) -> Result<Uri, Refusal> {
    text.parse().map_err(|_| Refusal::invalid(format!("invalid path {text:?}")))
}

// === impl EngineVersion ===

impl EngineVersion {
    /// The newest version that the engine at `socket` answers: a newer one in a path
    /// would be refused, so such paths are brought down to it.
    async fn of(&self, socket: &Path) -> Result<ApiVersion, Refusal> {
        if let Some((_, version)) = self.lock().filter(|(at, _)| at.elapsed() < VERSION_KEPT) {
            return Ok(version);
        }
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri("/_ping")?;
        let answer = tokio::time::timeout(ENGINE_PATIENCE, send(socket, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(silent(socket, "it takes too long")))?;
        let header = answer.headers().get("api-version");
        let version = header
            .and_then(|v| ApiVersion::parse(v.to_str().ok()?))
            .ok_or_else(|| silent(socket, "its /_ping names no Api-Version"))?;
        *self.lock() = Some((Instant::now(), version));
        Ok(version)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, ApiVersion)>> {
        // What is kept is one value: a panic elsewhere cannot have left half of it.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
