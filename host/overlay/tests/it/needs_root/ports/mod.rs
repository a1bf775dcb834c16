//! Published ports.

mod changes;
mod data_path;
mod drift;
mod life;
mod own;
mod traffic;
mod ways;
mod world;
