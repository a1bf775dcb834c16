//! The Wasm executor: a task is a process of our own binary.
//!
//! The daemon prepares a folder (what to run, with what), has a process forked for it
//! from `swarmw wasm-tasks`, and learns the rest from files that the process leaves
//! there: its id, where it listens, how it ended, what it printed. So a task outlives
//! the daemon and is adopted by the next one. One that is on networks asks the daemon for
//! names and connections ([`crate::forward`]).

mod bench;
mod executor;
mod folder;
mod http;
mod log;
mod outgoing;
mod run;
mod sockets;
mod title;
mod ways;
mod zygote;

pub use bench::{TaskFigures, measure_wasm_tasks};
pub use executor::WasmExecutor;
pub use zygote::run_wasm_tasks;
