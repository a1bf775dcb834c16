//! What an author does, with a real cargo and the real host.

#[path = "../../../plugin-host/tests/it/child.rs"]
mod child;
mod dev;
mod errors;
mod interface;
mod journey;
mod languages;
mod laws;
mod publish;
#[expect(dead_code, reason = "the cluster tests use all of it")]
#[path = "../../../../tests/it/support/registry.rs"]
mod registry;
mod support;
#[path = "../../../../tests/it/support/wait.rs"]
mod wait;
