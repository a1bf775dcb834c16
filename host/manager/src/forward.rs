//! A request of the API passed on to the leader, whole.
//!
//! The API sends it again when the leader goes away in the middle; the request
//! carries an id by which the state tells a second try from a second wish.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use swarmw_proto::pb::{self, http_chunk::Part};
use swarmw_proto::{CHUNK_MAX, Channels};
use swarmw_raft::Raft;
use tonic::{Response, Status, Streaming};

/// The largest body: a component or an image on its way to the leader.
const BODY_MAX: usize = 80 << 20;

/// A request or an answer of the API, with a body that is all there.
pub type WholeRequest = http::Request<Bytes>;
/// An answer whose body may go on for long: logs, events.
pub type StreamedResponse = http::Response<BoxStream<'static, std::io::Result<Bytes>>>;
/// What answers a forwarded request on the leader: the API's own router.
pub type Handler = Arc<dyn Fn(WholeRequest) -> BoxFuture<'static, StreamedResponse> + Send + Sync>;

/// Sends a request to the leader as it is known now. One try: the API tries again
/// when nobody took it.
pub(crate) async fn forward(
    raft: &Raft,
    channels: &Channels,
    request: WholeRequest,
) -> Result<StreamedResponse, ForwardError> {
    let Some((_, address)) = raft.role().leader else {
        return Err(ForwardError("no leader is elected".to_owned()));
    };
    call(channels, &address, &request).await.map_err(|e| ForwardError(e.message().to_owned()))
}

/// No leader took the request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ForwardError(pub String);

async fn call(
    channels: &Channels,
    address: &str,
    request: &WholeRequest,
) -> Result<StreamedResponse, Status> {
    let head = pb::HttpHead {
        method: request.method().to_string(),
        uri: request.uri().to_string(),
        status: 0,
        headers: headers_out(request.headers()),
    };
    let mut chunks = vec![pb::HttpChunk { part: Some(Part::Head(head)) }];
    chunks.extend(
        request
            .body()
            .chunks(CHUNK_MAX)
            .map(|part| request.body().slice_ref(part))
            .map(|part| pb::HttpChunk { part: Some(Part::Data(part)) }),
    );
    let mut client = pb::api_client::ApiClient::new(channels.get(address)?);
    let mut answer = client.call(stream::iter(chunks)).await?.into_inner();
    let Some(pb::HttpChunk { part: Some(Part::Head(head)) }) = answer.message().await? else {
        return Err(Status::internal("an answer without a head"));
    };
    let mut response = http::Response::builder().status(head.status as u16);
    if let Some(headers) = response.headers_mut() {
        headers_in(head.headers, headers);
    }
    let body = answer.map(|chunk| match chunk {
        Ok(pb::HttpChunk { part: Some(Part::Data(data)) }) => Ok(data),
        Ok(_) => Err(std::io::Error::other("a second head in an answer")),
        Err(status) => Err(std::io::Error::other(status.to_string())),
    });
    response.body(body.boxed()).map_err(|e| Status::internal(e.to_string()))
}

/// Answers requests that followers pass on.
pub(crate) async fn answer(
    handler: &Handler,
    incoming: Streaming<pb::HttpChunk>,
) -> Result<Response<BoxStream<'static, Result<pb::HttpChunk, Status>>>, Status> {
    let response = handler(collect(incoming).await?).await;
    let (parts, body) = response.into_parts();
    let head = pb::HttpHead {
        status: u32::from(parts.status.as_u16()),
        headers: headers_out(&parts.headers),
        ..pb::HttpHead::default()
    };
    let head = pb::HttpChunk { part: Some(Part::Head(head)) };
    let data = body.map(|chunk| match chunk {
        Ok(bytes) => Ok(pb::HttpChunk { part: Some(Part::Data(bytes)) }),
        Err(e) => Err(Status::aborted(e.to_string())),
    });
    let chunks = stream::once(async move { Ok(head) }).chain(data);
    Ok(Response::new(chunks.boxed()))
}

async fn collect(mut incoming: Streaming<pb::HttpChunk>) -> Result<WholeRequest, Status> {
    let Some(pb::HttpChunk { part: Some(Part::Head(head)) }) = incoming.message().await? else {
        return Err(Status::invalid_argument("a request without a head"));
    };
    let mut body = Vec::new();
    while let Some(chunk) = incoming.message().await? {
        if let Some(Part::Data(data)) = chunk.part {
            if body.len() + data.len() > BODY_MAX {
                return Err(Status::resource_exhausted(format!(
                    "a forwarded body has more than {BODY_MAX} bytes"
                )));
            }
            body.extend_from_slice(&data);
        }
    }
    let mut request = http::Request::builder().method(head.method.as_str()).uri(head.uri);
    if let Some(headers) = request.headers_mut() {
        headers_in(head.headers, headers);
    }
    request.body(body.into()).map_err(|e| Status::invalid_argument(e.to_string()))
}

fn headers_out(headers: &http::HeaderMap) -> Vec<pb::HttpHeader> {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| pb::HttpHeader {
        name: name.to_string(),
        value: value.as_bytes().to_vec(),
    };
    headers.iter().map(header).collect()
}

fn headers_in(from: Vec<pb::HttpHeader>, to: &mut http::HeaderMap) {
    for header in from {
        let name = http::HeaderName::try_from(header.name);
        let value = http::HeaderValue::try_from(header.value);
        if let (Ok(name), Ok(value)) = (name, value) {
            to.append(name, value);
        }
    }
}
