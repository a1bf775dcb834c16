//! What managers ask of the containers of tasks here, for users of the API on other nodes.
//!
//! A call is one connection that speaks HTTP as to an engine. It names a task, and whatever
//! container its requests name, the task's own is asked: no manager's mistake leads to a
//! container that is none of the cluster's. What is let through, and no more, is what
//! [`ContainerCall`] and [`ExecCall`] have words for; a command is let through where it was
//! made in that container. Streams are joined with the engine's end to end, half by half.
//!
//! # Bounds
//!
//! [`OPEN_MAX`] calls at a time; a request's head comes within [`HEAD_PATIENCE`], and the
//! engine takes a connection within [`ENGINE_PATIENCE`]. What a connection has under way is
//! what [`swarmw_proto::PIECES_IN_FLIGHT`] allows; who reads slowly slows the engine down.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::{CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use swarmw_model::{ApiVersion, ContainerCall, ExecCall, TaskId};
use swarmw_proto::{Allowed, PIECES_IN_FLIGHT, Wire, pb, pipe, require};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::debug;

use super::engine::{Engine, HELLO_DEADLINE};
use super::failure::Failure;
use crate::worker::Worker;

/// Calls of managers at a time; further ones are refused.
const OPEN_MAX: usize = 1_000;
/// For the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// For the engine to take a connection.
const ENGINE_PATIENCE: Duration = Duration::from_secs(5);

/// Answers managers that ask for containers of tasks here.
#[derive(Clone)]
pub struct ContainersService {
    worker: Worker,
    engine: Option<Arc<Engine>>,
    places: Arc<Semaphore>,
}

/// The container of one task, for one call.
struct Container {
    engine: Arc<Engine>,
    /// Its name at the engine.
    name: String,
    _place: OwnedSemaphorePermit,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Container(ContainerCall),
    /// The engine's id of a command in the container.
    Exec(String, ExecCall),
}

/// The body of an answer.
type Body = BoxBody<Bytes, hyper::Error>;

/// Why a request is not answered by the engine.
type Refused = (StatusCode, String);

// === impl ContainersService ===

impl ContainersService {
    /// For the tasks of this worker.
    pub(crate) fn new(worker: Worker, engine: Option<Arc<Engine>>) -> Self {
        Self { worker, engine, places: Arc::new(Semaphore::new(OPEN_MAX)) }
    }

    fn container(&self, task: TaskId) -> Result<Container, Status> {
        let found = self.worker.find(task);
        let (task, _) =
            found.ok_or_else(|| Status::not_found(format!("task {task} is not on this node")))?;
        if task.spec.is_component() {
            let why = format!("task {} is a component: it has no container", task.id);
            return Err(Status::failed_precondition(why));
        }
        let engine = self.engine.clone();
        let engine = engine.ok_or_else(|| Status::failed_precondition("it has no engine"))?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            let why = format!("{OPEN_MAX} calls to containers of this node are open: try later");
            Status::resource_exhausted(why)
        })?;
        Ok(Container { engine, name: task.name(), _place: place })
    }
}

#[tonic::async_trait]
impl pb::containers_server::Containers for ContainersService {
    type OpenStream = BoxStream<'static, Result<pb::ContainerBytes, Status>>;

    async fn open(
        &self,
        request: tonic::Request<Streaming<pb::ContainerBytes>>,
    ) -> Result<tonic::Response<Self::OpenStream>, Status> {
        require(&request, Allowed::Manager)?;
        let mut incoming = request.into_inner();
        let first = incoming.message().await?;
        let task = first.and_then(|first| first.task.parse().ok());
        let task = task.ok_or_else(|| Status::invalid_argument("not a task"))?;
        let container = self.container(task)?;
        let (outgoing, answers) = mpsc::channel(PIECES_IN_FLIGHT);
        tokio::spawn(Arc::new(container).serve(pipe(incoming, outgoing, Ok)));
        Ok(tonic::Response::new(ReceiverStream::new(answers).boxed()))
    }
}

// === impl Container ===

