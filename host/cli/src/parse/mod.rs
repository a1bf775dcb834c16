//! The grammars of flag values. Errors are the words that Docker's flags print.

mod address;
mod amounts;
mod csv;
mod generic;
mod mount;
mod network;
mod pairs;
mod preference;
mod publish;
mod reference;
mod words;

pub(crate) use address::{address_pool, node_address};
pub(crate) use amounts::*;
pub(crate) use generic::{generic_resource, generic_resources};
pub(crate) use mount::mount;
pub(crate) use network::network;
pub(crate) use pairs::*;
pub(crate) use preference::{placement_preference, policy_option};
pub(crate) use publish::{Ports, publish};
pub(crate) use reference::{config_reference, secret_reference};
pub(crate) use words::{Words, words};
