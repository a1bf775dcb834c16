//! The folder of one Wasm task: what the daemon and the child tell each other.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;

/// One task's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// What the child runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Compiled code, authenticated with `key`.
    pub(crate) compiled: PathBuf,
    /// The node's key for compiled code.
    pub(crate) key: [u8; 32],
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Host path, path in the task, read-only.
    pub(crate) mounts: Vec<(PathBuf, String, bool)>,
    /// Bytes; 0 for no limit.
    pub(crate) memory: u64,
    /// From SIGTERM until the child ends itself.
    pub(crate) grace_millis: u64,
    /// It is on networks: the daemon is asked for names and connections.
    #[serde(default)]
    pub(crate) networks: bool,
}

/// Held by the process that runs the task, for as long as it does.
pub(crate) struct Claim {
    _locked: File,
}

/// Written by the child once it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Where an HTTP component is served.
    pub(crate) address: Option<SocketAddr>,
}

/// Written by the child when it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    /// What went wrong, where it did.
    pub(crate) error: String,
}

// === impl Folder ===

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn orders(&self) -> std::io::Result<Option<Orders>> {
        self.read("orders")
    }

    pub(crate) fn put_orders(&self, orders: &Orders) -> std::io::Result<()> {
        self.write("orders", orders)
    }

    /// The right to run the task; `None` while another process has it.
    pub(crate) fn claim(&self) -> std::io::Result<Option<Claim>> {
        let file = File::create(self.0.join("claim"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim { _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(crate) fn process(&self) -> std::io::Result<Option<ProcessId>> {
        self.read("process")
    }

    pub(crate) fn put_process(&self, process: ProcessId) -> std::io::Result<()> {
        self.write("process", &process)
    }

    pub(crate) fn running(&self) -> std::io::Result<Option<Running>> {
        self.read("running")
    }

    pub(crate) fn put_running(&self, running: &Running) -> std::io::Result<()> {
        self.write("running", running)
    }

    pub(crate) fn ended(&self) -> std::io::Result<Option<Ended>> {
        self.read("ended")
    }

    pub(crate) fn put_ended(&self, ended: &Ended) -> std::io::Result<()> {
        self.write("ended", ended)
    }

    /// The log, and the older half of it.
    pub(crate) fn logs(&self) -> [PathBuf; 2] {
        [self.0.join("log.old"), self.0.join("log")]
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> std::io::Result<Option<T>> {
        match std::fs::read(self.0.join(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(std::io::Error::other),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whole or not there, also when the writer is killed.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> std::io::Result<()> {
        let temporary = self.0.join(format!("{name}.new"));
        std::fs::write(&temporary, serde_json::to_vec(value)?)?;
        std::fs::rename(temporary, self.0.join(name))
    }
}
