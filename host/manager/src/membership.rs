//! Who is a manager: the loop that brings Raft's members, the observed roles and
//! the operator's wish together, one change at a time.
//!
//! Promote: the observed role changes first, so that the node is given a manager's
//! certificate; it then asks to join and gets a seat. Demote: the seat goes first,
//! then the role, then the certificate.

use std::time::Duration;

use swarmw_model::{NodeId, NodeRole, RaftMember};
use swarmw_raft::{Raft, Received};
use swarmw_state::{Change, State};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::propose::write;

/// A change of members that failed (a manager that cannot be reached, a change in
/// flight) is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);

/// One thing to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Change the observed role and take away a seat.
    SetRole(NodeId, NodeRole),
    /// Make a seat's holder a voter.
    Add(RaftMember),
    /// Take a voter out.
    Remove(u64),
}

/// Runs while this manager leads.
pub(crate) async fn keep_roles(raft: Raft, own: NodeId, cancel: CancellationToken) {
    let mut events = raft.subscribe();
    loop {
        let mut later = false;
        while let Some(next) = next_step(&raft.state(), &raft.member_ids(), own) {
            // One that has just handed over leaves the rest to the next leader.
            later = !raft.role().leading;
            if later {
                break;
            }
            if let Err(why) = act(&raft, &next).await {
                warn!(?next, %why, "managers could not be changed yet");
                later = true;
                break;
            }
            info!(?next, "managers changed");
        }
        let pause = if later { RETRY } else { Duration::MAX };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            received = events.next() => match received {
                Some(Received::Batch(_) | Received::Lagged) => while events.try_next().is_some() {},
                None => return,
            },
        }
    }
}

async fn act(raft: &Raft, next: &Next) -> Result<(), String> {
    match next {
        Next::SetRole(id, role) => {
            let change = Change::SetNodeRole { id: *id, role: *role, member: None };
            write(raft, None, change).await.map(drop).map_err(|e| e.to_string())
        }
        Next::Add(member) => {
            raft.add_member(member.raft_id, &member.addr).await.map_err(|e| e.to_string())
        }
        Next::Remove(raft_id) => raft.remove_member(*raft_id).await.map_err(|e| e.to_string()),
    }
}

/// What to do next, if anything. Others are changed before ourselves.
fn next_step(state: &State, members: &[u64], own: NodeId) -> Option<Next> {
    let mut nodes: Vec<_> = state.nodes().collect();
    nodes.sort_by_key(|n| n.id == own);
    for node in nodes {
        let seated = node.member.as_ref().filter(|m| members.contains(&m.raft_id));
        match (node.spec.role, node.role, &node.member) {
            (NodeRole::Manager, NodeRole::Worker, _) => {
                return Some(Next::SetRole(node.id, NodeRole::Manager));
            }
            (NodeRole::Manager, NodeRole::Manager, Some(member)) if seated.is_none() => {
                return Some(Next::Add(member.clone()));
            }
            (NodeRole::Worker, _, Some(member)) if seated.is_some() => {
                return Some(Next::Remove(member.raft_id));
            }
            (NodeRole::Worker, NodeRole::Manager, _) | (NodeRole::Worker, _, Some(_)) => {
                return Some(Next::SetRole(node.id, NodeRole::Worker));
            }
            _ => {}
        }
    }
    let seats =
        |id: &u64| state.nodes().any(|n| n.member.as_ref().is_some_and(|m| m.raft_id == *id));
    members.iter().find(|id| !seats(id)).map(|id| Next::Remove(*id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::new_node;
    use swarmw_model::{Availability, Time};
    use swarmw_state::Transaction;

    const OWN: NodeId = NodeId::from_bits(1);
    const OTHER: NodeId = NodeId::from_bits(2);

    fn state(nodes: &[(NodeId, NodeRole, NodeRole, Option<u64>)]) -> State {
        let changes = nodes
            .iter()
            .map(|(id, wanted, observed, seat)| {
                let mut node = new_node(*id, *wanted, Availability::Active);
                node.role = *observed;
                node.member =
                    seat.map(|raft_id| RaftMember { raft_id, addr: format!("m{raft_id}:2377") });
                Change::AddNode(Box::new(node))
            })
            .collect();
        let mut state = State::default();
        state.apply(1, &Transaction { at: Time::ZERO, request: None, changes });
        state
    }

    #[test]
    fn roles_follow_the_wish_one_step_at_a_time() {
        use NodeRole::{Manager, Worker};
        let own = (OWN, Manager, Manager, Some(1));
        for (other, members, want) in [
            ((OTHER, Manager, Manager, Some(2)), &[1, 2][..], None),
            ((OTHER, Worker, Worker, None), &[1], None),
            ((OTHER, Manager, Worker, None), &[1], Some(Next::SetRole(OTHER, Manager))),
            // The certificate is on its way; the node has not asked for a seat yet.
            ((OTHER, Manager, Manager, None), &[1], None),
            (
                (OTHER, Manager, Manager, Some(2)),
                &[1],
                Some(Next::Add(RaftMember { raft_id: 2, addr: "m2:2377".into() })),
            ),
            ((OTHER, Worker, Manager, Some(2)), &[1, 2], Some(Next::Remove(2))),
            ((OTHER, Worker, Manager, Some(2)), &[1], Some(Next::SetRole(OTHER, Worker))),
            ((OTHER, Worker, Worker, None), &[1, 9], Some(Next::Remove(9))),
        ] {
            let shown = format!("{other:?} {members:?}");
            assert_eq!(next_step(&state(&[own, other]), members, OWN), want, "{shown}");
        }
    }
}
