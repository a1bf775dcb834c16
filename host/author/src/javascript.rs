//! jco, and what it says.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// The world of a plugin, by the interface that its `plugin.js` exports.
const WORLDS: [(&str, &str); 4] = [
    ("constraint", "swarmw:constraint/constraint-plugin"),
    ("preference", "swarmw:preference/preference-plugin"),
    ("update", "swarmw:update/update-plugin"),
    ("volume", "swarmw:volume/volume-plugin"),
];

/// Makes the component of a plugin in JavaScript: QuickJS with the source in it, no
/// WASI, no async.
pub fn component(project: &Project) -> Result<PathBuf> {
    let source = project.folder.join("plugin.js");
    let text =
        fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let exports = |kind: &str| text.contains(&format!("export const {kind} "));
    let Some((_, world)) = WORLDS.iter().find(|(kind, _)| exports(kind)) else {
        bail!(
            "{}: no interface of a kind is exported: it needs `export const constraint = {{ … }}`, \
             or preference, update, volume",
            source.display()
        );
    };
    let jco = project.folder.join("node_modules/.bin/jco");
    if !jco.exists() {
        bail!("{} is not there: run `npm install` in the folder, once", jco.display());
    }
    let name = project.folder.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
    let path = project.folder.join(name).with_extension("wasm");
    let output = Command::new(jco)
        .args(["componentize", "plugin.js", "--wit", "wit", "--world-name", world])
        .args(["--backend", "quickjs", "--backend-qjs-disable-async", "--backend-qjs-stub-wasi"])
        .arg("--out")
        .arg(&path)
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot run jco: install Node.js, and see that node is on the PATH")?;
    if !output.status.success() {
        bail!("{}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(path)
}
