//! The Docker executor: a task is a container of the node's own engine.
//!
//! [`Engine`] is the connection: one stream of events for all tasks, a name for an
//! engine that is away, a deadline on every call. What a task is, is always asked
//! of the engine; events only say when to ask again. So an engine that restarts,
//! an event that is lost, and a daemon that comes back to running containers are
//! one case.

mod asked;
mod create;
mod describe;
mod engine;
mod executor;
mod failure;
mod gateway;
mod image;
mod left;
mod logs;
mod monitor;
#[cfg(test)]
mod needs_root;
mod orphans;
mod places;
mod shadow;
mod shadows;
mod state;
mod volumes;

pub use asked::ContainersService;
pub(crate) use engine::{Engine, Standing};
pub(crate) use executor::DockerExecutor;
pub(crate) use gateway::{Bridged, GATEWAY_BRIDGE, OnBridge};
pub use left::{LeftOnEngine, clear_left};
pub(crate) use monitor::monitor;
pub(crate) use orphans::sweep;
pub use shadows::{Resident, Shadow, Shadows};
