//! Clusters, nodes and patience for the tests.

mod cluster;
mod http;
mod node;
mod registry;
mod subnet;
mod wait;

pub use cluster::Cluster;
pub use node::Node;
pub use registry::Registry;
pub use wait::eventually;
