//! Placeholder for the flags tests.
