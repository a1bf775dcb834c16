//! Addresses that somebody had a moment ago. Who was told of one may still ask there, by a
//! list of names or a connection that he keeps: he is not to meet somebody else.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use swarmw_model::{Duration, NetworkAttachment, NetworkId, Time};

/// How long an address rests where another one is free.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// An address on a network.
pub(crate) type Place = (NetworkId, IpAddr);

/// What rests. It is the leader's own and not in the state: a new leader knows of none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resting {
    /// Freed since the last tick.
    fresh: Vec<Place>,
    /// In the order in which they were freed, and when.
    order: VecDeque<(Time, Place)>,
    /// When each was freed last.
    since: Arc<HashMap<Place, Time>>,
}

// === impl Resting ===

impl Resting {
    /// Notes what somebody has no more.
    pub(crate) fn free(&mut self, on: &NetworkAttachment) {
        self.fresh.extend(on.addresses.iter().map(|net| (on.network, net.addr())));
    }

    /// Notes one address that somebody has no more.
    pub(crate) fn free_one(&mut self, place: Place) {
        self.fresh.push(place);
    }

    /// What rests in a tick at this time: what was freed since the last one begins to.
    pub(crate) fn at(&mut self, now: Time) -> Arc<HashMap<Place, Time>> {
        let is_over = |since: Time| !(Duration::ZERO..REST).contains(&now.since(since));
        let ended = self.order.iter().take_while(|(since, _)| is_over(*since)).count();
        if ended + self.fresh.len() > 0 {
            // A tick that is over holds it no more.
            let resting = Arc::make_mut(&mut self.since);
            for (since, place) in self.order.drain(..ended) {
                if resting.get(&place) == Some(&since) {
                    resting.remove(&place);
                }
            }
            for place in self.fresh.drain(..) {
                resting.insert(place, now);
                self.order.push_back((now, place));
            }
        }
        self.since.clone()
    }
}
