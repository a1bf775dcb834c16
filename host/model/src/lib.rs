//! Objects, ids and parsing that every room of swarmw shares.
//!
//! The types serialise to the JSON of the Docker Engine API as they are, so the
//! HTTP facade has no conversion layer that could drift; the same types, as CBOR
//! maps, make the Raft log and the snapshots. What Docker has no word for lives
//! in one `Swarmw` object of a spec ([`SwarmwOptions`]).
//!
//! This room knows no sibling, no clock, no I/O and no async runtime. A caller
//! passes in the present [`Time`] and the randomness for a new [`Id`].

mod access;
mod api_version;
mod cluster;
pub mod component;
mod container;
mod container_call;
mod data;
mod doctor;
mod duration;
mod endpoint;
mod engine_socket;
mod filters;
mod generic;
mod id;
mod image;
mod json;
mod later;
mod mount;
mod network;
mod node;
mod placement;
mod plan;
mod plugin;
mod port_news;
mod privileges;
mod references;
mod refusal;
mod resources;
mod service;
mod task;
pub mod template;
mod time;
mod unlock_key;
mod update;
pub mod validate;
mod volume;

pub use access::*;
pub use api_version::ApiVersion;
pub use cluster::*;
pub use container::*;
pub use container_call::{ContainerCall, ExecCall};
pub use data::*;
pub use doctor::*;
pub use duration::{Duration, InvalidDuration};
pub use endpoint::*;
pub use engine_socket::*;
pub use filters::{Filters, InvalidFilters};
pub use generic::*;
pub use id::*;
pub use image::{ImageKind, ImageReference, WASM_PLATFORM, no_digest};
pub use json::Base64;
pub use later::Later;
pub use mount::*;
pub use network::*;
pub use node::*;
pub use placement::*;
pub use plan::*;
pub use plugin::*;
pub use port_news::{PortKey, PortNews};
pub use privileges::*;
pub use references::*;
pub use refusal::{Refusal, RefusalKind};
pub use resources::*;
pub use service::*;
pub use task::*;
pub use time::{InvalidTime, Time};
pub use unlock_key::{InvalidUnlockKey, UnlockKey};
pub use update::*;
pub use volume::*;
