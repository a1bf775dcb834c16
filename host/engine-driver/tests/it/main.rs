//! The driver from outside: by its socket, and by a real engine.

mod needs_root;
mod protocol;
mod socket;
