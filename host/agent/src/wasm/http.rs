//! Serving a `wasi:http` component: an instance per request.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::run::{Host, Maker};

/// Requests under way in one task; more wait.
const REQUESTS_MAX: usize = 1_000;

/// Serves one component.
#[derive(Clone)]
pub(super) struct Server {
    pre: ProxyPre<Host>,
    maker: Maker,
    places: Arc<Semaphore>,
}

// === impl Server ===

impl Server {
    pub(super) fn new(pre: ProxyPre<Host>, maker: Maker) -> Self {
        Self { pre, maker, places: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Serves until `stop`, then lets requests under way end within the grace.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let open = GracefulShutdown::new();
        tokio::pin!(stop);
        loop {
            let stream = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        self.maker.log().note(&format!("cannot accept: {error}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let server = self.clone();
            let service = service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let connection = open.watch(connection);
            tokio::spawn(async move {
                // The client went, or spoke no HTTP: its own affair.
                let _ = connection.await;
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(grace, open.shutdown()).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<HyperOutgoingBody> {
        match self.call(request).await {
            Ok(response) => response,
            Err(error) => {
                self.maker.log().note(&format!("a request failed: {error:#}"));
                failed()
            }
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
    ) -> wasmtime::Result<Response<HyperOutgoingBody>> {
        let _place = self.places.acquire().await?;
        let mut store = self.maker.store(self.pre.engine());
        let (sender, receiver) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let pre = self.pre.clone();
        // The component may go on after it has answered: the body is still to come.
        let work = tokio::spawn(async move {
            let proxy = pre.instantiate_async(&mut store).await?;
            proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
        });
        match receiver.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(code)) => Err(wasmtime::Error::msg(format!("{code:?}"))),
            Err(_) => {
                work.await.map_err(|e| wasmtime::Error::msg(e.to_string()))??;
                Err(wasmtime::Error::msg("the component set no response"))
            }
        }
    }
}

fn failed() -> Response<HyperOutgoingBody> {
    let body = Full::new("the component failed\n".into())
        .map_err(|never: Infallible| -> wasmtime_wasi_http::Error { match never {} })
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
