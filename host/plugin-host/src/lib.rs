//! Loads, checks, limits and calls plugin components.
