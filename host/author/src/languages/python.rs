//! componentize-py, and what it says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{capital, interface, on_path, product, run, wit, world};
use crate::project::Project;

/// What is run once in a new folder: Python and C have their tools from PyPI, in a
/// virtual environment of the folder's own.
pub const INSTALL: &str =
    "python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements.txt";

/// What stands between the host and the author's functions.
const ENTRY: &str = include_str!("entry/python.py");

/// Makes the component: CPython with the source in it, run up to where calls begin.
pub fn component(project: &Project) -> Result<PathBuf> {
    let interface = interface(project)?;
    let tool = tool(project, "componentize-py")?;
    let folder = project.scratch().join("python");
    let entry = folder.join("entry.py");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&entry, ENTRY.replace("KIND", &capital(interface))))
        .with_context(|| format!("cannot write {}", entry.display()))?;
    let component = product(project);
    let mut py = Command::new(tool);
    py.arg("-q").arg("-d").arg(wit(project)?).args(["-w", &world(interface), "componentize"]);
    py.arg("entry").arg("-p").arg(&folder).arg("-p").arg(&project.folder);
    // Modules of the environment are the author's dependencies; WASI is none.
    py.env("VIRTUAL_ENV", environment(project)).arg("--stub-wasi");
    py.arg("-o").arg(&component).current_dir(&project.folder);
    run(&mut py, &project.folder.join("plugin.py"))?;
    Ok(component)
}

/// A program of the folder's virtual environment.
pub fn tool(project: &Project, name: &str) -> Result<PathBuf> {
    let tool = environment(project).join("bin").join(name);
    if tool.exists() {
        return Ok(tool);
    }
    let python = match on_path("python3") {
        true => "",
        false => {
            "install Python, 3.10 or newer (Debian: `apt-get install python3 python3-venv`), then "
        }
    };
    bail!(
        "{} is not there: {python}run `{INSTALL}` in {}, once",
        tool.display(),
        project.folder.display()
    )
}

fn environment(project: &Project) -> PathBuf {
    project.folder.join(".venv")
}
