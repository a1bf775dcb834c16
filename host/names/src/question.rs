//! What a table is asked, and what it says.

use std::net::IpAddr;

/// What a process wants to know of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// In the letters of the one who asks; a dot at the end says nothing.
    pub name: &'a str,
    /// Of the name.
    pub want: Want,
}

/// The kind of record that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Addresses of IPv4.
    V4,
    /// Addresses of IPv6.
    V6,
    /// The names of an address.
    Name,
    /// Anything else: of our names there is nothing else.
    Other,
}

/// What a table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of them, in no order.
    Addresses {
        /// At least one.
        addresses: Vec<IpAddr>,
        /// Seconds that it may be kept.
        ttl: u32,
    },
    /// Whose address it is.
    Names {
        /// At least one.
        names: Vec<String>,
        /// Seconds that it may be kept.
        ttl: u32,
    },
    /// The name is ours, and has nothing of what is wanted: nobody else is asked.
    Nothing,
    /// Somebody else may know.
    NotOurs,
}
