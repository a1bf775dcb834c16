//! The front door: a node that is in a cluster.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwapOption;
use swarmw_agent::{Agent, AgentConfig, Place};
use swarmw_ca::{Credentials, Tls};
use swarmw_manager::{
    Founded, Founding, Handler, Lock, Manager, ManagerServices, ReachHandler, new_cluster,
};
use swarmw_model::NodeRole;
use swarmw_proto::{Channels, Listener, pb};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::seats::ask_to_leave;
use crate::{Ground, Keyring, Membership, StateDir, certificates};

/// After something failed that will be tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(2);
/// How long an orderly stop waits for its parts.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// The folder that holds the certificate, its key and the root.
pub(crate) const CERTIFICATES: &str = "certificates";
/// The founder's seat.
const FIRST_SEAT: u64 = 1;

/// What a node's parts are made of.
pub struct Parts {
    /// The node's folder.
    pub dir: Arc<StateDir>,
    /// By what it seals what it keeps as a manager.
    pub keys: Keyring,
    /// What the node stands on.
    pub ground: Ground,
    /// The agent's own settings.
    pub agent: AgentConfig,
    /// Answers requests of the API that other managers pass on.
    pub handler: Handler,
    /// Answers nodes that are no managers and ask for containers of tasks.
    pub reach: ReachHandler,
}

/// A node that is in a cluster, running.
pub struct Member {
    pub(crate) dir: Arc<StateDir>,
    pub(crate) ground: Ground,
    pub(crate) handler: Handler,
    pub(crate) reach: ReachHandler,
    membership: Mutex<Membership>,
    /// Also held while credentials are written: how depends on it.
    pub(crate) keys: tokio::sync::Mutex<Keyring>,
    /// Told by the manager what the cluster wants of that.
    pub(crate) lock: watch::Sender<Lock>,
    pub(crate) tls: Tls,
    pub(crate) channels: Channels,
    pub(crate) manager: Arc<ArcSwapOption<Manager>>,
    /// Why the manager does not run that should.
    pub(crate) fault: ArcSwapOption<String>,
    pub(crate) agent: Agent,
    pub(crate) cancel: CancellationToken,
    tasks: TaskTracker,
}

/// How a node takes its place in a cluster.
enum Beginning {
    /// As the founder.
    Found(Box<Founded>),
    /// As the member that it was, or is now.
    Resume,
    /// As the one manager that is left of several.
    Alone,
}

// === impl Member ===

impl Member {
    /// Founds a cluster with this node as its first manager. Without success nothing
    /// of a cluster is left behind.
    ///
    /// # Errors
    /// The address is taken, or the disk.
    pub async fn found(parts: Parts, founding: &Founding, listen: &str) -> Result<Arc<Self>> {
        let dir = parts.dir.clone();
        let begun = Self::begin_cluster(parts, founding, listen).await;
        if begun.is_err() {
            dir.forget()?;
        }
        begun
    }

    async fn begin_cluster(parts: Parts, founding: &Founding, listen: &str) -> Result<Arc<Self>> {
        let ambient = &parts.ground.ambient;
        let founded = new_cluster(founding, ambient.now(), &mut ambient.chance())?;
        let identity = &founded.credentials.identity;
        let membership = Membership {
            node: identity.node,
            cluster: identity.cluster,
            listen: listen.to_owned(),
            advertise: founding.address.clone(),
            managers: vec![founding.address.clone()],
            raft_id: Some(FIRST_SEAT),
            data_path: founding.data_path,
        };
        let dir = parts.dir.clone();
        founded.credentials.save(&dir.join(CERTIFICATES), parts.keys.private_seal())?;
        let credentials = founded.credentials.clone();
        let beginning = Beginning::Found(Box::new(founded));
        let member = Self::start(parts, membership.clone(), credentials, beginning).await?;
        if let Err(e) = dir.remember(&membership) {
            member.stop().await;
            return Err(e);
        }
        Ok(member)
    }

    /// Becomes a member with the credentials that the leader has issued. Without
    /// success nothing of the cluster is left behind.
    ///
    /// # Errors
    /// The address is taken, or the disk.
    pub async fn join(
        parts: Parts,
        credentials: Credentials,
        membership: Membership,
    ) -> Result<Arc<Self>> {
        let dir = parts.dir.clone();
        credentials.save(&dir.join(CERTIFICATES), parts.keys.private_seal())?;
        dir.remember(&membership)?;
        let joined = Self::start(parts, membership, credentials, Beginning::Resume).await;
        if joined.is_err() {
            dir.forget()?;
        }
        joined
    }

