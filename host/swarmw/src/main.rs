//! The swarmw binary: daemon and command line in one.
fn main() {}
