//! The manager's side of the node protocol.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use swarmw_model::{NodeRole, RaftMember, Refusal, Time};
use swarmw_proto::{Allowed, MESSAGE_MAX, caller, pb, require};
use swarmw_raft::Rpc;
use swarmw_state::Change;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::dispatcher::{self, SessionStream};
use crate::logs::LogLine;
use crate::manager::Manager;
use crate::{authority, forward, level, networks, peers, replicate};

/// Metadata of a refusal that names the manager to ask instead.
pub const LEADER: &str = "swarmw-leader";
/// A node's record changes while it leaves, for its agent goes at the same time:
/// how often its new role is written on what it is by then.
const LEAVE_TRIES: usize = 5;

/// The services of a manager, on a node that may become one and may stop being
/// one: without a manager every call is answered `Unavailable`.
#[derive(Clone)]
pub struct ManagerServices(pub Arc<ArcSwapOption<Manager>>);

// === impl ManagerServices ===

impl ManagerServices {
    /// All of them, for the node's listener.
    pub fn routes(&self) -> Routes {
        let raft = pb::raft_server::RaftServer::new(self.clone())
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX);
        Routes::new(raft)
            .add_service(pb::membership_server::MembershipServer::new(self.clone()))
            .add_service(pb::ca_server::CaServer::new(self.clone()))
            .add_service(pb::api_server::ApiServer::new(self.clone()))
            .add_service(pb::dispatcher_server::DispatcherServer::new(self.clone()))
            .add_service(pb::blobs_server::BlobsServer::new(self.clone()))
            .add_service(pb::reach_server::ReachServer::new(self.clone()))
    }

    async fn raft(
        &self,
        rpc: Rpc,
        request: Request<pb::RaftBytes>,
    ) -> Result<Response<pb::RaftBytes>, Status> {
        require(&request, Allowed::Manager)?;
        peers::answer(&self.manager()?.inner().log.raft, rpc, request.into_inner()).await
    }

    fn manager(&self) -> Result<Arc<Manager>, Status> {
        self.0.load_full().ok_or_else(|| Status::unavailable("this node is not a manager"))
    }

    /// The manager, if it leads; else a refusal that names the leader.
    fn leader(&self) -> Result<Arc<Manager>, Status> {
        let manager = self.manager()?;
        if manager.leads() {
            return Ok(manager);
        }
        let mut status = Status::unavailable("this manager does not lead");
        let leader = manager.leader_address().and_then(|a| AsciiMetadataValue::try_from(a).ok());
        if let Some(leader) = leader {
            status.metadata_mut().insert(LEADER, leader);
        }
        Err(status)
    }
}

#[tonic::async_trait]
impl pb::raft_server::Raft for ManagerServices {
    async fn append(
        &self,
        request: Request<pb::RaftBytes>,
    ) -> Result<Response<pb::RaftBytes>, Status> {
        self.raft(Rpc::Append, request).await
    }

    async fn vote(
        &self,
        request: Request<pb::RaftBytes>,
    ) -> Result<Response<pb::RaftBytes>, Status> {
        self.raft(Rpc::Vote, request).await
    }

    async fn pre_vote(
        &self,
        request: Request<pb::RaftBytes>,
    ) -> Result<Response<pb::RaftBytes>, Status> {
        self.raft(Rpc::PreVote, request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::RaftBytes>,
    ) -> Result<Response<pb::RaftBytes>, Status> {
        self.raft(Rpc::TransferLeader, request).await
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::RaftBytes>>,
    ) -> Result<Response<pb::RaftBytes>, Status> {
        require(&request, Allowed::Manager)?;
        peers::take_snapshot(&self.manager()?.inner().log.raft, request.into_inner()).await
    }
}

#[tonic::async_trait]
impl pb::ca_server::Ca for ManagerServices {
    async fn root_certificate(
        &self,
        _: Request<pb::RootRequest>,
    ) -> Result<Response<pb::RootReply>, Status> {
        authority::root_certificate(&self.manager()?.state()).map(Response::new)
    }

