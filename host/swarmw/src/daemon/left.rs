//! What this machine's engine has still of nodes that left their clusters while it was away:
//! it goes when the engine is back, by this daemon or the next one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use swarmw_agent::LeftOnEngine;
use swarmw_model::NodeId;
use swarmw_node::Member;
use tracing::{info, warn};

use super::Daemon;

/// Between looks whether the engine is back.
const LOOK: Duration = Duration::from_secs(3);
/// After an engine that is there did not do it.
const RETRY: Duration = Duration::from_secs(30);
/// In the agent's folder, which goes with the next cluster: what a driver remembers.
const MEMORY: &str = "engine-networks";

/// What a node may leave behind. Networks on the engine are those of its one driver, which
/// another daemon beside the same engine may be.
pub(super) fn of(member: &Member) -> LeftOnEngine {
    let mut networks = member.agent().networks_heard().networks;
    networks.retain(|network| network.is_overlay() && member.agent().joins_networks());
    LeftOnEngine {
        node: member.membership().node,
        networks: networks.into_iter().map(|network| network.id).collect(),
    }
}

/// What goes by this daemon's hand while its node is of a cluster, or of none: an agent looks
/// after networks itself, and they may be its cluster's again.
fn to_clear(mut left: Vec<LeftOnEngine>, present: Option<NodeId>) -> Vec<LeftOnEngine> {
    if present.is_some() {
        left.retain(|one| Some(one.node) != present);
        left.iter_mut().for_each(|one| one.networks.clear());
    }
    left
}

// === impl Daemon ===

impl Daemon {
    /// A node has left its cluster: what it leaves is written down, and looked for.
    pub(super) fn leaves(&self, left: LeftOnEngine) {
        if self.agent.engine.is_none() {
            return;
        }
        match self.dir.leave(left) {
            Ok(()) => self.left.notify_one(),
            Err(error) => warn!(
                error = %format!("{error:#}"),
                "what this node has left on its engine is not looked for"
            ),
        }
    }

    /// Clears what was left when the daemon begins and whenever a node has left, for ever.
    pub(super) async fn clear_left(self: Arc<Self>) {
        loop {
            while let Err(error) = self.try_to_clear().await {
                warn!(
                    error = %format!("{error:#}"),
                    "containers or networks of a cluster that this node has left are still on its \
                     engine"
                );
                tokio::time::sleep(RETRY).await;
            }
            self.left.notified().await;
        }
    }

    async fn try_to_clear(&self) -> Result<()> {
        let Some(engine) = &self.agent.engine else { return Ok(()) };
        if self.dir.left()?.is_empty() {
            return Ok(());
        }
        let mut was_away = false;
        while let Err(why) = swarmw_agent::engine_answers(engine).await {
            if !std::mem::replace(&mut was_away, true) {
                warn!(
                    %why,
                    "the Docker engine does not answer: what it has of a cluster that this node \
                     has left is removed when it does"
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        // Nobody comes or goes meanwhile: an agent serves the driver itself.
        let _turn = self.changing.lock().await;
        let present = self.dir.membership()?.map(|membership| membership.node);
        let left = to_clear(self.dir.left()?, present);
        let driver = self.agent.network_driver.as_deref().filter(|_| present.is_none());
        let driver = driver.map(|socket| (socket, self.agent.state_dir.join(MEMORY)));
        let gone = swarmw_agent::clear_left(engine, driver, &left).await?;
        if gone > 0 {
            info!(gone, "removed containers of a cluster that this node has left");
        }
        self.dir.nothing_is_left()
    }
}

#[cfg(test)]
mod tests {
    use swarmw_model::NetworkId;

    use super::*;

    #[test]
    fn a_member_clears_containers_of_nodes_that_are_no_more_and_no_networks() {
        let left = |node, networks: &[u128]| LeftOnEngine {
            node: NodeId::from_bits(node),
            networks: networks.iter().copied().map(NetworkId::from_bits).collect(),
        };
        let all = vec![left(1, &[7]), left(2, &[7, 8])];
        assert_eq!(to_clear(all.clone(), None), all);
        let of_member = to_clear(all, Some(NodeId::from_bits(2)));
        assert_eq!(of_member, [left(1, &[])], "its own tasks run, on the same networks perhaps");
    }
}
