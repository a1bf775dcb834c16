//! Turns services into tasks: how many there should be, which replace which, what
//! happens when one ends, what is kept as history; which task may write to a volume.
//!
//! Pure: [`Orchestrator::tick`] is a function of the state, the events since the
//! last tick, and `now`. It proposes changes and carries out none. It asks two
//! questions through traits: whether a node satisfies a service's constraints
//! ([`Fits`]), and what an update policy wants next ([`UpdatePolicies`]).

mod claims;
mod jobs;
mod nodes;
mod orchestrator;
mod orphans;
mod policies;
mod reap;
mod reconcile;
mod restart;
mod slots;
mod update;

pub use claims::{Claimed, Claims, LEASE, mount_source};
pub use orchestrator::{Decisions, Fits, Orchestrator};
pub use policies::*;
