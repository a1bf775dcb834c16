//! Opening files and settings: what stands before openraft begins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use crate::config::{Storage, Timing};
use crate::error::RaftError;
use crate::log::{Disk, LogStore, Survivor, go_alone};
use crate::machine::Machine;
use crate::publish::Publisher;
use crate::seal::Seal;
use crate::snapshot::{NAME, Shelf};

/// Opens log and snapshots; with a survivor the log is its alone from then on.
pub(crate) fn open_storage(
    storage: Storage,
    survivor: Option<&Survivor<'_>>,
) -> Result<(LogStore, Machine, Publisher), RaftError> {
    let (dir, key) = match storage {
        Storage::Memory => {
            let shelf = Shelf::Memory(Arc::default());
            let (machine, publisher) = Machine::open(shelf).map_err(|e| failed(NAME.into(), &e))?;
            return Ok((LogStore::in_memory(), machine, publisher));
        }
        Storage::Disk { dir, key } => (dir, key),
    };
    std::fs::create_dir_all(&dir).map_err(|e| failed(dir.clone(), &e))?;
    let seal = Seal::new(key);
    let file = dir.join("log.redb");
    let (disk, mut recovered) =
        Disk::open(&file, seal.clone()).map_err(|e| failed(file.clone(), &e))?;
    let snapshot = dir.join(NAME);
    let (machine, publisher) = Machine::open(Shelf::Disk { folder: dir, seal })
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

fn failed(path: PathBuf, why: &dyn std::fmt::Display) -> RaftError {
    RaftError::Storage { path, message: why.to_string() }
}

pub(crate) fn settings(timing: &Timing) -> Result<Arc<Config>, RaftError> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "swarmw".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_every),
        max_in_snapshot_log_to_keep: timing.keep_entries,
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|e| RaftError::Members(e.to_string()))
}
