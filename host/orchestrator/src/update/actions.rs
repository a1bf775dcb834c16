//! What a policy's outcome comes to.

use swarmw_model::{Duration, Slot, Time, UpdateState, UpdateStatus, Version};
use swarmw_state::{Change, TargetState};

use super::{Ordered, Update};
use crate::{Action, Order, Query, StepOutcome};

/// A policy that asks for a call at once, again and again, gets one this often.
const SOONEST: Duration = Duration::from_millis(50);

/// An outcome's actions, put together.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Slots to replace.
    pub(super) ordered: Ordered,
    /// Their indexes.
    pub(super) targets: Vec<u32>,
    /// When to call again.
    pub(super) wake_at: Option<Time>,
    /// The last progress for people.
    pub(super) report: Option<String>,
    /// How the rollout ends, if it does.
    pub(super) end: Option<End>,
}

/// How a rollout ends.
#[derive(Debug)]
pub(super) enum End {
    /// All done.
    Complete,
    /// Stopped, with a message.
    Pause(String),
    /// Back to an older spec.
    Rollback {
        /// The spec version; `None` for the one before.
        version: Option<u64>,
        /// Becomes the status message.
        reason: String,
    },
}

// === impl Wanted ===

impl Wanted {
    /// Whether nothing was wanted but perhaps another call.
    pub(super) fn is_empty(&self) -> bool {
        self.ordered.is_empty() && self.report.is_none() && self.end.is_none()
    }

    fn order(&mut self, target: u32, slot: Slot, order: Order) {
        if self.ordered.insert(slot, order).is_none() {
            self.targets.push(target);
        }
    }
}

// === impl Update ===

impl Update<'_> {
    /// Puts an outcome's actions together. After the one that ends the rollout the
    /// others are dropped.
    pub(super) fn carry_out(
        &mut self,
        outcome: &StepOutcome,
        targets: &[(Slot, TargetState)],
    ) -> Wanted {
        let mut wanted = Wanted::default();
        let outdated = |(slot, state): &(Slot, TargetState)| {
            *state == TargetState::Outdated && self.updatable.contains(slot)
        };
        for action in &outcome.actions {
            match action {
                Action::Replace { targets: these, order } => {
                    for target in these {
                        if let Some(t) = targets.get(*target as usize).filter(|t| outdated(t)) {
                            wanted.order(*target, t.0, *order);
                        }
                    }
                }
                Action::ReplaceNext { count, order } => {
                    let next: Vec<_> = (0u32..)
                        .zip(targets)
                        .filter(|(_, t)| outdated(t) && !wanted.ordered.contains_key(&t.0))
                        .take(*count as usize)
                        .map(|(target, t)| (target, t.0))
                        .collect();
                    for (target, slot) in next {
                        wanted.order(target, slot, *order);
                    }
                }
                Action::WakeAt(at) => wanted.wake_at = Some((*at).max(self.now + SOONEST)),
                Action::Observe { id, url, pointer, timeout_ms } => self.memory.ask(Query {
                    service: self.service.id,
                    id: id.clone(),
                    url: url.clone(),
                    pointer: pointer.clone(),
                    timeout_ms: *timeout_ms,
                    asked_at: self.now,
                }),
                Action::Report(text) => wanted.report = Some(text.clone()),
                Action::Pause(reason) => wanted.end = Some(End::Pause(reason.clone())),
                Action::RollbackTo { version, reason } => {
                    wanted.end = Some(End::Rollback { version: *version, reason: reason.clone() });
                }
                Action::Complete => wanted.end = Some(End::Complete),
            }
            if wanted.end.is_some() {
                break;
            }
        }
        wanted
    }

    /// Writes down how the rollout ended.
    pub(super) fn conclude(&mut self, end: End, started_at: Time) {
        match end {
            End::Complete => {
                let state = match self.rolling_back {
                    true => UpdateState::RollbackCompleted,
                    false => UpdateState::Completed,
                };
                self.complete(state, started_at);
            }
            End::Pause(reason) => self.pause(started_at, reason),
            End::Rollback { version, reason } => match self.why_not_back(version) {
                None => {
                    // It must be under way: see how the state takes the next change.
                    self.show(started_at, None);
                    self.turns_back = true;
                    self.changes.push(Change::RollbackService {
                        id: self.service.id,
                        version: None,
                        message: reason,
                    });
                }
                Some(why) => self.pause(started_at, format!("{reason}; but {why}")),
            },
        }
    }

    /// Why the service cannot return to an older spec, if it cannot.
    fn why_not_back(&self, version: Option<u64>) -> Option<String> {
        if self.rolling_back {
            return Some("a rollback is not rolled back".to_owned());
        }
        let Some(previous) = &self.service.previous_spec else {
            return Some("there is no previous spec to return to".to_owned());
        };
        let kept = self.service.previous_spec_version;
        if let Some(version) = version.filter(|v| Version { index: *v } != kept) {
            return Some(format!("version {version} of the spec is not kept, only {}", kept.index));
        }
        let taken = previous.endpoint_spec.iter().flat_map(|e| &e.ports).find(|port| {
            let holder = self.state.port_holder(port.protocol, port.published_port);
            port.published_port != 0 && holder.is_some_and(|holder| holder != self.service.id)
        })?;
        Some(format!("port {} of the previous spec has been taken", taken.published_port))
    }

    /// All is done already.
    pub(super) fn finish(&mut self, status: Option<UpdateState>) {
        let started_at = self.service.update_status.as_ref().map_or(self.now, |s| s.started_at);
        match status {
            Some(UpdateState::Updating) => self.complete(UpdateState::Completed, started_at),
            Some(UpdateState::RollbackStarted) => {
                self.complete(UpdateState::RollbackCompleted, started_at);
            }
            _ => {}
        }
    }

    fn complete(&mut self, state: UpdateState, started_at: Time) {
        let message = match state {
            UpdateState::RollbackCompleted => "rollback completed",
            _ => "update completed",
        };
        self.set_status(UpdateStatus {
            state,
            started_at,
            completed_at: Some(self.now),
            message: message.to_owned(),
        });
    }

    pub(super) fn pause(&mut self, started_at: Time, message: String) {
        let state = match self.rolling_back {
            true => UpdateState::RollbackPaused,
            false => UpdateState::Paused,
        };
        self.set_status(UpdateStatus { state, started_at, completed_at: None, message });
    }

    /// The message of an update under way: a rollback's tells why it began.
    pub(super) fn present_message(&self) -> String {
        match &self.service.update_status {
            Some(status) if !status.message.is_empty() => status.message.clone(),
            _ if self.rolling_back => "rollback in progress".to_owned(),
            _ => "update in progress".to_owned(),
        }
    }

    /// Proposes a status that differs from the present one.
    pub(super) fn set_status(&mut self, status: UpdateStatus) {
        let same = self.service.update_status.as_ref().is_some_and(|present| {
            present.state == status.state
                && present.message == status.message
                && present.completed_at.is_some() == status.completed_at.is_some()
        });
        if !same {
            self.changes.push(Change::SetUpdateStatus {
                service: self.service.id,
                spec_version: self.service.spec_version,
                status: Some(status),
            });
        }
    }
}
