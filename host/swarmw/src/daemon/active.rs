//! A node that is in a cluster: its listener, its agent, and its manager while it
//! is one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwapOption;
use swarmw_agent::{Agent, AgentConfig};
use swarmw_ca::{Credentials, Tls};
use swarmw_manager::{Founded, GrpcPeers, Handler, Manager, ManagerConfig, ManagerServices};
use swarmw_model::NodeRole;
use swarmw_plugin_host::Compiler;
use swarmw_proto::{Channels, pb};
use swarmw_raft::Timing;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::certificates;
use crate::state_dir::{Membership, StateDir};

/// After something failed that will be tried again.
const RETRY: Duration = Duration::from_secs(2);
/// After the manager could not write its files, or not open them.
const STORAGE_RETRY: Duration = Duration::from_secs(5);
/// How long an orderly stop waits for its parts.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What a node's parts are made of.
pub struct Parts {
    /// The node's folder.
    pub dir: Arc<StateDir>,
    /// This binary, for child processes.
    pub exe: PathBuf,
    /// The agent's own settings.
    pub agent: AgentConfig,
    /// Answers requests of the API that other managers pass on.
    pub handler: Handler,
}

/// A node that is in a cluster.
pub struct Active {
    dir: Arc<StateDir>,
    exe: PathBuf,
    handler: Handler,
    membership: Mutex<Membership>,
    tls: Tls,
    channels: Channels,
    manager: Arc<ArcSwapOption<Manager>>,
    /// Why the manager does not run that should.
    fault: ArcSwapOption<String>,
    agent: Agent,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

// === impl Active ===

impl Active {
    /// Starts a node that has credentials: as the founder of a cluster, or as the
    /// member that `membership` says it is.
    ///
    /// # Errors
    /// The address is taken, or the disk.
    pub async fn start(
        parts: Parts,
        membership: Membership,
        credentials: Credentials,
        founded: Option<Founded>,
    ) -> Result<Arc<Self>> {
        let listener = TcpListener::bind(&membership.listen)
            .await
            .with_context(|| format!("cannot listen for other nodes on {}", membership.listen))?;
        let tls = Tls::new(&credentials)?;
        let channels = Channels::new(tls.clone());
        let agent = Agent::start(
            AgentConfig { agent_address: membership.advertise.clone(), ..parts.agent },
            tls.clone(),
            channels.clone(),
            membership.managers.clone(),
        )
        .await?;
        let active = Arc::new(Self {
            dir: parts.dir,
            exe: parts.exe,
            handler: parts.handler,
            membership: Mutex::new(membership),
            tls,
            channels,
            manager: Arc::default(),
            fault: ArcSwapOption::empty(),
            agent,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        active.serve(listener);
        match founded {
            Some(founded) => {
                if let Err(e) = active.found(&founded).await {
                    active.stop().await;
                    return Err(e);
                }
            }
            None => active.resume().await,
        }
        active.tasks.spawn(active.clone().follow_role());
        active.tasks.spawn(active.clone().keep_certificate());
        Ok(active)
    }

    fn serve(self: &Arc<Self>, listener: TcpListener) {
        let services = ManagerServices(self.manager.clone());
        let routes = services
            .routes()
            .add_service(pb::tunnel_server::TunnelServer::new(self.agent.tunnel()));
        let (tls, cancel) = (self.tls.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            if let Err(e) =
                swarmw_proto::serve(listener, tls, routes, cancel.cancelled_owned()).await
            {
                error!(error = %e, "the listener for other nodes ended");
            }
        });
    }

    async fn found(&self, founded: &Founded) -> Result<()> {
        let manager = Manager::found(self.manager_config()?, founded).await?;
        self.manager.store(Some(Arc::new(manager)));
        Ok(())
    }

    /// Becomes the manager again that this node was, if it was one. When it cannot,
    /// the agent works all the same, and [`Active::follow_role`] tries again.
    async fn resume(&self) {
        if self.tls.identity().role == NodeRole::Manager
            && let Err(e) = self.manage().await
        {
            self.not_in_role(NodeRole::Manager, &e);
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

    /// Takes the seat that this node has among the managers, or asks for one.
    async fn manage(&self) -> Result<()> {
        let Some(raft_id) = self.membership().raft_id else { return self.take_seat().await };
        let manager = Manager::resume(self.manager_config()?, raft_id).await?;
        self.manager.store(Some(Arc::new(manager)));
        self.fault.store(None);
        Ok(())
    }

    fn set_fault(&self, why: &str) {
        error!(%why, "this node's manager does not run; it will be tried again");
        self.fault.store(Some(Arc::new(why.to_owned())));
    }

    /// Why the manager does not run that should.
    pub fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
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

    /// Asks the leader for a seat among the managers and takes it.
    async fn take_seat(&self) -> Result<()> {
        let Membership { managers, advertise, .. } = self.membership();
        let reply = ask_for_seat(&self.channels, &managers, &advertise).await?;
        self.remember(|m| m.raft_id = Some(reply.raft_id))?;
        let manager = Manager::resume(self.manager_config()?, reply.raft_id).await?;
        self.manager.store(Some(Arc::new(manager)));
        self.fault.store(None);
        info!(raft_id = reply.raft_id, "this node is a manager");
        Ok(())
    }

    fn manager_config(&self) -> Result<ManagerConfig> {
        let compiler =
            Compiler::new(self.exe.clone(), self.dir.join("compiled"), self.dir.key("compiled")?);
        Ok(ManagerConfig {
            state_dir: self.dir.join(""),
            node: self.tls.identity().node,
            address: self.membership().advertise,
            log_key: self.dir.key("raft")?,
            tls: self.tls.clone(),
            channels: self.channels.clone(),
            compiler,
            timing: Timing::default(),
            peers: Arc::new(GrpcPeers::new(self.channels.clone())),
            handler: self.handler.clone(),
            observer: Arc::new(|query| {
                let (url, pointer) = (query.url.clone(), query.pointer.clone());
                let timeout = Duration::from_millis(query.timeout_ms.into());
                Box::pin(async move { swarmw_observe::observe(&url, &pointer, timeout).await })
            }),
        })
    }

    /// Follows what the leader says of this node: the managers there are, and the
    /// role that the cluster wants.
    async fn follow_role(self: Arc<Self>) {
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

    async fn become_role(self: &Arc<Self>, role: NodeRole) -> Result<()> {
        if self.tls.identity().role != role {
            info!(%role, "the cluster wants this node in another role");
            self.renew().await?;
            anyhow::ensure!(
                self.tls.identity().role == role,
                "the new certificate is for a {}",
                self.tls.identity().role
            );
        }
        match (role, self.manager.load_full()) {
            (NodeRole::Manager, None) => self.manage().await,
            (NodeRole::Worker, manager) if self.membership().raft_id.is_some() => {
                self.manager.store(None);
                if let Some(manager) = manager {
                    manager.stop().await;
                }
                self.fault.store(None);
                self.remember(|m| m.raft_id = None)?;
                for folder in ["raft", "blobs"] {
                    let path = self.dir.join(folder);
                    if path.exists() {
                        std::fs::remove_dir_all(&path)
                            .with_context(|| format!("cannot remove {}", path.display()))?;
                    }
                }
                info!("this node is a worker");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn keep_certificate(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = certificates::renewal_due(&self.tls) => {}
            }
            if let Err(e) = self.renew().await {
                warn!(error = %format!("{e:#}"), "the certificate could not be renewed yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn renew(&self) -> Result<()> {
        let managers = self.membership().managers;
        let credentials = certificates::renew(&managers, &self.channels, &self.tls).await?;
        credentials.save(&self.dir.join("certificates"))?;
        self.tls.replace(&credentials)?;
        self.channels.reset();
        Ok(())
    }

    /// Where this node stands in its cluster.
    pub fn membership(&self) -> Membership {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The node's identity.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The manager, while this node is one.
    pub fn manager(&self) -> Option<Arc<Manager>> {
        self.manager.load_full()
    }

    fn remember(&self, change: impl FnOnce(&mut Membership)) -> Result<()> {
        let mut membership = self.membership.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = membership.clone();
        change(&mut new);
        self.dir.remember(&new)?;
        *membership = new;
        Ok(())
    }

    /// Ends everything in order and leaves the tasks running.
    pub async fn stop(&self) {
        if let Some(manager) = self.manager.swap(None) {
            manager.step_down().await;
            manager.stop().await;
        }
        self.agent.stop().await;
        self.end().await;
    }

    /// Leaves the cluster: tasks are stopped, the folder is emptied.
    ///
    /// # Errors
    /// The leader refused to let a manager go, or the disk.
    pub async fn leave(&self, force: bool) -> Result<()> {
        if self.manager().is_some() && !force {
            self.give_up_seat().await?;
        }
        self.agent.leave().await;
        if let Some(manager) = self.manager.swap(None) {
            manager.step_down().await;
            manager.stop().await;
        }
        self.end().await;
        self.dir.forget()
    }

    /// Asks to be demoted and waits until it is done.
    async fn give_up_seat(&self) -> Result<()> {
        let managers = self.membership().managers;
        let mut welcomed = self.agent.welcomed();
        ask_to_leave(&self.channels, &managers).await?;
        let demoted = async {
            while welcomed
                .borrow_and_update()
                .as_ref()
                .is_none_or(|w| w.node.role == NodeRole::Manager)
            {
                if welcomed.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(STOP_PATIENCE, demoted)
            .await
            .context("the leader has not let this manager go yet; try again, or use --force")
    }

    async fn end(&self) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_PATIENCE, self.tasks.wait()).await.is_err() {
            warn!("some connections did not end in time");
        }
    }
}

/// Tries every manager, and the leader that one of them names.
async fn ask_for_seat(
    channels: &Channels,
    managers: &[String],
    address: &str,
) -> Result<pb::JoinReply> {
    let mut last = tonic::Status::unavailable("no manager is known");
    let mut queue: Vec<String> = managers.to_vec();
    let mut asked = 0;
    while asked < queue.len() {
        let target = queue[asked].clone();
        asked += 1;
        let reply = async {
            let mut client = pb::membership_client::MembershipClient::new(channels.get(&target)?);
            client.join(pb::JoinRequest { address: address.to_owned() }).await
        };
        match reply.await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => {
                last = follow_hint(status, &mut queue);
            }
        }
    }
    anyhow::bail!("no manager gives this node a seat: {}", last.message())
}

async fn ask_to_leave(channels: &Channels, managers: &[String]) -> Result<()> {
    let mut last = tonic::Status::unavailable("no manager is known");
    let mut queue: Vec<String> = managers.to_vec();
    let mut asked = 0;
    while asked < queue.len() {
        let target = queue[asked].clone();
        asked += 1;
        let reply = async {
            let mut client = pb::membership_client::MembershipClient::new(channels.get(&target)?);
            client.leave(pb::LeaveRequest { force: false }).await
        };
        match reply.await {
            Ok(_) => return Ok(()),
            Err(status) => last = follow_hint(status, &mut queue),
        }
    }
    anyhow::bail!("{}", last.message())
}

/// Notes the leader that a refusal names, unless it has been asked already.
fn follow_hint(status: tonic::Status, queue: &mut Vec<String>) -> tonic::Status {
    let leader = status.metadata().get(swarmw_manager::LEADER).and_then(|v| v.to_str().ok());
    if let Some(leader) = leader.map(str::to_owned)
        && !queue.contains(&leader)
    {
        queue.push(leader);
    }
    status
}
