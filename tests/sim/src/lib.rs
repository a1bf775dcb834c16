//! Whole clusters in one process, on a clock and a network that a test commands.
//!
//! Everything is what a daemon runs (Raft, the leader's loops, sessions, plugins,
//! gRPC over mutual TLS), but for what a node stands on: [`Network`] carries the
//! bytes through memory and can be cut, a [`Machine`] runs tasks that exist on
//! paper, the log stands in memory, and time is tokio's, which a test pauses: it
//! then jumps to the next timer whenever nobody has anything to do, so that an hour
//! passes in seconds, and a slow machine changes no schedule.
//!
//! A test is `#[tokio::test(start_paused = true)]`, makes a [`Cluster`] of a seed
//! and reads as a story. Ids, backoffs and faults follow the seed; elections and
//! the order in which ready tasks are polled do not.

mod clock;
mod cluster;
mod machine;
mod network;
mod node;
mod spec;
mod terms;

pub use cluster::{Cluster, Settings};
pub use machine::{Happening, Image, Machine, What};
pub use network::Network;
pub use node::Node;
pub use spec::{on_failure, replicated, update};
