//! What every request goes through: the version in its path, the table of routes,
//! the headers of every answer.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::SERVER;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::engine::LastHello;
use crate::forward::Forwarded;
use crate::reply::{Refused, Unrouted};
use crate::version::{self, MAXIMUM};
use crate::{Node, body, routes};

/// Components and blobs read into memory at a time; more wait for their turn.
pub(crate) const UPLOADS_MAX: usize = 2;

/// Whether the engine has what is not settled yet: in each answer since 1.25.
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");

/// Answers requests of the Docker Engine API for one node.
#[derive(Clone)]
pub struct Api {
    host: Host,
    router: Router,
}

/// What handlers share.
pub(crate) struct Shared {
    node: Arc<dyn Node>,
    pub(crate) uploads: Semaphore,
    pub(crate) last_hello: LastHello,
}

/// The daemon behind the API, as handlers hold it.
pub(crate) type Host = Arc<Shared>;

// === impl Api ===

impl Api {
    /// The API in front of `node`.
    pub fn new(node: Arc<dyn Node>) -> Self {
        let host = Arc::new(Shared {
            node,
            uploads: Semaphore::new(UPLOADS_MAX),
            last_hello: LastHello::default(),
        });
        Self { router: routes::router(host.clone()), host }
    }

    /// Answers a client's request.
    pub async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (asked, rest) = version::split(&uri);
        let version = asked.map_or(Ok(MAXIMUM), version::check);
        let is_answered = version.is_ok();
        let mut response = match version {
            Err(refusal) => Refused(refusal).into_response(),
            Ok(version) => {
                // What was a path before is one after its first segment went.
                if let Ok(uri) = rest.parse::<Uri>() {
                    *request.uri_mut() = uri;
                }
                request.extensions_mut().insert(version);
                match body::ahead(request).await {
                    Err(refused) => refused.into_response(),
                    Ok(request) => {
                        let answered = self.router.clone().oneshot(request).await;
                        answered.unwrap_or_else(|never: Infallible| match never {})
                    }
                }
            }
        };
        if response.extensions().get::<Unrouted>().is_none() {
            mark(&mut response);
            // As Docker's engine: a version that is refused hears nothing else.
            if is_answered {
                let experimental = response.headers_mut().entry(EXPERIMENTAL);
                experimental.or_insert_with(|| self.host.last_hello.experimental());
            }
        }
        tracing::debug!(%method, path = uri.path(), status = response.status().as_u16(), "answered");
        response
    }

    /// Answers a request that another manager passed on because this one leads. If
    /// it does not any more, the answer says so by [`crate::LEADER_MOVED`] and
    /// nothing was done.
    pub async fn forwarded(&self, request: Request<Bytes>) -> Response<Body> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Forwarded);
        self.call(request).await
    }
}

/// Puts Docker's headers on an answer, over those that an engine put there.
fn mark<B>(response: &mut Response<B>) {
    let version = MAXIMUM.to_string();
    let server = format!("Docker/{} (linux)", env!("CARGO_PKG_VERSION"));
    let headers = response.headers_mut();
    for (name, value) in [("api-version", version.as_str()), ("ostype", "linux")] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&server) {
        headers.insert(SERVER, value);
    }
}

// === impl Shared ===

impl Deref for Shared {
    type Target = dyn Node;

    fn deref(&self) -> &Self::Target {
        &*self.node
    }
}
