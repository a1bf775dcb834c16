//! What is done to one volume: its plans carried out, undone, finished. Whoever calls
//! holds the volume's record.

use std::time::Duration;

use swarmw_model::TaskId;
use tracing::warn;

use super::{Keeper, Slot};
use crate::volumes::action::{Action, Undo};
use crate::volumes::check::Phase;
use crate::volumes::hands::SoFar;
use crate::volumes::planner::NoPlan;
use crate::volumes::record::{Place, Record, Stage};
use crate::volumes::wanted::{Seen, Wanted};

/// A plan as a whole may take no longer.
const PLAN_DEADLINE: Duration = Duration::from_secs(900);
/// One undoing may take no longer.
const UNDO_DEADLINE: Duration = Duration::from_secs(60);
/// A driver that asks to be asked again is heard for this long.
const RETRIES: Duration = Duration::from_secs(300);
/// The most that such a driver lets us wait at a time.
const RETRY_MAX: Duration = Duration::from_secs(30);

// === impl Keeper ===

impl Keeper {
    pub(super) async fn bring_up(
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
                let same = record.options == record.as_grown(&wanted.options);
                if !wanted.options.is_empty() && !same {
                    return Err("it is mounted here with other options".to_owned());
                }
                return Ok(seen.clone());
            }
            (Stage::Idle, _) => {}
            _ => self.tear_down(&slot.place, record).await?,
        }
        // Another volume of the name: what was made here was the one before.
        if record.id != wanted.id {
            record.created = false;
            record.grown = None;
        }
        record.id = wanted.id;
        // One that is named without options has those that it was made with.
        if !wanted.options.is_empty() {
            record.options = record.as_grown(&wanted.options);
        }
        record.labels.clone_from(&wanted.labels);
        record.secrets.clone_from(&wanted.secrets);
        if !record.created {
            self.carry_out(slot, record, Phase::Create, Some(task)).await?;
        }
        self.carry_out(slot, record, Phase::Mount, Some(task)).await?;
        record.seen.clone().ok_or_else(|| "nothing was mounted".to_owned())
    }

    /// Plans and does what was planned; all of it, or nothing of it is left.
    pub(super) async fn carry_out(
        &self,
        slot: &Slot,
        record: &mut Record,
        phase: Phase,
        task: Option<TaskId>,
    ) -> Result<(), String> {
        let plan = self.plan(slot, &record.wanted(), phase, task).await?;
        let place = &slot.place;
        place.make().map_err(|e| format!("{}: {e}", place.folder().display()))?;
        record.stage = match phase {
            Phase::Create => Stage::Creating,
            Phase::Expand(_) => Stage::Expanding,
            Phase::Mount | Phase::Remove => Stage::Mounting,
        };
        let mut so_far = SoFar {
            half_formatted: record.formatting,
            labels: record.labels.clone(),
            secrets: self.planner.secrets(&record.wanted()),
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
                Phase::Create | Phase::Remove | Phase::Expand(_) => Ok(None),
            }
        };
        let done = tokio::time::timeout(PLAN_DEADLINE, done)
            .await
            .unwrap_or_else(|_| Err("its driver's plan takes too long".to_owned()));
        let finished = done.and_then(|seen| self.finish(place, record, phase, seen));
        match (finished, phase) {
            (Ok(()), Phase::Mount) => Ok(()),
            // What was mounted to make it, or to let it grow, is not needed any more.
            (Ok(()), _) => self.tear_down(place, record).await,
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
        match phase {
            Phase::Mount => {
                finished.stage = Stage::Mounted;
                finished.seen = seen;
            }
            Phase::Expand(size) => {
                finished.grown = Some(size);
                finished.options = finished.as_grown(&finished.options);
            }
            Phase::Create | Phase::Remove => {}
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
        action: &Action,
        so_far: &mut SoFar,
    ) -> Result<(), String> {
        let formats = matches!(action, Action::Format { .. });
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
    ) -> Result<Vec<Action>, String> {
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
    pub(super) async fn tear_down(&self, place: &Place, record: &mut Record) -> Result<(), String> {
        if matches!(record.stage, Stage::Creating | Stage::Mounting | Stage::Expanding) {
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

    pub(super) async fn take_away(
        &self,
        slot: &Slot,
        held: &mut Option<Record>,
    ) -> Result<(), String> {
        let Some(record) = held.as_mut() else { return Ok(()) };
        if !matches!(record.stage, Stage::Removing(_)) {
            if record.stage != Stage::Idle {
                self.tear_down(&slot.place, record).await?;
            }
            let plan = self.plan(slot, &record.wanted(), Phase::Remove, None).await?;
            let place = &slot.place;
            place.make().map_err(|e| format!("{}: {e}", place.folder().display()))?;
            record.stage = Stage::Removing(plan);
            self.write(&slot.place, record)?;
        }
        self.finish_removal(slot, held).await
    }

    pub(super) async fn finish_removal(
        &self,
        slot: &Slot,
        held: &mut Option<Record>,
    ) -> Result<(), String> {
        let Some(record) = held.as_mut() else { return Ok(()) };
        let Stage::Removing(plan) = record.stage.clone() else { return Ok(()) };
        let place = &slot.place;
        let secrets = self.planner.secrets(&record.wanted());
        let mut so_far = SoFar { secrets, ..SoFar::default() };
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

    pub(super) fn stands(&self, place: &Place, record: &Record) -> bool {
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
}
