//! What a node stands on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use swarmw_agent::Runs;
use swarmw_ambient::Ambient;
use swarmw_manager::Observer;
use swarmw_plugin_host::Compiler;
use swarmw_proto::{Tcp, Transport};
use swarmw_raft::{Storage, Timing};

use crate::{Keyring, StateDir};

/// What a node stands on: the machine, or what a simulation puts in its place.
#[derive(Clone)]
pub struct Ground {
    /// Time and chance.
    pub ambient: Ambient,
    /// How bytes get to other nodes.
    pub transport: Arc<dyn Transport>,
    /// Where a manager keeps its log.
    pub storage: Storage,
    /// How quickly a dead leader is replaced.
    pub timing: Timing,
    /// Compiles components.
    pub compiler: Compiler,
    /// What runs tasks.
    pub runs: Runs,
    /// Asks the queries of update policies.
    pub observer: Observer,
}

// === impl Ground ===

impl Ground {
    /// This machine; `keys` seal the log, `exe` is this binary, for child processes.
    ///
    /// # Errors
    /// The folder's keys cannot be read or made.
    pub fn machine(dir: &StateDir, keys: &Keyring, exe: &Path) -> Result<Self> {
        let compiler = Compiler::new(exe.to_owned(), dir.join("compiled"), dir.key("compiled")?);
        Ok(Self {
            ambient: Ambient::system(),
            transport: Arc::new(Tcp),
            storage: Storage::Disk { dir: dir.join("raft"), seal: keys.seal() },
            timing: Timing::default(),
            runs: Runs::Here { exe: exe.to_owned(), compiler: compiler.clone() },
            compiler,
            observer: Arc::new(|query| {
                let (url, pointer) = (query.url.clone(), query.pointer.clone());
                let timeout = Duration::from_millis(query.timeout_ms.into());
                Box::pin(async move { swarmw_observe::observe(&url, &pointer, timeout).await })
            }),
        })
    }
}
