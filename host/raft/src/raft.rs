//! The front door.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, Fatal, RaftError as OpenraftError};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::storage::Snapshot;
use openraft::{BasicNode, ChangeMembers, Instant as _, ReadPolicy};
use swarmw_state::{Outcome, State, Transaction};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{RaftConfig, Timing};
use crate::error::{ProposeError, RaftError};
use crate::log::Survivor;
use crate::machine::Machine;
use crate::network::{Factory, SnapshotHeader, decode, encode};
use crate::open::{open_storage, settings};
use crate::peers::{PeerError, Peers, Rpc};
use crate::publish::{Publisher, Subscription};
use crate::role::{Role, follow};
use crate::types::{Proposal, TypeConfig, Vote};

/// A leader whose lease has just run out, or that waits for a change of members,
/// says so and is right again a moment later: how long it is not believed…
const PATIENCE: Duration = Duration::from_secs(2);
/// …and the pause between tries.
const PAUSE: Duration = Duration::from_millis(50);
/// The largest snapshot that is taken in.
const SNAPSHOT_MAX: usize = 1 << 30;
/// A peer is called unreachable after this many heartbeats without an answer.
const SILENT_HEARTBEATS: u32 = 6;

/// A manager's part in the replicated log. Cheap to clone.
#[derive(Clone)]
pub struct Raft {
    inner: openraft::Raft<TypeConfig, Machine>,
    publisher: Publisher,
    role: watch::Receiver<Role>,
    own: u64,
    address: Arc<str>,
    timing: Timing,
}

/// A manager as Raft sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its seat.
    pub raft_id: u64,
    /// Where it is reached.
    pub address: String,
    /// Whether the leader has heard it lately. Followers believe in the leader and
    /// take the others for reachable.
    pub reachable: bool,
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
            open_storage(config.storage, survivor.as_ref())
        })
        .await
        .map_err(|e| RaftError::Stopped(e.to_string()))??;
        let settings = settings(&config.timing)?;
        let inner = openraft::Raft::new(config.raft_id, settings, Factory(peers), log, machine)
            .await
            .map_err(|e| RaftError::Stopped(e.to_string()))?;
        let (role, watched) = watch::channel(Role::default());
        tokio::spawn(follow(inner.clone(), config.raft_id, role));
        Ok(Self {
            inner,
            publisher,
            role: watched,
            own: config.raft_id,
            address: config.address.into(),
            timing: config.timing,
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
            match self.inner.client_write(proposal.clone()).await {
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

    /// The seats of the voters.
    pub fn member_ids(&self) -> Vec<u64> {
        self.inner.voter_ids().collect()
    }

    /// The voters, and whether the leader hears them.
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.inner.metrics();
        let metrics = metrics.borrow_watched().clone();
        let silence = self.timing.heartbeat * SILENT_HEARTBEATS;
        let heard = |id: u64| match &metrics.heartbeat {
            Some(beats) if id != self.own => {
                beats.get(&id).and_then(|at| at.as_ref()).is_some_and(|at| at.elapsed() < silence)
            }
            _ => true,
        };
        let members = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = members.voter_ids().collect();
        members
            .nodes()
            .filter(|(id, _)| voters.contains(id))
            .map(|(id, node)| Member {
                raft_id: *id,
                address: node.addr.clone(),
                reachable: heard(*id),
            })
            .collect()
    }

    /// Adds a voter, which first catches up as a learner.
    ///
    /// # Errors
    /// This manager does not lead, the new one cannot be reached, or another change
    /// is under way.
    pub async fn add_member(&self, raft_id: u64, address: &str) -> Result<(), RaftError> {
        self.inner
            .add_learner(raft_id, BasicNode::new(address), true)
            .await
            .map_err(|e| RaftError::Members(e.to_string()))?;
        let voters = ChangeMembers::AddVoterIds(BTreeSet::from([raft_id]));
        self.inner
            .change_membership(voters, false)
            .await
            .map(drop)
            .map_err(|e| RaftError::Members(e.to_string()))
    }

    /// Takes a voter out. A leader that is to go hands over first; the next one
    /// takes it out.
    ///
    /// # Errors
    /// This manager does not lead, or another change is under way.
    pub async fn remove_member(&self, raft_id: u64) -> Result<(), RaftError> {
        if raft_id == self.own {
            return self.transfer_leadership().await;
        }
        let gone = BTreeSet::from([raft_id]);
        self.inner
            .change_membership(ChangeMembers::RemoveVoters(gone.clone()), false)
            .await
            .map_err(|e| RaftError::Members(e.to_string()))?;
        Ok(())
    }

    /// Hands the leadership to another voter and waits until it has it.
    ///
    /// # Errors
    /// There is no other voter that is heard, or it did not take over in time.
    pub async fn transfer_leadership(&self) -> Result<(), RaftError> {
        let next = self.members().into_iter().find(|m| m.raft_id != self.own && m.reachable);
        let Some(next) = next else {
            return Err(RaftError::Members("no other manager can take over".to_owned()));
        };
        self.inner
            .trigger()
            .transfer_leader(next.raft_id)
            .await
            .map_err(|e| RaftError::Stopped(e.to_string()))?;
        let mut role = self.role.clone();
        let moved = role.wait_for(|role| !role.leading && role.leader.is_some());
        match tokio::time::timeout(self.timing.election_max, moved).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(RaftError::Members(format!("{} did not take over in time", next.address))),
        }
    }

    /// Refuses what comes from a seat that was given up. Such a manager may not have
    /// heard of it, and a majority of such managers would undo what was written
    /// since. A seat that this manager has not heard of yet is believed: it may lag.
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
                encode(&answer.map_err(|e| stopped(&e))?)
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

    /// Stops taking part. What was acknowledged is on disk.
    pub async fn shutdown(&self) {
        if let Err(e) = self.inner.shutdown().await {
            tracing::warn!(error = %e, "raft did not stop in order");
        }
    }
}
