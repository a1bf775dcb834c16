//! What becomes of volumes: on hands that only pretend, and on this machine's.

mod crashes;
mod life;
mod needs_root;
mod pretended;
mod secrets;
