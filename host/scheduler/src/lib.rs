//! Puts tasks on nodes.

mod policies;

pub use policies::*;
