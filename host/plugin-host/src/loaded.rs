//! A plugin that the cluster has: compiled at first use, one instance kept warm,
//! a breaker around it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarmw_model::{LineLevel, Plugin, PluginClaim, PluginState, PluginUse};
use wasmtime::component::Component;

use crate::bindings::{PreferencePlugin, UpdatePlugin, VolumePlugin};
use crate::cpu;
use crate::engine::Profile;
use crate::host::Runtime;
use crate::incidents::{Incident, What};
use crate::interface::AnyConstraint;
use crate::journal::Journal;
use crate::meter::{Meter, Tightest};
use crate::sandbox::{self, Exports, FaultKind, Guest, Sandbox};

/// One row in so many is asked again in a fresh instance: a pure answer is the same.
const AUDIT_EVERY: u64 = 1_000;
/// So many of the first rows are, and of those after a fault.
const AUDIT_FIRST: usize = 8;

/// A plugin, and its instance.
pub struct Loaded {
    /// As in the cluster's state.
    pub plugin: Plugin,
    /// Its name.
    pub name: Arc<str>,
    bytes: Bytes,
    /// Tried out beside the one that serves: what it does wrong is nobody's trouble.
    is_trial: bool,
    journal: Arc<Journal>,
    meter: Mutex<Meter>,
    /// Rows answered, which decides what is asked again.
    rows: AtomicU64,
    audit_next: AtomicBool,
    /// How it was caught lying.
    lied: OnceLock<String>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    component: Option<Component>,
    sandbox: Option<Sandbox>,
}

/// Which instance a call is made in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Instance {
    Warm,
    Fresh,
}

/// The exports of one kind, out of a sandbox.
pub trait Kind {
    /// The sandbox's exports when they are of this kind.
    fn of(exports: &Exports) -> Option<&Self>;
}

impl Kind for AnyConstraint {
    fn of(exports: &Exports) -> Option<&Self> {
        match exports {
            Exports::Constraint(exports) => Some(&**exports),
            _ => None,
        }
    }
}

macro_rules! kinds {
    ($($variant:ident $exports:ident),*) => { $(
        impl Kind for $exports {
            fn of(exports: &Exports) -> Option<&Self> {
                match exports {
                    Exports::$variant(exports) => Some(exports),
                    _ => None,
                }
            }
        }
    )* };
}

kinds!(Preference PreferencePlugin, Update UpdatePlugin, Volume VolumePlugin);

impl Loaded {
    /// A plugin, not compiled yet.
    pub fn new(plugin: Plugin, bytes: Bytes) -> Self {
        Self {
            name: plugin.name.as_str().into(),
            journal: Arc::new(Journal::new(&plugin.name)),
            plugin,
            bytes,
            is_trial: false,
            meter: Mutex::new(Meter::new()),
            rows: AtomicU64::new(0),
            audit_next: AtomicBool::new(true),
            lied: OnceLock::new(),
            slot: Mutex::default(),
        }
    }

    /// A plugin that is tried out beside the one that serves.
    pub fn trial(plugin: Plugin, bytes: Bytes) -> Self {
        Self { is_trial: true, ..Self::new(plugin, bytes) }
    }

    /// Whether it is tried out beside the one that serves.
    pub fn is_trial(&self) -> bool {
        self.is_trial
    }

    /// Whether it is the plugin as the cluster has it now.
    pub fn is(&self, plugin: &Plugin) -> bool {
        let (ours, theirs) = (&self.plugin, plugin);
        ours.name == theirs.name
            && ours.release == theirs.release
            && ours.status.state == theirs.status.state
            && ours.status.enabled == theirs.status.enabled
    }

    /// Digest of its component.
    pub fn digest(&self) -> &str {
        &self.plugin.release.blob.digest
    }

    /// What is routed to it.
    pub fn claims(&self) -> &[PluginClaim] {
        &self.plugin.release.metadata.claims
    }

    /// What it did so far.
    pub fn used(&self) -> PluginUse {
        self.meter().shown(self.digest())
    }

    /// The call that came nearest to the end of its budget.
    pub fn tightest(&self) -> Option<Tightest> {
        self.meter().tightest()
    }

    /// Answers that a pass needed of it.
    pub fn needed(&self, rows: usize) {
        self.meter().needed(rows);
    }