    async fn issue(
        &self,
        request: Request<pb::IssueRequest>,
    ) -> Result<Response<pb::IssueReply>, Status> {
        let manager = self.leader()?;
        let identity = caller(&request).identity.clone();
        authority::issue(&manager.inner().log, identity.as_ref(), request.into_inner())
            .await
            .map(Response::new)
    }
}

#[tonic::async_trait]
impl pb::membership_server::Membership for ManagerServices {
    async fn join(
        &self,
        request: Request<pb::JoinRequest>,
    ) -> Result<Response<pb::JoinReply>, Status> {
        let identity = require(&request, Allowed::Manager)?;
        let manager = self.leader()?;
        let pb::JoinRequest { address, feature_level } = request.into_inner();
        let state = manager.state();
        let Some(node) = state.node(identity.node) else {
            return Err(Status::not_found(format!("node {} not found", identity.node)));
        };
        // Its certificate may be older than the operator's wish.
        if node.spec.role != NodeRole::Manager {
            return Err(Status::failed_precondition(format!(
                "node {} is to be a worker",
                identity.node
            )));
        }
        level::may_manage(&state, node, feature_level)
            .map_err(|refusal| Status::failed_precondition(refusal.message))?;
        // A manager that comes back under another address keeps its seat.
        let member = Some(RaftMember { raft_id: 0, addr: address });
        let change = Change::SetNodeRole { id: identity.node, role: NodeRole::Manager, member };
        let log = &manager.inner().log;
        log.write(None, change)
            .await
            .map_err(|refusal| Status::failed_precondition(refusal.to_string()))?;
        let seat = |node: &Arc<swarmw_model::Node>| {
            let member = node.member.as_ref()?;
            Some(pb::Peer {
                raft_id: member.raft_id,
                address: member.addr.clone(),
                node_id: node.id.to_string(),
            })
        };
        let state = manager.state();
        let member = state.node(identity.node).and_then(|node| node.member.as_ref());
        let member = member.ok_or_else(|| Status::aborted("the seat was taken back at once"))?;
        let raft_id = member.raft_id;
        let peers = state.nodes().filter_map(seat).collect();
        Ok(Response::new(pb::JoinReply { raft_id, peers }))
    }

    async fn leave(
        &self,
        request: Request<pb::LeaveRequest>,
    ) -> Result<Response<pb::LeaveReply>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.leader()?;
        let done = Ok(Response::new(pb::LeaveReply {}));
        for _ in 0..LEAVE_TRIES {
            let state = manager.state();
            let Some(node) = state.node(identity.node) else { return done };
            if node.spec.role != NodeRole::Manager {
                return done;
            }
            let mut spec = node.spec.clone();
            spec.role = NodeRole::Worker;
            let change = Change::UpdateNode { id: node.id, version: node.version, spec };
            match manager.inner().log.write(None, change).await {
                Ok(_) => return done,
                Err(refusal) if refusal == Refusal::out_of_sequence() => {}
                Err(refusal) => return Err(Status::failed_precondition(refusal.message)),
            }
        }
        Err(Status::failed_precondition(Refusal::out_of_sequence().message))
    }
}

#[tonic::async_trait]
impl pb::api_server::Api for ManagerServices {
    type CallStream = BoxStream<'static, Result<pb::HttpChunk, Status>>;

    async fn call(
        &self,
        request: Request<Streaming<pb::HttpChunk>>,
    ) -> Result<Response<Self::CallStream>, Status> {
        require(&request, Allowed::Manager)?;
        let manager = self.manager()?;
        forward::answer(&manager.inner().handler, request.into_inner()).await
    }
}

#[tonic::async_trait]
impl pb::reach_server::Reach for ManagerServices {
    type OpenStream = BoxStream<'static, Result<pb::ContainerBytes, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<pb::ContainerBytes>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.manager()?;
        let inner = manager.inner();
        let (state, end) = (manager.state(), inner.cancel.clone());
        inner.reach.answer(&state, identity.node, request.into_inner(), end).map(Response::new)
    }
}

#[tonic::async_trait]
impl pb::dispatcher_server::Dispatcher for ManagerServices {
    type SessionStream = SessionStream;

