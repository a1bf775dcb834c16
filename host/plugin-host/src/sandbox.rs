//! One instance of one component, and calls into it under a budget.

use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, StoreLimits, UpdateDeadline};

use crate::bindings::{
    ConstraintPlugin, PreferencePlugin, UpdatePlugin, VolumePlugin, host, types,
};
use crate::cpu;
use crate::engine::{HOSTCALL_FUEL, store_limits};
use crate::ticker::Ticker;
use swarmw_model::PluginKind;

/// What the store of a plugin holds.
pub struct Guest {
    plugin: String,
    limits: StoreLimits,
    /// CPU time of the thread at which the call is over.
    until: Duration,
    budget: Duration,
    log: LogAllowance,
}

/// Lines of log that a plugin may write in a second.
const LOG_LINES: u32 = 100;
/// Bytes of one line.
const LOG_LINE: usize = 4 << 10;

struct LogAllowance {
    since: Instant,
    lines: u32,
    dropped: u64,
}

/// The exports of each kind.
pub enum Exports {
    /// Of a constraint.
    Constraint(ConstraintPlugin),
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

/// A linker with all that plugins may import.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    host::add_to_linker::<_, wasmtime::component::HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// A store with its limits, for a plugin of this name.
pub fn store(engine: &Engine, plugin: &str) -> Store<Guest> {
    let guest = Guest {
        plugin: plugin.to_owned(),
        limits: store_limits(),
        until: Duration::ZERO,
        budget: Duration::ZERO,
        log: LogAllowance { since: Instant::now(), lines: 0, dropped: 0 },
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
        kind: PluginKind,
        plugin: &str,
    ) -> wasmtime::Result<Self> {
        let mut store = store(engine, plugin);
        let exports = limited(&mut store, ticker, crate::engine::COMPILE_BUDGET, |store| {
            Ok(match kind {
                PluginKind::Constraint => {
                    Exports::Constraint(ConstraintPlugin::instantiate(store, component, linker)?)
                }
                PluginKind::Preference => {
                    Exports::Preference(PreferencePlugin::instantiate(store, component, linker)?)
                }
                PluginKind::UpdatePolicy => {
                    Exports::Update(UpdatePlugin::instantiate(store, component, linker)?)
                }
                PluginKind::VolumeDriver => {
                    Exports::Volume(VolumePlugin::instantiate(store, component, linker)?)
                }
            })
        })?;
        Ok(Self { store, exports })
    }
}

/// What went wrong in a call, in one line without a backtrace.
pub fn fault(error: &wasmtime::Error) -> String {
    if let Some(late) = error.downcast_ref::<OutOfTime>() {
        return late.to_string();
    }
    let cause = error.root_cause().to_string();
    let cause = cause.lines().next().unwrap_or_default();
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => {
            let trap = trap.to_string();
            format!("trapped: {}", trap.trim_start_matches("wasm trap: "))
        }
        None => cause.to_owned(),
    }
}

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, level: host::Level, message: String) {
        let log = &mut self.log;
        if log.since.elapsed() >= Duration::from_secs(1) {
            if log.dropped > 0 {
                tracing::warn!(plugin = self.plugin, dropped = log.dropped, "log lines dropped");
            }
            *log = LogAllowance { since: Instant::now(), lines: 0, dropped: 0 };
        }
        if log.lines >= LOG_LINES {
            log.dropped += 1;
            return;
        }
        log.lines += 1;
        let line = one_line(&message);
        let plugin = self.plugin.as_str();
        match level {
            host::Level::Debug => tracing::debug!(plugin, "{line}"),
            host::Level::Info => tracing::info!(plugin, "{line}"),
            host::Level::Warn => tracing::warn!(plugin, "{line}"),
            host::Level::Error => tracing::error!(plugin, "{line}"),
        }
    }
}

/// Cut to [`LOG_LINE`], without control characters.
fn one_line(message: &str) -> String {
    let mut end = message.len().min(LOG_LINE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
