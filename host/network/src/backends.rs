//! Turns among the tasks behind one port.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use swarmw_model::Backend;
use tokio::sync::watch;

/// The tasks behind one port, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Backends {
    served: watch::Sender<Served>,
    turn: AtomicUsize,
}

/// Who serves a port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    list: Arc<[Backend]>,
    /// There are others that keep what they have.
    leaves: bool,
}

// === impl Backends ===

impl Default for Backends {
    /// Begins anywhere: otherwise the first task would get the first request of
    /// every node.
    fn default() -> Self {
        let anywhere = RandomState::new().build_hasher().finish() as usize;
        Self { served: watch::Sender::default(), turn: AtomicUsize::new(anywhere) }
    }
}

impl Backends {
    /// `leaves`: besides, there are tasks that take nobody new and keep what they have.
    pub(crate) fn set(&self, backends: Vec<Backend>, leaves: bool) {
        self.served.send_replace(Served { list: backends.into(), leaves });
    }

    /// Who serves, now and from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<Served> {
        self.served.subscribe()
    }

    /// Whether somebody takes new clients.
    pub(crate) fn are_some(&self) -> bool {
        self.served.borrow().are_some()
    }

    /// Waits for somebody who takes new clients.
    pub(crate) async fn come(&self) {
        let mut served = self.follow();
        // Who tells it is there as long as it is.
        let _ = served.wait_for(Served::are_some).await;
    }

    /// Waits until nobody does.
    pub(crate) async fn go(&self) {
        let mut served = self.follow();
        let _ = served.wait_for(|served| !served.are_some()).await;
    }

    /// Every task once, beginning with the one whose turn it is: the others are for
    /// when it cannot be reached.
    pub(crate) fn round(&self) -> impl Iterator<Item = Backend> + use<> {
        let list = self.served.borrow().list.clone();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = list.len();
        (0..count).map(move |n| list[(first.wrapping_add(n)) % count].clone())
    }
}

// === impl Served ===

impl Served {
    /// Whether somebody takes new clients.
    pub(crate) fn are_some(&self) -> bool {
        !self.list.is_empty()
    }

    /// Nobody has anything to do with the port any more, if nobody `keeps` what he has.
    pub(crate) fn is_over(&self, keeps: bool) -> bool {
        !(self.are_some() || self.leaves && keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmw_model::{NodeId, TaskId};

    fn backend(n: u128) -> Backend {
        Backend {
            task: TaskId::from_bits(n),
            node: NodeId::from_bits(1),
            address: String::new(),
            ingress: None,
            number: 0,
            data_path: None,
            v6: false,
            target: 0,
        }
    }

    #[test]
    fn turns_are_even_and_a_round_has_each_once() {
        let backends = Backends::default();
        assert_eq!(backends.round().count(), 0);
        backends.set((0..3).map(backend).collect(), false);
        let mut firsts = [0; 3];
        for _ in 0..30 {
            let round: Vec<_> = backends.round().map(|b| b.task.bits() as usize).collect();
            firsts[round[0]] += 1;
            let mut sorted = round;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
        }
        assert_eq!(firsts, [10, 10, 10]);
    }

    #[test]
    fn a_port_is_over_once_nobody_serves_and_nobody_who_leaves_has_clients() {
        let of = |tasks: u128, leaves| {
            let backends = Backends::default();
            backends.set((0..tasks).map(backend).collect(), leaves);
            let served = backends.follow().borrow().clone();
            [served.is_over(true), served.is_over(false)]
        };
        assert_eq!(of(1, false), [false, false]);
        assert_eq!(of(1, true), [false, false]);
        assert_eq!(of(0, true), [false, true]);
        assert_eq!(of(0, false), [true, true]);
    }
}
