//! The node's container engine behind the API: what is not Swarm's passes through,
//! bodies streaming both ways, hijacked connections joined end to end.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use swarmw_model::{Later, Refusal, RefusalKind};

use crate::Connection;
use crate::api::Host;
use crate::body::{self, Params};
use crate::reply::{Refused, Reply, page_not_found};
use crate::version::{ApiVersion, MAXIMUM, MINIMUM};

/// The most time for the engine to take a connection, and to answer a question of
/// our own. What is passed through may take as long as it likes.
const ENGINE_PATIENCE: Duration = Duration::from_secs(5);

/// The most time for the engine to greet a client that only asks whether we are there.
const PING_PATIENCE: Duration = Duration::from_secs(1);

/// How long what the engine says of itself is taken to stay what it was: an engine may be
/// replaced under us.
const HELLO_KEPT: Duration = Duration::from_secs(60);

/// A client's credentials for a registry.
const REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

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

/// What the engine says of itself when it is greeted.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    /// The oldest version of its API that it answers.
    oldest: ApiVersion,
    /// The newest.
    newest: ApiVersion,
    /// Which builder clients should use, where it says so.
    pub(crate) builder: Option<HeaderValue>,
    /// Whether it has what is not settled yet.
    experimental: Option<HeaderValue>,
}

/// What the engine last said of itself.
#[derive(Default)]
pub(crate) struct LastHello(Mutex<Option<(Instant, Hello)>>);

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
    let auth = request.headers().get(REGISTRY_AUTH).and_then(|value| value.to_str().ok());
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

/// What an image is, as its registry tells the engine, or this node where it has none.
pub(crate) async fn image(host: &Host, image: &str, auth: &str) -> Reply<Value> {
    let Some(socket) = host.engine() else {
        return Ok(host.look_up_image(image.to_owned(), auth.to_owned()).await?);
    };
    let path = format!("/distribution/{image}/json");
    let mut request = get(&path)?;
    let auth = HeaderValue::from_str(auth).ok().filter(|auth| !auth.is_empty());
    request.headers_mut().extend(auth.map(|auth| (REGISTRY_AUTH, auth)));
    let answer = pass(host, &socket, request).await?;
    if !answer.status().is_success() {
        return Err(silent(&socket, format!("{path} gives {}", answer.status())).into());
    }
    let whole = body::bytes(answer.into_body(), body::JSON_MAX).await?;
    Ok(serde_json::from_slice(&whole).map_err(|error| silent(&socket, error))?)
}

/// Passes a request on to the engine, where there is one.
pub(crate) async fn pass_on(host: &Host, request: Request) -> Reply {
    let socket = host.engine().ok_or_else(no_engine)?;
    pass(host, &socket, request).await
}

/// The version in which the engine is asked what a client asks in this one; `None` without
/// an engine.
pub(crate) async fn spoken(host: &Host, asked: ApiVersion) -> Reply<Option<ApiVersion>> {
    match host.engine() {
        Some(socket) => Ok(Some(host.last_hello.of(&socket).await?.nearest(asked))),
        None => Ok(None),
    }
}

/// What the engine says of itself; `None` without one, and from one that does not say it
/// soon: nobody who asks whether we are there waits for it.
pub(crate) async fn hello(host: &Host) -> Option<Hello> {
    let socket = host.engine()?;
    let hello = tokio::time::timeout(PING_PATIENCE, host.last_hello.of(&socket)).await;
    hello.ok()?.inspect_err(|why| tracing::debug!(%why, "the engine does not greet")).ok()
}

/// The version that a request is written in; one that names none is in the newest.
pub(crate) fn asked_in(request: &Request) -> ApiVersion {
    request.extensions().get::<ApiVersion>().copied().unwrap_or(MAXIMUM)
}

/// The engine's answer to a question of the client's, in the newest version that both
/// speak; `None` without an engine, or where it knows of no such thing.
pub(crate) async fn ask_in_version(host: &Host, path: &str) -> Reply<Option<Value>> {
    let Some(socket) = host.engine() else {
        return Ok(None);
    };
    let answer = pass(host, &socket, get(path)?).await?;
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

/// Whether the engine knows of something: by the status of its answer alone, where any but
/// 404 means that it does, an error of its own too. One that does not answer knows nothing.
pub(crate) async fn knows(host: &Host, path: &str) -> bool {
    let Some(socket) = host.engine() else {
        return false;
    };
    let asked = async { pass(host, &socket, get(path)?).await };
    let answer = tokio::time::timeout(ENGINE_PATIENCE, asked).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|a| a.status() != StatusCode::NOT_FOUND))
}

/// Passes a request to the engine and its answer back.
async fn pass(host: &Host, socket: &Path, mut request: Request) -> Reply {
    let asked = asked_in(&request);
    let version = host.last_hello.of(socket).await?.nearest(asked);
    if version < asked {
        request = checked(version, request).await?;
    }
    let rest = request.uri().path_and_query().map_or("/", |p| p.as_str());
    *request.uri_mut() = uri(&format!("/v{version}{rest}"))?;
    let stream = connect(socket).await?;
    exchange(stream, request).await.map_err(|error| silent(socket, error).into())
}

