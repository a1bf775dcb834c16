//! What travels between managers, in words of our own: bytes to a peer and back.

use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// Another manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its seat.
    pub raft_id: u64,
    /// Where it is reached: `host:port`.
    pub address: String,
}

/// Which call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// Entries, or a heartbeat.
    Append,
    /// A vote.
    Vote,
    /// Whether a vote would be given.
    PreVote,
    /// The leader hands over.
    TransferLeader,
}

/// The peer did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

/// Carries messages to peers.
pub trait Peers: Send + Sync + 'static {
    /// One message and its answer.
    fn call(
        &self,
        peer: Peer,
        rpc: Rpc,
        body: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, PeerError>>;

    /// A snapshot in chunks, the first of which is its header; and the answer.
    fn snapshot(
        &self,
        peer: Peer,
        chunks: BoxStream<'static, Vec<u8>>,
    ) -> BoxFuture<'static, Result<Vec<u8>, PeerError>>;
}
