//! Outcomes of update policies.

use std::sync::Arc;

use super::{Step, Stop};
use crate::{Dropped, RolloutStep, State, TakenOver};

impl State {
    pub(super) fn step_rollout(&mut self, step: &RolloutStep) -> Step {
        match step {
            RolloutStep::Begin(rollout) => {
                let service = self.services.get(&rollout.service).ok_or(Dropped::Gone)?;
                let running = self.rollouts.get(&rollout.service);
                let again = running.is_some_and(|r| r.spec_version == rollout.spec_version);
                if service.spec_version != rollout.spec_version || again {
                    return Err(Dropped::Changed.into());
                }
                self.rollouts.insert(rollout.service, Arc::new(rollout.clone()));
            }
            RolloutStep::Next {
                service,
                spec_version,
                seq,
                called_at,
                state,
                wake_at,
                moves,
                ran,
                ended,
                taken_over,
            } => {
                let rollout = self.rollouts.get_mut(service).ok_or(Dropped::Gone)?;
                if rollout.spec_version != *spec_version || rollout.seq + 1 != *seq {
                    return Err(Stop::Dropped(Dropped::Changed));
                }
                let rollout = Arc::make_mut(rollout);
                rollout.seq = *seq;
                rollout.called_at = *called_at;
                rollout.state = state.clone();
                rollout.wake_at = *wake_at;
                for moved in moves {
                    if let Some((_, told)) = rollout.targets.get_mut(moved.target as usize) {
                        *told = moved.now;
                    }
                }
                for (task, at) in ran {
                    rollout.ran.entry(*task).or_insert(*at);
                }
                rollout.told_ended.extend(ended.iter().copied());
                if let Some(TakenOver { component, writer }) = taken_over {
                    rollout.component = component.clone();
                    rollout.writer = writer.clone();
                }
            }
            RolloutStep::End { service, spec_version } => {
                let rollout = self.rollouts.get(service).ok_or(Dropped::Gone)?;
                if rollout.spec_version != *spec_version {
                    return Err(Dropped::Changed.into());
                }
                self.rollouts.remove(service);
            }
        }
        Ok(None)
    }
}
