//! The volumes of a node: which there are, who uses them, and what is done to them,
//! one thing at a time each.

mod size;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarmw_model::{NodeVolume, TaskId, check_volume_name};
use tracing::{info, warn};

use super::action::Undo;
use super::check::Phase;
use super::hands::Hands;
use super::planner::Planner;
use super::record::{Place, Record, Stage};
use super::wanted::{Key, Seen, Wanted};

/// How often volumes with helpers are looked at while tasks use them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The volumes of a node.
pub(crate) struct Keeper {
    folder: PathBuf,
    hands: Arc<dyn Hands>,
    planner: Arc<dyn Planner>,
    slots: Mutex<BTreeMap<Key, Arc<Slot>>>,
}

/// One volume.
struct Slot {
    place: Place,
    /// Tasks that use it or are about to.
    users: Mutex<BTreeSet<TaskId>>,
    /// Its journal as it is on disk; held by whoever does something to the volume.
    record: tokio::sync::Mutex<Option<Record>>,
    /// Held while it is measured: a server that is gone may keep that waiting for long.
    measuring: Arc<tokio::sync::Mutex<()>>,
}

/// Why nothing was done to a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// These use it.
    InUse(BTreeSet<TaskId>),
    /// There is none.
    Unknown,
    /// What went wrong; it stays.
    Failed(String),
}

// === impl Keeper ===

