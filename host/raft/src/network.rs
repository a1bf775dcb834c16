//! openraft's messages as bytes for [`Peers`], and back.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::peers::{Peer, PeerError, Peers, Rpc};
use crate::types::{SnapshotMeta, TypeConfig, Vote};

/// Bytes of a snapshot in one message.
const CHUNK_BYTES: usize = 1 << 20;
const VERSION: u8 = 1;

/// Makes connections.
pub(crate) struct Factory(pub(crate) Arc<dyn Peers>);

/// A connection to one peer.
pub(crate) struct Connection {
    peers: Arc<dyn Peers>,
    peer: Peer,
}

/// What comes before a snapshot's bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, PeerError> {
    let mut bytes = vec![VERSION];
    ciborium::into_writer(value, &mut bytes).map_err(|e| PeerError(e.to_string()))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PeerError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => ciborium::from_reader(body).map_err(|e| PeerError(e.to_string())),
        _ => Err(PeerError("a message of another version of swarmw".to_owned())),
    }
}

// === impl Factory ===

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        let peer = Peer { raft_id: target, address: node.addr.clone() };
        Connection { peers: self.0.clone(), peer }
    }
}

// === impl Connection ===

impl Connection {
    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        rpc: Rpc,
        request: &Q,
        option: &RPCOption,
    ) -> Result<A, RPCError<TypeConfig>> {
        let call = async {
            let answer = self.peers.call(self.peer.clone(), rpc, encode(request)?).await?;
            decode(&answer)
        };
        match tokio::time::timeout(option.hard_ttl(), call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(RPCError::Unreachable(Unreachable::new(&e))),
            Err(_) => {
                let e = PeerError(format!("{} did not answer in time", self.peer.address));
                Err(RPCError::Unreachable(Unreachable::new(&e)))
            }
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Rpc::Append, &rpc, &option).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Rpc::Vote, &rpc, &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Rpc::PreVote, &rpc, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let unreachable = |e: PeerError| StreamingError::Unreachable(Unreachable::new(&e));
        let header = encode(&SnapshotHeader { vote, meta: snapshot.meta }).map_err(unreachable)?;
        let data = snapshot.snapshot;
        let chunks = (0..data.len())
            .step_by(CHUNK_BYTES)
            .map(move |from| data.slice(from..data.len().min(from + CHUNK_BYTES)).to_vec());
        let chunks = stream::iter(std::iter::once(header).chain(chunks)).boxed();
        let sending = self.peers.snapshot(self.peer.clone(), chunks);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = sending => decode(&answer.map_err(unreachable)?).map_err(unreachable),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Rpc::TransferLeader, &request, &option).await
    }
}
