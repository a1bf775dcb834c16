//! Clusters, nodes and patience for the tests.

mod cluster;
mod http;
mod node;
mod subnet;
mod wait;

pub use cluster::Cluster;
pub use http::unix as request;
pub use node::Node;
pub use wait::eventually;
