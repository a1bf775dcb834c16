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
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use swarmw_model::{NodeId, Refusal};

use crate::engine::LastHello;
use crate::forward::Forwarded;
use crate::reply::{Refused, Unrouted};
use crate::version::{self, MAXIMUM};
use crate::{Connection, Node, body, containers, routes, serve};

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
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let read = versioned(request);
        let is_answered = read.is_ok();
        let mut response = match read {
            Err(refusal) => Refused(refusal).into_response(),
            Ok(request) => match body::ahead(request).await {
                Err(refused) => refused.into_response(),
                Ok(request) => {
                    let answered = self.router.clone().oneshot(request).await;
                    answered.unwrap_or_else(|never: Infallible| match never {})
                }
            },
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

    /// Answers a node that is no manager, on a connection that speaks HTTP as to an engine:
    /// about the containers of the cluster's tasks, wherever they run, and nothing else.
    /// Each request is refused while the cluster does not let such nodes ask.
    pub async fn reached(&self, from: NodeId, stream: impl Connection) {
        let host = self.host.clone();
        let answer = move |request| {
            let host = host.clone();
            async move { answer_node(&host, from, request).await }
        };
        serve::connection(stream, answer, CancellationToken::new()).await;
    }
}

async fn answer_node(host: &Host, from: NodeId, request: Request<Body>) -> Response<Body> {
    let answered = async {
        let request = body::ahead(versioned(request)?).await?;
        containers::for_node(host, from, request).await
    };
    answered.await.unwrap_or_else(Refused::into_response)
}

/// A request without the version in its path, which goes with it.
fn versioned(mut request: Request<Body>) -> Result<Request<Body>, Refusal> {
    let (asked, rest) = version::split(request.uri());
    let version = asked.map_or(Ok(MAXIMUM), version::check)?;
    // What was a path before is one after its first segment went.
    if let Ok(uri) = rest.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(version);
    Ok(request)
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
