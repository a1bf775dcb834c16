//! Namespaces, devices and nftables need root.

mod balancing;
mod caught;
mod changes;
mod data_path;
mod drift;
mod life;
mod peers;
mod ports;
mod sctp;
mod traffic;
mod world;
