//! Who leads, and whether this manager does and may begin to.
//!
//! openraft goes on naming the last leader until there is another. Here a leader
//! that nobody hears leads no more: neither by its own word, once a majority has
//! not answered for [`Timing::silence`], nor by that of a follower it has not spoken
//! to for as long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, ReadPolicy, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Timing;
use crate::machine::Machine;
use crate::types::TypeConfig;

type Inner = openraft::Raft<TypeConfig, Machine>;

/// After a majority could not be asked whether this leader still is one.
const PAUSE: Duration = Duration::from_millis(50);

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// The leader's Raft id and address, while there is one that is heard.
    pub leader: Option<(u64, String)>,
    /// Whether this manager leads and has applied everything that was accepted
    /// before its term, so that its state may be acted on.
    pub leading: bool,
    /// Elections so far.
    pub term: u64,
}

/// When a leader last spoke to this manager.
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<Mutex<Instant>>);

/// Follows openraft's metrics.
pub(crate) struct Watch {
    pub(crate) raft: Inner,
    pub(crate) own: u64,
    pub(crate) timing: Timing,
    pub(crate) heard: Heard,
}

/// What can be seen now.
struct Sight {
    term: u64,
    leader: Option<(u64, String)>,
    leads: bool,
    /// When to look again though nothing is told.
    again: Instant,
}

// === impl Heard ===

impl Heard {
    pub(crate) fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(crate) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Watch ===

impl Watch {
    /// Tells the role until openraft stops.
    pub(crate) async fn tell(self, role: watch::Sender<Role>) {
        let mut metrics = self.raft.server_metrics();
        // The term in which this manager leads, and since when.
        let mut led: Option<(u64, Instant)> = None;
        loop {
            let Sight { term, leader, leads, again } = self.look(&mut led);
            let before = role.borrow().clone();
            let ready = before.leading && before.term == term;
            role.send_if_modified(|known| {
                let new = Role { leader, leading: leads && ready, term };
                let changed = *known != new;
                *known = new;
                changed
            });
            let catches_up = async {
                match leads && !ready {
                    true => self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok(),
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                caught_up = catches_up => if caught_up {
                    role.send_modify(|known| known.leading = known.term == term);
                } else {
                    // A leader that cannot reach a majority yet.
                    tokio::time::sleep(PAUSE).await;
                },
                () = tokio::time::sleep_until(again) => {}
                changed = metrics.changed() => if changed.is_err() { break },
            }
        }
        role.send_modify(|known| *known = Role { term: known.term, ..Role::default() });
    }

    fn look(&self, led: &mut Option<(u64, Instant)>) -> Sight {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let term = now.vote.leader_id.term;
        let leader = now.current_leader.and_then(|id| {
            let address = now.membership_config.membership().get_node(&id)?.addr.clone();
            Some((id, address))
        });
        let leads = now.state == ServerState::Leader && now.current_leader == Some(self.own);
        let heard = if leads {
            let since = match *led {
                Some((known, since)) if known == term => since,
                _ => led.insert((term, Instant::now())).1,
            };
            let alone = now.membership_config.membership().voter_ids().all(|id| id == self.own);
            let acked = now.last_quorum_acked.as_ref().map(|at| Instant::now() - at.elapsed());
            if alone { Instant::now() } else { acked.map_or(since, |at| at.max(since)) }
        } else {
            *led = None;
            self.heard.last()
        };
        let silent = heard.elapsed() >= self.timing.silence();
        let again = match silent {
            true => Instant::now() + self.timing.heartbeat,
            false => heard + self.timing.silence(),
        };
        Sight { term, leader: leader.filter(|_| !silent), leads: leads && !silent, again }
    }
}
