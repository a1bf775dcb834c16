//! The scheduler's specification: Swarm's scenarios, filters and what they say,
//! preferences, plugins' answers kept, and random clusters against brute force.

mod cluster;
mod fake;
mod filters;
mod generic;
mod judge;
mod model;
mod networks;
mod policies;
mod preferences;
mod scenarios;
