//! One write, and what became of it.

use swarmw_model::{Id, Refusal, RefusalKind, RequestId};
use swarmw_raft::{ProposeError, Raft};
use swarmw_state::{Change, Dropped, Outcome, Transaction};

use crate::clock::now;

/// Swarm's words when no leader can be had.
pub(crate) const NO_LEADER: &str = "The swarm does not have a leader. It's possible that too few \
     managers are online. Make sure more than half of the managers are online.";

/// Proposes one change as a transaction of its own.
///
/// # Errors
/// What `apply` refused; or that this manager does not lead (any more), which
/// [`is_leader_lost`] tells apart, so that the caller passes the request on.
pub(crate) async fn write(
    raft: &Raft,
    request: Option<RequestId>,
    change: Change,
) -> Result<Option<Id>, Refusal> {
    let transaction = Transaction { at: now(), request, changes: vec![change] };
    let outcomes = raft.propose(transaction).await.map_err(lost)?;
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

fn lost(error: ProposeError) -> Refusal {
    tracing::debug!(%error, "a write found no leader");
    Refusal::rpc(RefusalKind::Unknown, NO_LEADER)
}

/// Whether a refusal says that the leader was lost on the way: the same request,
/// with its id, may be sent to the next one.
pub fn is_leader_lost(refusal: &Refusal) -> bool {
    refusal.message == NO_LEADER
}
