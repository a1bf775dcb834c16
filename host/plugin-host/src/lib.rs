//! Loads, checks, limits and calls plugin components.
//!
//! Everything here treats a component as hostile: it is compiled in a child
//! process with limits, runs in a sandbox that imports nothing but a log, under a
//! budget of CPU time and memory, and its answers are checked before anyone sees
//! them. What it does wrong is told with its name; what it failed at three times in ten
//! minutes is not asked for a while, and a plugin that fails too much is not called.
//!
//! | start reading | for |
//! |---|---|
//! | [`Compiler`] | from bytes to native code, and the cache |
//! | [`inspect`] | what `plugin add` checks |
//! | [`PluginHost`] | routing and calls; the traits of scheduler and orchestrator |
//! | `engine` | the limits, all in one place |
//!
//! This room knows no Raft, no network and no async runtime: calls block for at
//! most their budget, loading blocks for at most [`COMPILE_TIMEOUT`].

mod answers;
mod bindings;
mod breaker;
mod builtin;
mod cache;
mod claims;
mod code;
mod columns;
mod compile;
mod convert;
mod cpu;
mod engine;
mod follow;
mod host;
mod incidents;
mod inspect;
mod interface;
mod journal;
mod limits;
mod loaded;
mod memo;
mod meter;
mod no_answer;
mod options;
mod placement;
mod sandbox;
mod spec_options;
mod specs;
mod steps;
mod ticker;
mod update_views;
mod updates;
pub mod volumes;

pub use builtin::{Builtin, builtin};
pub use cache::{LoadError, load};
pub use compile::{COMPILE_TIMEOUT, CompileError, Compiler, compile_child};
pub use engine::{COMPILE_BUDGET, COMPONENT, LARGE_COMPONENT, Profile, engine};
pub use follow::Uncompiled;
pub use host::PluginHost;
pub use incidents::{Incident, What};
pub use inspect::{AddError, Inspected, inspect};
pub use interface::NoPlugin;
pub use meter::Tightest;
pub use options::{Value, text_to_value};
pub use steps::{Step, StepCall};
