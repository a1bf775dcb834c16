//! The node protocol's ground: who a connection is taken for, and what bounds it.

use std::time::Duration;

use swarmw_ca::{Credentials, Identity, KeyPair, RootCa, Tls};
use swarmw_model::{ClusterId, NodeId, NodeRole, Time};
use swarmw_proto::pb::membership_client::MembershipClient;
use swarmw_proto::pb::membership_server::{Membership, MembershipServer};
use swarmw_proto::{Allowed, Channels, caller, pb, require, serve, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

const CLUSTER: ClusterId = ClusterId::from_bits(1);

/// `join` is for managers, `leave` for nodes; `join` says who called.
struct WhoAmI;

fn text(i: &Identity) -> String {
    format!("{} {}", i.node, i.role)
}

#[tonic::async_trait]
impl Membership for WhoAmI {
    async fn join(
        &self,
        request: Request<pb::JoinRequest>,
    ) -> Result<Response<pb::JoinReply>, Status> {
        assert!(caller(&request).addr.ip().is_loopback());
        let identity = require(&request, Allowed::Manager)?;
        let peer = pb::Peer { node_id: text(&identity), ..Default::default() };
        Ok(Response::new(pb::JoinReply { raft_id: 0, peers: vec![peer] }))
    }

    async fn leave(
        &self,
        request: Request<pb::LeaveRequest>,
    ) -> Result<Response<pb::LeaveReply>, Status> {
        require(&request, Allowed::AnyNode).map(|_| Response::new(pb::LeaveReply {}))
    }
}

fn node(root: &RootCa, bits: u128, role: NodeRole, backdate: i64) -> Credentials {
    let identity = Identity { node: NodeId::from_bits(bits), cluster: CLUSTER, role };
    let key = KeyPair::generate().unwrap();
    let at = now() - swarmw_model::Duration::from_secs(backdate);
    let life = swarmw_model::Duration::from_secs(3_600);
    let chain_pem = root.sign(&key.csr_pem, &identity, life, at).unwrap();
    let root_pem = root.certificate_pem.clone();
    Credentials { identity, chain_pem, key_pem: key.key_pem, root_pem }
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap())
}

struct Server {
    root: RootCa,
    address: String,
    tls: Tls,
    _end: oneshot::Sender<()>,
}

