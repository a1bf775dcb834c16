//! Time that follows tokio's clock, chance that follows a seed.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use swarmw_ambient::Source;
use swarmw_model::{Duration, Time};
use tokio::time::Instant;

/// The moment at which simulations begin: 2026-11-21, 00:00 UTC.
pub(crate) const BEGIN: Time = Time::from_nanos(1_795_219_200_000_000_000);

/// A node's time and chance.
#[derive(Debug)]
pub(crate) struct Simulated {
    begun: Instant,
    /// How far the node's clock goes before the others'.
    ahead: Duration,
    rng: Mutex<StdRng>,
}

// === impl Simulated ===

impl Simulated {
    pub(crate) fn new(begun: Instant, ahead: Duration, seed: u64) -> Self {
        Self { begun, ahead, rng: Mutex::new(StdRng::seed_from_u64(seed)) }
    }
}

impl Source for Simulated {
    fn now(&self) -> Time {
        let nanos = self.begun.elapsed().as_nanos();
        BEGIN + Duration::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)) + self.ahead
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}
