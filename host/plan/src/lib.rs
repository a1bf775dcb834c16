//! What would become of tasks if services were written otherwise.
//!
//! The leader's own loops are played on a copy of the state: orchestrator, allocator and
//! scheduler decide as they would, the cluster's plugins are asked, and every node is taken to
//! do at once what it is told. Time passes only where the loops wait for it, as an update does
//! between two tasks; so what comes out is where tasks would stand when all is done, and how
//! long that takes at least. Nothing is written.
//!
//! [`grant`] makes the copy, with the wish granted; [`foresee`] plays it and tells the
//! difference. Pure: it knows the state and the pure rooms, no clock and no plugin host.
#![forbid(unsafe_code)]

mod play;
mod tell;
mod wish;

use swarmw_model::{Outlook, Time, Wish};
use swarmw_orchestrator::UpdatePolicies;
use swarmw_scheduler::Policies;
use swarmw_state::State;

pub use wish::grant;

/// Whom the loops ask.
pub struct Asked<'a> {
    /// Placement plugins.
    pub placement: &'a mut dyn Policies,
    /// Update policies.
    pub updates: &'a mut dyn UpdatePolicies,
}

/// What would come of a wish that was granted: `then` is `now` with it, from [`grant`].
/// `random` gives bits for ids. Calls plugins, and so blocks.
pub fn foresee<'a>(
    now: &State,
    then: State,
    wish: &Wish,
    at: Time,
    asked: Asked<'a>,
    random: &'a mut dyn FnMut() -> u128,
) -> Outlook {
    let played = play::play(then, at, asked, random);
    tell::outlook(now, &played, wish)
}
