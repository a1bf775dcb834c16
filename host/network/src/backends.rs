//! Turns among the tasks behind one port.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use swarmw_model::Backend;

/// The tasks behind one port, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Backends {
    list: RwLock<Arc<[Backend]>>,
    turn: AtomicUsize,
}

// === impl Backends ===

impl Default for Backends {
    /// Begins anywhere: otherwise the first task would get the first request of
    /// every node.
    fn default() -> Self {
        let anywhere = RandomState::new().build_hasher().finish() as usize;
        Self { list: RwLock::default(), turn: AtomicUsize::new(anywhere) }
    }
}

impl Backends {
    pub(crate) fn set(&self, backends: Vec<Backend>) {
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = backends.into();
    }

    /// Every task once, beginning with the one whose turn it is: the others are for
    /// when it cannot be reached.
    pub(crate) fn round(&self) -> impl Iterator<Item = Backend> + use<> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner).clone();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = list.len();
        (0..count).map(move |n| list[(first.wrapping_add(n)) % count].clone())
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
        backends.set((0..3).map(backend).collect());
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
}
