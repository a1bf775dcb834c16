//! Waiting for a save.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::project::{Project, files};

/// Between two looks at the files.
const EVERY: Duration = Duration::from_millis(200);
/// What an author writes, by the endings of names.
const WATCHED: [&str; 9] = ["rs", "toml", "js", "mjs", "json", "py", "c", "h", "cases"];

/// The sources of a plugin, as they were when last looked at.
pub struct Watch {
    folder: PathBuf,
    seen: Vec<(PathBuf, SystemTime)>,
}

impl Watch {
    pub fn new(project: &Project) -> Self {
        let folder = project.folder.clone();
        Self { seen: seen(&folder), folder }
    }

    /// Until a file came, went or was written since the last time.
    pub fn wait(&mut self) {
        loop {
            let now = seen(&self.folder);
            if now != self.seen {
                self.seen = now;
                return;
            }
            thread::sleep(EVERY);
        }
    }
}

fn seen(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let when = |path: PathBuf| {
        // A file that goes away meanwhile is seen the next time.
        let at = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
        Some((path, at))
    };
    files(folder, &WATCHED).into_iter().filter_map(when).collect()
}
