//! The log: entries and the vote, in memory as far as they are needed and on disk.

mod disk;
mod store;

pub(crate) use disk::Disk;
pub(crate) use store::{Log, LogStore};
