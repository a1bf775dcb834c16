//! The API over real HTTP, in front of a daemon of one process.

mod autolock;
mod client;
mod containers;
mod data;
mod docker;
mod doctor;
mod engine;
mod errors;
mod events;
mod fake;
mod forwarding;
mod golden;
mod listening;
mod logs;
mod metrics;
mod networks;
mod pages;
mod plan;
mod plugins;
mod services;
mod shapes;
mod sockets;
mod volumes;
mod watch;
