//! The plugins of the cluster, behind one handle.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use swarmw_model::{Plugin, PluginId, PluginKind, PluginLine, PluginState, PluginUse};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::breaker::Question;
use crate::claims::Routes;
use crate::compile::{CompileError, Compiler};
use crate::engine::{Profile, engine};
use crate::incidents::{Incident, Incidents};
use crate::interface;
use crate::loaded::Loaded;
use crate::memo::Memo;
use crate::meter::Tightest;
use crate::sandbox::Guest;
use crate::steps::{Step, Steps};
use crate::ticker::Ticker;

/// Components that left the cluster but may still drive a rollout: the most kept.
const RETIRED_MAX: usize = 8;

/// The plugins of the cluster: routes to them and calls them. Clones share all.
///
/// A handle follows the cluster: between two of its calls the plugins may change. A
/// [pinned](PluginHost::pin) one keeps to the plugins of a moment, so that all that
/// one pass decides is decided by the same releases.
#[derive(Clone)]
pub struct PluginHost {
    pub(crate) shared: Arc<Shared>,
    pinned: Option<Arc<Table>>,
    /// Asks about what is not in the cluster yet, see [`Question::tried`].
    pub(crate) tries: bool,
}

pub(crate) struct Shared {
    pub runtime: Runtime,
    table: RwLock<Arc<Table>>,
}

/// What every call needs.
pub(crate) struct Runtime {
    pub compiler: Compiler,
    pub engine: Engine,
    pub linker: Linker<Guest>,
    pub ticker: Ticker,
    pub incidents: Incidents,
    pub steps: Steps,
    calls: AtomicU64,
    /// Numbers that are never given twice: of expressions and of generations.
    numbers: AtomicU64,
}

/// The plugins at one time, and what they have answered.
pub(crate) struct Table {
    pub routes: Routes,
    /// Those that serve.
    plugins: Vec<Arc<Loaded>>,
    /// Those that are to serve, compiled or not.
    wanted: Vec<Arc<Loaded>>,
    /// Those that left.
    retired: Vec<Arc<Loaded>>,
    memo: Mutex<Memo>,
}

impl PluginHost {
    /// A host without plugins.
    ///
    /// # Panics
    /// When the Wasm engine or its clock's thread do not start: on a machine that
    /// cannot run Wasm, or one that has no room for another thread.
    pub fn new(compiler: Compiler) -> Self {
        let runtime = Runtime::new(compiler).expect("this machine runs Wasm");
        let table = RwLock::new(Arc::new(runtime.table(Vec::new(), Vec::new(), Vec::new())));
        Self { shared: Arc::new(Shared { runtime, table }), pinned: None, tries: false }
    }

    /// A handle that keeps to the plugins of now.
    pub fn pin(&self) -> Self {
        Self { pinned: Some(self.table()), ..self.clone() }
    }

    /// A pinned handle whose questions are of specs that may never be in the cluster.
    pub fn trying(&self) -> Self {
        Self { tries: true, ..self.pin() }
    }

    /// A pinned handle to the plugins of now but for one: this one stands in place
    /// of that of its name, or beside the others. What it does wrong is told to
    /// nobody.
    pub fn with(&self, plugin: Plugin, bytes: Bytes) -> Self {
        let table = self.table();
        let others = table.plugins.iter().filter(|l| *l.name != *plugin.name).cloned();
        let mut plugins: Vec<_> = others.collect();
        plugins.push(Arc::new(Loaded::trial(plugin, bytes)));
        let table = self.shared.runtime.table(plugins.clone(), plugins, table.retired.clone());
        Self { pinned: Some(Arc::new(table)), ..self.clone() }
    }

    /// Tells this one whenever a plugin's standing changes; the first listener stays.
    /// It is called by whoever called the plugin, and must not block.
    pub fn on_incident(&self, listener: impl Fn(Incident) + Send + Sync + 'static) {
        self.shared.runtime.incidents.listen(listener);
    }

    /// Tells this one of every call of an update policy that serves: its plugin, and
    /// how to have the call itself; the first listener stays. It is called by the pass
    /// that called the policy, and must not block.
    pub fn on_step(&self, listener: impl Fn(PluginId, &dyn Fn() -> Step) + Send + Sync + 'static) {
        self.shared.runtime.steps.listen(listener);
    }

    /// Wasm calls so far, of all plugins.
    pub fn calls(&self) -> u64 {
        self.shared.runtime.calls.load(Ordering::Relaxed)
    }

    /// What the plugin of this name did in this process.
    pub fn used(&self, plugin: &str) -> Option<PluginUse> {
        Some(self.table().of_name(plugin)?.used())
    }

    /// Of the calls of the plugin of this name in this process, the one that came nearest
    /// to the end of its budget.
    pub fn tightest(&self, plugin: &str) -> Option<Tightest> {
        self.table().of_name(plugin)?.tightest()
    }

