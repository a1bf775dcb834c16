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
mod cluster;
pub mod component;
mod container;
mod data;
mod duration;
mod endpoint;
mod filters;
mod generic;
mod id;
mod image;
mod json;
mod mount;
mod network;
mod node;
mod placement;
mod plugin;
mod privileges;
mod references;
mod refusal;
mod resources;
mod service;
mod task;
pub mod template;
mod time;
mod update;
pub mod validate;
mod volume;

pub use access::*;
pub use cluster::*;
pub use container::*;
pub use data::*;
pub use duration::{Duration, InvalidDuration};
pub use endpoint::*;
pub use filters::{Filters, InvalidFilters};
pub use generic::*;
pub use id::*;
pub use image::{ImageKind, ImageReference, WASM_PLATFORM};
pub use json::Base64;
pub use mount::*;
pub use network::*;
pub use node::*;
pub use placement::*;
pub use plugin::*;
pub use privileges::*;
pub use references::*;
pub use refusal::{Refusal, RefusalKind};
pub use resources::*;
pub use service::*;
pub use task::*;
pub use time::{InvalidTime, Time};
pub use update::*;
pub use volume::*;
