//! Managers in one process, on real files and real TLS, with agents that follow a
//! script: what the leader promises to agents, and who may call what.
//!
//! Time is real, with short periods: the log's file is written by a thread of its
//! own, which a paused clock would not wait for.

mod agent;
#[path = "../../../plugin-host/tests/it/child.rs"]
mod child;
mod leading;
mod networks;
mod roles;
mod secrets;
mod sessions;
mod steady;
mod swarm;
