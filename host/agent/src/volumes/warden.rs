//! The warden: a process that outlives the daemon and ends the tasks that must not
//! write any more. While the daemon lives it stops them itself, in order, before.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Signal;

use super::claims::FENCE;
use super::writers::{Notice, note_fenced, since_boot};
use crate::process;
use crate::runner::FENCE_GRACE;

/// Held by the one warden of a node.
const LOCK: &str = "warden";
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// After so long without an answer of the leader a living daemon has stopped its
/// writers, and the leader has given no claim to another yet.
pub(crate) fn patience() -> Duration {
    FENCE + FENCE_GRACE.to_std()
}

/// What the hidden subcommand `volume-warden` does: watches over the writers of a
/// node's folder until there are none.
pub fn run_volume_warden(folder: &Path) -> ExitCode {
    match watch(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot watch over {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn watch(folder: &Path) -> io::Result<()> {
    let lock = File::options().append(true).create(true).open(folder.join(LOCK))?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    // A look that fails is no reason to look away: nobody else does.
    while look(folder, patience()).unwrap_or(true) {
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Whether a warden watches over the folder.
pub(super) fn is_there(folder: &Path) -> bool {
    let lock = File::options().append(true).create(true).open(folder.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Ends the writers whose time is over; whether there are some to watch over still.
fn look(folder: &Path, patience: Duration) -> io::Result<bool> {
    let Some((notice, touch)) = Notice::read(folder)? else { return Ok(false) };
    if since_boot() < touch + patience {
        return Ok(true);
    }
    for (task, writer) in notice.living() {
        // Told first, so that whoever sees it ended is told why; on a full disk it ends
        // all the same, and nobody is.
        let _ = note_fenced(folder, task);
        process::signal(writer, Signal::KILL);
    }
    Ok(notice.living().next().is_some())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::process::{Child, Command};
    use std::time::SystemTime;

    use swarmw_model::{ContainerStatus, TaskId};
    use tokio::time::Instant;

    use super::super::writers::Writers;
    use super::*;

    const TASK: TaskId = TaskId::from_bits(7);

    /// A node's folder, and a process that writes.
    fn writing() -> (tempfile::TempDir, Writers, Child) {
        let folder = tempfile::tempdir().expect("a folder");
        // A warden of no use: the tests look themselves.
        let writers = Writers::open(folder.path().to_owned(), "/bin/true".into());
        let child = Command::new("sleep").arg("600").spawn().expect("sleep");
        writers.add(TASK, &component(&child));
        (folder, writers, child)
    }

    /// What the task's status says of its process.
    fn component(child: &Child) -> ContainerStatus {
        let (container_id, pid) = (TASK.to_string(), child.id().into());
        ContainerStatus { container_id, pid, exit_code: 0 }
    }

    fn lives(child: &mut Child) -> bool {
        child.try_wait().expect("a child").is_none()
    }

    #[test]
    fn a_writer_ends_when_the_leader_was_silent_for_too_long_and_not_before() {
        let (folder, writers, mut child) = writing();
        assert!(look(folder.path(), patience()).expect("a look"), "somebody writes");
        assert!(lives(&mut child));

        let long = Duration::from_millis(50);
        std::thread::sleep(long);
        writers.in_touch(Instant::now());
        assert!(look(folder.path(), Duration::from_secs(3_600)).expect("a look"));
        assert!(lives(&mut child));

        std::thread::sleep(long);
        look(folder.path(), long).expect("a look");
        let ended = child.wait().expect("a child");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
        assert!(!look(folder.path(), long).expect("a look"), "nobody is left to watch over");

        let next = Writers::open(folder.path().to_owned(), "/bin/true".into());
        assert!(next.fenced(TASK) && !next.fenced(TaskId::from_bits(8)));
        assert!(next.last_touch() < Instant::now() - long, "silence goes on over a restart");
        next.remove(TASK);
        assert!(!folder.path().join("fenced").exists(), "what was told is forgotten");
    }

    #[test]
    fn all_writers_end_though_nothing_can_be_written_down() {
        let (folder, writers, mut first) = writing();
        let mut second = Command::new("sleep").arg("600").spawn().expect("sleep");
        let other = TaskId::from_bits(8);
        let runs = ContainerStatus { container_id: other.to_string(), ..component(&second) };
        writers.add(other, &runs);
        // As on a full disk: the list of those that were ended takes no line.
        std::fs::create_dir(folder.path().join("fenced")).expect("a folder in its way");
        look(folder.path(), Duration::ZERO).expect("a look");
        for child in [&mut first, &mut second] {
            let ended = child.wait().expect("a child");
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
        }
    }

    #[test]
    fn a_list_that_could_not_be_written_is_written_with_the_next_answer() {
        let (folder, writers, mut child) = writing();
        let list = folder.path().join("writers");
        std::fs::remove_file(&list).expect("it was there");
        writers.in_touch(Instant::now());
        assert!(list.exists());
        child.kill().expect("killed");
        child.wait().expect("a child");
    }

    #[test]
    fn a_task_that_has_ended_and_a_stranger_with_its_number_are_left_alone() {
        let (folder, writers, mut child) = writing();
        writers.remove(TASK);
        assert!(!look(folder.path(), Duration::ZERO).expect("a look"));
        assert!(lives(&mut child));

        writers.add(TASK, &component(&child));
        let file = folder.path().join("writers");
        let text = std::fs::read_to_string(&file).expect("the writers");
        let started = text.split("\"started\":").nth(1).expect("when it started");
        let started = started.split('}').next().expect("a number");
        let write = |text: String| {
            std::fs::write(&file, text).expect("written");
            let long_ago = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            let file = File::options().write(true).open(&file).expect("the writers");
            file.set_times(long_ago).expect("a time");
        };
        write(text.replace(started, "1"));
        assert!(!look(folder.path(), Duration::ZERO).expect("a look"));
        assert!(lives(&mut child));

        // The number of a container's process, in another namespace than ours.
        writers.remove(TASK);
        let foreign = ContainerStatus { container_id: "c0ffee".repeat(8), ..component(&child) };
        writers.add(TASK, &foreign);
        assert!(!look(folder.path(), Duration::ZERO).expect("a look"));
        assert!(lives(&mut child));

        write(text.replace("\"boot\":\"", "\"boot\":\"another"));
        assert!(!look(folder.path(), Duration::ZERO).expect("a look"));
        assert!(lives(&mut child));
        child.kill().expect("killed");
        child.wait().expect("a child");
    }
}
