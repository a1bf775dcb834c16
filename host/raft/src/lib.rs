//! The replicated log: openraft, its files and its peers.
