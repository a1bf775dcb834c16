//! Who is a manager: the loop that brings Raft's members, the observed roles and
//! the operator's wish together, one change at a time.
//!
//! Promote: the observed role changes first, so that the node is given a manager's
//! certificate; it then asks to join and gets a seat. Demote: the seat goes first,
//! then the role, then the certificate.

use std::collections::BTreeSet;
use std::time::Duration;

use swarmw_model::{NodeId, NodeRole, RaftMember};
use swarmw_raft::{Raft, Received, Subscription};
use swarmw_state::{Change, Event, State};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::level;
use crate::propose::Proposer;

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
    /// Take a voter, or one on the way to be, out.
    Remove(u64),
}

/// The seats that Raft has given.
#[derive(Debug, Default)]
struct Seats {
    voters: Vec<u64>,
    /// On their way in.
    learners: Vec<u64>,
}

/// Runs while this manager leads.
pub(crate) async fn keep_roles(log: Proposer, own: NodeId, cancel: CancellationToken) {
    let raft = &log.raft;
    let mut events = raft.subscribe();
    let mut later = BTreeSet::new();
    loop {
        let again = settle(&log, own, &mut later).await.then(|| Instant::now() + RETRY);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = at(again) => later.clear(),
            moved = node_changed(&mut events) => if !moved { return },
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until a node may have changed; whether Raft still runs.
async fn node_changed(events: &mut Subscription) -> bool {
    loop {
        match events.next().await {
            Some(Received::Batch(batch)) => {
                if batch.events.iter().any(|e| matches!(e, Event::Node { .. })) {
                    return true;
                }
            }
            Some(Received::Lagged) => return true,
            None => return false,
        }
    }
}

/// Does what can be done now; whether something is left. A manager that does not
/// come in goes to `later`: it must not keep the others waiting.
async fn settle(log: &Proposer, own: NodeId, later: &mut BTreeSet<u64>) -> bool {
    let raft = &log.raft;
    // One step may be to hand the leadership on.
    while raft.role().leading
        && let Some(next) = next_step(&raft.state(), &Seats::of(raft), own, later)
    {
        let Err(why) = act(log, &next).await else {
            info!(?next, "managers changed");
            continue;
        };
        warn!(?next, %why, "managers could not be changed yet");
        match next {
            Next::Add(member) => later.insert(member.raft_id),
            Next::SetRole(..) | Next::Remove(_) => return true,
        };
    }
    !later.is_empty()
}

async fn act(log: &Proposer, next: &Next) -> Result<(), String> {
    match next {
        Next::SetRole(id, role) => {
            let change = Change::SetNodeRole { id: *id, role: *role, member: None };
            log.write(None, change).await.map(drop).map_err(|e| e.to_string())
        }
        Next::Add(member) => {
            log.raft.add_member(member.raft_id, &member.addr).await.map_err(|e| e.to_string())
        }
        Next::Remove(raft_id) => log.raft.remove_member(*raft_id).await.map_err(|e| e.to_string()),
    }
}

/// What to do next, if anything. Others are changed before ourselves.
fn next_step(state: &State, seats: &Seats, own: NodeId, later: &BTreeSet<u64>) -> Option<Next> {
    let mut nodes: Vec<_> = state.nodes().collect();
    nodes.sort_by_key(|n| n.id == own);
    for node in nodes {
        match (node.spec.role, node.role, &node.member) {
            // It would have a manager's certificate, and get no seat.
            (NodeRole::Manager, NodeRole::Worker, _)
                if level::may_manage(state, node, node.description.feature_level).is_err() => {}
            (NodeRole::Manager, NodeRole::Worker, _) => {
                return Some(Next::SetRole(node.id, NodeRole::Manager));
            }
            (NodeRole::Manager, NodeRole::Manager, Some(member))
                if !seats.voters.contains(&member.raft_id) && !later.contains(&member.raft_id) =>
            {
                return Some(Next::Add(member.clone()));
            }
            (NodeRole::Worker, _, Some(member)) if seats.all().any(|id| id == member.raft_id) => {
                return Some(Next::Remove(member.raft_id));
            }
            (NodeRole::Worker, NodeRole::Manager, _) | (NodeRole::Worker, _, Some(_)) => {
                return Some(Next::SetRole(node.id, NodeRole::Worker));
            }
            _ => {}
        }
    }
    let held = |id: u64| state.nodes().any(|n| n.member.as_ref().is_some_and(|m| m.raft_id == id));
    seats.all().find(|id| !held(*id)).map(Next::Remove)
}

// === impl Seats ===

impl Seats {
    fn of(raft: &Raft) -> Self {
        Self { voters: raft.member_ids(), learners: raft.learner_ids() }
    }

    fn all(&self) -> impl Iterator<Item = u64> {
        self.voters.iter().chain(&self.learners).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::new_node;
    use crate::found::tests::founded;
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
        let add = || Some(Next::Add(RaftMember { raft_id: 2, addr: "m2:2377".into() }));
        for (other, voters, learners, later, want) in [
            ((OTHER, Manager, Manager, Some(2)), &[1, 2][..], &[][..], None, None),
            ((OTHER, Worker, Worker, None), &[1], &[], None, None),
            ((OTHER, Manager, Worker, None), &[1], &[], None, Some(Next::SetRole(OTHER, Manager))),
            // The certificate is on its way; the node has not asked for a seat yet.
            ((OTHER, Manager, Manager, None), &[1], &[], None, None),
            ((OTHER, Manager, Manager, Some(2)), &[1], &[], None, add()),
            ((OTHER, Manager, Manager, Some(2)), &[1], &[2], None, add()),
            ((OTHER, Manager, Manager, Some(2)), &[1], &[2], Some(2), None),
            ((OTHER, Worker, Manager, Some(2)), &[1, 2], &[], None, Some(Next::Remove(2))),
            ((OTHER, Worker, Manager, Some(2)), &[1], &[2], None, Some(Next::Remove(2))),
            (
                (OTHER, Worker, Manager, Some(2)),
                &[1],
                &[],
                None,
                Some(Next::SetRole(OTHER, Worker)),
            ),
            ((OTHER, Worker, Worker, None), &[1, 9], &[], None, Some(Next::Remove(9))),
            ((OTHER, Worker, Worker, None), &[1], &[9], None, Some(Next::Remove(9))),
        ] {
            let shown = format!("{other:?} {voters:?} {learners:?}");
            let seats = Seats { voters: voters.to_vec(), learners: learners.to_vec() };
            let later = later.into_iter().collect();
            assert_eq!(next_step(&state(&[own, other]), &seats, OWN, &later), want, "{shown}");
        }
    }

    #[test]
    fn a_node_of_an_older_swarmw_keeps_its_role_until_it_runs_another() {
        let mut cluster = founded().cluster;
        cluster.feature_level = 2;
        let node = Box::new(new_node(OWN, NodeRole::Manager, Availability::Active));
        let mut other = new_node(OTHER, NodeRole::Manager, Availability::Active);
        other.role = NodeRole::Worker;
        let mut next = |level| {
            other.description.feature_level = level;
            let changes = vec![
                Change::InitCluster {
                    cluster: Box::new(cluster.clone()),
                    node: node.clone(),
                    plugins: Vec::new(),
                },
                Change::AddNode(Box::new(other.clone())),
            ];
            let mut state = State::default();
            state.apply(1, &Transaction { at: Time::ZERO, request: None, changes });
            next_step(&state, &Seats::default(), OWN, &BTreeSet::new())
        };
        assert_eq!(next(1), None);
        assert_eq!(next(2), Some(Next::SetRole(OTHER, NodeRole::Manager)));
    }
}
