//! Who may call what, over real TLS.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures::stream;
use swarmw_ambient::Ambient;
use swarmw_ca::{Credentials, Identity, JoinToken, KeyPair, RootCa, Tls};
use swarmw_manager::{LEADER, ManagerServices};
use swarmw_model::{ClusterId, Duration, FEATURE_LEVEL, NodeId, NodeRole};
use swarmw_proto::{Channels, pb};
use swarmw_seal::Seal;
use swarmw_state::Change;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::swarm::{Swarm, eventually};

const CLUSTER: ClusterId = ClusterId::from_bits(1);

/// Every method that managers serve.
const METHODS: [&str; 20] = [
    "Raft.Append",
    "Raft.Vote",
    "Raft.PreVote",
    "Raft.TransferLeader",
    "Raft.Snapshot",
    "Membership.Join",
    "Membership.Leave",
    "Ca.RootCertificate",
    "Ca.Issue",
    "Api.Call",
    "Dispatcher.Session",
    "Dispatcher.PublishLogs",
    "Dispatcher.FindNetwork",
    "Dispatcher.Attach",
    "Dispatcher.NameAttachment",
    "Dispatcher.Detach",
    "Reach.Open",
    "Blobs.Get",
    "Blobs.Put",
    "Blobs.Has",
];

/// What every node serves, managers or not; whole nodes are needed to call it: see
/// `tests/sim`.
const OF_NODES: [&str; 3] = ["Tunnel.Open", "Doctor.Examine", "Containers.Open"];

#[test]
fn every_method_of_the_protocol_is_in_these_tables() {
    let mut service = "";
    for line in include_str!("../../../proto/proto/node.proto").lines() {
        let mut words = line.split([' ', '(']).filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) => service = name,
            (Some("rpc"), Some(name)) => {
                let method = format!("{service}.{name}");
                let listed = METHODS.iter().chain(&OF_NODES).any(|known| *known == method);
                assert!(listed, "nobody looks who may call {method}");
            }
            _ => {}
        }
    }
}

async fn call(method: &str, channel: Channel) -> Result<(), Status> {
    use pb::{
        api_client::ApiClient, blobs_client::BlobsClient, ca_client::CaClient,
        dispatcher_client::DispatcherClient, membership_client::MembershipClient,
        raft_client::RaftClient, reach_client::ReachClient,
    };
    let bytes = pb::RaftBytes::default;
    let mut raft = RaftClient::new(channel.clone());
    let mut members = MembershipClient::new(channel.clone());
    let mut ca = CaClient::new(channel.clone());
    let mut api = ApiClient::new(channel.clone());
    let mut dispatcher = DispatcherClient::new(channel.clone());
    let mut reach = ReachClient::new(channel.clone());
    let mut blobs = BlobsClient::new(channel);
    match method {
        "Raft.Append" => raft.append(bytes()).await.map(drop),
        "Raft.Vote" => raft.vote(bytes()).await.map(drop),
        "Raft.PreVote" => raft.pre_vote(bytes()).await.map(drop),
        "Raft.TransferLeader" => raft.transfer_leader(bytes()).await.map(drop),
        "Raft.Snapshot" => raft.snapshot(stream::iter([bytes()])).await.map(drop),
        "Membership.Join" => members.join(pb::JoinRequest::default()).await.map(drop),
        "Membership.Leave" => members.leave(pb::LeaveRequest::default()).await.map(drop),
        "Ca.RootCertificate" => ca.root_certificate(pb::RootRequest {}).await.map(drop),
        "Ca.Issue" => ca.issue(pb::IssueRequest::default()).await.map(drop),
        "Api.Call" => api.call(stream::iter([pb::HttpChunk::default()])).await.map(drop),
        "Dispatcher.Session" => {
            dispatcher.session(stream::iter([pb::FromAgent::default()])).await.map(drop)
        }
        "Dispatcher.PublishLogs" => {
            dispatcher.publish_logs(stream::iter([pb::LogLines::default()])).await.map(drop)
        }
        "Dispatcher.FindNetwork" => {
            dispatcher.find_network(pb::NetworkRequest::default()).await.map(drop)
        }
        "Dispatcher.Attach" => dispatcher.attach(pb::AttachRequest::default()).await.map(drop),
        "Dispatcher.NameAttachment" => {
            dispatcher.name_attachment(pb::AttachmentNames::default()).await.map(drop)
        }
        "Dispatcher.Detach" => dispatcher.detach(pb::DetachRequest::default()).await.map(drop),
        "Reach.Open" => reach.open(stream::iter([pb::ContainerBytes::default()])).await.map(drop),
        "Blobs.Get" => blobs.get(pb::BlobRequest::default()).await.map(drop),
        "Blobs.Put" => blobs.put(stream::iter([pb::BlobChunk::default()])).await.map(drop),
        "Blobs.Has" => blobs.has(pb::BlobRequest::default()).await.map(drop),
        _ => panic!("{method} is not called here"),
    }
}

