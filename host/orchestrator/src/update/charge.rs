//! Which component a rollout's next call goes to.

use std::sync::Arc;

use swarmw_state::{Rollout, TakenOver};

use super::Update;
use crate::UpdateFailure;

/// The component that is called, and the bytes it goes on from.
pub(super) struct Charge {
    pub(super) component: Arc<str>,
    pub(super) state: Vec<u8>,
    /// Where it was not in charge before.
    pub(super) taken_over: Option<TakenOver>,
}

// === impl Update ===

impl Update<'_> {
    /// The component that the rollout has, unless its plugin's present release takes
    /// over: where the operator said so, and where the old one cannot be called any
    /// more. One whose `migrate` fails leaves the old one in charge.
    pub(super) fn in_charge(
        &mut self,
        rollout: &Rollout,
        failure_action: &str,
    ) -> Result<Charge, UpdateFailure> {
        let as_before = || Charge {
            component: rollout.component.clone(),
            state: rollout.state.0.clone(),
            taken_over: None,
        };
        let present = self.policies.component(failure_action);
        let Some(present) = present.filter(|c| c.digest != rollout.component) else {
            return Ok(as_before());
        };
        let is_there = self.policies.has(&rollout.component);
        let declined = self.memory.declined.as_ref() == Some(&present.digest);
        if is_there && (!present.adopts || declined) {
            return Ok(as_before());
        }
        match self.policies.migrate(&present.digest, &rollout.writer, &rollout.state.0) {
            Ok(state) => Ok(Charge {
                component: present.digest.clone(),
                state,
                taken_over: Some(TakenOver { component: present.digest, writer: present.version }),
            }),
            // It may take over later.
            Err(UpdateFailure::NotYet { .. }) if is_there => Ok(as_before()),
            Err(_) if is_there => {
                self.memory.declined = Some(present.digest);
                Ok(as_before())
            }
            Err(failure) => Err(failure),
        }
    }
}
