//! Raft's messages between managers, over the node protocol.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use swarmw_proto::pb::raft_client::RaftClient;
use swarmw_proto::{Channels, MESSAGE_MAX, pb};
use swarmw_raft::{Peer, PeerError, Peers, Raft, Rpc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

/// Chunks of a snapshot on their way.
const CHUNKS_IN_FLIGHT: usize = 4;

/// [`Peers`] over gRPC.
#[derive(Clone)]
pub struct GrpcPeers {
    channels: Channels,
}

// === impl GrpcPeers ===

impl GrpcPeers {
    /// Peers reached through these channels.
    pub fn new(channels: Channels) -> Self {
        Self { channels }
    }

    fn client(&self, peer: &Peer) -> Result<RaftClient<Channel>, PeerError> {
        let channel = self.channels.get(&peer.address).map_err(failed)?;
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX))
    }
}

impl Peers for GrpcPeers {
    fn call(
        &self,
        peer: Peer,
        rpc: Rpc,
        body: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, PeerError>> {
        let client = self.client(&peer);
        async move {
            let mut client = client?;
            let request = pb::RaftBytes { body };
            let answer = match rpc {
                Rpc::Append => client.append(request).await,
                Rpc::Vote => client.vote(request).await,
                Rpc::PreVote => client.pre_vote(request).await,
                Rpc::TransferLeader => client.transfer_leader(request).await,
            };
            answer.map(|answer| answer.into_inner().body).map_err(failed)
        }
        .boxed()
    }

    fn snapshot(
        &self,
        peer: Peer,
        mut chunks: BoxStream<'static, Vec<u8>>,
    ) -> BoxFuture<'static, Result<Vec<u8>, PeerError>> {
        let client = self.client(&peer);
        async move {
            let mut client = client?;
            let (out, outgoing) = mpsc::channel(CHUNKS_IN_FLIGHT);
            let feed = async move {
                while let Some(body) = chunks.next().await {
                    if out.send(pb::RaftBytes { body }).await.is_err() {
                        return;
                    }
                }
            };
            let (answer, ()) = tokio::join!(client.snapshot(ReceiverStream::new(outgoing)), feed);
            answer.map(|answer| answer.into_inner().body).map_err(failed)
        }
        .boxed()
    }
}

/// Answers a peer's message.
pub(crate) async fn answer(
    raft: &Raft,
    rpc: Rpc,
    request: pb::RaftBytes,
) -> Result<Response<pb::RaftBytes>, Status> {
    match raft.handle(rpc, &request.body).await {
        Ok(body) => Ok(Response::new(pb::RaftBytes { body })),
        Err(error) => Err(Status::unavailable(error.0)),
    }
}

/// Takes in a peer's snapshot.
pub(crate) async fn take_snapshot(
    raft: &Raft,
    incoming: Streaming<pb::RaftBytes>,
) -> Result<Response<pb::RaftBytes>, Status> {
    let chunks = incoming.map(|chunk| chunk.map(|chunk| chunk.body).map_err(failed)).boxed();
    match raft.handle_snapshot(chunks).await {
        Ok(body) => Ok(Response::new(pb::RaftBytes { body })),
        Err(error) => Err(Status::unavailable(error.0)),
    }
}

fn failed(status: Status) -> PeerError {
    PeerError(status.message().to_owned())
}
