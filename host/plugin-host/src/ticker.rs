//! The clock that lets a running component be interrupted. It ticks only while a
//! call is in flight: a daemon at rest wakes for nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use wasmtime::Engine;

use crate::engine::TICK;

/// Raises the engine's epoch every [`TICK`] while a guard lives.
pub struct Ticker {
    shared: Arc<Shared>,
}

/// A call in flight.
pub struct InFlight(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    calls: usize,
    closed: bool,
}

impl Ticker {
    /// Starts the clock's thread.
    pub fn new(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { calls: 0, closed: false }),
            changed: Condvar::new(),
        });
        let (ticking, engine) = (Arc::clone(&shared), engine.weak());
        thread::Builder::new().name("plugin-clock".to_owned()).spawn(move || {
            while ticking.wait_for_a_call() {
                thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { shared })
    }

    /// The clock ticks at least until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.shared.lock().calls += 1;
        self.shared.changed.notify_one();
        InFlight(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().calls -= 1;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when the ticker is gone.
    fn wait_for_a_call(&self) -> bool {
        let state = self
            .changed
            .wait_while(self.lock(), |s| s.calls == 0 && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}
