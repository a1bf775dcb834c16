//! Certificates, join tokens, and the TLS settings that they make.
//!
//! A node is who its certificate says: common name = node id, organizational unit
//! = role, organization = cluster id, signed by the cluster's own root. This room
//! knows the model; it knows nothing of Raft, RPC or HTTP.

mod credentials;
mod error;
mod identity;
mod root;
mod tls;
mod token;
mod verify;

pub use credentials::Credentials;
pub use error::CaError;
pub use identity::Identity;
pub use root::{KeyPair, RootCa};
pub use tls::{SERVER_NAME, Tls};
pub use token::{InvalidToken, JoinToken};
