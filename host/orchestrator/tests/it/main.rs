//! The orchestrator's specification: Swarm's scenarios on a simulated cluster, and
//! random events against what must always hold.

mod claims;
mod global;
mod jobs;
mod leader;
mod nodes;
mod random;
mod releases;
mod replicated;
mod restart;
mod rollback;
mod swarm;
mod update;
mod world;
