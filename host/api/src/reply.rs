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
use serde_json::json;

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

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        let status = StatusCode::from_u16(self.0.kind.http_status());
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = message(self.status(), &self.0.to_string());
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

/// A value of ours in JSON.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text, value);
    text
}

/// Adds a value of ours to a text in JSON. None of them fails to be written.
pub(crate) fn write(text: &mut Vec<u8>, value: &impl Serialize) {
    let begun = text.len();
    if let Err(error) = serde_json::to_writer(&mut *text, value) {
        tracing::error!(%error, "an answer cannot be written");
        text.truncate(begun);
        text.extend_from_slice(b"null");
    }
}

/// Objects written at a time, so that a list of 100,000 tasks is never in memory as
/// a whole.
const LIST_PIECE: usize = 256;

/// 200 with a JSON list of what `show` adds to the text for each item, in pieces.
pub(crate) fn list<T, S>(items: Vec<T>, mut show: S) -> Reply
where
    T: Send + 'static,
    S: FnMut(&mut Vec<u8>, &T) + Send + 'static,
{
    let is_short = items.len() <= LIST_PIECE;
    let mut items = items.into_iter();
    let mut mark = b'[';
    let mut ended = false;
    let mut pieces = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let in_piece = items.len().min(LIST_PIECE);
        let mut piece = Vec::new();
        for (nth, item) in items.by_ref().take(LIST_PIECE).enumerate() {
            piece.push(mark);
            mark = b',';
            show(&mut piece, &item);
            if nth == 0 {
                // Those of a list are of a size, more or less.
                piece.reserve(piece.len() * 9 / 8 * in_piece);
            }
        }
        if items.len() == 0 {
            piece.extend_from_slice(if mark == b'[' { b"[]".as_slice() } else { b"]" });
            ended = true;
        }
        Some(Bytes::from(piece))
    });
    let body = match is_short {
        true => Body::from(pieces.next().unwrap_or_default()),
        false => Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>))),
    };
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
