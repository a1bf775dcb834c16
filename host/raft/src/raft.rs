//! The front door.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, Fatal, RaftError as OpenraftError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use openraft::storage::Snapshot;
use openraft::{BasicNode, Config, ReadPolicy, SnapshotPolicy};
use swarmw_state::{Outcome, State, Transaction};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{RaftConfig, Timing};
use crate::error::{ProposeError, RaftError};
use crate::log::{LogStore, Survivor};
use crate::machine::Machine;
use crate::network::{Factory, SnapshotHeader, decode, encode};
use crate::peers::{PeerError, Peers, Rpc};
use crate::publish::{Past, Publisher, Subscription};
use crate::role::{Heard, Role, Watch};
use crate::snapshot::Shelf;
use crate::types::{Proposal, TypeConfig, Vote};

/// A leader whose lease has just run out, or that waits for a change of members,
/// says so and is right again a moment later: how long it is not believed…
const PATIENCE: Duration = Duration::from_secs(2);
/// …and the pause between tries.
const PAUSE: Duration = Duration::from_millis(50);
/// The largest snapshot that is taken in.
const SNAPSHOT_MAX: usize = 1 << 30;

/// A manager's part in the replicated log. Cheap to clone.
#[derive(Clone)]
pub struct Raft {
    pub(crate) inner: openraft::Raft<TypeConfig, Machine>,
    publisher: Publisher,
    pub(crate) role: watch::Receiver<Role>,
    pub(crate) own: u64,
    address: Arc<str>,
    pub(crate) timing: Timing,
    heard: Heard,
    /// Until the shutdown: whoever holds them keeps others from opening them.
    files: Arc<Mutex<Option<Files>>>,
}

/// Where log and snapshots are kept.
#[derive(Clone)]
struct Files {
    log: LogStore,
    shelf: Shelf,
}

// === impl Raft ===

impl Raft {
    /// Opens log and snapshots and takes part in elections from then on.
    ///
    /// # Errors
    /// The files are damaged or written by a newer swarmw.
    pub async fn open(config: RaftConfig, peers: Arc<dyn Peers>) -> Result<Self, RaftError> {
        Self::begin(config, peers, None).await
    }

    /// Opens the files of one manager of several and goes on without the others:
    /// they have no seat any more, and `first` is written behind everything that this
    /// manager has, in one with that.
    ///
    /// # Errors
    /// As for [`Raft::open`].
    pub async fn open_alone(
        config: RaftConfig,
        peers: Arc<dyn Peers>,
        first: Transaction,
    ) -> Result<Self, RaftError> {
        Self::begin(config, peers, Some(first)).await
    }

    async fn begin(
        config: RaftConfig,
        peers: Arc<dyn Peers>,
        alone: Option<Transaction>,
    ) -> Result<Self, RaftError> {
        let (own, address) = (config.raft_id, config.address.clone());
        let (log, machine, publisher) = tokio::task::spawn_blocking(move || {
            let survivor =
                alone.as_ref().map(|first| Survivor { raft_id: own, address: &address, first });
            config.storage.open(survivor.as_ref())
        })
        .await
        .map_err(|e| RaftError::Stopped(e.to_string()))??;
        let settings = settings(&config.timing)?;
        let files = Files { log: log.clone(), shelf: machine.shelf() };
        let inner = openraft::Raft::new(config.raft_id, settings, Factory(peers), log, machine)
            .await
            .map_err(|e| RaftError::Stopped(e.to_string()))?;
        let (role, watched) = watch::channel(Role::default());
        let heard = Heard::now();
        let watch = Watch {
            raft: inner.clone(),
            own: config.raft_id,
            timing: config.timing,
            heard: heard.clone(),
        };
        tokio::spawn(watch.tell(role));
        Ok(Self {
            inner,
            publisher,
            role: watched,
            own: config.raft_id,
            address: config.address.into(),
            timing: config.timing,
            heard,
            files: Arc::new(Mutex::new(Some(files))),
        })
    }

