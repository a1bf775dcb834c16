//! `cargo xtask test` and `cargo xtask nightly`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::shell::{root, run_command};
use crate::{clients, lint, system, whales};

/// Workspaces of plugins, whose own tests play their cases natively.
const PLUGINS: [&str; 2] = ["plugins", "examples/plugins"];

/// Cases of each random test at night; by day it says so itself.
const NIGHTLY_CASES: &str = "2000";

/// Networks that come and go at night; by day the test says so itself.
const NIGHTLY_CYCLES: &str = "1000";

/// Installs what is missing, lints, runs every test, the plugins' own included, and then
/// the demo.
pub fn run() -> Result<()> {
    system::prepare()?;
    let clients = clients::found()?;
    lint::run()?;
    let whales = whales::python();
    // One selection for everything: another one resolves other features and
    // builds the dependencies again.
    // One that fails hides no other.
    let all = ["test", "--workspace", "--locked", "--no-fail-fast"];
    run_command(&mut with_whales(&all, whales.as_deref()))?;
    for workspace in PLUGINS {
        run_command(
            Command::new("cargo")
                .args(["test", "--workspace", "--locked", "--quiet"])
                .env("CARGO_TARGET_DIR", root().join("target/plugins"))
                .current_dir(root().join(workspace)),
        )?;
    }
    // What the README begins with, as it is typed but for the profile.
    run_command(Command::new("cargo").args(["run", "--locked", "--", "demo"]).current_dir(root()))?;
    nothing_is_left()?;
    whales::say_what_was_left_out(whales.as_deref());
    clients::say_which_walked(&clients);
    Ok(())
}

/// A command of cargo whose tests know of a Python with python-on-whales, where there is one.
fn with_whales(arguments: &[&str], python: Option<&Path>) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(root());
    if let Some(python) = python {
        cargo.env(whales::WHALES, python);
    }
    cargo
}

/// Every cluster, of the tests and of the demo, takes its processes with it.
fn nothing_is_left() -> Result<()> {
    let binary = root().join("target/debug/swarmw");
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        // Not a process, one that has just ended, or another user's.
        let Ok(exe) = std::fs::read_link(entry.path().join("exe")) else { continue };
        // One whose file was built anew meanwhile ends in a word for that.
        if exe.to_string_lossy().starts_with(&*binary.to_string_lossy()) {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            left.push(format!("{} {}", entry.file_name().display(), words.trim()));
        }
    }
    ensure!(left.is_empty(), "{} processes were left behind:\n{}", left.len(), left.join("\n"));
    Ok(())
}

/// What takes too long for every commit: the tests that are marked so, and the random
/// ones with other cases than every day's, and more of them.
pub fn nightly() -> Result<()> {
    run()?;
    let whales = whales::python();
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_secs());
    eprintln!("PROPTEST_RNG_SEED={seed}");
    for arguments in [&["--ignored"][..], &[]] {
        run_command(
            with_whales(&["test", "--workspace", "--locked", "--"], whales.as_deref())
                .args(arguments)
                .env("PROPTEST_RNG_SEED", seed.to_string())
                .env("PROPTEST_CASES", NIGHTLY_CASES)
                .env("SWARMW_CYCLES", NIGHTLY_CYCLES),
        )?;
    }
    Ok(())
}
