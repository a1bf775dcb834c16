//! What Cargo.toml says of the plugin.

use crate::raw::Metadata;
use crate::{Claim, Grant, Options, metadata};

/// Implemented by [`crate::export!`], from the crate's Cargo.toml.
pub trait Package {
    /// `version`.
    const VERSION: &'static str;
    /// `description`: one line.
    const SUMMARY: &'static str;
}

/// The description of a plugin.
pub(crate) fn describe<P: Package, O: Options>(
    name: &str,
    claims: Vec<Claim>,
    grants: Vec<Grant>,
) -> Metadata {
    let described = metadata(name, P::VERSION, P::SUMMARY);
    Metadata { claims, grants, options: O::specs(), ..described }
}
