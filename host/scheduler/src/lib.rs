//! Puts tasks on nodes.
//!
//! [`Scheduler`] mirrors the committed state, moved by events alone. A pass
//! ([`Scheduler::schedule`]) works on an overlay of the mirror:
//!
//! ```text
//! waiting tasks ─ group ─ class ─────── share out ──── fill ─────── changes
//!                (service, (needs,      (preferences,  (best node    or why
//!                 version)  constraints, level by       of a leaf)   they wait
//!                           preferences) level)
//! ```
//!
//! Node attributes stand in a dictionary-coded table; a policy is asked about
//! distinct tuples of values and its answers are kept as bitmaps, so that a pass
//! that meets no new value asks constraints nothing.
//!
//! Pure: no clock, no I/O. It knows model and state; what plugins say comes through
//! [`Policies`].

mod ask;
mod batch;
pub mod bench;
mod class;
mod column;
mod dictionary;
mod explain;
mod failures;
mod generic;
mod group;
mod hash;
mod judge;
mod levels;
mod loads;
mod need;
mod pass;
mod policies;
mod run;
mod scheduler;
mod table;
mod tree;
mod usage;
mod verdicts;
mod waiting;

pub use judge::{Judgement, place_anew};
pub use pass::{Consequence, Pass, PolicyEvent, Supply};
pub use policies::*;
pub use scheduler::Scheduler;
