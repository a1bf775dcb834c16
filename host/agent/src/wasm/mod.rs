//! The Wasm executor: a task is a child process of our own binary.
//!
//! The daemon prepares a folder (what to run, with what), starts
//! `swarmw wasm-task FOLDER`, and learns the rest from files that the child leaves
//! there: where it listens, how it ended, what it printed. So a task outlives the
//! daemon and is adopted by the next one.

mod bench;
mod executor;
mod folder;
mod http;
mod log;
mod process;
mod run;

pub use bench::{TaskFigures, measure_wasm_tasks};
pub use executor::WasmExecutor;
pub use run::run_wasm_task;