    async fn session(
        &self,
        request: Request<Streaming<pb::FromAgent>>,
    ) -> Result<Response<SessionStream>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let address = caller(&request).addr.ip().to_string();
        let manager = self.manager()?;
        let Some(dispatcher) = manager.dispatcher() else {
            let address = manager.leader_address().unwrap_or_default();
            let message = pb::to_agent::Message::Redirect(pb::Redirect { address });
            let redirect = pb::ToAgent { message: Some(message) };
            return Ok(Response::new(stream::iter([Ok(redirect)]).boxed()));
        };
        let incoming = request.into_inner();
        Ok(Response::new(dispatcher::open(dispatcher, identity.node, address, incoming)))
    }

    async fn attach(
        &self,
        request: Request<pb::AttachRequest>,
    ) -> Result<Response<pb::AttachReply>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.leader()?;
        let log = &manager.inner().log;
        networks::attach(log, identity.node, &request.into_inner()).await.map(Response::new)
    }

    async fn find_network(
        &self,
        request: Request<pb::NetworkRequest>,
    ) -> Result<Response<pb::NetworkReply>, Status> {
        require(&request, Allowed::AnyNode)?;
        let manager = self.leader()?;
        let state = manager.inner().log.raft.state();
        networks::find(&state, &request.into_inner()).map(Response::new)
    }

    async fn name_attachment(
        &self,
        request: Request<pb::AttachmentNames>,
    ) -> Result<Response<pb::AttachmentDone>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.leader()?;
        let log = &manager.inner().log;
        networks::name(log, identity.node, request.into_inner()).await.map(Response::new)
    }

    async fn detach(
        &self,
        request: Request<pb::DetachRequest>,
    ) -> Result<Response<pb::AttachmentDone>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.leader()?;
        let log = &manager.inner().log;
        networks::detach(log, identity.node, &request.into_inner()).await.map(Response::new)
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<pb::LogLines>>,
    ) -> Result<Response<pb::LogsReply>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.manager()?;
        let broker = &manager.inner().logs;
        let mut incoming = request.into_inner();
        let mut subscription = 0;
        while let Some(message) = incoming.message().await? {
            subscription = message.subscription;
            let sink = broker.sink(subscription, identity.node)?;
            for line in message.lines {
                let Ok(task) = line.task.parse() else { continue };
                let line = LogLine {
                    task,
                    stream: if line.stream == 2 { 2 } else { 1 },
                    at: Time::from_nanos(line.at_nanos),
                    text: line.text,
                    attributes: line.attributes.into_iter().collect(),
                };
                sink.take(line).await?;
            }
        }
        broker.finished(subscription, identity.node);
        Ok(Response::new(pb::LogsReply {}))
    }
}

#[tonic::async_trait]
impl pb::blobs_server::Blobs for ManagerServices {
    type GetStream = BoxStream<'static, Result<pb::BlobChunk, Status>>;

    async fn get(
        &self,
        request: Request<pb::BlobRequest>,
    ) -> Result<Response<Self::GetStream>, Status> {
        let identity = require(&request, Allowed::AnyNode)?;
        let manager = self.manager()?;
        let inner = manager.inner();
        let digest = request.into_inner().digest;
        // A manager that asks is answered from here alone, or two that both lack
        // the blob would ask each other for ever.
        let bytes = if identity.role == NodeRole::Manager {
            inner.blobs.get(&digest).map_err(|e| Status::not_found(e.to_string()))?
        } else {
            let state = manager.state();
            replicate::fetch(&inner.blobs, &inner.channels, &state, inner.node, &digest).await?
        };
        let chunks = replicate::chunks(&bytes);
        Ok(Response::new(stream::iter(chunks.into_iter().map(Ok)).boxed()))
    }

    async fn put(
        &self,
        request: Request<Streaming<pb::BlobChunk>>,
    ) -> Result<Response<pb::BlobReply>, Status> {
        require(&request, Allowed::Manager)?;
        let manager = self.manager()?;
        let (digest, bytes) = replicate::collect(request.into_inner()).await?;
        let blobs = manager.inner().blobs.clone();
        tokio::task::spawn_blocking(move || blobs.put_as(&digest, &bytes))
            .await
            .map_err(|e| Status::internal(e.to_string()))?
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        Ok(Response::new(pb::BlobReply { held: true }))
    }

    async fn has(
        &self,
        request: Request<pb::BlobRequest>,
    ) -> Result<Response<pb::BlobReply>, Status> {
        require(&request, Allowed::Manager)?;
        let held = self.manager()?.inner().blobs.has(&request.into_inner().digest);
        Ok(Response::new(pb::BlobReply { held }))
    }
}
