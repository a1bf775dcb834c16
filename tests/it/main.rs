//! Whole clusters of real processes: each test starts its own on loopback
//! addresses of its own, drives it with the command line as a user would, and
//! leaves nothing behind.

mod api_tls;
mod autolock;
mod canary;
mod clients;
mod docker;
mod examples;
mod founding;
mod hostile;
mod jobs;
mod kills;
mod main_job;
mod mistakes;
mod networks;
mod plugins;
mod plugins_registry;
mod plugins_taken;
mod secrets;
mod shells;
mod stacks;
mod support;
mod trouble;
mod volumes;
mod wasm_registry;
