//! What this machine's engine has still of nodes that left their clusters while it was away:
//! it goes when the engine is back, by this daemon or the next one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use swarmw_agent::LeftOnEngine;
use swarmw_node::Member;
use tracing::{info, warn};

use super::Daemon;

/// Between looks whether the engine is back.
const LOOK: Duration = Duration::from_secs(3);
/// After an engine that is there did not do it.
const RETRY: Duration = Duration::from_secs(30);
/// In the agent's folder, which goes with the next cluster: what a driver remembers.
const MEMORY: &str = "engine-networks";

/// What a node may leave behind.
pub(super) fn of(member: &Member) -> LeftOnEngine {
    let heard = member.agent().networks_heard();
    let overlays = heard.networks.iter().filter(|network| network.is_overlay());
    LeftOnEngine {
        node: member.membership().node,
        networks: overlays.map(|network| network.id).collect(),
    }
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
        let membership = self.dir.membership()?;
        let present = membership.as_ref().map(|membership| membership.node);
        let mut left = self.dir.left()?;
        left.retain(|one| Some(one.node) != present);
        let driver = self.agent.network_driver.as_deref().filter(|_| membership.is_none());
        let driver = driver.map(|socket| (socket, self.agent.state_dir.join(MEMORY)));
        let gone = swarmw_agent::clear_left(engine, driver, &left).await?;
        if gone > 0 {
            info!(gone, "removed containers of a cluster that this node has left");
        }
        self.dir.nothing_is_left()
    }
}
