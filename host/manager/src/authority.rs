//! The cluster's certificate authority: new nodes with a join token, renewals with
//! the certificate in use. The leader signs; followers pass requests on.

use swarmw_ca::{Identity, JoinToken, RootCa};
use swarmw_model::{
    Availability, Cluster, Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState,
    NodeStatus, Time, Version,
};
use swarmw_proto::pb;
use swarmw_state::{Change, State};
use tonic::Status;

use crate::propose::Proposer;

/// What a node is told whose token lets nobody in; Swarm's words.
const NO_TOKEN: &str = "A valid join token is necessary to join this cluster";

/// Answers `Ca.RootCertificate`.
pub(crate) fn root_certificate(state: &State) -> Result<pb::RootReply, Status> {
    let cluster = cluster_of(state)?;
    Ok(pb::RootReply { certificate_pem: cluster.root_ca.certificate.clone() })
}

/// Answers `Ca.Issue` on the leader.
pub(crate) async fn issue(
    log: &Proposer,
    caller: Option<&Identity>,
    request: pb::IssueRequest,
) -> Result<pb::IssueReply, Status> {
    let state = log.raft.state();
    let cluster = cluster_of(&state)?.clone();
    let identity = match caller {
        Some(known) => renewed(&state, known)?,
        None => admitted(log, &cluster, &request).await?,
    };
    let root = RootCa::load(
        &cluster.root_ca.certificate,
        &String::from_utf8_lossy(&cluster.root_ca.key.0),
    )
    .map_err(|e| Status::internal(e.to_string()))?;
    let life = cluster.spec.ca.node_cert_expiry;
    let chain = root
        .sign(&request.csr_pem, &identity, life, log.now())
        .map_err(|e| Status::invalid_argument(e.to_string()))?;
    Ok(pb::IssueReply {
        node_id: identity.node.to_string(),
        cluster_id: identity.cluster.to_string(),
        role: identity.role.to_string(),
        chain_pem: chain,
        root_pem: cluster.root_ca.certificate.clone(),
    })
}

/// The identity of a node that renews its certificate: the role is the one the
/// cluster wants of it now, not the one it had.
fn renewed(state: &State, known: &Identity) -> Result<Identity, Status> {
    match state.node(known.node) {
        Some(node) => Ok(Identity { role: node.role, ..known.clone() }),
        None => Err(Status::not_found(format!("node {} not found", known.node))),
    }
}

/// The identity of a node that joins, written down before it is signed.
async fn admitted(
    log: &Proposer,
    cluster: &Cluster,
    request: &pb::IssueRequest,
) -> Result<Identity, Status> {
    let none_of_ours = || Status::invalid_argument(NO_TOKEN);
    let token = JoinToken::parse(&request.token).map_err(|_| none_of_ours())?;
    let is = |text: &str| JoinToken::parse(text).is_ok_and(|ours| ours == token);
    let role = if is(&cluster.join_tokens.manager) {
        NodeRole::Manager
    } else if is(&cluster.join_tokens.worker) {
        NodeRole::Worker
    } else {
        return Err(none_of_ours());
    };
    let availability = match request.availability.as_str() {
        "" | "active" => Availability::Active,
        "pause" => Availability::Pause,
        "drain" => Availability::Drain,
        other => {
            return Err(Status::invalid_argument(format!("invalid Availability: {other:?}")));
        }
    };
    let id = NodeId::random(&mut log.ambient.chance());
    let node = new_node(id, role, availability);
    log.write(None, Change::AddNode(Box::new(node)))
        .await
        .map_err(|refusal| Status::failed_precondition(refusal.to_string()))?;
    Ok(Identity { node: id, cluster: cluster.id, role })
}

/// A node before its agent has said anything.
pub(crate) fn new_node(id: NodeId, role: NodeRole, availability: Availability) -> Node {
    Node {
        id,
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec { role, availability, ..NodeSpec::default() },
        description: NodeDescription::default(),
        status: NodeStatus { state: NodeState::Unknown, ..NodeStatus::default() },
        role,
        member: None,
        number: 0,
    }
}

fn cluster_of(state: &State) -> Result<&std::sync::Arc<Cluster>, Status> {
    state.cluster().ok_or_else(|| Status::unavailable("the cluster is not founded yet"))
}
