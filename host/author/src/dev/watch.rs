//! Waiting for a save.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::project::Project;

/// Between two looks at the files.
const EVERY: Duration = Duration::from_millis(200);
/// Folders whose files are not the author's.
const SKIPPED: [&str; 5] = ["target", "sdk", "wit", ".git", "node_modules"];

/// The sources of a plugin, as they were when last looked at.
pub struct Watch {
    folder: PathBuf,
    seen: Vec<(PathBuf, SystemTime)>,
}

impl Watch {
    pub fn new(project: &Project) -> Self {
        let folder = project.folder.clone();
        Self { seen: sources(&folder), folder }
    }

    /// Until a file came, went or was written since the last time.
    pub fn wait(&mut self) {
        loop {
            let now = sources(&self.folder);
            if now != self.seen {
                self.seen = now;
                return;
            }
            thread::sleep(EVERY);
        }
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // A file that goes away meanwhile is seen the next time.
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if ["rs", "toml", "js", "cases"]
                .iter()
                .any(|end| name.ends_with(&format!(".{end}")))
                && let Ok(at) = fs::metadata(&path).and_then(|meta| meta.modified())
            {
                found.push((path, at));
            }
        }
    }
    found.sort();
    found
}
