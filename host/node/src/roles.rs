//! The node's role: what the cluster wants it to be, it becomes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use swarmw_manager::{GrpcPeers, Manager, ManagerConfig};
use swarmw_model::NodeRole;
use tracing::{error, info, warn};

use crate::Membership;
use crate::member::{Member, RETRY};
use crate::seats::ask_for_seat;

/// After the manager could not write its files, or not open them.
const STORAGE_RETRY: Duration = Duration::from_secs(5);

impl Member {
    /// Becomes the manager again that this node was, if it was one. When it cannot,
    /// the agent works all the same, and [`Member::follow_role`] tries again.
    pub(crate) async fn take_up_role(&self) {
        if self.tls.identity().role == NodeRole::Manager
            && let Err(e) = self.manage().await
        {
            self.not_in_role(NodeRole::Manager, &e);
        }
    }

    /// Follows what the leader says of this node: the managers there are, and the
    /// role that the cluster wants.
    pub(crate) async fn follow_role(self: Arc<Self>) {
        let mut welcomed = self.agent.welcomed();
        loop {
            let latest = welcomed.borrow_and_update().clone();
            let role = latest.as_ref().map_or(self.tls.identity().role, |l| l.node.role);
            if let Some(latest) = latest
                && self.membership().managers != latest.managers
                && !latest.managers.is_empty()
            {
                self.remember(|m| m.managers = latest.managers).unwrap_or_else(
                    |e| warn!(error = %e, "the managers could not be written down"),
                );
            }
            let pause = match self.become_role(role).await {
                Ok(()) => Duration::MAX,
                Err(e) => self.not_in_role(role, &e),
            };
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                why = self.manager_failed() => self.put_away(&why).await,
                changed = welcomed.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn become_role(&self, role: NodeRole) -> Result<()> {
        if self.tls.identity().role != role {
            info!(%role, "the cluster wants this node in another role");
            self.renew().await?;
            anyhow::ensure!(
                self.tls.identity().role == role,
                "the new certificate is for a {}",
                self.tls.identity().role
            );
        }
        match (role, self.manager()) {
            (NodeRole::Manager, None) => self.manage().await,
            (NodeRole::Worker, manager) if self.membership().raft_id.is_some() => {
                self.manager.store(None);
                if let Some(manager) = manager {
                    manager.stop().await;
                }
                self.fault.store(None);
                self.ground.storage.erase()?;
                self.drop_lock().await?;
                self.remember(|m| m.raft_id = None)?;
                let blobs = self.dir.join("blobs");
                if blobs.exists() {
                    std::fs::remove_dir_all(&blobs)
                        .with_context(|| format!("cannot remove {}", blobs.display()))?;
                }
                info!("this node is a worker");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the seat that this node has among the managers, or asks for one.
    async fn manage(&self) -> Result<()> {
        let raft_id = match self.membership().raft_id {
            Some(raft_id) => raft_id,
            None => self.be_seated().await?,
        };
        self.take_office(Manager::resume(self.manager_config(), raft_id).await?);
        self.fault.store(None);
        info!(raft_id, "this node is a manager");
        Ok(())
    }

    /// Asks the leader for a seat among the managers.
    async fn be_seated(&self) -> Result<u64> {
        let Membership { managers, advertise, .. } = self.membership();
        let reply = ask_for_seat(&self.channels, &managers, &advertise).await?;
        self.remember(|m| m.raft_id = Some(reply.raft_id))?;
        Ok(reply.raft_id)
    }

    pub(crate) fn manager_config(&self) -> ManagerConfig {
        let ground = self.ground.clone();
        ManagerConfig {
            storage: ground.storage,
            blobs: self.dir.join("blobs"),
            node: self.tls.identity().node,
            address: self.membership().advertise,
            tls: self.tls.clone(),
            channels: self.channels.clone(),
            compiler: ground.compiler,
            timing: ground.timing,
            ambient: ground.ambient,
            peers: Arc::new(GrpcPeers::new(self.channels.clone())),
            handler: self.handler.clone(),
            reach: self.reach.clone(),
            observer: ground.observer,
            lock: self.lock.clone(),
        }
    }

    /// Notes that a change of role, or a resumption, failed; when to try again. A
    /// manager without a seat waits for its leader, one with a seat has a fault.
    fn not_in_role(&self, role: NodeRole, error: &anyhow::Error) -> Duration {
        let error = format!("{error:#}");
        if role == NodeRole::Manager && self.membership().raft_id.is_some() {
            self.set_fault(&error);
            STORAGE_RETRY
        } else {
            warn!(%error, %role, "not in the new role yet");
            RETRY
        }
    }

    fn set_fault(&self, why: &str) {
        error!(%why, "this node's manager does not run; it will be tried again");
        self.fault.store(Some(Arc::new(why.to_owned())));
    }

    /// Waits until the manager has failed; why.
    async fn manager_failed(&self) -> String {
        match self.manager() {
            Some(manager) => manager.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Puts a manager away that has failed, and lets some time pass.
    async fn put_away(&self, why: &str) {
        self.set_fault(why);
        if let Some(manager) = self.manager.swap(None) {
            manager.stop().await;
        }
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = tokio::time::sleep(STORAGE_RETRY) => {}
        }
    }
}
