//! Where log and snapshots are kept.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use swarmw_seal::Seal;

use crate::error::RaftError;
use crate::log::{Disk, Log, LogStore, Survivor, go_alone};
use crate::machine::Machine;
use crate::publish::Publisher;
use crate::snapshot::{Header, NAME, Shelf};

/// Where log and snapshots are kept. Whoever opens a clone finds what was kept before.
#[derive(Clone)]
pub enum Storage {
    /// In files, encrypted.
    Disk {
        /// The folder.
        dir: PathBuf,
        /// Seals them; see [`Raft::reseal`](crate::Raft::reseal) for another key.
        seal: Seal,
    },
    /// In memory, for simulations: what is written is safe at once, and stays as
    /// long as a clone does.
    Memory(Memory),
}

/// What stands in for a disk.
#[derive(Clone, Default)]
pub struct Memory {
    pub(crate) log: Arc<Mutex<Log>>,
    pub(crate) snapshot: Arc<Mutex<Option<(Header, Bytes)>>>,
}

// === impl Storage ===

impl Storage {
    /// The log, the state as its last snapshot left it, and who hears of its changes;
    /// with a survivor the log is its alone from then on.
    pub(crate) fn open(
        self,
        survivor: Option<&Survivor<'_>>,
    ) -> Result<(LogStore, Machine, Publisher), RaftError> {
        match self {
            Self::Disk { dir, seal } => open_disk(dir, seal, survivor),
            Self::Memory(_) if survivor.is_some() => {
                Err(failed(NAME.into(), &"a manager goes on alone from files only"))
            }
            Self::Memory(memory) => {
                let (machine, publisher) = Machine::open(Shelf::Memory(memory.snapshot))
                    .map_err(|e| failed(NAME.into(), &e))?;
                Ok((LogStore::in_memory(memory.log), machine, publisher))
            }
        }
    }

    /// Forgets everything: the node is a manager no more.
    ///
    /// # Errors
    /// The disk.
    pub fn erase(&self) -> Result<(), RaftError> {
        match self {
            Self::Disk { dir, .. } => match std::fs::remove_dir_all(dir) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(dir.clone(), &e)),
                _ => Ok(()),
            },
            Self::Memory(memory) => {
                *memory.log.lock().unwrap_or_else(PoisonError::into_inner) = Log::default();
                *memory.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(())
            }
        }
    }
}

// === impl Memory ===

impl Memory {
    /// What a machine finds that lost power now; this one goes on by itself.
    pub fn after_crash(&self) -> Self {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { log: Arc::new(Mutex::new(log)), snapshot: Arc::new(Mutex::new(snapshot)) }
    }
}

fn open_disk(
    dir: PathBuf,
    seal: Seal,
    survivor: Option<&Survivor<'_>>,
) -> Result<(LogStore, Machine, Publisher), RaftError> {
    std::fs::create_dir_all(&dir).map_err(|e| failed(dir.clone(), &e))?;
    let file = dir.join("log.redb");
    let (disk, mut recovered) =
        Disk::open(&file, seal.clone()).map_err(|e| failed(file.clone(), &e))?;
    let snapshot = dir.join(NAME);
    let (machine, publisher) =
        Machine::open(Shelf::Disk { folder: dir, seal, writing: Arc::default() })
            .map_err(|e| failed(snapshot.clone(), &e))?;
    let applied = machine.applied();
    if let Some(purged) = recovered.purged.filter(|purged| applied < Some(*purged)) {
        return Err(failed(
            snapshot,
            &format!(
                "missing or too old: the log begins after entry {}; \
                 take the manager out and let it join again",
                purged.index
            ),
        ));
    }
    if let Some(survivor) = survivor {
        recovered = go_alone(&disk, recovered, applied, survivor).map_err(|e| failed(file, &e))?;
    }
    Ok((LogStore::on_disk(disk, recovered), machine, publisher))
}

fn failed(path: PathBuf, why: &dyn Display) -> RaftError {
    RaftError::Storage { path, message: why.to_string() }
}
