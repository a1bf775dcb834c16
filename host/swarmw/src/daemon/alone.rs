//! `swarm init --force-new-cluster`: one manager goes on when the majority is gone
//! for good.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use swarmw_api::InitRequest;
use swarmw_model::{Availability, ClusterSpec, NodeId, Refusal, UnlockKey};
use swarmw_node::{Member, Membership};
use tracing::warn;

use super::Daemon;
use super::node::failed;
use crate::address;

/// What the docker client sends when nothing was said.
const ANYWHERE: &str = "0.0.0.0:2377";
/// The manager before lets go of its files a moment after it has stopped…
const TRIES: u32 = 50;
/// …which is waited for by trying again.
const PAUSE: Duration = Duration::from_millis(100);

impl Daemon {
    /// Makes this manager the only one of its cluster, which is otherwise as it was.
    pub(super) async fn go_on_alone(
        self: &Arc<Self>,
        member: &Arc<Member>,
        request: &InitRequest,
    ) -> Result<NodeId, Refusal> {
        if member.membership().raft_id.is_none() {
            return Err(swarmw_api::worker());
        }
        if request.spec != ClusterSpec::default() || request.availability != Availability::Active {
            return Err(Refusal::invalid(
                "--force-new-cluster keeps the cluster's settings and the node's availability: \
                 change them with swarm update and node update afterwards",
            ));
        }
        let membership = moved(member.membership(), request)?;
        member.stop().await;
        let unlock_key = member.unlock_key().await;
        let begun = self.begin_alone(&membership, unlock_key.as_ref()).await;
        match begun {
            Ok(alone) => self.active.store(Some(alone)),
            Err(e) => {
                // Back to where it was, or to saying why not.
                self.active.store(None);
                self.resume(unlock_key.as_ref()).await;
                return Err(failed(e));
            }
        }
        self.arrive().await?;
        Ok(membership.node)
    }

    async fn begin_alone(
        self: &Arc<Self>,
        membership: &Membership,
        unlock_key: Option<&UnlockKey>,
    ) -> anyhow::Result<Arc<Member>> {
        let mut tries = TRIES;
        loop {
            let parts = self.parts(unlock_key)?.context("its files are locked by another key")?;
            match Member::alone(parts, membership.clone()).await {
                Err(e) if tries > 0 && format!("{e:#}").contains("already open") => {
                    warn!("the manager before has not let go of its files yet");
                    tries -= 1;
                    tokio::time::sleep(PAUSE).await;
                }
                begun => return begun,
            }
        }
    }
}

/// The node at the addresses that were asked for; what was not said stays.
fn moved(mut membership: Membership, request: &InitRequest) -> Result<Membership, Refusal> {
    if !matches!(request.listen_addr.as_str(), "" | ANYWHERE) {
        membership.listen = address::listen(&request.listen_addr)?.to_string();
    }
    if !request.advertise_addr.is_empty() {
        let listening = address::listen(&membership.listen)?;
        membership.advertise =
            address::advertise(&request.advertise_addr, listening, None)?.to_string();
    }
    membership.managers = vec![membership.advertise.clone()];
    Ok(membership)
}