    /// Its log.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Calls the plugin. `check` looks at the answer: one that breaks a rule is a
    /// fault as a trap is. The error is one line, without the plugin's name.
    pub fn call<K: Kind + ?Sized, T>(
        &self,
        runtime: &Runtime,
        name: &'static str,
        budget: Duration,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, String> {
        self.call_in(Instance::Warm, runtime, name, budget, call, check)
    }

    /// As [`Loaded::call`], in an instance that nobody has called before.
    pub fn call_fresh<K: Kind + ?Sized, T>(
        &self,
        runtime: &Runtime,
        name: &'static str,
        budget: Duration,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, String> {
        self.call_in(Instance::Fresh, runtime, name, budget, call, check)
    }

    fn call_in<K: Kind + ?Sized, T>(
        &self,
        instance: Instance,
        runtime: &Runtime,
        name: &'static str,
        budget: Duration,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, String> {
        self.may_be_called()?;
        let mut slot = self.slot();
        self.meter().closed()?;
        let mut sandbox = self.sandbox(runtime, &mut slot, instance)?;
        let Some(exports) = K::of(&sandbox.exports) else {
            return Err(format!("is a {} plugin", self.plugin.kind));
        };
        runtime.count_call();
        let began = cpu::used_by_this_thread();
        let answer = sandbox::limited(&mut sandbox.store, &runtime.ticker, budget, |store| {
            call(exports, store)
        });
        self.meter().called(name, cpu::used_by_this_thread().saturating_sub(began), budget);
        let outcome = answer.map_err(|error| sandbox::fault(&error)).and_then(|answer| {
            check(&answer).map(|()| answer).map_err(|rule| (FaultKind::Invalid, rule))
        });
        match outcome {
            Ok(answer) => {
                if instance == Instance::Warm {
                    slot.sandbox = Some(sandbox);
                }
                Ok(answer)
            }
            // The store is dropped with all that a trap left behind.
            Err((kind, fault)) => Err(self.failed(runtime, name, kind, &fault)),
        }
    }

    /// Which of the rows just answered are to be asked again, each in an instance of its
    /// own: some of the first ever and of those after a fault, later one in
    /// [`AUDIT_EVERY`].
    pub fn audit_due(&self, rows: usize) -> Vec<usize> {
        self.meter().asked(rows);
        if rows == 0 {
            return Vec::new();
        }
        let count = rows as u64;
        let before = self.rows.fetch_add(count, Ordering::Relaxed);
        if self.audit_next.swap(false, Ordering::Relaxed) {
            // Spread over the batch; the last one is among them.
            let step = rows.div_ceil(AUDIT_FIRST);
            return (0..rows).rev().step_by(step).collect();
        }
        let due = before / AUDIT_EVERY != (before + count) / AUDIT_EVERY;
        if due { vec![rows - 1 - (before % count) as usize] } else { Vec::new() }
    }

    /// The plugin gave two answers to one question: it is not called any more.
    pub fn quarantine(&self, runtime: &Runtime, call: &str) -> String {
        let lie = format!("its {call} answered one question in two ways");
        if self.lied.set(lie.clone()).is_ok() {
            self.journal.note(LineLevel::Error, &quarantined(&lie));
            self.report(runtime, What::Lied, &lie);
        }
        quarantined(&lie)
    }

    /// Compiles the component, or finds it compiled, unless that was done before.
    pub fn warm(&self, runtime: &Runtime) -> Result<(), String> {
        self.component(runtime, &mut self.slot()).map(|_| ())
    }

    /// Drops the warm instance: the next call gets a fresh one.
    pub fn refresh(&self) {
        self.slot().sandbox = None;
    }

    fn may_be_called(&self) -> Result<(), String> {
        let status = &self.plugin.status;
        let reason = match (self.lied.get(), status.state) {
            (Some(lie), _) => lie,
            (None, PluginState::Enabled) => return Ok(()),
            (None, PluginState::Disabled) => {
                return Err("is disabled".to_owned());
            }
            (None, PluginState::Quarantined) => &status.message,
        };
        Err(quarantined(reason))
    }

    fn component(&self, runtime: &Runtime, slot: &mut Slot) -> Result<Component, String> {
        if let Some(component) = &slot.component {
            return Ok(component.clone());
        }
        let component = self.load(runtime)?;
        slot.component = Some(component.clone());
        Ok(component)
    }

    /// Notes a fault; what it was, for people.
    fn failed(
        &self,
        runtime: &Runtime,
        call: &'static str,
        kind: FaultKind,
        fault: &str,
    ) -> String {
        self.audit_next.store(true, Ordering::Relaxed);
        let message = format!("{call} {fault}");
        self.journal.note(LineLevel::Error, &message);
        if self.meter().failed(call, kind, fault) {
            self.report(runtime, What::BreakerOpened, &message);
        }
        message
    }

    fn report(&self, runtime: &Runtime, what: What, message: &str) {
        if !self.is_trial {
            runtime.incidents.tell(Incident {
                plugin: self.plugin.id,
                name: Arc::clone(&self.name),
                digest: self.digest().to_owned(),
                what,
                message: message.to_owned(),
            });
        }
    }

    /// The warm instance, or a fresh one.
    fn sandbox(
        &self,
        runtime: &Runtime,
        slot: &mut Slot,
        instance: Instance,
    ) -> Result<Sandbox, String> {
        if instance == Instance::Warm
            && let Some(warm) = slot.sandbox.take()
        {
            return Ok(warm);
        }
        let interface = &self.plugin.release.interface;
        let minor = interface.parse().map_err(|()| {
            format!("was built for version {interface} of the plugin interface, which this node does not speak")
        })?;
        let component = self.component(runtime, slot)?;
        let (engine, linker) = (&runtime.engine, &runtime.linker);
        let kind = (self.plugin.kind, minor);
        Sandbox::new(engine, &runtime.ticker, linker, &component, kind, &self.journal).map_err(
            |error| {
                let (kind, fault) = sandbox::fault(&error);
                self.failed(runtime, "instantiate", kind, &fault)
            },
        )
    }

    fn load(&self, runtime: &Runtime) -> Result<Component, String> {
        runtime
            .compiler
            .component(&runtime.engine, Profile::Policy, self.digest(), &self.bytes)
            .map_err(|error| error.to_string())
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quarantined(why: &str) -> String {
    format!("is quarantined: {why}; upgrade it, or enable it again")
}
