//! The Docker Engine HTTP API and what lives beside it.
//!
//! [`Api`] answers requests: Swarm's endpoints (`/swarm`, `/nodes`, `/services`,
//! `/tasks`) from the cluster's state, `/swarmw/…` for what Docker has no word
//! for, `/info`, `/version`, `/_ping` and `/events` merged with what the node's own
//! container engine says, and everything else passed through to that engine as it
//! is. A manager that does not lead passes Swarm's requests on to the one that
//! does. [`Listener`] serves an [`Api`] on unix sockets and TCP.
//!
//! This room knows the model and the state. What it needs of the daemon it asks
//! through the trait [`Node`]; it never sees Raft, the agent or a plugin.
//!
//! Where to start reading: [`Node`] for what is asked of the daemon, `routes.rs`
//! for the table of paths, `api.rs` for what every request goes through.

mod api;
mod body;
mod contained;
mod containers;
mod data;
mod doctor;
mod engine;
mod events;
mod fields;
mod forward;
mod info;
mod listing;
mod logs;
mod metrics;
mod names;
mod networks;
mod node;
mod nodes;
mod ordered;
mod page;
mod plan;
mod plugins;
mod refusals;
mod reply;
mod routes;
mod serve;
mod services;
mod since;
mod sockets;
mod swarm;
mod tasks;
mod version;
mod volumes;
mod watch;
mod words;

pub use api::Api;
pub use forward::{LEADER_MOVED, REQUEST_ID};
pub use node::{
    Answer, Connection, Fetched, InitRequest, JoinRequest, LogLine, LogOutput, LogSource,
    LogsRequest, Membership, Node, Past, RemoteManager, Standing,
};
pub use refusals::{
    already_in_swarm, invalid_unlock_key, join_timed_out, locked, manager_starting, no_leader,
    no_swarm, not_attachable, not_in_swarm, not_locked, worker,
};
pub use serve::{CONNECTIONS_MAX, ListenError, Listener};
pub use version::{ApiVersion, MAXIMUM, MINIMUM};
