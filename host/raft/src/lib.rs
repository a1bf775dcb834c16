//! The replicated log: openraft, its files, and its messages between managers.
//!
//! Only this room names openraft's types. It takes [`Transaction`]s, brings them
//! to a majority's disks, applies them to the [`State`] in the log's order, and
//! tells subscribers what changed. Who proposes, and why, is not its business.
//!
//! Start at [`Raft`]. `log/` holds the entries and the vote, `machine.rs` the
//! state and its snapshots, `peers.rs` what travels between managers.
//!
//! [`Transaction`]: swarmw_state::Transaction
//! [`State`]: swarmw_state::State

mod config;
mod error;
mod log;
mod machine;
mod members;
mod network;
mod peers;
mod publish;
mod raft;
mod role;
mod snapshot;
mod storage;
mod types;

pub use config::{RaftConfig, Timing};
pub use error::{ProposeError, RaftError};
pub use members::Member;
pub use peers::{Peer, PeerError, Peers, Rpc};
pub use publish::{Batch, Past, Received, Subscription};
pub use raft::Raft;
pub use role::Role;
pub use storage::{Memory, Storage};
