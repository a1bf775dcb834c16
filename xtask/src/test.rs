//! `cargo xtask test` and `cargo xtask nightly`.

use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run_command};
use crate::{lint, system};

/// Workspaces of plugins, whose own tests play their cases natively.
const PLUGINS: [&str; 2] = ["plugins", "examples/plugins"];

/// Cases of each random test at night; by day it says so itself.
const NIGHTLY_CASES: &str = "2000";

/// Installs what is missing, lints, runs every test, the plugins' own included, and then
/// the demo.
pub fn run() -> Result<()> {
    system::prepare()?;
    lint::run()?;
    // One selection for everything: another one resolves other features and
    // builds the dependencies again.
    run_command(
        Command::new("cargo").args(["test", "--workspace", "--locked"]).current_dir(root()),
    )?;
    for workspace in PLUGINS {
        run_command(
            Command::new("cargo")
                .args(["test", "--workspace", "--locked", "--quiet"])
                .env("CARGO_TARGET_DIR", root().join("target/plugins"))
                .current_dir(root().join(workspace)),
        )?;
    }
    // What the README begins with, as it is typed but for the profile.
    run_command(Command::new("cargo").args(["run", "--locked", "--", "demo"]).current_dir(root()))
}

/// What takes too long for every commit: the tests that are marked so, and the random
/// ones with other cases than every day's, and more of them.
pub fn nightly() -> Result<()> {
    run()?;
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_secs());
    eprintln!("PROPTEST_RNG_SEED={seed}");
    for arguments in [&["--ignored"][..], &[]] {
        run_command(
            Command::new("cargo")
                .args(["test", "--workspace", "--locked", "--"])
                .args(arguments)
                .env("PROPTEST_RNG_SEED", seed.to_string())
                .env("PROPTEST_CASES", NIGHTLY_CASES)
                .current_dir(root()),
        )?;
    }
    Ok(())
}
