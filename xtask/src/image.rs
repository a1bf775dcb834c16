//! `cargo xtask image`.

use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run_command};
use crate::system;

/// Builds for release and makes the images of `examples/compose` of that.
pub fn run() -> Result<()> {
    system::prepare_image()?;
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--package", "swarmw"]).current_dir(root());
    run_command(&mut build)?;
    run_command(
        Command::new("sh")
            .arg(root().join("examples/compose/images.sh"))
            .arg(root().join("target/release/swarmw")),
    )
}