    /// Begins a new log with this manager alone, and writes its first transaction.
    ///
    /// # Errors
    /// There is a log already.
    pub async fn found(&self, first: Transaction) -> Result<Vec<Outcome>, RaftError> {
        let members = BTreeMap::from([(self.own, BasicNode::new(&*self.address))]);
        self.inner.initialize(members).await.map_err(|e| match e {
            OpenraftError::APIError(_) => RaftError::Founded,
            OpenraftError::Fatal(e) => RaftError::Stopped(e.to_string()),
        })?;
        let mut role = self.role.clone();
        role.wait_for(|role| role.leading)
            .await
            .map_err(|_| RaftError::Stopped("before the first entry".to_owned()))?;
        self.propose(first).await.map_err(|e| RaftError::Stopped(e.to_string()))
    }

    /// Proposes a transaction and waits until it is applied here. Many proposals at
    /// once share disk writes and messages.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, transaction: Transaction) -> Result<Vec<Outcome>, ProposeError> {
        let proposal = Proposal::of(&transaction);
        let start = Instant::now();
        loop {
            let written = tokio::select! {
                written = self.inner.client_write(proposal.clone()) => written,
                // A leader that is cut off would wait until it is not.
                () = self.led_no_more() => return Err(ProposeError::Lost),
            };
            match written {
                Ok(response) => return Ok(response.data.0),
                Err(OpenraftError::Fatal(_)) => return Err(ProposeError::Closed),
                Err(OpenraftError::APIError(ClientWriteError::ForwardToLeader(to))) => {
                    let other = to.leader_id.filter(|id| *id != self.own);
                    if other.is_some() || start.elapsed() >= PATIENCE || !self.seems_to_lead() {
                        let address = to.leader_node.map(|node| node.addr).unwrap_or_default();
                        return Err(ProposeError::NotLeader {
                            leader: other.map(|id| (id, address)),
                        });
                    }
                }
                Err(OpenraftError::APIError(_)) => return Err(ProposeError::Lost),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns when this manager has led, and leads no more.
    async fn led_no_more(&self) {
        let mut role = self.role.clone();
        for leading in [true, false] {
            if role.wait_for(|role| role.leading == leading).await.is_err() {
                // Raft has stopped, and says so to those who wait for it.
                std::future::pending::<()>().await;
            }
        }
    }

    fn seems_to_lead(&self) -> bool {
        let role = self.role.borrow();
        role.leader.as_ref().is_none_or(|(id, _)| *id == self.own)
    }

    /// Makes sure that [`Raft::state`] holds every write acknowledged before the call.
    ///
    /// # Errors
    /// This manager does not lead, or cannot prove that it does.
    pub async fn read_index(&self) -> Result<(), ProposeError> {
        let start = Instant::now();
        loop {
            match self.inner.ensure_linearizable(ReadPolicy::ReadIndex).await {
                Ok(_) => return Ok(()),
                Err(OpenraftError::Fatal(_)) => return Err(ProposeError::Closed),
                Err(OpenraftError::APIError(_)) => {
                    let leader = self.role.borrow().leader.clone();
                    let other = leader.filter(|(id, _)| *id != self.own);
                    if other.is_some() || start.elapsed() >= PATIENCE {
                        return Err(ProposeError::NotLeader { leader: other });
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The state as it was last applied here.
    pub fn state(&self) -> Arc<State> {
        self.publisher.state()
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> Subscription {
        self.publisher.subscribe()
    }

    /// Changes from an entry of the log on that somebody knows already.
    pub fn past(&self) -> Past {
        self.publisher.past()
    }

    /// Who leads, now.
    pub fn role(&self) -> Role {
        self.role.borrow().clone()
    }

    /// Who leads, from now on.
    pub fn watch_role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// Where other managers reach this one.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Refuses what comes from a seat that was given up. Such a manager may not have
    /// heard of it, and a majority of such managers would undo what was written
    /// since. A seat that this manager has not heard of yet is believed: it may lag, unless
    /// it went on alone, see [`Transaction::alone`].
    fn seated(&self, vote: &Vote) -> Result<(), PeerError> {
        let seat = vote.leader_id.voted_for;
        if self.inner.voter_ids().any(|id| id == seat) {
            return Ok(());
        }
        let state = self.state();
        let held = || state.nodes().any(|n| n.member.as_ref().is_some_and(|m| m.raft_id == seat));
        match seat >= state.next_raft_id() || held() {
            true => Ok(()),
            false => Err(PeerError(format!("seat {seat} was given up; join the swarm again"))),
        }
    }

    /// Answers a peer's message.
    ///
    /// # Errors
    /// Not a message of ours, one from a seat that was given up, or Raft has stopped.
    pub async fn handle(&self, rpc: Rpc, body: &[u8]) -> Result<Vec<u8>, PeerError> {
        let stopped = |e: &dyn std::fmt::Display| PeerError(e.to_string());
        match rpc {
            Rpc::Append => {
                let request: AppendEntriesRequest<TypeConfig> = decode(body)?;
                self.seated(&request.vote)?;
                let answer = self.inner.append_entries(request).await;
                let answer = answer.map_err(|e| stopped(&e))?;
                if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                    self.heard.note();
                }
                encode(&answer)
            }
            Rpc::Vote => {
                let request: VoteRequest<TypeConfig> = decode(body)?;
                self.seated(&request.vote)?;
                encode(&self.inner.vote(request).await.map_err(|e| stopped(&e))?)
            }
            Rpc::PreVote => {
                let request: VoteRequest<TypeConfig> = decode(body)?;
                self.seated(&request.vote)?;
                encode(&self.inner.pre_vote(request).await.map_err(|e| stopped(&e))?)
            }
            Rpc::TransferLeader => {
                let answer = self.inner.handle_transfer_leader(decode(body)?).await;
                encode(&answer.map_err(|e| stopped(&e))?)
            }
        }
    }

    /// Takes in a snapshot.
    ///
    /// # Errors
    /// It broke off, is too large, or is not one of ours.
    pub async fn handle_snapshot(
        &self,
        mut chunks: BoxStream<'_, Result<Vec<u8>, PeerError>>,
    ) -> Result<Vec<u8>, PeerError> {
        let missing = || PeerError("a snapshot without a header".to_owned());
        let header: SnapshotHeader = decode(&chunks.next().await.ok_or_else(missing)??)?;
        self.seated(&header.vote)?;
        let mut data = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if data.len() + chunk.len() > SNAPSHOT_MAX {
                return Err(PeerError(format!("a snapshot of more than {SNAPSHOT_MAX} bytes")));
            }
            data.extend_from_slice(&chunk);
        }
        let snapshot = Snapshot { meta: header.meta, snapshot: Bytes::from(data) };
        let answer = self.inner.install_full_snapshot(header.vote, snapshot).await;
        self.heard.note();
        encode(&answer.map_err(|e| PeerError(e.to_string()))?)
    }

    /// Waits until Raft has stopped by itself, and says why: mostly a disk that is
    /// full or broken. What was acknowledged is on disk; opened again it goes on from
    /// there. After [`Raft::shutdown`] this waits for ever.
    pub async fn failed(&self) -> String {
        let mut metrics = self.inner.metrics();
        loop {
            let running = metrics.borrow_watched().running_state.clone();
            match running {
                Ok(()) if metrics.changed().await.is_ok() => {}
                Ok(()) => return "raft ended without a reason".to_owned(),
                Err(Fatal::Stopped) => std::future::pending().await,
                Err(why) => return why.to_string(),
            }
        }
    }

    /// Seals all that is on disk by the key that the storage's seal has now. Once that is
    /// done nothing needs the key before.
    ///
    /// # Errors
    /// The disk, or this manager stops.
    pub async fn reseal(&self) -> Result<(), RaftError> {
        let stopped = |e: &dyn std::fmt::Display| RaftError::Stopped(e.to_string());
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Files { log, shelf } = files.ok_or_else(|| stopped(&"its files are closed"))?;
        log.reseal().await.map_err(|e| stopped(&e))?;
        let resealed = tokio::task::spawn_blocking(move || shelf.reseal()).await;
        resealed.map_err(|e| stopped(&e))?.map_err(|e| stopped(&e))
    }

    /// Stops taking part. What was acknowledged is on disk.
    pub async fn shutdown(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(e) = self.inner.shutdown().await {
            tracing::warn!(error = %e, "raft did not stop in order");
        }
    }
}

fn settings(timing: &Timing) -> Result<Arc<Config>, RaftError> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "swarmw".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_every),
        max_in_snapshot_log_to_keep: timing.keep_entries,
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|e| RaftError::Members(e.to_string()))
}
