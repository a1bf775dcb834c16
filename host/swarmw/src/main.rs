//! The swarmw binary: `swarmw daemon` is a node, every other command talks to one.

mod address;
mod bench;
mod daemon;
mod demo;
mod local;
mod top;

use std::process::ExitCode;

fn main() -> ExitCode {
    top::run()
}
