//! What the allocator gives, on states that it is applied to.

mod networks;
mod ports;
mod properties;
mod world;