fn now() -> swarmw_model::Time {
    Ambient::system().now()
}

fn node(root: &RootCa, bits: u128, role: NodeRole) -> Credentials {
    let identity = Identity { node: NodeId::from_bits(bits), cluster: CLUSTER, role };
    let key = KeyPair::generate().unwrap();
    let life = Duration::from_secs(3_600);
    let chain_pem = root.sign(&key.csr_pem, &identity, life, now()).unwrap();
    let root_pem = root.certificate_pem.clone();
    Credentials { identity, chain_pem, key_pem: key.key_pem, root_pem }
}

/// A node that serves every method but is no manager: who may call is told
/// `Unavailable`.
async fn listen(root: &RootCa) -> (String, Tls, tokio_util::sync::DropGuard) {
    let tls = Tls::new(&node(root, 1, NodeRole::Manager)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cancel = CancellationToken::new();
    let routes = ManagerServices(Arc::new(ArcSwapOption::empty())).routes();
    let end = cancel.clone().cancelled_owned();
    tokio::spawn(swarmw_proto::serve(listener, tls.clone(), routes, end));
    (address, tls, cancel.drop_guard())
}

#[tokio::test]
async fn every_method_is_for_its_callers_and_nobody_else() {
    let root = RootCa::generate(CLUSTER, now()).unwrap();
    let (address, _, _open) = listen(&root).await;
    let stranger = Channels::bootstrap(&address, Some(&root.certificate_pem)).unwrap();
    let channel =
        |role| Channels::new(Tls::new(&node(&root, 2, role)).unwrap()).get(&address).unwrap();
    let (worker, manager) = (channel(NodeRole::Worker), channel(NodeRole::Manager));
    let (no, not_you, yes) = (Code::Unauthenticated, Code::PermissionDenied, Code::Unavailable);
    for method in METHODS {
        let want = match method {
            "Ca.RootCertificate" | "Ca.Issue" => [yes, yes, yes],
            "Membership.Leave" | "Blobs.Get" | "Reach.Open" => [no, yes, yes],
            of_agents if of_agents.starts_with("Dispatcher.") => [no, yes, yes],
            _ => [no, not_you, yes],
        };
        for (caller, want) in [&stranger, &worker, &manager].into_iter().zip(want) {
            let status = call(method, caller.clone()).await.unwrap_err();
            assert_eq!(status.code(), want, "{method}: {status}");
        }
    }
}

#[tokio::test]
async fn certificates_of_another_root_and_removed_nodes_are_refused() {
    let root = RootCa::generate(CLUSTER, now()).unwrap();
    let (address, tls, _open) = listen(&root).await;
    let other = RootCa::generate(CLUSTER, now()).unwrap();
    let has = |credentials: Credentials| {
        let address = address.clone();
        async move {
            let channels = Channels::new(Tls::new(&credentials).unwrap());
            let result = call("Blobs.Get", channels.get(&address).unwrap()).await;
            result.unwrap_err().message().to_owned()
        }
    };
    let served = "this node is not a manager";
    assert_eq!(has(node(&root, 2, NodeRole::Worker)).await, served);

    // The client refuses the server, and the server the client.
    assert_ne!(has(node(&other, 2, NodeRole::Manager)).await, served);
    let mut forged = node(&other, 2, NodeRole::Manager);
    forged.root_pem.clone_from(&root.certificate_pem);
    assert_ne!(has(forged).await, served);
    let wrong_root = Channels::bootstrap(&address, Some(&other.certificate_pem)).unwrap();
    let refused = call("Ca.RootCertificate", wrong_root).await.unwrap_err();
    assert_ne!(refused.message(), served);

    tls.deny([NodeId::from_bits(2)].into());
    assert_ne!(has(node(&root, 2, NodeRole::Worker)).await, served);
    assert_eq!(has(node(&root, 3, NodeRole::Worker)).await, served);
    tls.deny([].into());
    assert_eq!(has(node(&root, 2, NodeRole::Worker)).await, served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_clusters_own_tokens_let_a_node_in() {
    let swarm = Swarm::of(1).await;
    let root = swarm.leader().await.tls.root_pem();
    let secret = |token: &str| token.rsplit_once('-').unwrap().1.to_owned();
    let digest = |token: &str| token.rsplit_once('-').unwrap().0.to_owned();
    let worker = &swarm.tokens.worker;
    let foreign = RootCa::generate(CLUSTER, now()).unwrap();
    let foreign = JoinToken::new(&foreign.certificate_pem, &mut rand::rng()).to_string();
    for token in [
        String::new(),
        "SWMTKN-1-short-token".to_owned(),
        JoinToken::new(&root, &mut rand::rng()).to_string(),
        foreign.clone(),
        format!("{}-{}", digest(&foreign), secret(worker)),
        format!("{}{}", &worker[..worker.len() - 1], if worker.ends_with('x') { 'y' } else { 'x' }),
    ] {
        let refused = swarm.join(&token).await.map(|c| c.identity).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{token}: {refused}");
        assert_eq!(refused.message(), "A valid join token is necessary to join this cluster");
    }
    let state = swarm.leader().await.manager().state();
    assert_eq!(state.node_count(), 1, "nobody was written down");
    let joined = swarm.join(worker).await.unwrap();
    assert_eq!(joined.identity.role, NodeRole::Worker);
    let folder = tempfile::tempdir().unwrap();
    let seal = Seal::new([1; 32]);
    joined.save(folder.path(), None).unwrap();
    let read = Credentials::load(folder.path(), &seal).unwrap();
    assert_eq!(read.identity, joined.identity, "the certificate says what the answer said");
    assert!(JoinToken::parse(worker).unwrap().matches_root(&root).is_ok());
    let why = JoinToken::parse(&foreign).unwrap().matches_root(&root).unwrap_err().to_string();
    assert!(why.starts_with("remote CA does not match fingerprint. Expected: "), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_manager_gets_no_seat_with_its_old_certificate() {
    let swarm = Swarm::of(1).await;
    let credentials = swarm.join(&swarm.tokens.manager).await.unwrap();
    let id = credentials.identity.node;
    let manager = swarm.leader().await.manager();
    eventually("the node is demoted", || async {
        let node = manager.state().node(id).unwrap().clone();
        let mut spec = node.spec.clone();
        spec.role = NodeRole::Worker;
        let change = Change::UpdateNode { id, version: node.version, spec };
        manager.write(None, change).await.ok()
    })
    .await;
    let channels = Channels::new(Tls::new(&credentials).unwrap());
    let channel = channels.get(&swarm.leader().await.address).unwrap();
    let mut client = pb::membership_client::MembershipClient::new(channel);
    let address = "127.0.0.1:1".into();
    let request = pb::JoinRequest { address, feature_level: FEATURE_LEVEL };
    let refused = client.join(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(manager.state().node(id).unwrap().member.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_names_the_leader_to_those_who_ask_for_a_certificate() {
    let swarm = Swarm::of(3).await;
    let leader = swarm.leader().await.address.clone();
    let root = swarm.leader().await.tls.root_pem();
    for seat in swarm.seats.iter().filter(|s| s.address != leader) {
        eventually("the follower knows the leader", || async {
            let channel = Channels::bootstrap(&seat.address, Some(&root)).unwrap();
            let refused = call("Ca.Issue", channel).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{refused}");
            let named = refused.metadata().get(LEADER)?.to_str().unwrap();
            (named == leader).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_of_an_older_swarmw_gets_no_seat() {
    let swarm = Swarm::of(1).await;
    let credentials = swarm.join(&swarm.tokens.manager).await.unwrap();
    let channels = Channels::new(Tls::new(&credentials).unwrap());
    let channel = channels.get(&swarm.leader().await.address).unwrap();
    let mut client = pb::membership_client::MembershipClient::new(channel);
    // Its request has no such field.
    let request = pb::JoinRequest { address: "127.0.0.1:9".into(), feature_level: 0 };
    let refused = client.join(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let why = format!(
        "node {} runs a swarmw of feature level 1, and the managers of this cluster have level \
         {FEATURE_LEVEL}: install a swarmw of this level on the node first",
        credentials.identity.node
    );
    assert_eq!(refused.message(), why);
}
