//! Swarm's requests are answered by the manager that leads; the others pass them
//! on, each with an id, so that a try after an election gets the first answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use tokio::time::Instant;

use swarmw_model::{Id, Refusal, RefusalKind, RequestId};
use swarmw_state::{Outcome, State as Cluster};

use crate::api::Host;
use crate::reply::{Refused, Reply};
use crate::version::{ApiVersion, MAXIMUM};
use crate::{Standing, body, refusals};

/// Names a write, by 25 characters of `[0-9a-z]`. A client may send its own, to try
/// again by itself.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-swarmw-request-id");

/// On a 503 that says: the manager asked does not lead any more, nothing was done,
/// ask the one that leads now.
pub const LEADER_MOVED: HeaderName = HeaderName::from_static("x-swarmw-leader-moved");

/// The most time until the head of an answer of ours. A write that takes longer may
/// still be carried out.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
/// Paths that take a component or a blob.
const UPLOADS: [&str; 2] = ["/swarmw/plugins", "/swarmw/blobs"];
/// The same for these, as what they take first has to arrive.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(300);
/// How long a request waits for the managers to have a leader again…
const LEADER_PATIENCE: Duration = Duration::from_secs(15);
/// …looking so often.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// Marks a request that another manager passed on: it is never passed on again.
#[derive(Clone, Copy)]
pub(crate) struct Forwarded;

/// Marks an answer that says that there is no leader.
#[derive(Clone, Copy)]
pub(crate) struct Leaderless;

/// A write as it begins: the state it is decided on, and what became of the same
/// request if it came before.
pub(crate) struct Begun {
    pub(crate) state: Arc<Cluster>,
    pub(crate) request: Option<RequestId>,
    pub(crate) first: Option<Result<Option<Id>, Refusal>>,
}

/// A request read to its end, so that it can be tried again.
struct Whole {
    parts: Parts,
    content: Bytes,
}

/// Hands a request to its handler on the leader, here or elsewhere, or refuses it
/// on a node that is no manager. Where the leader is lost on the way, it is tried
/// again with the same id once there is a new one.
pub(crate) async fn to_the_leader(
    State(host): State<Host>,
    request: Request,
    next: Next,
) -> Response {
    let patience = match is_upload(&request) {
        true => UPLOAD_DEADLINE,
        false => REQUEST_DEADLINE,
    };
    let run = |request| next.clone().run(request);
    let answer = async { led(&host, request, run).await.unwrap_or_else(Refused::into_response) };
    within(patience, answer).await
}

/// Holds the node's own answers to the deadline.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    within(REQUEST_DEADLINE, next.run(request)).await
}

async fn within(patience: Duration, answer: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(patience, answer).await {
        Ok(response) => response,
        Err(_) => Refused(Refusal::plain(
            RefusalKind::Unavailable,
            format!(
                "no answer within {} s: the request may still be carried out",
                patience.as_secs()
            ),
        ))
        .into_response(),
    }
}

/// Hands a request of our own to its handler on the leader, here or elsewhere. Its path
/// is one of the leader's.
pub(crate) async fn at_the_leader<F>(
    host: &Host,
    request: Request,
    handler: impl Fn(State<Host>, Request) -> F,
) -> Reply
where
    F: Future<Output = Reply>,
{
    let run = |request| {
        let answer = handler(State(host.clone()), request);
        async { answer.await.unwrap_or_else(Refused::into_response) }
    };
    led(host, request, run).await
}

/// What a refusal of another manager is, by its status.
pub(crate) fn kind_of(status: u16) -> RefusalKind {
    use RefusalKind::{
        AlreadyExists, InvalidArgument, NotFound, PermissionDenied, Unavailable, Unimplemented,
        Unknown,
    };
    [AlreadyExists, InvalidArgument, NotFound, PermissionDenied, Unavailable, Unimplemented]
        .into_iter()
        .find(|kind| kind.http_status() == status)
        .unwrap_or(Unknown)
}

