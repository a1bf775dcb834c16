//! Answers: JSON, and refusals with their status.

use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Value, json};

use swarmw_model::Refusal;

use crate::forward::Leaderless;
use crate::refusals;

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Refusal);

/// What a handler gives back.
pub(crate) type Reply<T = Response> = Result<T, Refused>;

// === impl Refused ===

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = message(status, &self.0.to_string());
        if self.0 == refusals::no_leader() {
            response.extensions_mut().insert(Leaderless);
        }
        response
    }
}

/// `{"message": …}`, Docker's shape of every error.
pub(crate) fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "message": text }))).into_response()
}

/// Docker's answer to a path or method that it does not know.
pub(crate) fn page_not_found() -> Response {
    let mut response = message(StatusCode::NOT_FOUND, "page not found");
    response.extensions_mut().insert(Unrouted);
    response
}

/// Marks an answer that gets none of the headers of routed ones.
#[derive(Clone, Copy)]
pub(crate) struct Unrouted;

/// 200 with JSON.
pub(crate) fn ok(value: impl Serialize) -> Reply {
    Ok(Json(value).into_response())
}

/// Objects written at a time, so that a list of 100,000 tasks is never in memory as
/// a whole.
const LIST_PIECE: usize = 256;

/// 200 with a JSON list of what `show` makes of each item, in pieces.
pub(crate) fn list<T, S>(items: Vec<T>, show: S) -> Reply
where
    T: Send + 'static,
    S: Fn(&T) -> Value + Send + 'static,
{
    if items.len() <= LIST_PIECE {
        return ok(items.iter().map(show).collect::<Vec<_>>());
    }
    let mut items = items.into_iter();
    let mut mark = "[";
    let mut ended = false;
    let pieces = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut piece = String::new();
        for item in items.by_ref().take(LIST_PIECE) {
            piece.push_str(mark);
            mark = ",";
            piece.push_str(&show(&item).to_string());
        }
        if items.len() == 0 {
            piece.push(']');
            ended = true;
        }
        Some(Ok::<_, Infallible>(Bytes::from(piece)))
    });
    let body = Body::from_stream(stream::iter(pieces));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// 201 with JSON.
pub(crate) fn created(value: impl Serialize) -> Reply {
    Ok((StatusCode::CREATED, Json(value)).into_response())
}

/// 200 without a body.
pub(crate) fn done() -> Reply {
    Ok(Response::new(Body::empty()))
}
