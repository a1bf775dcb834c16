//! Raft's messages between managers, over the node protocol.

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use swarmw_proto::{Channels, pb};
use swarmw_raft::{Peer, PeerError, Peers, Rpc};
use tonic::Status;

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
}
