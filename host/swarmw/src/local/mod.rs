//! A cluster on this machine: five daemons on 127.0.0.2 to 127.0.0.6, three of them
//! to be managers. `demo` shows it, `bench cluster` measures it.

mod cluster;
mod shell;

pub use cluster::{Cluster, NODES, PORT, get};
pub use shell::Shell;

/// The example preference component, built from `examples/plugins`; it claims `pack`.
pub const PREFERENCE: &[u8] = include_bytes!(env!("SWARMW_PACK"));
