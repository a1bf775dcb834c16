//! Time and chance, as a node finds them: the machine's, or those of a test that
//! rules both.
//!
//! No other room reads the wall clock or draws random numbers for what it decides.
//! Waiting is tokio's business: a source that is not the machine's must keep step
//! with tokio's clock. Keys and nonces are not drawn here, they always come from
//! the system.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngCore;
use swarmw_model::Time;

/// Where a node has time and chance from. Clones are one.
#[derive(Clone, Debug)]
pub struct Ambient(Arc<dyn Source>);

/// What time and chance come from.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Time;

    /// Fills a buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// Random numbers of an [`Ambient`].
#[derive(Debug)]
pub struct Chance<'a>(&'a dyn Source);

/// The machine's clock and the system's random numbers.
#[derive(Debug)]
struct Machine;

// === impl Ambient ===

impl Ambient {
    /// The machine's.
    pub fn system() -> Self {
        Self::of(Machine)
    }

    /// Those of another source.
    pub fn of(source: impl Source) -> Self {
        Self(Arc::new(source))
    }

    /// Now, by this node's clock.
    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// Random numbers.
    pub fn chance(&self) -> Chance<'_> {
        Chance(&*self.0)
    }
}

impl Default for Ambient {
    fn default() -> Self {
        Self::system()
    }
}

// === impl Chance ===

impl RngCore for Chance<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

// === impl Machine ===

impl Source for Machine {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
