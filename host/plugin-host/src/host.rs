//! The plugins of the cluster, behind one handle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use swarmw_model::{Plugin, PluginKind};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::claims::Routes;
use crate::compile::{CompileError, Compiler};
use crate::engine::{Profile, engine};
use crate::loaded::Loaded;
use crate::memo::Memo;
use crate::sandbox::{self, Guest};
use crate::ticker::Ticker;

/// Components that left the cluster but may still drive a rollout: the most kept.
const RETIRED_MAX: usize = 8;

/// The plugins of the cluster: routes to them and calls them. Clones share all.
#[derive(Clone)]
pub struct PluginHost {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub runtime: Runtime,
    table: RwLock<Arc<Table>>,
    memo: Mutex<Memo>,
}

/// What every call needs.
pub(crate) struct Runtime {
    pub compiler: Compiler,
    pub engine: Engine,
    pub linker: Linker<Guest>,
    pub ticker: Ticker,
    calls: AtomicU64,
}

/// The plugins at one time.
pub(crate) struct Table {
    pub generation: u64,
    pub routes: Routes,
    plugins: Vec<Arc<Loaded>>,
    retired: Vec<Arc<Loaded>>,
}

/// What a plugin has done so far in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStats {
    /// The plugin.
    pub name: Arc<str>,
    /// Calls into it.
    pub calls: u64,
    /// Calls that went wrong.
    pub faults: u64,
}

impl PluginHost {
    /// A host without plugins.
    ///
    /// # Panics
    /// When the Wasm engine or its clock's thread do not start: on a machine that
    /// cannot run Wasm, or one that has no room for another thread.
    pub fn new(compiler: Compiler) -> Self {
        let runtime = Runtime::new(compiler).expect("this machine runs Wasm");
        let table = Table {
            generation: 0,
            routes: Routes::default(),
            plugins: Vec::new(),
            retired: Vec::new(),
        };
        Self {
            shared: Arc::new(Shared {
                runtime,
                table: RwLock::new(Arc::new(table)),
                memo: Mutex::default(),
            }),
        }
    }

    /// The plugins that the cluster has now. Those that stayed the same keep their
    /// instances, new ones are compiled before they serve. Without a change the
    /// generation stays too. Blocks while it compiles.
    ///
    /// Returns the plugins that do not load, and why: they keep their claims, and
    /// what needs them is told.
    pub fn set_plugins(&self, plugins: Vec<(Plugin, Bytes)>) -> Vec<(Arc<str>, String)> {
        let next = self.with_known(plugins);
        let failures = next
            .iter()
            .filter_map(|l| Some((Arc::clone(&l.name), l.warm(&self.shared.runtime).err()?)))
            .collect();
        self.replace(next);
        failures
    }

    /// The plugins as loaded, those that stayed the same as they are.
    fn with_known(&self, plugins: Vec<(Plugin, Bytes)>) -> Vec<Arc<Loaded>> {
        let table = self.table();
        let same = |loaded: &Loaded, plugin: &Plugin| {
            loaded.plugin.blob == plugin.blob
                && loaded.plugin.name == plugin.name
                && loaded.plugin.metadata == plugin.metadata
        };
        plugins
            .into_iter()
            .map(|(plugin, bytes)| {
                let known = table.plugins.iter().find(|l| same(l, &plugin));
                known.map_or_else(|| Arc::new(Loaded::new(plugin.clone(), bytes)), Arc::clone)
            })
            .collect()
    }

    fn replace(&self, next: Vec<Arc<Loaded>>) {
        let mut table = self.shared.table.write().unwrap_or_else(PoisonError::into_inner);
        let changed = table.plugins.len() != next.len()
            || table.plugins.iter().zip(&next).any(|(old, new)| !Arc::ptr_eq(old, new));
        if !changed {
            return;
        }
        let gone = |old: &&Arc<Loaded>| {
            !next.iter().any(|n| n.plugin.blob.digest == old.plugin.blob.digest)
        };
        let left = table.plugins.iter().chain(&table.retired).filter(gone);
        let retired = left
            .filter(|l| l.plugin.kind == PluginKind::UpdatePolicy)
            .take(RETIRED_MAX)
            .cloned()
            .collect();
        *table = Arc::new(Table {
            generation: table.generation + 1,
            routes: Routes::new(&next),
            plugins: next,
            retired,
        });
        drop(table);
        self.memo().clear();
    }

    /// Wasm calls so far, of all plugins.
    pub fn calls(&self) -> u64 {
        self.shared.runtime.calls.load(Ordering::Relaxed)
    }

    /// Forgets every answer: the next questions are asked anew, of the same
    /// instances. For whoever wants to see whether the answers stay the same.
    pub fn forget_answers(&self) {
        self.memo().clear();
    }

    /// What each plugin has done so far.
    pub fn stats(&self) -> Vec<PluginStats> {
        let stats = |loaded: &Arc<Loaded>| {
            let (calls, faults) = loaded.stats();
            PluginStats { name: Arc::clone(&loaded.name), calls, faults }
        };
        self.table().plugins.iter().map(stats).collect()
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        let table = self.shared.table.read();
        Arc::clone(&table.unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn memo(&self) -> MutexGuard<'_, Memo> {
        self.shared.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime {
    pub fn new(compiler: Compiler) -> Result<Self, CompileError> {
        let start = |error: wasmtime::Error| CompileError::Engine(format!("{error:#}"));
        let engine = engine(Profile::Policy).map_err(start)?;
        Ok(Self {
            compiler,
            linker: sandbox::linker(&engine).map_err(start)?,
            ticker: Ticker::new(&engine)?,
            engine,
            calls: AtomicU64::new(0),
        })
    }

    pub fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Table {
    pub fn plugins(&self) -> &[Arc<Loaded>] {
        &self.plugins
    }

    /// The plugin of this name and kind.
    pub fn named(&self, kind: PluginKind, name: &str) -> Option<&Arc<Loaded>> {
        self.plugins.iter().find(|l| l.plugin.kind == kind && *l.name == *name)
    }

    /// The component of this digest, also one that left the cluster.
    pub fn by_digest(&self, digest: &str) -> Option<&Arc<Loaded>> {
        self.plugins.iter().chain(&self.retired).find(|l| l.plugin.blob.digest == digest)
    }
}