    /// Goes on as the member that this node was before, if it was one.
    ///
    /// # Errors
    /// The folder is damaged, or the address is taken.
    pub async fn resume(parts: Parts) -> Result<Option<Arc<Self>>> {
        let Some(membership) = parts.dir.membership()? else { return Ok(None) };
        let folder = parts.dir.join(CERTIFICATES);
        let credentials = Credentials::load(&folder, &parts.keys.seal())?;
        Self::start(parts, membership, credentials, Beginning::Resume).await.map(Some)
    }

    /// Goes on as the one manager that is left of several, which are gone for good.
    ///
    /// # Errors
    /// The folder is damaged or in use, or the address is taken.
    pub async fn alone(parts: Parts, membership: Membership) -> Result<Arc<Self>> {
        let dir = parts.dir.clone();
        let credentials = Credentials::load(&dir.join(CERTIFICATES), &parts.keys.seal())?;
        let member = Self::start(parts, membership.clone(), credentials, Beginning::Alone).await?;
        dir.remember(&membership)?;
        Ok(member)
    }

    async fn start(
        parts: Parts,
        membership: Membership,
        credentials: Credentials,
        beginning: Beginning,
    ) -> Result<Arc<Self>> {
        let Parts { dir, keys, ground, agent, handler, reach } = parts;
        let listener =
            ground.transport.listen(&membership.listen).await.with_context(|| {
                format!("cannot listen for other nodes on {}", membership.listen)
            })?;
        let tls = Tls::by(ground.ambient.clone(), &credentials)?;
        let channels = Channels::over(ground.transport.clone(), tls.clone());
        let channels = match listener.local_addr() {
            Some(listening) => channels.at_home(&membership.advertise, listening),
            None => channels,
        };
        let agent = Agent::start(
            AgentConfig {
                agent_address: membership.advertise.clone(),
                data_path_address: membership.data_path,
                ..agent
            },
            ground.runs.clone(),
            Place {
                tls: tls.clone(),
                channels: channels.clone(),
                managers: membership.managers.clone(),
                ambient: ground.ambient.clone(),
            },
        )
        .await?;
        let member = Arc::new(Self {
            dir,
            ground,
            handler,
            reach,
            membership: Mutex::new(membership),
            keys: tokio::sync::Mutex::new(keys),
            lock: watch::Sender::default(),
            tls,
            channels,
            manager: Arc::default(),
            fault: ArcSwapOption::empty(),
            agent,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        member.serve(listener);
        let begun = match beginning {
            Beginning::Found(founded) => member.lead_first(&founded).await,
            Beginning::Alone => member.lead_alone().await,
            Beginning::Resume => {
                member.take_up_role().await;
                Ok(())
            }
        };
        if let Err(e) = begun {
            member.stop().await;
            return Err(e);
        }
        member.tasks.spawn(member.clone().follow_role());
        member.tasks.spawn(member.clone().keep_certificate());
        member.tasks.spawn(member.clone().keep_locked());
        Ok(member)
    }

    fn serve(&self, listener: Box<dyn Listener>) {
        let services = ManagerServices(self.manager.clone());
        let routes = services
            .routes()
            .add_service(pb::tunnel_server::TunnelServer::new(self.agent.tunnel()))
            .add_service(pb::doctor_server::DoctorServer::new(self.agent.doctor()))
            .add_service(pb::containers_server::ContainersServer::new(self.agent.containers()));
        let (tls, cancel) = (self.tls.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            if let Err(e) =
                swarmw_proto::serve(listener, tls, routes, cancel.cancelled_owned()).await
            {
                error!(error = %e, "the listener for other nodes ended");
            }
        });
    }

    async fn lead_first(&self, founded: &Founded) -> Result<()> {
        self.take_office(Manager::found(self.manager_config(), founded).await?);
        Ok(())
    }

    async fn lead_alone(&self) -> Result<()> {
        let raft_id = self.membership().raft_id.context("this node has no seat")?;
        self.take_office(Manager::resume_alone(self.manager_config(), raft_id).await?);
        Ok(())
    }

    async fn keep_certificate(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = certificates::renewal_due(&self.tls, &self.ground.ambient) => {}
            }
            if let Err(e) = self.renew().await {
                warn!(error = %format!("{e:#}"), "the certificate could not be renewed yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    pub(crate) async fn renew(&self) -> Result<()> {
        let managers = self.membership().managers;
        let credentials = certificates::renew(&managers, &self.channels, &self.tls).await?;
        {
            let keys = self.keys.lock().await;
            credentials.save(&self.certificates(), keys.private_seal())?;
            self.tls.replace(&credentials)?;
        }
        self.channels.reset();
        Ok(())
    }

    /// The folder of the certificate.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.dir.join(CERTIFICATES)
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

    /// Why the manager does not run that should.
    pub fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    pub(crate) fn remember(&self, change: impl FnOnce(&mut Membership)) -> Result<()> {
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
