//! One write, and what became of it.

use futures::future::join_all;
use swarmw_ambient::Ambient;
use swarmw_model::{Id, Refusal, RefusalKind, RequestId, Time};
use swarmw_raft::{ProposeError, Raft};
use swarmw_state::{Change, Dropped, Outcome, Transaction};

/// Swarm's words when no leader can be had.
pub(crate) const NO_LEADER: &str = "The swarm does not have a leader. It's possible that too few \
     managers are online. Make sure more than half of the managers are online.";

/// The log, and the clock that dates what is proposed to it.
#[derive(Clone)]
pub(crate) struct Proposer {
    pub(crate) raft: Raft,
    pub(crate) ambient: Ambient,
}

// === impl Proposer ===

impl Proposer {
    pub(crate) fn now(&self) -> Time {
        self.ambient.now()
    }

    /// Proposes one change as a transaction of its own.
    ///
    /// # Errors
    /// What `apply` refused; or that this manager does not lead (any more), which
    /// [`is_leader_lost`] tells apart, so that the caller passes the request on.
    pub(crate) async fn write(
        &self,
        request: Option<RequestId>,
        change: Change,
    ) -> Result<Option<Id>, Refusal> {
        let transaction = Transaction { at: self.now(), request, changes: vec![change] };
        let outcomes = self.raft.propose(transaction).await.map_err(lost)?;
        match outcomes.into_iter().next() {
            Some(Outcome::Done(made)) => Ok(made),
            Some(Outcome::Refused(why)) => Err(why),
            Some(Outcome::Dropped(Dropped::Stale)) => Ok(None),
            Some(Outcome::Dropped(Dropped::Gone)) => {
                Err(Refusal::plain(RefusalKind::NotFound, "the object is gone"))
            }
            Some(Outcome::Dropped(Dropped::Changed)) => Err(Refusal::out_of_sequence()),
            None => Err(Refusal::rpc(RefusalKind::Unknown, "a write without an outcome")),
        }
    }

    /// Proposes decisions, all parts at once, and waits for every outcome: the first
    /// part that was not accepted, if any.
    pub(crate) async fn decide(&self, changes: Vec<Change>) -> Result<(), ProposeError> {
        let parts = Transaction::cut(self.now(), changes);
        let outcomes = join_all(parts.into_iter().map(|part| self.raft.propose(part))).await;
        outcomes.into_iter().try_for_each(|outcome| outcome.map(drop))
    }

    /// Waits for a point in time; for ever without one.
    pub(crate) async fn until(&self, at: Option<Time>) {
        match at {
            Some(at) => tokio::time::sleep(at.since(self.now()).to_std()).await,
            None => std::future::pending().await,
        }
    }
}

fn lost(error: ProposeError) -> Refusal {
    tracing::debug!(%error, "a write found no leader");
    Refusal::rpc(RefusalKind::Unknown, NO_LEADER)
}

/// Whether a refusal says that the leader was lost on the way: the same request,
/// with its id, may be sent to the next one.
pub fn is_leader_lost(refusal: &Refusal) -> bool {
    refusal.message == NO_LEADER
}
