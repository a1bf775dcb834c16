//! Clusters, nodes and patience for the tests.

mod cluster;
mod docker_cli;
mod guests;
mod http;
mod image;
mod machine;
mod node;
mod prometheus;
mod registry;
mod sshd;
mod subnet;
mod wait;

pub use cluster::Cluster;
pub use docker_cli::DockerCli;
pub use guests::guest;
pub use http::unix as request;
pub use image::RootFs;
pub use machine::Machine;
pub use node::{Node, Output, mounted_below, mounts_below};
pub use prometheus::Prometheus;
pub use registry::{Registry, User};
pub use sshd::Sshd;
pub use wait::eventually;
