//! Answers: JSON, and refusals with their status.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use swarmw_model::Refusal;

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
        message(status, &self.0.to_string())
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

/// 201 with JSON.
pub(crate) fn created(value: impl Serialize) -> Reply {
    Ok((StatusCode::CREATED, Json(value)).into_response())
}

/// 200 without a body.
pub(crate) fn done() -> Reply {
    Ok(Response::new(Body::empty()))
}