impl Container {
    async fn serve(self: Arc<Self>, stream: Box<dyn Wire>) {
        let service = service_fn(move |request| {
            let container = self.clone();
            async move { Ok::<_, Infallible>(container.answer(request).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            debug!(%error, "a manager's call to a container broke off");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        self.pass(request).await.unwrap_or_else(refusal)
    }

    /// Passes a request to the engine and its answer back.
    async fn pass(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let (asked, wanted) = wanted(request.method().as_str(), request.uri().path())
            .ok_or_else(|| not_for_others(&request))?;
        let spoken = self.engine.nearest(asked).await.map_err(failed)?;
        if let Wanted::Exec(id, _) = &wanted {
            self.check_made_here(id).await?;
        }
        let query = request.uri().query();
        *request.uri_mut() = at_the_engine(&self.name, &wanted, spoken, query)?;
        let manager =
            request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let mut answer = send(self.engine.socket(), request).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(manager) = manager
        {
            let engine = hyper::upgrade::on(&mut answer);
            tokio::spawn(self.join(manager, engine));
            return Ok(answer.map(|_| nothing()));
        }
        Ok(answer.map(BodyExt::boxed))
    }

    /// Copies both ways until both ends are through, or one is gone.
    async fn join(self: Arc<Self>, manager: OnUpgrade, engine: OnUpgrade) {
        let (manager, engine) = match tokio::try_join!(manager, engine) {
            Ok(ends) => ends,
            Err(error) => return debug!(%error, "a container's streams were not taken over"),
        };
        let (mut manager, mut engine) = (TokioIo::new(manager), TokioIo::new(engine));
        if let Err(error) = tokio::io::copy_bidirectional(&mut manager, &mut engine).await {
            debug!(%error, container = self.name, "a container's streams broke off");
        }
    }

    /// Refuses commands in other containers, in the engine's words for one that it does not
    /// know.
    async fn check_made_here(&self, exec: &str) -> Result<(), Refused> {
        let name = self.name.as_str();
        let command = self.ask(move |docker| async move { docker.inspect_exec(exec).await });
        let own = self.ask(move |docker| async move { docker.inspect_container(name, None).await });
        let (command, own) = tokio::try_join!(command, own).map_err(failed)?;
        match command.container_id.is_some() && command.container_id == own.id {
            true => Ok(()),
            false => Err((StatusCode::NOT_FOUND, format!("No such exec instance: {exec}"))),
        }
    }

    async fn ask<T, F>(&self, call: impl Fn(Docker) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        self.engine.once(HELLO_DEADLINE, call).await
    }
}

/// What a request is about, and the version that it is written in: its path is
/// `/v1.47/containers/…/exec` or `/v1.47/exec/…/start`.
fn wanted(method: &str, path: &str) -> Option<(ApiVersion, Wanted)> {
    let mut parts = path.strip_prefix("/v")?.splitn(4, '/');
    let (version, kind, id, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = ApiVersion::parse(version)?;
    let is_engines_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wanted = match kind {
        "containers" => Wanted::Container(ContainerCall::of(method, end)?),
        "exec" if is_engines_id => Wanted::Exec(id.to_owned(), ExecCall::of(method, end)?),
        _ => return None,
    };
    Some((version, wanted))
}

/// The same request as the engine takes it.
fn at_the_engine(
    container: &str,
    wanted: &Wanted,
    version: ApiVersion,
    query: Option<&str>,
) -> Result<Uri, Refused> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let path = match wanted {
        Wanted::Container(call) => format!("containers/{container}/{}", call.end()),
        Wanted::Exec(id, call) => format!("exec/{id}/{}", call.end()),
    };
    let path = format!("/v{version}/{path}{query}");
    path.parse().map_err(|_| (StatusCode::BAD_REQUEST, format!("invalid path {path:?}")))
}

/// One request on a connection of its own: a manager that goes away takes the engine's work
/// with it.
async fn send(socket: &Path, request: Request<Incoming>) -> Result<Response<Incoming>, Refused> {
    let away = |why: &dyn std::fmt::Display| failed(Failure::away(socket, &why.to_string()));
    let connected = timeout(ENGINE_PATIENCE, UnixStream::connect(socket)).await;
    let stream = connected.map_err(|late| away(&late))?.map_err(|error| away(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| away(&e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "a connection to the engine broke off");
        }
    });
    sender.send_request(request).await.map_err(|error| away(&error))
}

fn not_for_others(request: &Request<Incoming>) -> Refused {
    let (method, path) = (request.method(), request.uri().path());
    (StatusCode::NOT_IMPLEMENTED, format!("{method} {path} is not answered for other nodes"))
}

fn failed(failure: Failure) -> Refused {
    match failure {
        Failure::Away(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        Failure::Refused { status, message } => {
            let status = StatusCode::from_u16(status).ok().filter(StatusCode::is_client_error);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message)
        }
    }
}

/// Docker's shape of an error.
fn refusal((status, message): Refused) -> Response<Body> {
    let told = json!({ "message": message }).to_string();
    let body = Full::new(Bytes::from(told)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

#[cfg(test)]
mod tests;
