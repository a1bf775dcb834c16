//! How large volumes are, and how one grows.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use swarmw_plugin_host::volumes::Measure;
use tracing::debug;

use super::{Keeper, NotDone, Slot};
use crate::volumes::check::Phase;
use crate::volumes::record::{Record, Stage};
use crate::volumes::wanted::Key;

/// A volume that takes longer to measure is not: its server may be gone.
const MEASURE_DEADLINE: Duration = Duration::from_secs(20);
/// What `du` counts in.
const BLOCK: u64 = 512;

// === impl Keeper ===

impl Keeper {
    /// Grows a volume of this node that no task uses to so many bytes, and keeps them as
    /// its option `size`. One that has them already stays as it is.
    pub(crate) async fn expand(self: &Arc<Self>, key: &Key, size: u64) -> Result<(), NotDone> {
        let slot = self.slots().get(key).cloned().ok_or(NotDone::Unknown)?;
        let this = self.clone();
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let users = slot.users().clone();
            if !users.is_empty() {
                return Err(NotDone::InUse(users));
            }
            let record = held.as_mut().filter(|record| record.created).ok_or(NotDone::Unknown)?;
            if matches!(record.stage, Stage::Removing(_)) {
                return Err(NotDone::Failed("it is being removed".to_owned()));
            }
            if record.id.is_some() {
                let why = "it is a volume of the cluster, which are not expanded yet";
                return Err(NotDone::Failed(why.to_owned()));
            }
            match this.planner.size(&record.wanted()) {
                Some(now) if now == size => return Ok(()),
                Some(now) if now > size => {
                    let why = format!("it has {now} bytes, and does not shrink to {size}");
                    return Err(NotDone::Failed(why));
                }
                _ => {}
            }
            if record.stage != Stage::Idle {
                this.tear_down(&slot.place, record).await.map_err(NotDone::Failed)?;
            }
            let grown = this.carry_out(&slot, record, Phase::Expand(size), None).await;
            grown.map_err(NotDone::Failed)
        });
        working.await.unwrap_or_else(|panic| Err(NotDone::Failed(panic.to_string())))
    }

    /// The bytes that the data of each volume take, by name, as their drivers have them
    /// measured; without those of which nobody knows.
    pub(crate) async fn sizes(&self) -> BTreeMap<String, u64> {
        let all: Vec<_> = self.slots().values().cloned().collect();
        let measured = all.into_iter().map(async |slot| {
            let record = slot.record_as_is().filter(|record| record.created)?;
            let measured = tokio::time::timeout(MEASURE_DEADLINE, self.measured(&slot, &record));
            let size = measured.await.unwrap_or_else(|late| Err(late.into()));
            match size {
                Ok(size) => Some((record.name, size?)),
                Err(why) => {
                    debug!(volume = %record.name, %why, "a volume is not measured");
                    None
                }
            }
        });
        futures::future::join_all(measured).await.into_iter().flatten().collect()
    }

    async fn measured(&self, slot: &Slot, record: &Record) -> io::Result<Option<u64>> {
        let measure = self.planner.measure(&record.wanted()).await.map_err(io::Error::other)?;
        // The last time is not over yet: no other thread waits for the same.
        let turn = slot.measuring.clone().try_lock_owned().map_err(io::Error::other)?;
        let (place, mounted) = (slot.place.clone(), record.stage == Stage::Mounted);
        let measuring = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            match measure {
                Measure::Tree => tree(&place.files()).map(Some),
                Measure::FileSystem if mounted => {
                    let there = rustix::fs::statvfs(place.target())?;
                    Ok(Some((there.f_blocks - there.f_bfree) * there.f_frsize))
                }
                // The engine knows of its own, and shows them itself.
                Measure::FileSystem | Measure::Engine | Measure::Unknown => Ok(None),
            }
        });
        measuring.await.map_err(io::Error::other)?
    }
}

/// The bytes on disk of all files below a directory, each file once.
fn tree(root: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut seen = HashSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        // Files and folders come and go while they are counted.
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && folder != root => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(found) = entry.metadata() else { continue };
            if found.nlink() == 1 || found.is_dir() || seen.insert((found.dev(), found.ino())) {
                bytes += found.blocks() * BLOCK;
            }
            if found.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_counts_what_is_on_disk_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        assert_eq!(tree(root).expect("counted"), 0);
        fs::create_dir(root.join("below")).expect("a folder");
        let with_folder = tree(root).expect("counted");
        fs::write(root.join("below/a"), vec![7; 1 << 20]).expect("a file");
        fs::hard_link(root.join("below/a"), root.join("again")).expect("a link");
        std::os::unix::fs::symlink("/", root.join("out")).expect("a link");
        let full = tree(root).expect("counted");
        assert_eq!((full - with_folder) >> 20, 1, "neither twice nor the machine's own files");
        assert!(tree(&root.join("gone")).is_err());
    }
}
