//! What nodes say to each other, and how: gRPC over mutual TLS on one port.
//!
//! [`pb`] is generated from `proto/node.proto`. [`serve`] accepts connections and
//! puts the caller's identity beside each request; [`require`] holds it against
//! the roles that a method allows; [`Channels`] keeps connections to other nodes.
//! Both stand on a [`Transport`], which is TCP.
//! What the messages do is the business of `swarmw-manager` and `swarmw-agent`.

mod caller;
mod channels;
mod pipe;
mod serve;
mod transport;
pub mod wire;

pub use caller::{Allowed, Caller, caller, require};
pub use channels::{Channels, fell_silent};
pub use pipe::{PIECES_IN_FLIGHT, pipe};
pub use serve::{CONNECTIONS_MAX, serve};
pub use transport::{Listener, Tcp, Transport, Wire};

/// The messages and services of `proto/node.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod pb {
    tonic::include_proto!("swarmw.node.v1");
}

/// The largest message: gRPC's usual bound, which every batch keeps well below.
pub const MESSAGE_MAX: usize = 4 << 20;
/// The largest piece of something long: a blob, a snapshot, a body.
pub const CHUNK_MAX: usize = 1 << 20;
