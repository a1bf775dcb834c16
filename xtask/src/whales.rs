//! python-on-whales for `tests/it/clients`: Debian does not have it, PyPI does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run_command, succeeds};

/// Names a Python with python-on-whales; see `tests/it/clients/alone.rs`.
pub const WHALES: &str = "SWARMW_TEST_WHALES";

/// Debian's, whatever else the PATH has.
const PYTHON: &str = "/usr/bin/python3";

/// The Python that the tests are to use: the one that the user names, or one of an environment
/// below `target`, made here once. `None` where PyPI is not reached.
pub fn python() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(WHALES) {
        return Some(named.into());
    }
    let environment = root().join("target/tools/whales");
    let python = environment.join("bin/python3");
    let made = is_complete(&python) || install(&environment, &python).is_ok();
    made.then_some(python)
}

/// Names the one client that did not run, where it did not.
pub fn say_what_was_left_out(python: Option<&Path>) {
    if python.is_none() {
        eprintln!(
            "not run: python-on-whales, which only PyPI has (tests/it/clients/whales.py), and PyPI \
             was not reached.\n\
             {WHALES} may name a Python that has it."
        );
    }
}

fn is_complete(python: &Path) -> bool {
    succeeds(&python.to_string_lossy(), &["-c", "import python_on_whales"])
}

fn install(environment: &Path, python: &Path) -> Result<()> {
    run_command(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(environment))?;
    run_command(
        Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:"])
            .args(["--require-hashes", "--requirement"])
            .arg(root().join("tests/it/clients/whales.txt")),
    )
}
