//! How large volumes are, and how one grows.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use swarmw_plugin_host::volumes::{self, Measure};
use tracing::debug;

use super::{Keeper, NotDone};
use crate::volumes::check::Phase;
use crate::volumes::record::{Place, Record, Stage};
use crate::volumes::wanted::Key;

/// The option that says how many bytes a volume has.
pub(super) const SIZE: &str = "size";
/// What `du` counts in.
const BLOCK: u64 = 512;

// === impl Keeper ===

impl Keeper {
    /// Grows a volume that no task uses to so many bytes, and keeps them as its option
    /// `size`.
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
            let now = record.options.get(SIZE).and_then(|text| volumes::size(text));
            if let Some(now) = now.and_then(|now| u64::try_from(now).ok()).filter(|n| *n >= size) {
                let why = format!("it has {now} bytes, and does not shrink to {size}");
                return Err(NotDone::Failed(why));
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
        let mut sizes = BTreeMap::new();
        for slot in all {
            // One that something is done to is measured as it is on disk.
            let record = match slot.record.try_lock() {
                Ok(record) => record.clone(),
                Err(_) => slot.place.read().unwrap_or_default(),
            };
            let Some(record) = record.filter(|record| record.created) else { continue };
            let measured = match self.planner.measure(&record.wanted()).await {
                Ok(measure) => measured(measure, &record, slot.place.clone()).await,
                Err(why) => Err(io::Error::other(why)),
            };
            match measured {
                Ok(Some(size)) => drop(sizes.insert(record.name, size)),
                Ok(None) => {}
                Err(why) => debug!(volume = %record.name, %why, "a volume is not measured"),
            }
        }
        sizes
    }
}

async fn measured(measure: Measure, record: &Record, place: Place) -> io::Result<Option<u64>> {
    let mounted = record.stage == Stage::Mounted;
    let measuring = tokio::task::spawn_blocking(move || match measure {
        Measure::Tree => tree(&place.files()).map(Some),
        Measure::FileSystem if mounted => {
            let there = rustix::fs::statvfs(place.target())?;
            Ok(Some((there.f_blocks - there.f_bfree) * there.f_frsize))
        }
        // The engine knows of its own, and shows them itself.
        Measure::FileSystem | Measure::Engine | Measure::Unknown => Ok(None),
    });
    measuring.await.map_err(io::Error::other)?
}

/// The bytes on disk of all files below a directory, each file once.
fn tree(root: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut seen = HashSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Files come and go while they are counted.
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
