//! Who takes part: voters, those who are on the way to be, and the one who leads.

use std::collections::{BTreeMap, BTreeSet};

use openraft::async_runtime::WatchReceiver as _;
use openraft::{BasicNode, ChangeMembers, Instant as _};

use crate::error::RaftError;
use crate::raft::Raft;
use crate::types::LogId;

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
    /// The seats of the voters.
    pub fn member_ids(&self) -> Vec<u64> {
        self.inner.voter_ids().collect()
    }

    /// The seats of those who copy the log and have no vote: managers on their way in.
    pub fn learner_ids(&self) -> Vec<u64> {
        let metrics = self.inner.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().learner_ids().collect()
    }

    /// The voters, and whether the leader hears them.
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.inner.metrics();
        let metrics = metrics.borrow_watched().clone();
        let silence = self.timing.silence();
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

    /// Adds a voter. It first copies the log without a vote, so that a manager that
    /// never comes up cannot take the majority away from those there are.
    ///
    /// # Errors
    /// This manager does not lead, the new one does not catch up for now, or another
    /// change is under way.
    pub async fn add_member(&self, raft_id: u64, address: &str) -> Result<(), RaftError> {
        let node = BTreeMap::from([(raft_id, BasicNode::new(address))]);
        // An earlier attempt may have had another address.
        let learner = match self.learner_ids().contains(&raft_id) {
            true => ChangeMembers::SetNodes(node),
            false => ChangeMembers::AddNodes(node),
        };
        let added = self.change_members(learner).await?;
        self.caught_up(raft_id, added).await?;
        self.change_members(ChangeMembers::AddVoterIds(BTreeSet::from([raft_id]))).await?;
        Ok(())
    }

    /// Waits until a learner has the entry. Openraft's own wait takes a learner that
    /// is thousands of entries behind, or was never heard of, for caught up.
    async fn caught_up(&self, raft_id: u64, index: u64) -> Result<(), RaftError> {
        let matched = |copied: &BTreeMap<u64, Option<_>>| {
            copied
                .get(&raft_id)
                .and_then(Option::as_ref)
                .is_some_and(|id: &LogId| id.index >= index)
        };
        let waited = self
            .inner
            .wait(Some(self.timing.catch_up))
            .metrics(|m| m.replication.as_ref().is_none_or(matched), "a new manager has the log")
            .await;
        match waited {
            Ok(metrics) if metrics.replication.is_some() => Ok(()),
            Ok(_) => Err(RaftError::Members("this manager does not lead any more".to_owned())),
            Err(_) => Err(RaftError::Members(format!(
                "manager {raft_id} has not copied the log within {} s; is its daemon running, \
                 and is its address reachable?",
                self.timing.catch_up.as_secs_f32()
            ))),
        }
    }

    /// Takes a voter or a learner out. A leader that is to go hands over first; the
    /// next one takes it out.
    ///
    /// # Errors
    /// This manager does not lead, or another change is under way.
    pub async fn remove_member(&self, raft_id: u64) -> Result<(), RaftError> {
        if raft_id == self.own {
            return self.transfer_leadership().await;
        }
        let gone = BTreeSet::from([raft_id]);
        let change = match self.learner_ids().contains(&raft_id) {
            true => ChangeMembers::RemoveNodes(gone),
            false => ChangeMembers::RemoveVoters(gone),
        };
        self.change_members(change).await.map(drop)
    }

    /// Writes a change of members; the index of its entry.
    async fn change_members(
        &self,
        change: ChangeMembers<u64, BasicNode>,
    ) -> Result<u64, RaftError> {
        let changed = self.inner.change_membership(change, false).await;
        changed.map(|c| c.log_id.index).map_err(|e| RaftError::Members(e.to_string()))
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
}
