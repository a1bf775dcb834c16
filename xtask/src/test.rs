//! `cargo xtask test` and `cargo xtask nightly`.

use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run_command};
use crate::{lint, system};

/// Installs what is missing, lints, and runs every test.
pub fn run() -> Result<()> {
    system::prepare()?;
    lint::run()?;
    // One selection for everything: another one resolves other features and
    // builds the dependencies again.
    run_command(Command::new("cargo").args(["test", "--workspace", "--locked"]).current_dir(root()))
}

/// What takes too long for every commit: the tests that are marked so.
pub fn nightly() -> Result<()> {
    run()?;
    run_command(
        Command::new("cargo")
            .args(["test", "--workspace", "--locked", "--", "--ignored"])
            .current_dir(root()),
    )
}
