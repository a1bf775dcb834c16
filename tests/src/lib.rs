//! Builders and machines for the whole-cluster tests.
