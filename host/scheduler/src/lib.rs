//! Puts tasks on nodes.
