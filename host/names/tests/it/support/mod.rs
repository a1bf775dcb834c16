//! What tests are made of.

pub mod docker;
pub mod engine;
pub mod namespace;
pub mod serving;
pub mod world;
