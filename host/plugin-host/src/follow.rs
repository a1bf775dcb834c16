//! The cluster's plugins come, change and go: each serves as soon as it is compiled, and
//! until then the release before it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use swarmw_model::{Plugin, ServiceSpec};

use crate::code::{Claim, Code};
use crate::compile::CompileError;
use crate::host::PluginHost;
use crate::loaded::Loaded;
use crate::specs::reached;

/// A component that is to be compiled before its plugin serves.
pub struct Uncompiled {
    host: PluginHost,
    claim: Claim,
    plugin: Arc<str>,
}

impl PluginHost {
    /// The plugins that the cluster has now. Those that stayed the same keep their
    /// instances, and what has the same component needs no compiler. Does not block:
    /// returns what is to be compiled, the smallest first, but for what somebody
    /// compiles already.
    #[must_use = "a plugin does not serve before it is compiled"]
    pub fn follow(&self, plugins: Vec<(Plugin, Bytes)>) -> Vec<Uncompiled> {
        let mut next: Vec<Arc<Loaded>> = Vec::new();
        self.shared.change(|table| {
            let code = |plugin: &Plugin, bytes| {
                let digest = &plugin.release.blob.digest;
                let known = table.all().find(|l| l.digest() == digest);
                known.map_or_else(|| Arc::new(Code::new(digest, bytes)), |l| Arc::clone(l.code()))
            };
            let loaded = |(plugin, bytes): (Plugin, Bytes)| {
                let known = table.all().find(|l| l.is(&plugin));
                known.map(Arc::clone).unwrap_or_else(|| {
                    let code = code(&plugin, bytes);
                    Arc::new(Loaded::new(plugin, code))
                })
            };
            next = plugins.into_iter().map(loaded).collect();
            table.then(&self.shared.runtime, next.clone())
        });
        let claimed = |l: &Arc<Loaded>| {
            let claim = Claim::of(l.code())?;
            Some(Uncompiled { host: self.clone(), claim, plugin: Arc::clone(&l.name) })
        };
        let mut uncompiled: Vec<_> = next.iter().filter_map(claimed).collect();
        uncompiled.sort_by_key(Uncompiled::size);
        uncompiled
    }

    /// As [`PluginHost::follow`], and compiles what is to be compiled: blocks meanwhile.
    ///
    /// Returns the plugins that do not load, and why: they keep their claims, and
    /// what needs them is told.
    pub fn set_plugins(&self, plugins: Vec<(Plugin, Bytes)>) -> Vec<(Arc<str>, String)> {
        let failed = |one: Uncompiled| {
            let why = one.compile().err()?;
            Some((Arc::clone(one.plugin()), why.to_string()))
        };
        self.follow(plugins).into_iter().filter_map(failed).collect()
    }

    /// Whether the plugin of this name, as it is to serve, was tried to be compiled; and
    /// of no name, whether all were.
    pub fn is_settled(&self, plugin: Option<&str>) -> bool {
        let table = self.current();
        let meant = |l: &&Arc<Loaded>| plugin.is_none_or(|name| *l.name == *name);
        table.wanted().iter().filter(meant).all(|l| l.code().is_settled())
    }

    /// Whether a spec reaches a plugin that is still being compiled.
    pub fn waits_for_compiler(&self, spec: &ServiceSpec) -> bool {
        let table = self.current();
        reached(&table, spec).iter().any(|l| !l.code().is_settled())
    }
}

// === impl Uncompiled ===

impl Uncompiled {
    /// The plugin.
    pub fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }

    /// Bytes of the component.
    pub fn size(&self) -> usize {
        self.claim.code().size()
    }

    /// Itself, as long as a plugin of the cluster needs it.
    pub fn if_wanted(self) -> Option<Self> {
        let Self { host, claim, plugin } = self;
        let code = Arc::clone(claim.code());
        let is_wanted = || host.current().wanted().iter().any(|l| Arc::ptr_eq(l.code(), &code));
        if is_wanted() {
            return Some(Self { host, claim, plugin });
        }
        drop(claim);
        // Whoever came to need it meanwhile could not take it on.
        let claim = if is_wanted() { Claim::of(&code)? } else { return None };
        Some(Self { host, claim, plugin })
    }

    /// Compiles it, and has its plugin serve; how long that took. Blocks meanwhile. One
    /// that failed may be tried again.
    ///
    /// # Errors
    /// It does not compile: whoever calls the plugin is told why.
    pub fn compile(&self) -> Result<Duration, CompileError> {
        let began = Instant::now();
        let runtime = &self.host.shared.runtime;
        let compiled = self.claim.code().compile(runtime);
        self.host.shared.change(|table| table.then(runtime, table.wanted().to_vec()));
        compiled.map(|()| began.elapsed())
    }
}

impl std::fmt::Debug for Uncompiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uncompiled")
            .field("plugin", &self.plugin)
            .field("digest", &self.claim.code().digest())
            .finish_non_exhaustive()
    }
}