impl Keeper {
    /// The volumes that the folder knows.
    pub(crate) fn open(
        folder: &Path,
        hands: Arc<dyn Hands>,
        planner: Arc<dyn Planner>,
    ) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        // The kernel's table of mounts has no links in its paths.
        let folder = folder.canonicalize()?;
        let mut slots = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let place = Place::at(entry?.path());
            match place.read() {
                Ok(Some(record)) => {
                    slots.insert(record.wanted().key(), Arc::new(Slot::new(place, Some(record))));
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(folder = %place.folder().display(), %error, "a volume cannot be read");
                }
            }
        }
        Ok(Arc::new(Self { folder, hands, planner, slots: Mutex::new(slots) }))
    }

    /// A task that was there before the daemon uses this volume.
    pub(crate) fn adopt(&self, wanted: &Wanted, task: TaskId) {
        let known = self.slots().get(&wanted.key()).cloned();
        if let Some(slot) = known {
            slot.users().insert(task);
        }
    }

    /// After a start: brings every volume to where it is whole or not there. What an
    /// earlier daemon had under way is undone; what nobody uses is unmounted.
    pub(crate) async fn settle(self: &Arc<Self>) {
        let all: Vec<_> = self.slots().values().cloned().collect();
        for slot in all {
            let mut held = slot.record.lock().await;
            let Some(record) = held.as_mut() else { continue };
            let name = record.name.clone();
            let whole = record.stage == Stage::Mounted && self.stands(&slot.place, record);
            if whole && !slot.users().is_empty() {
                continue;
            }
            let settled = match record.stage {
                Stage::Idle => continue,
                Stage::Removing(_) => self.finish_removal(&slot, &mut held).await,
                _ => self.tear_down(&slot.place, record).await,
            };
            match settled {
                Ok(()) => info!(volume = %name, "a volume was settled after a restart"),
                Err(why) => warn!(volume = %name, %why, "a volume is not settled yet"),
            }
        }
    }

    /// What a task sees of a volume, which is made and mounted now unless it is. The
    /// work goes on when nobody waits for it any more, until [`Keeper::release`].
    pub(crate) async fn hold(
        self: &Arc<Self>,
        wanted: Wanted,
        task: TaskId,
    ) -> Result<Seen, String> {
        check_volume_name(&wanted.name)?;
        let slot = self.slot(&wanted);
        slot.users().insert(task);
        let this = self.clone();
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let seen = this.bring_up(&slot, &mut held, &wanted, task).await;
            if seen.is_err() {
                slot.users().remove(&task);
            }
            seen.map_err(|why| format!("volume {}: {why}", wanted.name))
        });
        working.await.unwrap_or_else(|panic| Err(panic.to_string()))
    }

    /// Returns, with the reason, when one of these volumes is mounted and its helper has
    /// ended: whoever uses it sees nothing but errors from then on.
    pub(crate) async fn fallen(&self, keys: &[Key]) -> String {
        if keys.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            for key in keys {
                let Some(slot) = self.slots().get(key).cloned() else { continue };
                // One that something is done to is looked at later.
                let Ok(held) = slot.record.try_lock() else { continue };
                let Some(record) = held.as_ref() else { continue };
                let helped = record.undo.contains(&Undo::EndHelper);
                if helped && record.stage == Stage::Mounted && !self.stands(&slot.place, record) {
                    return format!("volume {}: its helper has ended", record.name);
                }
            }
        }
    }

    /// A task uses a volume no more. Returns when nothing of it is mounted, where it
    /// was the last; what cannot be unmounted is tried again at the next use.
    pub(crate) async fn release(self: &Arc<Self>, key: &Key, task: TaskId) {
        let known = self.slots().get(key).cloned();
        let Some(slot) = known else { return };
        // Before the lock: whoever waits for a driver for this task gives up now.
        slot.users().remove(&task);
        let this = self.clone();
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let Some(record) = held.as_mut() else { return };
            let used = !slot.users().is_empty();
            if used || matches!(record.stage, Stage::Idle | Stage::Removing(_)) {
                return;
            }
            if let Err(why) = this.tear_down(&slot.place, record).await {
                warn!(volume = %record.name, %why, "a volume could not be unmounted");
            }
        });
        // A panic there is told by the runtime.
        let _ = working.await;
    }

    /// Deletes a volume and its data; one that was never here only where it is of the
    /// cluster, whose data any node reaches.
    pub(crate) async fn remove(self: &Arc<Self>, wanted: &Wanted) -> Result<(), NotDone> {
        let key = wanted.key();
        let known = self.slots().get(&key).cloned();
        let slot = match known {
            Some(slot) => slot,
            None if wanted.id.is_some() => self.slot(wanted),
            None => return Err(NotDone::Unknown),
        };
        let (this, wanted) = (self.clone(), wanted.clone());
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let users = slot.users().clone();
            if !users.is_empty() {
                return Err(NotDone::InUse(users));
            }
            if held.is_none() && wanted.id.is_some() {
                *held = Some(Record::new(&wanted));
            }
            if let Some(record) = held.as_mut() {
                record.secrets.clone_from(&wanted.secrets);
            }
            let removed = this.take_away(&slot, &mut held).await;
            if removed.is_ok() && slot.users().is_empty() {
                this.slots().remove(&key);
            }
            removed.map_err(NotDone::Failed)
        });
        working.await.unwrap_or_else(|panic| Err(NotDone::Failed(panic.to_string())))
    }

    /// Makes a volume without mounting it.
    pub(crate) async fn create(self: &Arc<Self>, wanted: Wanted) -> Result<(), String> {
        check_volume_name(&wanted.name)?;
        let slot = self.slot(&wanted);
        let this = self.clone();
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let record = held.get_or_insert_with(|| Record::new(&wanted));
            if record.options != record.as_grown(&wanted.options) {
                return Err("it is there already, with other options".to_owned());
            }
            match record.stage {
                Stage::Mounted => Ok(()),
                Stage::Idle if record.created => Ok(()),
                Stage::Idle => this.carry_out(&slot, record, Phase::Create, None).await,
                _ => Err("something else is being done to it".to_owned()),
            }
        });
        working.await.unwrap_or_else(|panic| Err(panic.to_string()))
    }

    /// The volumes that were made here.
    pub(crate) async fn list(&self) -> Vec<NodeVolume> {
        let all: Vec<_> = self.slots().values().cloned().collect();
        let mut volumes = Vec::new();
        for slot in all {
            let Some(record) = slot.record_as_is().filter(|record| record.created) else {
                continue;
            };
            let mountpoint = match &record.seen {
                Some(Seen::Directory(path)) => path.display().to_string(),
                _ => String::new(),
            };
            volumes.push(NodeVolume {
                name: record.name,
                driver: record.driver,
                options: record.options,
                labels: record.labels,
                mountpoint,
                created_at: slot.place.made_at(),
                users: slot.users().iter().copied().collect(),
            });
        }
        volumes
    }

    fn slot(&self, wanted: &Wanted) -> Arc<Slot> {
        let key = wanted.key();
        let place = Place::new(&self.folder, &key);
        self.slots().entry(key).or_insert_with(|| Arc::new(Slot::new(place, None))).clone()
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Slot ===

impl Slot {
    fn new(place: Place, record: Option<Record>) -> Self {
        Self {
            place,
            users: Mutex::default(),
            record: tokio::sync::Mutex::new(record),
            measuring: Arc::default(),
        }
    }

    /// Its journal; of one that something is done to, as it is on disk.
    fn record_as_is(&self) -> Option<Record> {
        match self.record.try_lock() {
            Ok(record) => record.clone(),
            Err(_) => self.place.read().unwrap_or_default(),
        }
    }

    fn users(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
