//! `cargo xtask lint`.

use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run_command, run_in, succeeds};
use crate::system;

/// Workspaces that are built for Wasm, each with a lock file of its own.
const GUESTS: &[&str] = &["plugins", "examples/plugins", "examples/tasks"];

/// A version known to read our deny.toml and today's licences.
const CARGO_DENY: &str = "0.20.2";

/// Runs every lint.
pub fn run() -> Result<()> {
    system::compile_targets()?;
    let top = root();
    run_in(&top, "cargo", &["fmt", "--all", "--check"])?;
    for guest in GUESTS.iter().map(|g| top.join(g)).filter(|g| g.is_dir()) {
        run_in(&guest, "cargo", &["fmt", "--all", "--check"])?;
    }
    run_in(
        &top,
        "cargo",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    )?;
    run_command(
        Command::new("cargo")
            .args(["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
            .current_dir(&top)
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    deny()
}

/// Licences, banned crates and sources. cargo-deny comes from crates.io; a debug
/// build of it takes a third of the time of a release build and reads our lock
/// file in a second.
fn deny() -> Result<()> {
    let top = root();
    let tools = top.join("target/tools");
    let own = tools.join("bin/cargo-deny");
    let own = own.to_string_lossy();
    let program = if succeeds("cargo-deny", &["--version"]) { "cargo-deny" } else { &own };
    if !succeeds(program, &["--version"]) {
        let folder = tools.to_string_lossy();
        run_command(
            Command::new("cargo")
                .args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--debug"])
                .args(["--no-default-features", "--root", &folder])
                .current_dir(&top)
                .env("CARGO_PROFILE_DEV_DEBUG", "0"),
        )?;
    }
    run_in(&top, program, &["check", "bans", "licenses", "sources"])
}
