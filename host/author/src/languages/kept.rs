//! A component that is there already, where nothing that it was made of has changed:
//! the tools of some languages take many seconds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::product;
use crate::project::{Project, files};
use crate::workbench::digest_of;

/// What a component is made of, by the endings of names.
const ENDINGS: [&str; 8] = ["js", "mjs", "json", "py", "txt", "c", "h", "wit"];

/// The component as it is, or built anew.
pub fn or_built(
    project: &Project,
    build: impl FnOnce(&Project) -> Result<PathBuf>,
) -> Result<PathBuf> {
    let stamp = project.scratch().join("built-from");
    let path = product(project);
    let kept = fs::read_to_string(&stamp).ok();
    if let (Some(kept), Ok(now)) = (kept, state(project, &path))
        && kept == now
    {
        return Ok(path);
    }
    let built = build(project)?;
    let now = state(project, &built)?;
    fs::create_dir_all(project.scratch())
        .and_then(|()| fs::write(&stamp, now))
        .with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(built)
}

/// A digest and a name a line: this swarmw, the sources, the component.
fn state(project: &Project, component: &Path) -> Result<String> {
    let mut state = format!("swarmw {}\n", env!("CARGO_PKG_VERSION"));
    for path in files(&project.folder, &ENDINGS).into_iter().chain([component.to_owned()]) {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        state += &format!("{} {}\n", digest_of(&bytes), path.display());
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_component_is_built_again_when_a_source_or_itself_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect(name);
        put("plugin.js", "one");
        let project = Project::of(folder.path()).expect("a folder");
        let built = Cell::new(0);
        let build = |project: &Project| {
            built.set(built.get() + 1);
            fs::write(product(project), "a component")?;
            Ok(product(project))
        };
        let times = || {
            or_built(&project, build).expect("it builds");
            built.get()
        };
        assert_eq!((times(), times()), (1, 1), "nothing changed");
        put("plugin.js", "two");
        assert_eq!((times(), times()), (2, 2), "a source did");
        put("cases.cases", "case");
        assert_eq!(times(), 2, "cases are no part of it");
        fs::write(product(&project), "another").expect("a file");
        assert_eq!((times(), times()), (3, 3), "the component did");
    }
}
