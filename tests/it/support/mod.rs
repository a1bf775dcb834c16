//! Clusters, nodes and patience for the tests.

mod cluster;
mod http;
mod image;
mod machine;
mod node;
mod prometheus;
mod registry;
mod subnet;
mod wait;

pub use cluster::Cluster;
pub use http::unix as request;
pub use image::RootFs;
pub use node::Node;
pub use prometheus::Prometheus;
pub use registry::Registry;
pub use wait::eventually;
