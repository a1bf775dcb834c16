//! The tasks that write to volumes by a claim, written down for the warden: it ends
//! them when their daemon, which should, is not there.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use swarmw_model::{ContainerStatus, TaskId};
use tokio::time::Instant;
use tracing::warn;

use super::warden::is_there;
use crate::process::{self, ProcessId};

/// In the node's folder: the writers. Its time of modification is when the leader last
/// answered, counted from the boot: a full disk does not keep it from moving on.
const WRITERS: &str = "writers";
/// In the node's folder: the tasks that the warden ended.
const FENCED: &str = "fenced";
/// Tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The tasks of this node that write by a claim.
pub(super) struct Writers {
    folder: PathBuf,
    /// This binary, whose `volume-warden` is the warden.
    exe: PathBuf,
    kept: Mutex<Kept>,
}

struct Kept {
    notice: Notice,
    touch: Instant,
    warden: Option<Child>,
    fenced: Vec<TaskId>,
}

/// What is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    boot: String,
    writers: BTreeMap<TaskId, ProcessId>,
}

// === impl Writers ===

impl Writers {
    /// Goes on from what an earlier daemon wrote down.
    pub(super) fn open(folder: PathBuf, exe: PathBuf) -> Self {
        let (notice, touch) = match Notice::read(&folder) {
            Ok(Some((notice, touch))) => {
                let ago = since_boot().saturating_sub(touch);
                (notice, Instant::now().checked_sub(ago).unwrap_or_else(Instant::now))
            }
            Ok(None) => (Notice::new(), Instant::now()),
            Err(error) => {
                warn!(%error, "the tasks that write to volumes cannot be read");
                (Notice::new(), Instant::now())
            }
        };
        let fenced = std::fs::read_to_string(folder.join(FENCED)).unwrap_or_default();
        let fenced = fenced.lines().filter_map(|id| id.parse().ok()).collect();
        Self { folder, exe, kept: Mutex::new(Kept { notice, touch, warden: None, fenced }) }
    }

    /// When the leader last answered, as far as this node remembers.
    pub(super) fn last_touch(&self) -> Instant {
        self.kept().touch
    }

    /// The leader has answered a heartbeat that was sent then.
    pub(super) fn in_touch(&self, at: Instant) {
        let mut kept = self.kept();
        kept.touch = kept.touch.max(at);
        if kept.notice.writers.is_empty() {
            return;
        }
        let times = FileTimes::new().set_modified(stamp(kept.touch));
        let file = File::options().write(true).open(self.folder.join(WRITERS));
        if file.and_then(|file| file.set_times(times)).is_err() {
            // It could not be written before, or is gone.
            self.write(&kept);
        }
        self.have_warden(&mut kept);
    }

    /// A task that runs so writes, from here until [`Writers::remove`].
    pub(super) fn add(&self, task: TaskId, runs: &ContainerStatus) {
        let process = i32::try_from(runs.pid).ok().and_then(process::of_pid);
        // An engine may count processes in a namespace of its own: there the number is of
        // another process here, which must not be ended for it.
        let own = |process: &ProcessId| {
            let of_container = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid));
            runs.container_id == task.to_string()
                || of_container.is_ok_and(|groups| groups.contains(&runs.container_id))
        };
        let Some(process) = process.filter(own) else {
            warn!(
                %task, pid = runs.pid,
                "a task that writes to a volume has no process that this node can see: should the \
                 daemon die, nothing ends it in time"
            );
            return;
        };
        let mut kept = self.kept();
        if kept.notice.writers.insert(task, process) != Some(process) {
            self.write(&kept);
        }
        self.have_warden(&mut kept);
    }

    /// A task has ended.
    pub(super) fn remove(&self, task: TaskId) {
        let mut kept = self.kept();
        if kept.notice.writers.remove(&task).is_some() {
            self.write(&kept);
        }
        if kept.fenced.contains(&task) {
            kept.fenced.retain(|other| *other != task);
            let lines: String = kept.fenced.iter().map(|task| format!("{task}\n")).collect();
            let path = self.folder.join(FENCED);
            let written = match lines.is_empty() {
                true => std::fs::remove_file(path),
                false => std::fs::write(path, lines),
            };
            if let Err(error) = written {
                warn!(%error, "the tasks that the warden ended could not be written down");
            }
        }
    }

    /// Whether the warden ended the task.
    pub(super) fn fenced(&self, task: TaskId) -> bool {
        self.kept().fenced.contains(&task)
    }

    fn write(&self, kept: &Kept) {
        let path = self.folder.join(WRITERS);
        let written = match kept.notice.writers.is_empty() {
            true => std::fs::remove_file(path),
            false => kept.notice.write(&path, kept.touch),
        };
        if let Err(error) = written {
            warn!(%error, "the tasks that write to volumes could not be written down");
        }
    }

    /// Starts the warden unless it is there: one of an earlier daemon goes on.
    fn have_warden(&self, kept: &mut Kept) {
        let there = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if kept.warden.as_mut().is_some_and(there) || is_there(&self.folder) {
            return;
        }
        let mut command = Command::new(&self.exe);
        command.arg("volume-warden").arg(&self.folder).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: what ends the daemon from its terminal does not end it.
        match command.process_group(0).spawn() {
            Ok(child) => kept.warden = Some(child),
            Err(error) => warn!(%error, "the warden of volumes cannot be started"),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Notice ===

impl Notice {
    fn new() -> Self {
        Self { boot: boot_id(), writers: BTreeMap::new() }
    }

    /// What is written down, and when the leader had last answered; `None` where nobody
    /// writes, or all of it is of an earlier boot.
    pub(super) fn read(folder: &Path) -> io::Result<Option<(Self, Duration)>> {
        let mut file = match File::open(folder.join(WRITERS)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let touch = file.metadata()?.modified()?.duration_since(SystemTime::UNIX_EPOCH);
        let notice: Self = serde_json::from_str(&text)?;
        let known = (notice, touch.unwrap_or_default());
        Ok(Some(known).filter(|(notice, _)| notice.boot == boot_id()))
    }

    fn write(&self, path: &Path, touch: Instant) -> io::Result<()> {
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        let times = FileTimes::new().set_modified(stamp(touch));
        File::options().write(true).open(&new)?.set_times(times)?;
        std::fs::rename(new, path)
    }

    /// The writers that live.
    pub(super) fn living(&self) -> impl Iterator<Item = (TaskId, ProcessId)> {
        let all = self.writers.iter().map(|(task, process)| (*task, *process));
        all.filter(|(_, process)| process::is_alive(*process))
    }
}

/// Tells the daemon that comes back which tasks were ended, and why.
pub(super) fn note_fenced(folder: &Path, task: TaskId) -> io::Result<()> {
    use std::io::Write;
    let mut file = File::options().append(true).create(true).open(folder.join(FENCED))?;
    writeln!(file, "{task}")
}

/// The time since the machine was started, its sleep included.
pub(super) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn stamp(touch: Instant) -> SystemTime {
    SystemTime::UNIX_EPOCH + since_boot().saturating_sub(touch.elapsed())
}

fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}
