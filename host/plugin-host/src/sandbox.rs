//! One instance of one component, and calls into it under a budget.

use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{LineLevel, PluginKind};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::bindings::{PreferencePlugin, UpdatePlugin, VolumePlugin, host, types};
use crate::cpu;
use crate::engine::HOSTCALL_FUEL;
use crate::interface::{self, AnyConstraint, Minor};
use crate::journal::{Journal, one_line};
use crate::limits::{Limits, OverLimit};
use crate::ticker::Ticker;

/// What the store of a plugin holds.
pub struct Guest {
    journal: Arc<Journal>,
    limits: Limits,
    /// CPU time of the thread at which the call is over.
    until: Duration,
    budget: Duration,
}

/// The exports of each kind.
pub enum Exports {
    /// Of a constraint.
    Constraint(Box<AnyConstraint>),
    /// Of a preference.
    Preference(PreferencePlugin),
    /// Of an update policy.
    Update(UpdatePlugin),
    /// Of a volume driver.
    Volume(VolumePlugin),
}

/// A live instance.
pub struct Sandbox {
    /// The instance's memory and limits.
    pub store: Store<Guest>,
    /// What can be called.
    pub exports: Exports,
}

/// The call used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("ran for more than {} ms", .0.as_millis())]
struct OutOfTime(Duration);

/// A store with its limits, for a plugin with this journal.
pub fn store(engine: &Engine, journal: &Arc<Journal>) -> Store<Guest> {
    let guest = Guest {
        journal: Arc::clone(journal),
        limits: Limits::default(),
        until: Duration::ZERO,
        budget: Duration::ZERO,
    };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limits);
    store.set_hostcall_fuel(HOSTCALL_FUEL);
    // A tick of the clock is a chance to look at the CPU time used, no more.
    store.epoch_deadline_callback(|context| {
        let guest = context.data();
        if cpu::used_by_this_thread() >= guest.until {
            Err(OutOfTime(guest.budget).into())
        } else {
            Ok(UpdateDeadline::Continue(1))
        }
    });
    store
}

/// Runs `call` with a budget of CPU time.
pub fn limited<T>(
    store: &mut Store<Guest>,
    ticker: &Ticker,
    budget: Duration,
    call: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    let guest = store.data_mut();
    guest.budget = budget;
    guest.until = cpu::used_by_this_thread() + budget;
    store.set_epoch_deadline(1);
    let _ticking = ticker.in_flight();
    call(store)
}

impl Sandbox {
    /// Instantiates a component as a plugin of its kind.
    pub fn new(
        engine: &Engine,
        ticker: &Ticker,
        linker: &Linker<Guest>,
        component: &Component,
        (kind, minor): (PluginKind, Minor),
        journal: &Arc<Journal>,
    ) -> wasmtime::Result<Self> {
        let mut store = store(engine, journal);
        let exports = limited(&mut store, ticker, crate::engine::COMPILE_BUDGET, |store| {
            interface::instantiate(kind, minor, store, component, linker)
        })?;
        Ok(Self { store, exports })
    }
}

/// How a call went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It trapped, or wanted more than it gets.
    Trap,
    /// It ran out of time.
    Late,
    /// Its answer broke a rule.
    Invalid,
}

/// What went wrong in a call, in one line without a backtrace, which completes the
/// sentence that the call's name begins.
pub fn fault(error: &wasmtime::Error) -> (FaultKind, String) {
    if let Some(late) = error.downcast_ref::<OutOfTime>() {
        return (FaultKind::Late, late.to_string());
    }
    if let Some(over) = error.downcast_ref::<OverLimit>() {
        return (FaultKind::Trap, over.to_string());
    }
    let said = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => {
            let trap = trap.to_string();
            format!("trapped: {}", trap.trim_start_matches("wasm trap: "))
        }
        None => {
            let cause = error.root_cause().to_string();
            format!("failed: {}", one_line(cause.lines().next().unwrap_or_default()))
        }
    };
    (FaultKind::Trap, said)
}

impl Guest {
    /// A line of the plugin's log.
    pub fn write(&self, level: LineLevel, message: &str) {
        self.journal.write(level, message);
    }
}

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, level: host::Level, message: String) {
        let level = match level {
            host::Level::Debug => LineLevel::Debug,
            host::Level::Info => LineLevel::Info,
            host::Level::Warn => LineLevel::Warn,
            host::Level::Error => LineLevel::Error,
        };
        self.write(level, &message);
    }
}
