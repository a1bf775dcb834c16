//! The API over real HTTP, in front of a daemon of one process.

mod client;
mod data;
mod docker;
mod doctor;
mod engine;
mod errors;
mod events;
mod fake;
mod forwarding;
mod listening;
mod logs;
mod metrics;
mod networks;
mod plan;
mod plugins;
mod services;
mod shapes;
mod sockets;
mod volumes;
