//! A plugin that the cluster has: its [code](crate::code), one instance kept warm, a
//! breaker around it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarmw_model::{LineLevel, Plugin, PluginClaim, PluginState, PluginUse};

use crate::bindings::{PreferencePlugin, UpdatePlugin, VolumePlugin};
use crate::breaker::{After, Question};
use crate::code::Code;
use crate::cpu;
use crate::host::Runtime;
use crate::incidents::{Incident, What};
use crate::interface::AnyConstraint;
use crate::journal::Journal;
use crate::meter::{Meter, Tightest};
use crate::no_answer::NoAnswer;
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
    code: Arc<Code>,
    /// Tried out beside the one that serves: what it does wrong is nobody's trouble.
    is_trial: bool,
    journal: Arc<Journal>,
    meter: Mutex<Meter>,
    /// Rows answered, which decides what is asked again.
    rows: AtomicU64,
    audit_next: AtomicBool,
    /// How it was caught lying.
    lied: OnceLock<String>,
    slot: Mutex<Option<Sandbox>>,
}

/// One call of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The function.
    pub name: &'static str,
    /// What it is about.
    pub question: Question,
    /// CPU time that it may take.
    pub budget: Duration,
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
    /// A plugin with its code, which may have to be compiled first.
    pub fn new(plugin: Plugin, code: Arc<Code>) -> Self {
        Self {
            name: plugin.name.as_str().into(),
            journal: Arc::new(Journal::new(&plugin.name)),
            plugin,
            code,
            is_trial: false,
            meter: Mutex::new(Meter::new()),
            rows: AtomicU64::new(0),
            audit_next: AtomicBool::new(true),
            lied: OnceLock::new(),
            slot: Mutex::default(),
        }
    }

    /// A plugin that is tried out beside the one that serves: nobody waits for it, so its
    /// first call compiles it.
    pub fn trial(plugin: Plugin, bytes: Bytes) -> Self {
        let journal = Arc::new(Journal::quiet(&plugin.name));
        let code = Arc::new(Code::new(&plugin.release.blob.digest, bytes));
        Self { is_trial: true, journal, ..Self::new(plugin, code) }
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

    /// Its component's code.
    pub fn code(&self) -> &Arc<Code> {
        &self.code
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
    /// fault as a trap is.
    pub fn call<K: Kind + ?Sized, T>(
        &self,
        runtime: &Runtime,
        asked: Call,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, NoAnswer> {
        self.call_in(Instance::Warm, runtime, asked, call, check)
    }

    /// As [`Loaded::call`], in an instance that nobody has called before.
    pub fn call_fresh<K: Kind + ?Sized, T>(
        &self,
        runtime: &Runtime,
        asked: Call,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, NoAnswer> {
        self.call_in(Instance::Fresh, runtime, asked, call, check)
    }

    fn call_in<K: Kind + ?Sized, T>(
        &self,
        instance: Instance,
        runtime: &Runtime,
        asked: Call,
        call: impl FnOnce(&K, &mut wasmtime::Store<Guest>) -> wasmtime::Result<T>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, NoAnswer> {
        let Call { name, question, budget } = asked;
        self.may_be_called()?;
        let mut slot = self.slot();
        self.meter().may_ask(question).map_err(NoAnswer::NotCalled)?;
        let mut sandbox = self.sandbox(runtime, &mut slot, question, instance)?;
        let Some(exports) = K::of(&sandbox.exports) else {
            return Err(NoAnswer::NotCalled(format!("is a {} plugin", self.plugin.kind)));
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
                self.meter().answered(question);
                if instance == Instance::Warm {
                    *slot = Some(sandbox);
                }
                Ok(answer)
            }
            // The store is dropped with all that a trap left behind.
            Err((kind, fault)) => {
                Err(NoAnswer::Fault(self.failed(runtime, name, question, kind, &fault)))
            }
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
    pub fn quarantine(&self, runtime: &Runtime, call: &str) -> NoAnswer {
        let lie = format!("its {call} answered one question in two ways");
        if self.lied.set(lie.clone()).is_ok() {
            self.journal.note(LineLevel::Error, &quarantined(&lie));
            self.report(runtime, What::Lied, &lie);
        }
        NoAnswer::NotCalled(quarantined(&lie))
    }

    /// Drops the warm instance: the next call gets a fresh one.
    pub fn refresh(&self) {
        *self.slot() = None;
    }

    fn may_be_called(&self) -> Result<(), NoAnswer> {
        let status = &self.plugin.status;
        let why = match (self.lied.get(), status.state) {
            (Some(lie), _) => quarantined(lie),
            (None, PluginState::Enabled) => return Ok(()),
            (None, PluginState::Disabled) => {
                format!("is disabled: swarmw plugin enable {}", self.name)
            }
            (None, PluginState::Quarantined) => quarantined(&status.message),
        };
        Err(NoAnswer::NotCalled(why))
    }

    /// Notes a fault; what it was, for people.
    fn failed(
        &self,
        runtime: &Runtime,
        call: &'static str,
        question: Question,
        kind: FaultKind,
        fault: &str,
    ) -> String {
        self.audit_next.store(true, Ordering::Relaxed);
        let message = format!("{call} {fault}");
        self.journal.note(LineLevel::Error, &message);
        match self.meter().failed(call, question, kind, fault) {
            After::Called => {}
            After::SetAside => self.report(runtime, What::SetAside, &message),
            After::Open => self.report(runtime, What::BreakerOpened, &message),
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
        slot: &mut Option<Sandbox>,
        question: Question,
        instance: Instance,
    ) -> Result<Sandbox, NoAnswer> {
        if instance == Instance::Warm
            && let Some(warm) = slot.take()
        {
            return Ok(warm);
        }
        let interface = &self.plugin.release.interface;
        let minor = interface.parse().map_err(|()| {
            NoAnswer::NotCalled(format!(
                "was built for version {interface} of the plugin interface, which this node does \
                 not speak"
            ))
        })?;
        if self.is_trial {
            // What it comes to, the next line tells.
            let _ = self.code.compile(runtime);
        }
        let component = self.code.component()?;
        let (engine, linker) = (&runtime.engine, &runtime.linker);
        let kind = (self.plugin.kind, minor);
        Sandbox::new(engine, &runtime.ticker, linker, &component, kind, &self.journal).map_err(
            |error| {
                let (kind, fault) = sandbox::fault(&error);
                NoAnswer::Fault(self.failed(runtime, "instantiate", question, kind, &fault))
            },
        )
    }

    fn slot(&self) -> MutexGuard<'_, Option<Sandbox>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quarantined(why: &str) -> String {
    format!("is quarantined: {why}; upgrade it, or enable it again")
}
