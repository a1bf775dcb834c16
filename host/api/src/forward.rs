//! Swarm's requests are answered by the manager that leads; the others pass them
//! on, each with an id, so that a try after an election gets the first answer.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue};

use swarmw_model::{Id, Refusal, RefusalKind, RequestId};
use swarmw_state::{Outcome, State as Cluster};

use crate::api::Host;
use crate::reply::{Refused, Reply};
use crate::version::{ApiVersion, MAXIMUM};
use crate::{Standing, body, refusals};

/// Names a write: 25 characters as an id. A client may send its own, to try again
/// by itself.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-swarmw-request-id");

/// On a 503 that says: the manager asked does not lead any more, nothing was done,
/// ask the one that leads now.
pub const LEADER_MOVED: HeaderName = HeaderName::from_static("x-swarmw-leader-moved");

/// The most time until the head of an answer of ours. A write that takes longer may
/// still be carried out.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// Marks a request that another manager passed on: it is never passed on again.
#[derive(Clone, Copy)]
pub(crate) struct Forwarded;

/// A write as it begins: the state it is decided on, and what became of the same
/// request if it came before.
pub(crate) struct Begun {
    pub(crate) state: std::sync::Arc<Cluster>,
    pub(crate) request: Option<RequestId>,
    pub(crate) first: Option<Result<Option<Id>, Refusal>>,
}

/// Hands the request on to its handler here or to the leader, or refuses it on a
/// node that is no manager.
pub(crate) async fn to_the_leader(
    State(host): State<Host>,
    request: Request,
    next: Next,
) -> Response {
    let refusal = match host.standing() {
        Standing::Manager {
            ready: true,
            leading: true,
            ..
        } => return within_deadline(next.run(request)).await,
        Standing::Manager {
            ready: true,
            leading: false,
            ..
        } => {
            if request.extensions().get::<Forwarded>().is_some() {
                return moved();
            }
            return within_deadline(async {
                pass_on(&host, request)
                    .await
                    .unwrap_or_else(Refused::into_response)
            })
            .await;
        }
        Standing::Manager { ready: false, .. } => refusals::manager_starting(),
        Standing::Worker(_) => refusals::worker(),
        Standing::Pending(_) => refusals::manager_starting(),
        Standing::Inactive | Standing::Error(_) => refusals::no_swarm(),
    };
    Refused(refusal).into_response()
}

/// Holds the node's own answers to the deadline.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    within_deadline(next.run(request)).await
}

async fn within_deadline(answer: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, answer).await {
        Ok(response) => response,
        Err(_) => Refused(Refusal::plain(
            RefusalKind::Unavailable,
            format!(
                "no answer within {} s: the request may still be carried out",
                REQUEST_DEADLINE.as_secs()
            ),
        ))
        .into_response(),
    }
}

async fn pass_on(host: &Host, request: Request) -> Reply {
    let version = request.extensions().get::<ApiVersion>().copied();
    let version = version.unwrap_or(MAXIMUM);
    let id = request_id(request.headers())?
        .unwrap_or_else(|| RequestId::from_bits(host.random()))
        .to_string();
    let (mut parts, content) = request.into_parts();
    let rest = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let uploads = rest.starts_with("/swarmw/");
    let uri = format!("/v{version}{rest}").parse();
    parts.uri = uri.map_err(|_| Refusal::invalid(format!("invalid path {rest:?}")))?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        parts.headers.insert(REQUEST_ID, value);
    }
    parts.extensions.clear();
    let mut place = None;
    let most = if uploads && parts.method == http::Method::POST {
        place = host.uploads.acquire().await.ok();
        body::UPLOAD_MAX
    } else {
        body::JSON_MAX
    };
    let content = body::bytes(content, most).await?;
    let answer = host.forward(Request::from_parts(parts, content)).await?;
    drop(place);
    Ok(answer)
}

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
    Ok(Begun {
        state,
        request,
        first,
    })
}