async fn led<F>(host: &Host, request: Request, run: impl Fn(Request) -> F) -> Reply
where
    F: Future<Output = Response>,
{
    leads(host)?;
    let _turn = match is_upload(&request) {
        true => host.uploads.acquire().await.ok(),
        false => None,
    };
    let was_forwarded = request.extensions().get::<Forwarded>().is_some();
    let whole = Whole::of(host, request).await?;
    let mut lost = Instant::now();
    loop {
        let asked = Instant::now();
        let answer = match (leads(host)?, was_forwarded) {
            (true, _) => run(whole.again()).await,
            (false, true) => return Ok(moved()),
            (false, false) => match host.forward(whole.outward()?).await {
                Ok(answer) => answer,
                Err(refusal) => Refused(refusal).into_response(),
            },
        };
        if !is_leaderless(&answer) {
            return Ok(answer);
        }
        if was_forwarded {
            return Ok(moved());
        }
        if asked.elapsed() >= LEADER_PATIENCE {
            // Somebody led, and was at work for as long.
            lost = Instant::now();
        }
        if lost.elapsed() >= LEADER_PATIENCE {
            return Err(refusals::no_leader().into());
        }
        tokio::time::sleep(LEADER_PAUSE).await;
    }
}

/// Whether this manager leads; refuses on nodes that answer no Swarm request.
pub(crate) fn leads(host: &Host) -> Result<bool, Refusal> {
    match host.standing() {
        Standing::Manager { ready: true, leading, .. } => Ok(leading),
        Standing::Manager { ready: false, .. } | Standing::Pending(_) => {
            Err(refusals::manager_starting())
        }
        Standing::Worker(_) => Err(refusals::worker()),
        Standing::Inactive => Err(refusals::no_swarm()),
        Standing::Locked => Err(refusals::locked()),
        Standing::Error(why) => Err(refusals::out_of_order(&why)),
    }
}

fn is_upload(request: &Request) -> bool {
    request.method() == Method::POST && UPLOADS.contains(&request.uri().path())
}

fn is_leaderless(answer: &Response) -> bool {
    answer.extensions().get::<Leaderless>().is_some()
        || answer.headers().contains_key(&LEADER_MOVED)
}

/// The answer to another manager that takes this one for the leader.
fn moved() -> Response {
    let mut response = Refused(refusals::no_leader()).into_response();
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(LEADER_MOVED, HeaderValue::from_static("true"));
    response
}

/// The id that a request was given, if it was.
fn request_id(headers: &HeaderMap) -> Result<Option<RequestId>, Refusal> {
    let Some(value) = headers.get(&REQUEST_ID) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| {
        Refusal::invalid(format!(
            "invalid {REQUEST_ID} {value:?}: want 25 characters of 0-9 and a-z"
        ))
    })
}

/// Begins a write: reads the state, and whether the request was answered before.
pub(crate) async fn begin(host: &Host, headers: &HeaderMap) -> Reply<Begun> {
    let request = request_id(headers)?;
    let state = host.read().await?;
    let first = request
        .and_then(|id| state.outcomes_of(id))
        .and_then(|outcomes| outcomes.first())
        .map(|outcome| match outcome {
            Outcome::Done(id) => Ok(*id),
            Outcome::Refused(refusal) => Err(refusal.clone()),
            Outcome::Dropped(_) => Err(Refusal::out_of_sequence()),
        });
    Ok(Begun { state, request, first })
}

// === impl Whole ===

impl Whole {
    /// Reads a request, and gives it an id if it has none.
    async fn of(host: &Host, request: Request) -> Reply<Self> {
        let id = request_id(request.headers())?
            .unwrap_or_else(|| RequestId::from_bits(host.random()))
            .to_string();
        let most = match is_upload(&request) {
            true => body::UPLOAD_MAX,
            false => body::JSON_MAX,
        };
        let (mut parts, content) = request.into_parts();
        if let Ok(id) = HeaderValue::from_str(&id) {
            parts.headers.insert(REQUEST_ID, id);
        }
        let content = body::bytes(content, most).await?;
        Ok(Self { parts, content })
    }

    /// The request for the handler here.
    fn again(&self) -> Request {
        Request::from_parts(self.parts.clone(), Body::from(self.content.clone()))
    }

    /// The request for another manager: its path names the version again.
    fn outward(&self) -> Result<http::Request<Bytes>, Refusal> {
        let mut parts = self.parts.clone();
        let version = parts.extensions.get::<ApiVersion>().unwrap_or(&MAXIMUM);
        let rest = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        parts.uri = format!("/v{version}{rest}")
            .parse()
            .map_err(|_| Refusal::invalid(format!("invalid path {rest:?}")))?;
        parts.extensions.clear();
        Ok(http::Request::from_parts(parts, self.content.clone()))
    }
}
