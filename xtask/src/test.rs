//! `cargo xtask test` and `cargo xtask nightly`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::shell::{Beside, root, run_command};
use crate::{clients, lint, system, whales};

/// Workspaces of plugins, whose own tests play their cases natively.
const PLUGINS: [&str; 2] = ["plugins", "examples/plugins"];

/// Cases of each random test at night; by day it says so itself.
const NIGHTLY_CASES: &str = "2000";

/// Networks that come and go at night; by day the test says so itself.
const NIGHTLY_CYCLES: &str = "1000";

/// Tests of clusters on machines with engines of their own. They take turns, and wait more
/// than they work: everything else runs beside them.
const ENGINES: [&str; 3] = ["clients::", "docker::", "networks::"];

/// Installs what is missing, lints, runs every test, the plugins' own included, and then
/// the demo.
pub fn run() -> Result<()> {
    system::prepare()?;
    let clients = clients::found()?;
    lint::run()?;
    let whales = whales::python();
    let tests = Tests { whales: whales.as_deref() };
    run_command(&mut tests.cargo(&["--no-run"]))?;
    let log = root().join("target/engines.log");
    let engines = Beside::start(tests.cargo(&CLUSTERS).arg("--").args(ENGINES), log)?;
    let others = tests.without_engines();
    // What fails in one hides nothing of the other.
    let engines = engines.end();
    others?;
    engines?;
    // What the README begins with, as it is typed but for the profile.
    run_command(Command::new("cargo").args(["run", "--locked", "--", "demo"]).current_dir(root()))?;
    nothing_is_left()?;
    whales::say_what_was_left_out(whales.as_deref());
    clients::say_which_walked(&clients);
    Ok(())
}

/// The target that has the tests of clusters.
const CLUSTERS: [&str; 2] = ["--test", "clusters"];

/// Tests of the workspace.
struct Tests<'a> {
    /// A Python with python-on-whales, where there is one.
    whales: Option<&'a Path>,
}

impl Tests<'_> {
    /// `cargo test` with these arguments: of everything, as another selection resolves other
    /// features and builds the dependencies again; and one that fails hides no other.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        cargo.args(arguments).current_dir(root());
        if let Some(python) = self.whales {
            cargo.env(whales::WHALES, python);
        }
        cargo
    }

    /// The rooms' tests, those of clusters without engines, and those of plugins.
    fn without_engines(&self) -> Result<()> {
        let rooms = run_command(&mut self.cargo(&["--lib", "--bins", "--test", "it"]));
        let examples = run_command(&mut self.cargo(&["--doc"]));
        let skip = ENGINES.iter().flat_map(|name| ["--skip", name]);
        let clusters = run_command(self.cargo(&CLUSTERS).arg("--").args(skip));
        for workspace in PLUGINS {
            run_command(
                Command::new("cargo")
                    .args(["test", "--workspace", "--locked", "--quiet"])
                    .env("CARGO_TARGET_DIR", root().join("target/plugins"))
                    .current_dir(root().join(workspace)),
            )?;
        }
        rooms.and(examples).and(clusters)
    }
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
            Tests { whales: whales.as_deref() }
                .cargo(&["--"])
                .args(arguments)
                .env("PROPTEST_RNG_SEED", seed.to_string())
                .env("PROPTEST_CASES", NIGHTLY_CASES)
                .env("SWARMW_CYCLES", NIGHTLY_CYCLES),
        )?;
    }
    Ok(())
}
