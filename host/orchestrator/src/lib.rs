//! Turns services into tasks: replicas, globals, restarts, updates, history.

mod policies;

pub use policies::*;
