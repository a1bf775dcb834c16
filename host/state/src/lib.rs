//! The replicated state: tables, and the one way to change them.
//!
//! [`State`] is a value. [`State::apply`] takes a [`Transaction`] and is
//! deterministic: it reads no clock, calls no plugin, does no I/O, and every
//! manager that applies the same log holds the same state. Uniqueness (names,
//! published ports, addresses) and the rule of version indexes are decided there and nowhere
//! else. Tables are persistent maps, so [`State::clone`] costs almost nothing: a
//! snapshot, a scheduling pass or an API read takes a clone and blocks nobody.
//!
//! This room knows the model only.

mod apply;
mod data;
mod event;
mod history;
mod left;
mod level;
mod lookup;
mod network;
mod rollout;
mod snapshot;
mod tables;
mod taken;
mod transaction;
mod users;

pub use apply::Applied;
pub use event::Event;
pub use history::{Entry, HISTORY_BYTES, HISTORY_EVENTS, History, Missed};
pub use level::{
    AUTOLOCK_LEVEL, CREDENTIALS_LEVEL, GENERIC_RESOURCES_LEVEL, HOST_ACCESS_LEVEL, JOBS_LEVEL,
    NETWORKS_LEVEL, NODE_PORTS_LEVEL, TASKS_FROM_LEVEL, VERSIONS_LEVEL,
};
pub use lookup::Lookup;
pub use network::{ATTACHMENTS_OF_NODE_MAX, Holder, VNI_FIRST, VNI_LAST};
pub use rollout::{Rollout, RolloutStep, TakenOver, TargetMove, TargetState};
pub use snapshot::{SnapshotError, decode_transaction, encode_transaction};
pub use tables::State;
pub use transaction::{
    Change, Dropped, NewTask, Outcome, Rotation, Successor, TRANSACTION_BYTES, TRANSACTION_CHANGES,
    TaskChange, Transaction,
};
