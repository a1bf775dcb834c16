//! `wasi:http` requests of a component: those to its networks go by the daemon, all others
//! as any component's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use super::ways::{Missed, Ways};
use crate::forward::Failure;

/// For what a request sets no limit: that of `wasi:http` requests elsewhere.
const PATIENCE: Duration = Duration::from_secs(600);
/// Why a request is refused.
const NO_TLS: &str =
    "requests to names and addresses of the cluster's networks are http, not https";

/// How requests of a component are sent; with ways, if it is on networks.
#[derive(Clone)]
pub(super) struct Outgoing(pub(super) Option<Ways>);

/// An answer, and what is left to do for it.
type Answered =
    Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

// === impl Outgoing ===

impl Outgoing {
    /// A connection to whom a request is for; `None` where that is nobody of the networks.
    async fn way(&self, uri: &Uri, options: &RequestOptions) -> Result<Option<UnixStream>, Error> {
        let Some(ways) = &self.0 else { return Ok(None) };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return match ways.find(host).await {
                Ok(None) => Ok(None),
                Ok(Some(_)) => Err(Error::InternalError(Some(NO_TLS.to_owned()))),
                Err(failure) => Err(why(failure)),
            };
        }
        let port = authority.port_u16().unwrap_or(80);
        let patience = options.connect_timeout.unwrap_or(PATIENCE);
        match timeout(patience, ways.reach(host, port)).await {
            Ok(Ok(stream)) => Ok(Some(stream)),
            Ok(Err(Missed::NotOurs)) => Ok(None),
            Ok(Err(Missed::Failed(failure))) => Err(why(failure)),
            Err(_) => Err(Error::ConnectionTimeout),
        }
    }

    async fn send(self, request: Request<WasiBody>, options: Option<RequestOptions>) -> Answered {
        let said = options.unwrap_or_default();
        if let Some(stream) = self.way(request.uri(), &said).await? {
            let response = send_by(stream, request, &said).await?;
            return Ok((response, Box::new(std::future::ready(Ok(())))));
        }
        let (response, rest) = default_send_request(request, options).await?;
        Ok((response.map(BodyExt::boxed_unsync), Box::new(rest)))
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        Box::new(self.clone().send(request, options))
    }
}

/// Sends a request by a connection of its own.
async fn send_by(
    stream: UnixStream,
    mut request: Request<WasiBody>,
    options: &RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Its error is the request's, or the body's.
        let _ = connection.await;
    });
    // Only what is asked of a proxy says whom.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    let patience = options.first_byte_timeout.unwrap_or(PATIENCE);
    let response = timeout(patience, sender.send_request(request)).await;
    let response = response.map_err(|_| Error::ConnectionReadTimeout)??;
    let pause = options.between_bytes_timeout.unwrap_or(PATIENCE);
    Ok(response
        .map(|incoming| Timed { incoming, pause, late: Box::pin(sleep(pause)) }.boxed_unsync()))
}

fn why(failure: Failure) -> Error {
    match failure {
        Failure::Refused => Error::ConnectionRefused,
        Failure::TimedOut => Error::ConnectionTimeout,
        Failure::Unreachable => Error::DestinationUnavailable,
        Failure::TooMany => Error::ConnectionLimitReached,
    }
}

/// A body that does not pause for too long.
struct Timed {
    incoming: Incoming,
    pause: Duration,
    late: Pin<Box<Sleep>>,
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            let next = Instant::now() + self.pause;
            self.late.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        ready!(self.late.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
