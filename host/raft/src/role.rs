//! Who leads, and whether this manager does and may begin to.

use openraft::async_runtime::WatchReceiver;
use openraft::{ReadPolicy, ServerState};
use tokio::sync::watch;

use crate::machine::Machine;
use crate::types::TypeConfig;

type Inner = openraft::Raft<TypeConfig, Machine>;

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// The leader's Raft id and address, while there is one.
    pub leader: Option<(u64, String)>,
    /// Whether this manager leads and has applied everything that was accepted
    /// before its term, so that its state may be acted on.
    pub leading: bool,
    /// Elections so far.
    pub term: u64,
}

/// Follows openraft's metrics until it stops.
pub(crate) async fn follow(raft: Inner, own: u64, role: watch::Sender<Role>) {
    let mut metrics = raft.server_metrics();
    loop {
        let (term, leads, leader) = {
            let now = metrics.borrow_watched();
            let leader = now.current_leader.and_then(|id| {
                let address = now.membership_config.membership().get_node(&id)?.addr.clone();
                Some((id, address))
            });
            let leads = now.state == ServerState::Leader && now.current_leader == Some(own);
            (now.vote.leader_id.term, leads, leader)
        };
        let before = role.borrow().clone();
        let ready = before.leading && before.term == term;
        role.send_if_modified(|known| {
            let new = Role { leader, leading: leads && ready, term };
            let changed = *known != new;
            *known = new;
            changed
        });
        if leads && !ready {
            tokio::select! {
                caught_up = raft.ensure_linearizable(ReadPolicy::ReadIndex) => {
                    if caught_up.is_ok() {
                        role.send_modify(|known| known.leading = known.term == term);
                    } else {
                        // A leader that cannot reach a majority yet.
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
                changed = metrics.changed() => if changed.is_err() { break },
            }
        } else if metrics.changed().await.is_err() {
            break;
        }
    }
    role.send_modify(|known| *known = Role { term: known.term, ..Role::default() });
}
