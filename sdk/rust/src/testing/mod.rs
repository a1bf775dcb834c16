//! Cases: what a plugin should answer, as text in the folder `cases/`.
//!
//! `cargo test` plays them against the plugin's code; `swarmw plugin test` plays
//! them again against the component in the real host. `#` starts a comment, a case
//! starts with `case`, and what stands before the first one holds for all of them.
//!
//! ```text
//! node london  node.labels.geo=51.5,-0.1
//! node oslo    node.labels.geo=59.9,10.7
//!
//! case a radius in kilometres
//! constraint near(51.5, -0.1, 50km)
//! passes london
//!
//! case a radius that is none
//! constraint near(51.5, -0.1, wide)
//! refused bad-radius
//! ```
//!
//! | line | says |
//! |---|---|
//! | `node NAME KEY=VALUE…` | a node: attributes as in `wit/`; of preferences also `room`, `tasks`, `total`, `failures`, `filtered` and each load |
//! | `option NAME=VALUE` | an option, as an operator types it |
//! | `constraint EXPRESSION` | asks for the verdicts |
//! | `passes NAME…` | exactly these nodes pass |
//! | `reason TEXT` | what pending tasks say |
//! | `preference NAME=ARGUMENT` | asks for a share |
//! | `place COUNT cpu=… memory=… priority=…` | of so many tasks, each of which reserves that |
//! | `gives BIN=COUNT…` | these bins get tasks, the others none |
//! | `leaves COUNT TEXT` | so many stay pending, and a refusal says the text |
//! | `update NAME replicas=COUNT` | plays a rollout of so many replicas |
//! | `set parallelism=2 delay=10s …` | the `--update-*` values |
//! | `task NUMBER\|all fails after=2s exit=1` | what becomes of new tasks; `hangs`: never runs |
//! | `answer ID VALUE from=30s` | what a query is told from then on; `error TEXT` for a value |
//! | `ends completed\|paused\|rolled-back` | how it ends |
//! | `within TIME` | at the latest then |
//! | `at TIME replaced COUNT` | so many targets were ordered by then |
//! | `volume DRIVER NAME` | asks for plans, of the first node |
//! | `scope`, `creates`, `mounts`, `removes` | the scope, and each step of a plan, in order |
//! | `refused CODE` | it refuses, with this code |
//! | `says TEXT` | the refusal, or the update's last message, has this text in it |

mod case;
pub mod native;
mod placement;
mod plans;
mod read;
mod rollout;
mod subject;
pub mod update;
mod watch;
mod words;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub use case::{Case, CaseFile, NodeLine, What};
pub use rollout::{End, Script, Told, play as play_rollout};
pub use subject::{Failure, PlanOf, PolicyText, RolloutFacts, Rows, Subject, Texts, VolumeText};

/// How the names of files with cases end.
pub const ENDING: &str = ".cases";

/// A case that did not turn out as it says: `FILE:LINE: what was wrong`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The case.
    pub title: String,
    /// The line that says what was expected, and what came.
    pub message: String,
}

/// The files with cases in a folder, by name; none when there is no such folder.
///
/// # Errors
/// The first file that cannot be read, or the line that is no line of a case.
pub fn read_folder(folder: &Path) -> Result<Vec<CaseFile>, String> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("cannot read {}: {error}", folder.display())),
    };
    paths.retain(|path| path.to_string_lossy().ends_with(ENDING));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let shown = path.strip_prefix(folder.parent().unwrap_or(folder)).unwrap_or(&path);
            CaseFile::parse(&shown.to_string_lossy(), &text)
        })
        .collect()
}

/// Plays every case of a file.
pub fn play(file: &CaseFile, subject: &mut dyn Subject) -> Vec<Miss> {
    let play_one = |case: &Case| {
        subject.next_case(&format!("{}:{} {}", file.name, case.line, case.title));
        let played = match &case.what {
            What::Constraint { .. } => placement::constraint(case, subject),
            What::Preference { .. } => placement::preference(case, subject),
            What::Update { .. } => update::update(case, subject),
            What::Volume { .. } => plans::volume(case, subject),
        };
        let (line, wrong) = played.err()?;
        let message = format!("{}:{line}: {wrong}", file.name);
        Some(Miss { title: case.title.clone(), message })
    };
    file.cases.iter().filter_map(play_one).collect()
}

/// What the test that `export!` makes does: plays the cases of a folder. A call that
/// loops ends the tests, with the case's name.
///
/// # Panics
/// When a case did not turn out as it says, or a file cannot be read.
pub fn assert_cases(folder: &str, subject: &mut dyn Subject) {
    let files = match read_folder(Path::new(folder)) {
        Ok(files) => files,
        Err(error) => panic!("{error}"),
    };
    let mut watched = watch::Watched::new(subject, watch::CALL_MAX, watch::end_tests);
    let mut told = String::new();
    for miss in files.iter().flat_map(|file| play(file, &mut watched)) {
        // Writing to a String cannot fail.
        let _ = write!(told, "\n{}\n  {}\n", miss.title, miss.message);
    }
    assert!(told.is_empty(), "{told}");
}