    /// Forgets every answer: the next questions are asked anew, of the same
    /// instances. For whoever wants to see whether the answers stay the same.
    pub fn forget_answers(&self) {
        let table = self.table();
        *table.memo() = Memo::new(self.shared.runtime.number());
    }

    /// Whether a constraint is routed to the plugin of this name.
    pub fn takes_constraint(&self, plugin: &str, expression: &str) -> bool {
        self.table().routes.constraint(expression).is_some_and(|l| *l.name == *plugin)
    }

    /// The last lines of a plugin's log in this process, after the one of this
    /// number.
    pub fn lines(&self, plugin: &str, after: u64) -> Vec<PluginLine> {
        self.table().of_name(plugin).map(|l| l.journal().after(after)).unwrap_or_default()
    }

    /// The plugins of the pass, or of now.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.pinned.clone().unwrap_or_else(|| self.current())
    }

    pub(crate) fn current(&self) -> Arc<Table> {
        let table = self.shared.table.read();
        Arc::clone(&table.unwrap_or_else(PoisonError::into_inner))
    }

    /// What a call is about.
    pub(crate) fn question(&self, thing: impl Hash) -> Question {
        self.put(Question::about(thing))
    }

    /// A question, by whoever asks it through this handle.
    pub(crate) fn put(&self, question: Question) -> Question {
        if self.tries { question.tried() } else { question }
    }
}

impl Shared {
    /// Has what a change makes of the table be the table.
    pub fn change(&self, change: impl FnOnce(&Table) -> Option<Table>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = change(&table) {
            *table = Arc::new(next);
        }
    }
}

impl Runtime {
    pub fn new(compiler: Compiler) -> Result<Self, CompileError> {
        let start = |error: wasmtime::Error| CompileError::Engine(format!("{error:#}"));
        let engine = engine(Profile::Policy).map_err(start)?;
        Ok(Self {
            compiler,
            linker: interface::linker(&engine).map_err(start)?,
            ticker: Ticker::new(&engine)?,
            engine,
            incidents: Incidents::default(),
            steps: Steps::default(),
            calls: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
        })
    }

    pub fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that was not given before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn table(
        &self,
        plugins: Vec<Arc<Loaded>>,
        wanted: Vec<Arc<Loaded>>,
        retired: Vec<Arc<Loaded>>,
    ) -> Table {
        let memo = Mutex::new(Memo::new(self.number()));
        Table { routes: Routes::new(&plugins), plugins, wanted, retired, memo }
    }
}

impl Table {
    /// The table after these are wanted. Of a plugin whose code is still being compiled
    /// the release before serves, unless the plugin is not to be called at all.
    pub fn then(&self, runtime: &Runtime, wanted: Vec<Arc<Loaded>>) -> Option<Self> {
        let serving = |new: &Arc<Loaded>| {
            let waits = !new.code().is_settled() && new.plugin.status.state == PluginState::Enabled;
            let before = self.of_name(&new.name).filter(|before| waits && before.code().is_ready());
            Arc::clone(before.unwrap_or(new))
        };
        let next: Vec<_> = wanted.iter().map(serving).collect();
        if same(&self.plugins, &next) && same(&self.wanted, &wanted) {
            return None;
        }
        let gone = |old: &&Arc<Loaded>| !next.iter().any(|new| new.digest() == old.digest());
        let left = self.plugins.iter().chain(&self.retired).filter(gone);
        let retired = left
            .filter(|l| l.plugin.kind == PluginKind::UpdatePolicy)
            .take(RETIRED_MAX)
            .cloned()
            .collect();
        Some(runtime.table(next, wanted, retired))
    }

    /// Those that are to serve.
    pub fn wanted(&self) -> &[Arc<Loaded>] {
        &self.wanted
    }

    /// All that there is, whether it serves or not.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        self.plugins.iter().chain(&self.wanted).chain(&self.retired)
    }

    pub fn plugins(&self) -> &[Arc<Loaded>] {
        &self.plugins
    }

    /// The plugin of this name and kind.
    pub fn named(&self, kind: PluginKind, name: &str) -> Option<&Arc<Loaded>> {
        self.of_name(name).filter(|l| l.plugin.kind == kind)
    }

    /// Notes that a pass needed so many answers of a plugin.
    pub fn needed(&self, name: &str, rows: usize) {
        if let Some(loaded) = self.of_name(name) {
            loaded.needed(rows);
        }
    }

    fn of_name(&self, name: &str) -> Option<&Arc<Loaded>> {
        self.plugins.iter().find(|l| *l.name == *name)
    }

    /// The component of this digest, also one that left the cluster.
    pub fn by_digest(&self, digest: &str) -> Option<&Arc<Loaded>> {
        self.plugins.iter().chain(&self.retired).find(|l| l.digest() == digest)
    }

    pub fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same(some: &[Arc<Loaded>], others: &[Arc<Loaded>]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(a, b)| Arc::ptr_eq(a, b))
}
