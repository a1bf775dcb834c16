//! Volumes whose drivers are components: they plan, the agent does.
//!
//! | start reading | for |
//! |---|---|
//! | [`Volumes`] | what a task's runner asks for: mounts that an executor understands |
//! | `keeper` | one volume's life on the node, and what becomes of it after a crash |
//! | `check` | which steps of a plan are allowed; pure |
//! | `claims` | volumes that one task at a time may write to |
//! | `warden` | a process that ends their writers when the daemon cannot |
//! | `record` | the journal: what was done, on disk before it is done |
//! | `hands` | what touches the machine |
//! | `drivers` | the components, fetched when a task first needs them |
//!
//! A plan's steps are checked before the first one runs, each is written down with
//! what undoes it before it is done, and a plan that fails is undone in reverse from
//! the journal. So a driver that is broken, gone, or hostile holds up nothing: a
//! volume that is mounted can always be unmounted.

mod action;
mod check;
mod claims;
mod drivers;
mod front;
mod hands;
mod keeper;
mod planner;
mod record;
#[cfg(test)]
mod tests;
mod wanted;
mod warden;
mod writers;

pub(crate) use drivers::{Known, Setup};
pub(crate) use front::Volumes;
pub(crate) use hands::EngineVolumes;
pub use warden::run_volume_warden;
