//! What is new since the policy was last told.

use std::collections::BTreeSet;

use swarmw_model::{Slot, Task, TaskId, TaskState, Time};
use swarmw_state::{Rollout, TargetMove, TargetState};

use super::memory::{Learnt, Memory};
use crate::slots::{SlotTasks, Slots};
use crate::{Counts, EndedTask, Move};

/// Where the targets stand, and what of it is news.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// By index.
    pub(crate) states: Vec<TargetState>,
    /// In order of time.
    pub(crate) moves: Vec<Move>,
    /// In order of time.
    pub(crate) ended: Vec<EndedTask>,
    /// Tasks that run for the first time, for the log.
    pub(crate) ran: Vec<(TaskId, Time)>,
}

// === impl News ===

impl News {
    /// Compares the slots with what the log says was told.
    pub(crate) fn of(
        rollout: &Rollout,
        slots: &Slots,
        wanted: &BTreeSet<Slot>,
        memory: &Memory,
        now: Time,
    ) -> Self {
        let mut news = Self::default();
        for (target, (slot, told)) in (0u32..).zip(&rollout.targets) {
            let tasks = slots.get(slot);
            let state = match tasks {
                Some(tasks) if wanted.contains(slot) => tasks.target_state(rollout, *told),
                _ => TargetState::Gone,
            };
            news.states.push(state);
            if let Some(tasks) = tasks {
                news.tasks(target, tasks, *told, rollout, memory);
            }
            if state != *told {
                news.path(target, *told, state, tasks, rollout, memory, now);
            }
        }
        news.moves.sort_by_key(|m| m.at);
        news.ended.sort_by_key(|e| e.ended);
        news
    }

    /// Notes which tasks of a target's generation ran and ended.
    fn tasks(
        &mut self,
        target: u32,
        tasks: &SlotTasks,
        told: TargetState,
        rollout: &Rollout,
        memory: &Memory,
    ) {
        for (place, task) in tasks.generation(rollout).enumerate() {
            let Learnt { ran, ended } = memory.learnt(task, rollout);
            if let Some(ran) = ran.filter(|_| !rollout.ran.contains_key(&task.id)) {
                self.ran.push((task.id, ran));
            }
            // Whoever scales down wants tasks to end: no news for anybody.
            let unwanted = task.desired_state == TaskState::Remove;
            let told_of = rollout.told_ended.contains(&task.id);
            if task.status.state.is_terminal() && !unwanted && !told_of {
                self.ended.push(EndedTask {
                    target,
                    task: task.id,
                    restarted: place > 0 || told == TargetState::Down,
                    ordered: task.status.state == TaskState::Shutdown,
                    ran,
                    ended: ended.unwrap_or(task.updated_at),
                    exit_code: exit_code(task),
                });
            }
        }
    }

    /// Tells a target's way from what was told to where it is, through the states
    /// it cannot have skipped.
    #[expect(clippy::too_many_arguments, reason = "one target's facts, used here alone")]
    fn path(
        &mut self,
        target: u32,
        told: TargetState,
        state: TargetState,
        tasks: Option<&SlotTasks>,
        rollout: &Rollout,
        memory: &Memory,
        now: Time,
    ) {
        use TargetState::{Down, Outdated, Replacing, Running};
        let first = tasks.and_then(|tasks| tasks.generation(rollout).next());
        let Learnt { ran, ended } =
            first.map(|task| memory.learnt(task, rollout)).unwrap_or_default();
        let made = first.map(|task| task.created_at);
        let mut was = told;
        let mut go = |now, at: Time| {
            self.moves.push(Move { target, was, now, at });
            was = now;
        };
        if told == Outdated && matches!(state, Replacing | Running | Down) {
            go(Replacing, made.unwrap_or(now));
        }
        if matches!(told, Outdated | Replacing)
            && state == Down
            && let Some(ran) = ran
        {
            go(Running, ran);
        }
        match state {
            Replacing if told == Outdated => {}
            Running => go(Running, ran.unwrap_or(now)),
            Down => go(Down, ended.unwrap_or(now)),
            other => go(other, now),
        }
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.ended.is_empty()
    }

    /// How many targets are where.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for state in &self.states {
            *match state {
                TargetState::Outdated => &mut counts.outdated,
                TargetState::Replacing => &mut counts.replacing,
                TargetState::Running => &mut counts.running,
                TargetState::Down => &mut counts.down,
                TargetState::Gone => &mut counts.gone,
            } += 1;
        }
        counts
    }

    /// The last move of each target, as the log keeps it.
    pub(crate) fn told_moves(&self) -> Vec<TargetMove> {
        let moved: BTreeSet<_> = self.moves.iter().map(|m| m.target).collect();
        moved
            .into_iter()
            .map(|target| TargetMove { target, now: self.states[target as usize] })
            .collect()
    }
}

fn exit_code(task: &Task) -> Option<i32> {
    let container = task.status.container_status.as_ref()?;
    i32::try_from(container.exit_code).ok()
}
