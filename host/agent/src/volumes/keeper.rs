//! The volumes of a node: which there are, who uses them, and what is done to them,
//! one thing at a time each.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarmw_model::{NodeVolume, TaskId, check_volume_name};
use tracing::{info, warn};

use super::action::Undo;
use super::check::Phase;
use super::hands::{Hands, SoFar};
use super::planner::{NoPlan, Planner};
use super::record::{Place, Record, Stage};
use super::wanted::{Key, Seen, Wanted};

/// A plan as a whole may take no longer.
const PLAN_DEADLINE: Duration = Duration::from_secs(900);
/// One undoing may take no longer.
const UNDO_DEADLINE: Duration = Duration::from_secs(60);
/// A driver that asks to be asked again is heard for this long.
const RETRIES: Duration = Duration::from_secs(300);
/// The most that such a driver lets us wait at a time.
const RETRY_MAX: Duration = Duration::from_secs(30);

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
}

/// Why a volume was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotRemoved {
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
    pub(crate) async fn remove(self: &Arc<Self>, wanted: &Wanted) -> Result<(), NotRemoved> {
        let key = wanted.key();
        let known = self.slots().get(&key).cloned();
        let slot = match known {
            Some(slot) => slot,
            None if wanted.id.is_some() => self.slot(wanted),
            None => return Err(NotRemoved::Unknown),
        };
        let (this, wanted) = (self.clone(), wanted.clone());
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let users = slot.users().clone();
            if !users.is_empty() {
                return Err(NotRemoved::InUse(users));
            }
            if held.is_none() && wanted.id.is_some() {
                *held = Some(Record::new(&wanted));
            }
            let removed = this.take_away(&slot, &mut held).await;
            if removed.is_ok() && slot.users().is_empty() {
                this.slots().remove(&key);
            }
            removed.map_err(NotRemoved::Failed)
        });
        working.await.unwrap_or_else(|panic| Err(NotRemoved::Failed(panic.to_string())))
    }

    /// Makes a volume without mounting it.
    pub(crate) async fn create(self: &Arc<Self>, wanted: Wanted) -> Result<(), String> {
        check_volume_name(&wanted.name)?;
        let slot = self.slot(&wanted);
        let this = self.clone();
        let working = tokio::spawn(async move {
            let mut held = slot.record.lock().await;
            let record = held.get_or_insert_with(|| Record::new(&wanted));
            if record.options != wanted.options {
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
            // One that something is done to is shown as it is on disk.
            let record = match slot.record.try_lock() {
                Ok(record) => record.clone(),
                Err(_) => slot.place.read().unwrap_or_default(),
            };
            let Some(record) = record.filter(|record| record.created) else { continue };
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

    async fn bring_up(
        &self,
        slot: &Slot,
        held: &mut Option<Record>,
        wanted: &Wanted,
        task: TaskId,
    ) -> Result<Seen, String> {
        let record = held.get_or_insert_with(|| Record::new(wanted));
        match (&record.stage, &record.seen) {
            (Stage::Removing(_), _) => return Err("it is being removed".to_owned()),
            (Stage::Mounted, Some(seen)) if self.stands(&slot.place, record) => {
                if !wanted.options.is_empty() && record.options != wanted.options {
                    return Err("it is mounted here with other options".to_owned());
                }
                return Ok(seen.clone());
            }
            (Stage::Idle, _) => {}
            _ => self.tear_down(&slot.place, record).await?,
        }
        // One that is named without options has those that it was made with.
        if !wanted.options.is_empty() {
            record.options.clone_from(&wanted.options);
        }
        record.labels.clone_from(&wanted.labels);
        // Another volume of the name: what was made here was the one before.
        record.created &= record.id == wanted.id;
        record.id = wanted.id;
        if !record.created {
            self.carry_out(slot, record, Phase::Create, Some(task)).await?;
        }
        self.carry_out(slot, record, Phase::Mount, Some(task)).await?;
        record.seen.clone().ok_or_else(|| "nothing was mounted".to_owned())
    }

    /// Plans and does what was planned; all of it, or nothing of it is left.
    async fn carry_out(
        &self,
        slot: &Slot,
        record: &mut Record,
        phase: Phase,
        task: Option<TaskId>,
    ) -> Result<(), String> {
        let plan = self.plan(slot, &record.wanted(), phase, task).await?;
        let place = &slot.place;
        place.make().map_err(|e| format!("{}: {e}", place.folder().display()))?;
        record.stage = if phase == Phase::Create { Stage::Creating } else { Stage::Mounting };
        let mut so_far = SoFar {
            half_formatted: record.formatting,
            labels: record.labels.clone(),
            ..SoFar::default()
        };
        let done = async {
            for action in &plan {
                if task.is_some_and(|task| !slot.users().contains(&task)) {
                    return Err("its task is to stop".to_owned());
                }
                self.step(place, record, action, &mut so_far).await?;
            }
            match phase {
                Phase::Mount => self.hands.seen(place, &so_far).map(Some),
                Phase::Create | Phase::Remove => Ok(None),
            }
        };
        let done = tokio::time::timeout(PLAN_DEADLINE, done)
            .await
            .unwrap_or_else(|_| Err("its driver's plan takes too long".to_owned()));
        let finished = done.and_then(|seen| self.finish(place, record, phase, seen));
        match (finished, phase) {
            (Ok(()), Phase::Mount) => Ok(()),
            // What was mounted to make it is not needed any more.
            (Ok(()), Phase::Create | Phase::Remove) => self.tear_down(place, record).await,
            (Err(why), _) => match self.tear_down(place, record).await {
                Ok(()) => Err(why),
                Err(also) => Err(format!("{why}; and it could not be undone yet: {also}")),
            },
        }
    }

    /// A plan has been carried out once that is on disk.
    fn finish(
        &self,
        place: &Place,
        record: &mut Record,
        phase: Phase,
        seen: Option<Seen>,
    ) -> Result<(), String> {
        let mut finished = record.clone();
        finished.undo.retain(|undo| !undo.is_of_what_lasts());
        finished.created = true;
        if phase == Phase::Mount {
            finished.stage = Stage::Mounted;
            finished.seen = seen;
        }
        self.write(place, &finished)?;
        *record = finished;
        Ok(())
    }

    /// Does one step, with what undoes it on disk before.
    async fn step(
        &self,
        place: &Place,
        record: &mut Record,
        action: &super::action::Action,
        so_far: &mut SoFar,
    ) -> Result<(), String> {
        let formats = matches!(action, super::action::Action::Format { .. });
        let failed = |why: String| format!("{action}: {why}");
        let undo = self.hands.foresee(place, action).await.map_err(failed)?;
        record.undo.extend(undo);
        record.formatting |= formats;
        self.write(place, record).map_err(failed)?;
        let performed = self.hands.perform(place, action, so_far);
        tokio::time::timeout(action.deadline(), performed)
            .await
            .unwrap_or_else(|_| Err(format!("not done in {} s", action.deadline().as_secs())))
            .map_err(failed)?;
        if formats {
            record.formatting = false;
            self.write(place, record).map_err(failed)?;
        }
        Ok(())
    }

    async fn plan(
        &self,
        slot: &Slot,
        wanted: &Wanted,
        phase: Phase,
        task: Option<TaskId>,
    ) -> Result<Vec<super::action::Action>, String> {
        let give_up = tokio::time::Instant::now() + RETRIES;
        loop {
            let (pause, why) = match self.planner.plan(phase, wanted).await {
                Err(NoPlan::Retry(pause, why)) => (pause.min(RETRY_MAX), why),
                planned => return planned.map_err(|why| why.to_string()),
            };
            tokio::time::sleep(pause).await;
            if task.is_some_and(|task| !slot.users().contains(&task)) {
                return Err("its task is to stop".to_owned());
            }
            if tokio::time::Instant::now() > give_up {
                return Err(why);
            }
        }
    }

    /// Undoes what the journal says, from its end. Needs no driver.
    async fn tear_down(&self, place: &Place, record: &mut Record) -> Result<(), String> {
        if matches!(record.stage, Stage::Creating | Stage::Mounting) {
            // An earlier daemon may have left a program at work.
            self.hands.end_strays(place).await;
        } else {
            record.stage = Stage::Unmounting;
        }
        record.seen = None;
        self.put(place, record);
        while let Some(undo) = record.undo.last() {
            tokio::time::timeout(UNDO_DEADLINE, self.hands.undo(place, undo))
                .await
                .unwrap_or_else(|_| Err(format!("not undone in {} s", UNDO_DEADLINE.as_secs())))?;
            record.undo.pop();
            self.put(place, record);
        }
        record.stage = Stage::Idle;
        self.put(place, record);
        Ok(())
    }

    async fn take_away(&self, slot: &Slot, held: &mut Option<Record>) -> Result<(), String> {
        let Some(record) = held.as_mut() else { return Ok(()) };
        if !matches!(record.stage, Stage::Removing(_)) {
            if record.stage != Stage::Idle {
                self.tear_down(&slot.place, record).await?;
            }
            let plan = self.plan(slot, &record.wanted(), Phase::Remove, None).await?;
            record.stage = Stage::Removing(plan);
            self.write(&slot.place, record)?;
        }
        self.finish_removal(slot, held).await
    }

    async fn finish_removal(&self, slot: &Slot, held: &mut Option<Record>) -> Result<(), String> {
        let Some(record) = held.as_mut() else { return Ok(()) };
        let Stage::Removing(plan) = record.stage.clone() else { return Ok(()) };
        let place = &slot.place;
        let mut so_far = SoFar::default();
        let mut done = Ok(());
        for action in &plan {
            done = self.step(place, record, action, &mut so_far).await;
            if done.is_err() {
                break;
            }
        }
        record.undo.retain(|undo| !undo.is_of_what_lasts());
        while let Some(undo) = record.undo.last() {
            self.hands.undo(place, undo).await?;
            record.undo.pop();
        }
        done?;
        self.hands.erase(place)?;
        *held = None;
        Ok(())
    }

    fn stands(&self, place: &Place, record: &Record) -> bool {
        record.undo.iter().all(|undo: &Undo| self.hands.stands(place, undo))
    }

    fn write(&self, place: &Place, record: &Record) -> Result<(), String> {
        place.write(record).map_err(|e| format!("its journal cannot be written: {e}"))
    }

    /// What is undone needs no word on disk before it: to undo it twice does nothing.
    fn put(&self, place: &Place, record: &Record) {
        if let Err(why) = self.write(place, record) {
            warn!(volume = %record.name, %why, "what was undone will be looked at again");
        }
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
        Self { place, users: Mutex::default(), record: tokio::sync::Mutex::new(record) }
    }

    fn users(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
