//! A plugin that the cluster has: compiled at first use, one instance kept warm,
//! a breaker around it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use swarmw_model::Plugin;
use wasmtime::component::Component;

use crate::bindings::{ConstraintPlugin, PreferencePlugin, UpdatePlugin, VolumePlugin};
use crate::engine::Profile;
use crate::host::Runtime;
use crate::sandbox::{self, Exports, Guest, Sandbox};

/// Faults that open the breaker, when they happen within [`BREAKER_WINDOW`].
const BREAKER_FAULTS: usize = 3;
/// See [`BREAKER_FAULTS`]; also how long the breaker stays open.
const BREAKER_WINDOW: Duration = Duration::from_secs(600);

/// A plugin, and its instance.
pub struct Loaded {
    /// As in the cluster's state.
    pub plugin: Plugin,
    /// Its name.
    pub name: Arc<str>,
    bytes: Bytes,
    calls: AtomicU64,
    faults: AtomicU64,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    component: Option<Component>,
    sandbox: Option<Sandbox>,
    /// When it did wrong lately.
    recent: VecDeque<Instant>,
    last_fault: String,
}

/// The exports of one kind, out of a sandbox.
pub trait Kind: Sized {
    /// The sandbox's exports when they are of this kind.
    fn of(exports: &Exports) -> Option<&Self>;
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

kinds!(
    Constraint ConstraintPlugin,
    Preference PreferencePlugin,
    Update UpdatePlugin,
    Volume VolumePlugin
);

impl Loaded {
    /// A plugin, not compiled yet.
    pub fn new(plugin: Plugin, bytes: Bytes) -> Self {
        Self {
            name: plugin.name.as_str().into(),
            plugin,
            bytes,
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            slot: Mutex::default(),
        }
    }

    /// Calls so far, and those that went wrong.
    pub fn stats(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed))
    }

    /// Calls the plugin. `check` looks at the answer: one that breaks a rule is a
    /// fault as a trap is. The error is one line, without the plugin's name.
    pub fn call<K: Kind, T>(
        &self,
        runtime: &Runtime,
        budget: Duration,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, String> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.closed_breaker()?;
        let mut sandbox = self.sandbox(runtime, &mut slot)?;
        let Some(exports) = K::of(&sandbox.exports) else {
            return Err(format!("is a {} plugin", self.plugin.kind));
        };
        runtime.count_call();
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = sandbox::limited(&mut sandbox.store, &runtime.ticker, budget, |store| {
            call(exports, store)
        });
        let outcome = answer
            .map_err(|error| sandbox::fault(&error))
            .and_then(|answer| check(&answer).map(|()| answer));
        match outcome {
            Ok(answer) => {
                slot.sandbox = Some(sandbox);
                Ok(answer)
            }
            // The store is dropped with all that a trap left behind.
            Err(fault) => Err(self.failed(&mut slot, fault)),
        }
    }

    /// Compiles the component, or finds it compiled, unless that was done before.
    pub fn warm(&self, runtime: &Runtime) -> Result<(), String> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.component(runtime, &mut slot).map(|_| ())
    }

    fn component(&self, runtime: &Runtime, slot: &mut Slot) -> Result<Component, String> {
        if let Some(component) = &slot.component {
            return Ok(component.clone());
        }
        let component = self.load(runtime)?;
        slot.component = Some(component.clone());
        Ok(component)
    }

    /// Drops the warm instance: the next call gets a fresh one.
    pub fn refresh(&self) {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).sandbox = None;
    }

    fn failed(&self, slot: &mut Slot, fault: String) -> String {
        self.faults.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(plugin = %self.name, fault, "a plugin failed");
        let now = Instant::now();
        slot.recent.push_back(now);
        slot.last_fault.clone_from(&fault);
        while slot.recent.len() > BREAKER_FAULTS {
            slot.recent.pop_front();
        }
        fault
    }

    /// The warm instance, or a fresh one.
    fn sandbox(&self, runtime: &Runtime, slot: &mut Slot) -> Result<Sandbox, String> {
        if let Some(warm) = slot.sandbox.take() {
            return Ok(warm);
        }
        let component = self.component(runtime, slot)?;
        let (engine, linker) = (&runtime.engine, &runtime.linker);
        let kind = self.plugin.kind;
        Sandbox::new(engine, &runtime.ticker, linker, &component, kind, &self.name)
            .map_err(|error| self.failed(slot, sandbox::fault(&error)))
    }

    fn load(&self, runtime: &Runtime) -> Result<Component, String> {
        let digest = self.plugin.blob.digest.as_str();
        runtime
            .compiler
            .component(&runtime.engine, Profile::Policy, digest, &self.bytes)
            .map_err(|error| error.to_string())
    }
}

impl Slot {
    fn closed_breaker(&mut self) -> Result<(), String> {
        while let Some(first) = self.recent.front() {
            if first.elapsed() < BREAKER_WINDOW {
                break;
            }
            self.recent.pop_front();
        }
        if self.recent.len() < BREAKER_FAULTS {
            return Ok(());
        }
        Err(format!(
            "failed {BREAKER_FAULTS} times within {} minutes and is not called for now; the last time it {}",
            BREAKER_WINDOW.as_secs() / 60,
            self.last_fault
        ))
    }
}
