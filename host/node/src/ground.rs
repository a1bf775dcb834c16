//! What a node stands on.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use swarmw_agent::Runs;
use swarmw_ambient::Ambient;
use swarmw_plugin_host::Compiler;
use swarmw_proto::{Tcp, Transport};
use swarmw_raft::{Storage, Timing};

use crate::StateDir;

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
}

// === impl Ground ===

impl Ground {
    /// This machine; `exe` is this binary, for child processes.
    ///
    /// # Errors
    /// The folder's keys cannot be read or made.
    pub fn machine(dir: &StateDir, exe: &Path) -> Result<Self> {
        let compiler = Compiler::new(exe.to_owned(), dir.join("compiled"), dir.key("compiled")?);
        Ok(Self {
            ambient: Ambient::system(),
            transport: Arc::new(Tcp),
            storage: Storage::Disk { dir: dir.join("raft"), key: dir.key("raft")? },
            timing: Timing::default(),
            runs: Runs::Here { exe: exe.to_owned(), compiler: compiler.clone() },
            compiler,
        })
    }
}