impl Server {
    async fn start() -> Self {
        let root = RootCa::generate(CLUSTER, now()).unwrap();
        let tls = Tls::new(&node(&root, 1, NodeRole::Manager, 0)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (end, ended) = oneshot::channel::<()>();
        let routes = Routes::new(MembershipServer::new(WhoAmI));
        tokio::spawn(serve(listener, tls.clone(), routes, async { drop(ended.await) }));
        Self { root, address, tls, _end: end }
    }

    async fn join(&self, credentials: &Credentials) -> Result<String, Status> {
        let channels = Channels::new(Tls::new(credentials).unwrap());
        self.join_by(&channels, String::new()).await
    }

    async fn join_by(&self, channels: &Channels, address: String) -> Result<String, Status> {
        let mut client = MembershipClient::new(channels.get(&self.address)?);
        let reply = client.join(pb::JoinRequest { address, feature_level: 2 }).await?.into_inner();
        Ok(reply.peers[0].node_id.clone())
    }
}

#[tokio::test]
async fn a_caller_is_who_his_certificate_says() {
    let server = Server::start().await;
    let two = NodeId::from_bits(2);
    let manager = node(&server.root, 2, NodeRole::Manager, 0);
    assert_eq!(server.join(&manager).await.unwrap(), format!("{two} manager"));
    let worker = server.join(&node(&server.root, 2, NodeRole::Worker, 0)).await.unwrap_err();
    assert_eq!(worker.code(), Code::PermissionDenied);
    assert!(worker.message().contains(&two.to_string()), "{worker}");
    let stranger = Channels::bootstrap(&server.address, Some(&server.root.certificate_pem));
    let mut stranger = MembershipClient::new(stranger.unwrap());
    let refused = stranger.join(pb::JoinRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused() {
    let server = Server::start().await;
    let ended = node(&server.root, 2, NodeRole::Manager, 2 * 3_600);
    let refused = server.join(&ended).await.unwrap_err();
    assert_ne!(refused.code(), Code::PermissionDenied, "{refused}");
    assert_ne!(refused.code(), Code::Unauthenticated, "{refused}");
}

#[tokio::test]
async fn renewed_credentials_serve_the_next_connection() {
    let server = Server::start().await;
    let tls = Tls::new(&node(&server.root, 2, NodeRole::Worker, 0)).unwrap();
    let channels = Channels::new(tls.clone());
    assert!(server.join_by(&channels, String::new()).await.is_err());
    tls.replace(&node(&server.root, 2, NodeRole::Manager, 0)).unwrap();
    channels.reset();
    assert!(server.join_by(&channels, String::new()).await.unwrap().ends_with("manager"));
}

#[tokio::test]
async fn a_node_reaches_itself_behind_an_address_that_leads_here_only_from_outside() {
    let server = Server::start().await;
    let (_, port) = server.address.rsplit_once(':').unwrap();
    let listening = format!("0.0.0.0:{port}").parse().unwrap();
    let outside = "192.0.2.1:2377";
    let credentials = node(&server.root, 2, NodeRole::Manager, 0);
    let channels = Channels::new(Tls::new(&credentials).unwrap()).at_home(outside, listening);
    let mut client = MembershipClient::new(channels.get(outside).unwrap());
    assert!(client.join(pb::JoinRequest::default()).await.is_ok());
    let elsewhere = channels.get("127.0.0.1:1").unwrap();
    assert!(MembershipClient::new(elsewhere).join(pb::JoinRequest::default()).await.is_err());
}

#[tokio::test]
async fn a_removed_node_is_refused_on_the_connection_it_has_and_on_every_other() {
    let server = Server::start().await;
    let channels = Channels::new(Tls::new(&node(&server.root, 2, NodeRole::Manager, 0)).unwrap());
    assert!(server.join_by(&channels, String::new()).await.is_ok());
    server.tls.deny([NodeId::from_bits(2)].into());
    let refused = server.join_by(&channels, String::new()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("has been removed from the swarm"), "{refused}");
    // TLS could resume the session that it had, without showing a certificate.
    channels.reset();
    let refused = server.join_by(&channels, String::new()).await.unwrap_err();
    assert_ne!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let server = Server::start().await;
    let tls = Tls::new(&node(&server.root, 2, NodeRole::Manager, 0)).unwrap();
    let channels = Channels::new(tls);
    let refused = server.join_by(&channels, "x".repeat(5 << 20)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(server.join_by(&channels, "x".repeat(1 << 20)).await.is_ok());
}

#[tokio::test]
async fn a_connection_that_does_not_shake_hands_is_closed_and_others_are_served() {
    let server = Server::start().await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut garbled = TcpStream::connect(&server.address).await.unwrap();
    garbled.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(server.join(&node(&server.root, 2, NodeRole::Manager, 0)).await.is_ok());
    for stream in [&mut garbled, &mut silent] {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest));
        // An end or a reset, but not a connection that stays.
        let _ = closed.await.expect("the server closes it");
    }
}

#[tokio::test]
async fn an_address_is_free_once_its_server_has_ended() {
    let root = RootCa::generate(CLUSTER, now()).unwrap();
    let tls = Tls::new(&node(&root, 1, NodeRole::Manager, 0)).unwrap();
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..200 {
        let routes = Routes::new(MembershipServer::new(WhoAmI));
        serve(listener, tls.clone(), routes, async {}).await.unwrap();
        listener = TcpListener::bind(address).await.unwrap();
    }
}

#[test]
fn what_is_inside_messages_names_its_version() {
    let bytes = wire::encode(&vec![1u64, 2]);
    assert_eq!(wire::decode::<Vec<u64>>(&bytes).unwrap(), [1, 2]);
    let mut newer = bytes.clone();
    newer[0] = 2;
    let why = wire::decode::<Vec<u64>>(&newer).unwrap_err().to_string();
    assert_eq!(why, "wire version 2: this binary speaks version 1");
    assert!(wire::decode::<Vec<u64>>(&[]).is_err());
    assert!(wire::decode::<Vec<u64>>(&bytes[..bytes.len() - 1]).is_err());
}
