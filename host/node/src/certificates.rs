//! How a node gets and renews its certificate.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_ca::{Credentials, Identity, JoinToken, KeyPair, Tls};
use swarmw_manager::LEADER;
use swarmw_model::{Availability, NodeRole};
use swarmw_proto::{Channels, pb};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::{debug, warn};

use crate::Ground;

/// Swarm tries this often to read the root certificate…
const ROOT_TRIES: usize = 5;
/// …and waits this long in between.
const ROOT_PAUSE: Duration = Duration::from_secs(2);
/// Hops from a follower to the leader before the answer is given up.
const REDIRECTS_MAX: usize = 3;

/// Joins a cluster: reads the root certificate, checks it against the token, and
/// has a key of our own signed.
///
/// # Errors
/// No manager answers, the token is of another cluster, or the leader refuses.
pub async fn join(
    remotes: &[String],
    token: &str,
    availability: Availability,
    address: &str,
    ground: &Ground,
) -> Result<Credentials> {
    let token = JoinToken::parse(token)?;
    let root_pem = root_certificate(remotes, ground).await?;
    token.matches_root(&root_pem)?;
    let key = KeyPair::generate()?;
    let request = pb::IssueRequest {
        csr_pem: key.csr_pem.clone(),
        token: token.to_string(),
        availability: availability.to_string(),
        address: address.to_owned(),
    };
    let connect = |address: &str| bootstrap(ground, address, Some(&root_pem));
    let reply = issue(remotes, request, connect).await?;
    credentials(reply, key.key_pem, root_pem)
}

/// Renews the certificate in use, in the role the cluster wants of the node now.
///
/// # Errors
/// No manager answers, or the node has been removed.
pub(crate) async fn renew(
    managers: &[String],
    channels: &Channels,
    tls: &Tls,
) -> Result<Credentials> {
    let key = KeyPair::generate()?;
    let request = pb::IssueRequest { csr_pem: key.csr_pem.clone(), ..Default::default() };
    let reply = issue(managers, request, |address| channels.get(address)).await?;
    let root = tls.root_pem();
    credentials(reply, key.key_pem, root)
}

async fn root_certificate(remotes: &[String], ground: &Ground) -> Result<String> {
    let mut last = Status::unavailable("no manager was named");
    for attempt in 0..ROOT_TRIES {
        if attempt > 0 {
            tokio::time::sleep(ROOT_PAUSE).await;
        }
        for address in remotes {
            let asked = async {
                let channel = bootstrap(ground, address, None)?;
                let mut client = pb::ca_client::CaClient::new(channel);
                client.root_certificate(pb::RootRequest {}).await
            };
            match asked.await {
                Ok(reply) => return Ok(reply.into_inner().certificate_pem),
                Err(status) => {
                    debug!(%address, %status, "no root certificate");
                    last = status;
                }
            }
        }
    }
    bail!("error while validating Root CA Certificate: {}: {}", remotes.join(", "), last.message())
}

fn bootstrap(ground: &Ground, address: &str, root_pem: Option<&str>) -> Result<Channel, Status> {
    let transport = ground.transport.clone();
    Channels::bootstrap_over(transport, &ground.ambient, address, root_pem)
}

/// Asks managers in turn for a certificate, following hints to the leader.
async fn issue(
    managers: &[String],
    request: pb::IssueRequest,
    connect: impl Fn(&str) -> Result<Channel, Status>,
) -> Result<pb::IssueReply> {
    let mut last = Status::unavailable("no manager is known");
    for first in managers {
        let mut address = first.clone();
        for _ in 0..REDIRECTS_MAX {
            let asked = async {
                pb::ca_client::CaClient::new(connect(&address)?).issue(request.clone()).await
            };
            match asked.await {
                Ok(reply) => return Ok(reply.into_inner()),
                Err(status) => {
                    let leader = status.metadata().get(LEADER).and_then(|v| v.to_str().ok());
                    let next = leader.map(str::to_owned);
                    let final_no = matches!(
                        status.code(),
                        Code::InvalidArgument | Code::PermissionDenied | Code::NotFound
                    );
                    if final_no {
                        bail!("{}", status.message());
                    }
                    last = status;
                    match next {
                        Some(leader) => address = leader,
                        None => break,
                    }
                }
            }
        }
    }
    bail!("no manager issues a certificate: {}", last.message())
}

fn credentials(reply: pb::IssueReply, key_pem: String, root_pem: String) -> Result<Credentials> {
    let role = match reply.role.as_str() {
        "manager" => NodeRole::Manager,
        "worker" => NodeRole::Worker,
        other => bail!("a certificate for the unknown role {other:?}"),
    };
    let identity = Identity {
        node: reply.node_id.parse().context("a certificate for no node")?,
        cluster: reply.cluster_id.parse().context("a certificate for no cluster")?,
        role,
    };
    Ok(Credentials { identity, chain_pem: reply.chain_pem, key_pem, root_pem })
}

/// Waits until the certificate in use should be renewed: at a random point of
/// 50–80 % of its life, so that a cluster's nodes do not renew all at once.
pub(crate) async fn renewal_due(tls: &Tls, ambient: &Ambient) {
    let share: f64 = ambient.chance().random();
    let due = tls.renew_at(share);
    let wait = due.since(ambient.now());
    if wait.is_negative() {
        warn!("the certificate should have been renewed at {due}");
    }
    tokio::time::sleep(wait.to_std()).await;
}
