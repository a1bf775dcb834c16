//! Real components in the real host.

mod builtins;
mod changes;
mod child;
mod constraints;
mod examples;
mod golden;
mod hostile;
mod module;
mod preferences;
mod rollouts;
mod storm;
mod support;
#[path = "../../../orchestrator/tests/it/swarm.rs"]
mod swarm;
mod threats;
mod updates;
mod volumes;
#[expect(dead_code, reason = "the orchestrator's own tests use all of it")]
#[path = "../../../orchestrator/tests/it/world/mod.rs"]
mod world;
