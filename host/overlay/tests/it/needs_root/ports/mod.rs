//! Published ports.

mod changes;
mod drift;
mod life;
mod own;
mod traffic;
mod ways;
mod world;
