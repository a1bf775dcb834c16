//! A manager node: the state through Raft, the leader's loops, the sessions of
//! agents, the certificate authority, blobs, and who is a manager.
//!
//! [`Manager`] is the front door. It runs on every manager; what only the leader
//! does (ticks, sessions, role changes) begins and ends with the leadership. This
//! room makes no policy: deciding is the pure rooms' and the plugins' business.
//! It knows nothing of HTTP beyond carrying a request to the leader whole, and
//! nothing of engines.

mod authority;
mod blobs;
mod collect;
mod config;
mod containers;
mod dispatcher;
mod doctor;
mod forward;
mod found;
mod lead;
mod level;
mod logs;
mod manager;
mod membership;
mod networks;
mod observe;
mod peers;
mod plan;
mod plugins;
mod policies;
mod propose;
mod reach;
mod replicate;
mod services;

pub use blobs::{BLOB_MAX, BlobError, BlobStore, digest_of};
pub use config::{Lock, ManagerConfig, ManagerError};
pub use forward::{ForwardError, Handler, StreamedResponse, WholeRequest};
pub use found::{Founded, Founding, new_cluster};
pub use logs::{Lines, LogLine, LogsRequest, Missing};
pub use manager::Manager;
pub use observe::Observer;
pub use peers::GrpcPeers;
pub use plugins::record as plugin_record;
pub use propose::is_leader_lost;
pub use reach::ReachHandler;
pub use services::{LEADER, ManagerServices};