/// Refuses what a request says that an engine of this version would drop without a word.
async fn checked(engine: ApiVersion, request: Request) -> Reply<Request> {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let later: Vec<_> = Later::than(engine, method, path).collect();
    for (key, value) in Params::of(request.uri()).pairs() {
        later.iter().try_for_each(|one| one.check_query(engine, key, value))?;
    }
    if !later.iter().any(|one| one.is_of_body()) {
        return Ok(request);
    }
    let (mut parts, content) = request.into_parts();
    let content = body::bytes(content, body::JSON_MAX).await?;
    // What is no JSON the engine refuses in its own words.
    let posted: Value = serde_json::from_slice(&content).unwrap_or_default();
    later.iter().try_for_each(|one| one.check_body(engine, &posted))?;
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    Ok(Request::from_parts(parts, Body::from(content)))
}

/// Sends a request over a connection of its own and gives the answer back; a connection that
/// is hijacked is joined with the client's.
pub(crate) async fn exchange(
    stream: impl Connection,
    mut request: Request,
) -> hyper::Result<Response> {
    let client = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let mut response = over(stream, request).await?;
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
async fn send(socket: &Path, request: Request) -> Result<Response, Refusal> {
    let stream = connect(socket).await?;
    over(stream, request).await.map_err(|error| silent(socket, error))
}

async fn connect(socket: &Path) -> Result<UnixStream, Refusal> {
    let connected = tokio::time::timeout(ENGINE_PATIENCE, UnixStream::connect(socket)).await;
    connected
        .map_err(|_| silent(socket, "it takes no connection"))?
        .map_err(|error| silent(socket, error))
}

async fn over(stream: impl Connection, mut request: Request) -> hyper::Result<Response> {
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("docker"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an engine broke off");
        }
    });
    Ok(sender.send_request(request).await?.map(Body::new))
}

/// A question of our own; `None` without an engine.
pub(crate) async fn ask(host: &Host, path: &str) -> Result<Option<Value>, Refusal> {
    let Some(socket) = host.engine() else {
        return Ok(None);
    };
    let answer = async {
        let answer = send(&socket, get(path)?).await?;
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
    let request = get(path_and_query)?;
    let answer = pass(host, &socket, request).await.map_err(|Refused(refusal)| refusal)?;
    match answer.status() {
        StatusCode::OK => Ok(Some(answer.into_body())),
        status => Err(silent(&socket, format!("{path_and_query} gives {status}"))),
    }
}

fn uri(text: &str) -> Result<Uri, Refusal> {
    text.parse().map_err(|_| Refusal::invalid(format!("invalid path {text:?}")))
}

/// Greets the engine at `socket`.
async fn greet(socket: &Path) -> Result<Hello, Refusal> {
    let pong = send(socket, get("/_ping")?).await?.into_parts().0.headers;
    let newest = pong
        .get("api-version")
        .and_then(|version| ApiVersion::parse(version.to_str().ok()?))
        .ok_or_else(|| silent(socket, "its /_ping names no Api-Version"))?;
    let oldest = oldest(socket).await?.min(newest);
    let header = |name: &str| pong.get(name).cloned();
    let (builder, experimental) = (header("builder-version"), header("docker-experimental"));
    Ok(Hello { oldest, newest, builder, experimental })
}

/// The oldest version that the engine answers: a path with an older one would be refused.
/// One that names none answers all that are answered here.
async fn oldest(socket: &Path) -> Result<ApiVersion, Refusal> {
    let answer = send(socket, get("/version")?).await?;
    let whole = body::bytes(answer.into_body(), body::JSON_MAX).await;
    let whole = whole.map_err(|Refused(why)| silent(socket, why))?;
    let told: Value = serde_json::from_slice(&whole).unwrap_or_default();
    Ok(told["MinAPIVersion"].as_str().and_then(ApiVersion::parse).unwrap_or(MINIMUM))
}

fn get(path: &str) -> Result<Request, Refusal> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri(path)?;
    Ok(request)
}

// === impl Hello ===

impl Hello {
    /// The version nearest to this one that the engine answers.
    fn nearest(&self, asked: ApiVersion) -> ApiVersion {
        asked.max(self.oldest).min(self.newest)
    }
}

// === impl LastHello ===

impl LastHello {
    /// What the engine at `socket` says of itself.
    async fn of(&self, socket: &Path) -> Result<Hello, Refusal> {
        let last = self.lock().clone();
        if let Some((_, hello)) = last.filter(|(at, _)| at.elapsed() < HELLO_KEPT) {
            return Ok(hello);
        }
        let hello = tokio::time::timeout(ENGINE_PATIENCE, greet(socket)).await;
        let hello = hello.unwrap_or_else(|_| Err(silent(socket, "it takes too long")))?;
        *self.lock() = Some((Instant::now(), hello.clone()));
        Ok(hello)
    }

    /// What it last said of what is not settled yet; where nobody asked it so far, that it has
    /// none.
    pub(crate) fn experimental(&self) -> HeaderValue {
        let last = self.lock();
        let said = last.as_ref().and_then(|(_, hello)| hello.experimental.clone());
        said.unwrap_or(HeaderValue::from_static("false"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Hello)>> {
        // What is kept is one value: a panic elsewhere cannot have left half of it.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
