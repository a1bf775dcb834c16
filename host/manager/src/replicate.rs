//! Blobs among managers: pushed to a majority before a Raft entry names them,
//! fetched by whoever lacks one.

use bytes::Bytes;
use futures::stream;
use futures::stream::{FuturesUnordered, StreamExt};
use swarmw_model::{Blob, NodeId, Refusal, RefusalKind};
use swarmw_proto::{CHUNK_MAX, Channels, pb};
use swarmw_state::State;
use tonic::Status;
use tracing::{debug, warn};

use crate::blobs::{BLOB_MAX, BlobStore};

/// Stores a blob here and on enough other managers to make a majority.
pub(crate) async fn store(
    blobs: &BlobStore,
    channels: &Channels,
    state: &State,
    own: NodeId,
    bytes: Bytes,
) -> Result<Blob, Refusal> {
    let local = blobs.clone();
    let kept = bytes.clone();
    let stored = tokio::task::spawn_blocking(move || local.put(&kept)).await;
    let blob = match stored {
        Ok(Ok(blob)) => blob,
        Ok(Err(e)) => return Err(Refusal::plain(RefusalKind::Unknown, e.to_string())),
        Err(e) => return Err(Refusal::plain(RefusalKind::Unknown, e.to_string())),
    };
    let peers = peers(state, own);
    let managers = peers.len() + 1;
    let majority = managers / 2 + 1;
    let mut pushes: FuturesUnordered<_> =
        peers.iter().map(|address| push(channels, address, &blob.digest, &bytes)).collect();
    let mut holders = 1;
    while holders < majority {
        match pushes.next().await {
            Some(Ok(())) => holders += 1,
            Some(Err(status)) => warn!(%status, digest = %blob.digest, "a manager took no blob"),
            None => {
                return Err(Refusal::plain(
                    RefusalKind::Unavailable,
                    format!(
                        "only {holders} of {managers} managers could store {}; {majority} must",
                        blob.digest
                    ),
                ));
            }
        }
    }
    drop(pushes);
    Ok(blob)
}

/// A blob from here or from any other manager.
pub(crate) async fn fetch(
    blobs: &BlobStore,
    channels: &Channels,
    state: &State,
    own: NodeId,
    digest: &str,
) -> Result<Bytes, Status> {
    let local = blobs.clone();
    let wanted = digest.to_owned();
    if let Ok(Ok(bytes)) = tokio::task::spawn_blocking(move || local.get(&wanted)).await {
        return Ok(bytes);
    }
    for address in peers(state, own) {
        match pull(channels, &address, digest).await {
            Ok(bytes) => match blobs.put_as(digest, &bytes) {
                Ok(_) => return Ok(bytes),
                Err(e) => warn!(%address, %e, "a manager sent a wrong blob"),
            },
            Err(status) => debug!(%address, %status, digest, "a manager lacks a blob"),
        }
    }
    Err(Status::not_found(format!("no manager that answers has blob {digest}")))
}

/// The bytes of a stream of chunks, and the digest that they should have.
pub(crate) async fn collect(
    mut chunks: tonic::Streaming<pb::BlobChunk>,
) -> Result<(String, Bytes), Status> {
    let mut digest = String::new();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        if !chunk.digest.is_empty() {
            digest = chunk.digest;
        }
        if (bytes.len() + chunk.data.len()) as u64 > BLOB_MAX {
            return Err(Status::resource_exhausted(format!("more than {BLOB_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk.data);
    }
    Ok((digest, bytes.into()))
}

/// Bytes as chunks.
pub(crate) fn chunks(bytes: &Bytes) -> Vec<pb::BlobChunk> {
    let chunk = |data: Bytes| pb::BlobChunk { digest: String::new(), data: data.to_vec() };
    (0..bytes.len())
        .step_by(CHUNK_MAX)
        .map(|from| chunk(bytes.slice(from..bytes.len().min(from + CHUNK_MAX))))
        .collect()
}

async fn push(
    channels: &Channels,
    address: &str,
    digest: &str,
    bytes: &Bytes,
) -> Result<(), Status> {
    let mut client = pb::blobs_client::BlobsClient::new(channels.get(address)?);
    let held = client.has(pb::BlobRequest { digest: digest.to_owned() }).await?;
    if held.into_inner().held {
        return Ok(());
    }
    let mut parts = vec![pb::BlobChunk { digest: digest.to_owned(), data: Vec::new() }];
    parts.extend(chunks(bytes));
    client.put(stream::iter(parts)).await.map(drop)
}

async fn pull(channels: &Channels, address: &str, digest: &str) -> Result<Bytes, Status> {
    let mut client = pb::blobs_client::BlobsClient::new(channels.get(address)?);
    let chunks = client.get(pb::BlobRequest { digest: digest.to_owned() }).await?;
    collect(chunks.into_inner()).await.map(|(_, bytes)| bytes)
}

fn peers(state: &State, own: NodeId) -> Vec<String> {
    state
        .nodes()
        .filter(|n| n.id != own)
        .filter_map(|n| n.member.as_ref().map(|m| m.addr.clone()))
        .collect()
}
