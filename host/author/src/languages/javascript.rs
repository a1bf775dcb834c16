//! componentize-qjs, and what it says: the QuickJS backend of jco, by itself. jco brings
//! 239 packages and wants a newer Node.js than Debian's; this is two.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{interface, on_path, product, run, wit, world};
use crate::project::Project;

/// What is run once in a new folder.
pub const INSTALL: &str = "npm install";

/// What stands between the host and the author's functions.
const ENTRY: &str = include_str!("entry/javascript.js");

/// Makes the component: QuickJS with the source in it, no WASI, no async.
pub fn component(project: &Project) -> Result<PathBuf> {
    let interface = interface(project)?;
    let tool = project.folder.join("node_modules/.bin/componentize-qjs");
    if !on_path("node") {
        bail!(
            "Node.js is not on the PATH: install it (Debian: `apt-get install nodejs npm`; \
             others: https://nodejs.org), 18 or newer"
        );
    }
    if !tool.exists() {
        let folder = project.folder.display();
        let npm = match on_path("npm") {
            true => "",
            false => "install npm (Debian: `apt-get install npm`), then ",
        };
        bail!("{} is not there: {npm}run `{INSTALL}` in {folder}, once", tool.display());
    }
    let entry = project.scratch().join("entry.js");
    fs::create_dir_all(project.scratch())
        .and_then(|()| fs::write(&entry, ENTRY.replace("KIND", interface)))
        .with_context(|| format!("cannot write {}", entry.display()))?;
    let component = product(project);
    let mut qjs = Command::new(tool);
    qjs.arg("--wit").arg(wit(project)?);
    qjs.args(["--world", &world(interface), "--stub-wasi", "--sync"]);
    qjs.arg("--js").arg(entry).arg("--module-root").arg(&project.folder);
    qjs.arg("--output").arg(&component).current_dir(&project.folder);
    run(&mut qjs, &project.folder.join("plugin.js"))?;
    Ok(component)
}
