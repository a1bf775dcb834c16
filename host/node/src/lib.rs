//! A node that is in a cluster: its listener, its agent, its manager while it is
//! one, and the certificate that all of them show.
//!
//! [`Member`] is the front door. It follows the role that the cluster wants of the
//! node (`roles.rs`), keeps the certificate fresh (`certificates.rs`) and remembers
//! in a [`StateDir`] what brings it back after a restart; what it keeps as a manager is sealed,
//! and locked where the cluster wants that (`keyring.rs`, `lock.rs`). What it stands on (time,
//! network, log, executors) is a [`Ground`], which a simulation makes of memory.
//! This room knows nothing of HTTP or of the command line.

mod certificates;
mod ground;
mod keyring;
mod lock;
mod member;
mod roles;
mod seats;
mod state_dir;

pub use certificates::join as ask_to_join;
pub use ground::Ground;
pub use keyring::Keyring;
pub use member::{Member, Parts};
pub use state_dir::{Membership, StateDir};
