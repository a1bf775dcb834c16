//! On this machine, with real devices, file systems and processes.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::pretended::{plan, task, volume};
use crate::secrets::Memory;
use crate::volumes::action::{Action, Undo, Value, Word};
use crate::volumes::check::Phase;
use crate::volumes::hands::{Hands, Machine, SoFar};
use crate::volumes::keeper::Keeper;
use crate::volumes::planner::{NoPlan, Planner};
use crate::volumes::record::Place;
use crate::volumes::wanted::{Seen, Wanted};

/// A driver whose mount plan the test gives.
struct Given {
    mount: Mutex<Vec<Action>>,
}

impl Planner for Given {
    fn plan<'a>(
        &'a self,
        phase: Phase,
        _: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Action>, NoPlan>> {
        let mount = self.mount.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let plan = if phase == Phase::Mount { mount } else { plan(phase) };
        async move { Ok(plan) }.boxed()
    }
}

fn keeper(folder: &Path, mount: Vec<Action>, helpers: BTreeMap<String, PathBuf>) -> Arc<Keeper> {
    let hands = Machine { helpers, engine: None, memory: Memory::new(folder).into() };
    let planner = Given { mount: Mutex::new(mount) };
    Keeper::open(folder, Arc::new(hands), Arc::new(planner)).expect("a folder")
}

fn image_keeper(folder: &Path) -> Arc<Keeper> {
    keeper(folder, plan(Phase::Mount), BTreeMap::new())
}

pub(super) fn directory(seen: Seen) -> PathBuf {
    match seen {
        Seen::Directory(path) => path,
        Seen::Engine { .. } => panic!("a directory"),
    }
}

/// What the machine has of a folder: loop devices and mounts. A device that is given up
/// goes with its last mount, which an engine that starts beside this may have a copy of for
/// a moment.
pub(super) fn left(folder: &Path) -> String {
    let begun = Instant::now();
    loop {
        let (loops, mounts) = (loops_of(folder), mounts_of(folder));
        let is_given_up = |line: &str| line.split_whitespace().nth(3) == Some("1");
        let goes = mounts.is_empty() && !loops.is_empty() && loops.lines().all(is_given_up);
        if !goes || begun.elapsed() > Duration::from_secs(20) {
            return loops + &mounts;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn loops_of(folder: &Path) -> String {
    let loops = Command::new("losetup").args(["--list", "--noheadings"]).output().expect("losetup");
    lines_of(folder, &String::from_utf8_lossy(&loops.stdout))
}

fn mounts_of(folder: &Path) -> String {
    lines_of(folder, &std::fs::read_to_string("/proc/self/mountinfo").expect("mounts"))
}

fn lines_of(folder: &Path, text: &str) -> String {
    let name = folder.to_string_lossy();
    let of_ours = text.lines().filter(|line| line.contains(&*name));
    of_ours.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn an_image_is_made_mounted_written_and_there_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = image_keeper(folder.path());
    let seen = directory(keeper.hold(volume(), task(1)).await.expect("mounted"));
    std::fs::write(seen.join("kept"), "data").expect("a file");
    assert!(left(folder.path()).contains("nosuid,nodev"), "{}", left(folder.path()));
    let full = std::fs::write(seen.join("too-much"), vec![1; 16 << 20]);
    assert!(full.is_err(), "8 MiB have no place for 16");
    keeper.release(&volume().key(), task(1)).await;
    assert_eq!(left(folder.path()), "");
    assert!(!seen.exists(), "nothing is there to be taken for the volume");

    // The next daemon.
    let keeper = image_keeper(folder.path());
    keeper.settle().await;
    let seen = directory(keeper.hold(volume(), task(2)).await.expect("mounted"));
    assert_eq!(std::fs::read_to_string(seen.join("kept")).expect("kept"), "data");
    keeper.release(&volume().key(), task(2)).await;
    keeper.remove(&volume()).await.expect("removed");
    assert_eq!(left(folder.path()), "");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn what_a_dead_daemon_had_mounted_is_adopted_or_unmounted() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = image_keeper(folder.path());
    let seen = directory(first.hold(volume(), task(1)).await.expect("mounted"));
    std::fs::write(seen.join("kept"), "data").expect("a file");
    drop(first);

    let second = image_keeper(folder.path());
    second.adopt(&volume(), task(1));
    second.settle().await;
    assert_eq!(std::fs::read_to_string(seen.join("kept")).expect("kept"), "data");
    drop(second);

    let third = image_keeper(folder.path());
    third.settle().await;
    assert_eq!(left(folder.path()), "");
    third.remove(&volume()).await.expect("removed");
}

/// This machine's hands, of a daemon that dies at one of the things it does.
struct Dying {
    machine: Machine,
    /// How many more things are done, and whether the last is done before it dies.
    dies: Mutex<Option<(usize, bool)>>,
}

impl Dying {
    /// Whether the daemon dies now, and if so whether it does this first.
    fn now(&self) -> Option<bool> {
        let mut dies = self.dies.lock().unwrap_or_else(PoisonError::into_inner);
        match *dies {
            Some((0, after)) => {
                *dies = None;
                Some(after)
            }
            Some((count, after)) => {
                *dies = Some((count - 1, after));
                None
            }
            None => None,
        }
    }

    async fn act(&self, act: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        match self.now() {
            None => act.await,
            Some(true) => {
                act.await.expect("done");
                panic!("killed after");
            }
            Some(false) => panic!("killed before"),
        }
    }
}

impl Hands for Dying {
    fn foresee<'a>(
        &'a self,
        place: &'a Place,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Vec<Undo>, String>> {
        self.machine.foresee(place, action)
    }

    fn perform<'a>(
        &'a self,
        place: &'a Place,
        action: &'a Action,
        so_far: &'a mut SoFar,
    ) -> BoxFuture<'a, Result<(), String>> {
        self.act(self.machine.perform(place, action, so_far)).boxed()
    }

    fn undo<'a>(&'a self, place: &'a Place, undo: &'a Undo) -> BoxFuture<'a, Result<(), String>> {
        self.act(self.machine.undo(place, undo)).boxed()
    }

    fn stands(&self, place: &Place, undo: &Undo) -> bool {
        self.machine.stands(place, undo)
    }

    fn end_strays<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, ()> {
        self.machine.end_strays(place)
    }

    fn seen(&self, place: &Place, so_far: &SoFar) -> Result<Seen, String> {
        self.machine.seen(place, so_far)
    }

    fn erase(&self, place: &Place) -> Result<(), String> {
        match self.now() {
            None => self.machine.erase(place),
            Some(_) => panic!("killed before"),
        }
    }
}

#[tokio::test]
async fn a_daemon_that_is_killed_at_any_step_leaves_nothing_that_the_next_cannot_undo() {
    for after in [false, true] {
        for count in 0.. {
            let folder = tempfile::tempdir().expect("a folder");
            let memory = Memory::new(folder.path()).into();
            let machine = Machine { helpers: BTreeMap::new(), engine: None, memory };
            let hands = Arc::new(Dying { machine, dies: Mutex::new(Some((count, after))) });
            let planner = Arc::new(Given { mount: Mutex::new(plan(Phase::Mount)) });
            let first = Keeper::open(folder.path(), hands.clone(), planner).expect("a folder");
            if first.hold(volume(), task(1)).await.is_ok() {
                first.release(&volume().key(), task(1)).await;
                let _ = first.remove(&volume()).await;
            }
            if hands.now().is_some() || hands.dies.lock().is_ok_and(|dies| dies.is_some()) {
                assert_eq!(left(folder.path()), "");
                assert!(count >= 10, "only {count} things were done");
                break;
            }
            drop(first);

            let second = image_keeper(folder.path());
            second.settle().await;
            assert_eq!(left(folder.path()), "", "{count}, after: {after}");
            let seen = directory(second.hold(volume(), task(2)).await.expect("mounted"));
            std::fs::write(seen.join("kept"), "data").expect("a file");
            second.release(&volume().key(), task(2)).await;
            second.remove(&volume()).await.expect("removed");
            assert_eq!(left(folder.path()), "");
        }
    }
}

/// A small disk; it goes when this is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn of(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "small"]).arg(folder.path());
        assert!(mount.status().is_ok_and(|status| status.success()));
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_fails_the_plan_and_leaves_nothing() {
    let disk = SmallDisk::of("3m");
    let volumes = disk.0.path().join("volumes");
    let keeper = image_keeper(&volumes);
    let filler = disk.0.path().join("filler");
    // As much as there is: what is written is what fits.
    let _ = std::fs::write(&filler, vec![1; 4 << 20]);

    keeper.hold(volume(), task(1)).await.expect_err("no room for the journal");
    std::fs::write(&filler, vec![1; 2900 << 10]).expect("room for the journal, none for mkfs");
    let failed = keeper.hold(volume(), task(1)).await;
    assert_eq!(failed.is_ok(), left(&volumes).contains("/dev/loop"), "{failed:?}");
    keeper.release(&volume().key(), task(1)).await;
    assert_eq!(left(&volumes), "");

    std::fs::remove_file(&filler).expect("room");
    keeper.remove(&volume()).await.expect("removed");
    keeper.hold(volume(), task(2)).await.expect("mounted");
    keeper.release(&volume().key(), task(2)).await;
    keeper.remove(&volume()).await.expect("removed");
    assert_eq!(left(&volumes), "");
}

#[tokio::test]
async fn half_a_file_system_is_made_again_and_a_whole_one_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = image_keeper(folder.path());
    let seen = directory(keeper.hold(volume(), task(1)).await.expect("mounted"));
    std::fs::write(seen.join("kept"), "data").expect("a file");
    keeper.release(&volume().key(), task(1)).await;

    // The journal is lost, the image is not: its create plan is done once more.
    let place = std::fs::read_dir(folder.path()).expect("a folder").next().expect("a volume");
    std::fs::remove_file(place.expect("a volume").path().join("record")).expect("lost");
    let keeper = image_keeper(folder.path());
    let seen = directory(keeper.hold(volume(), task(1)).await.expect("mounted"));
    assert_eq!(std::fs::read_to_string(seen.join("kept")).expect("kept"), "data");
    keeper.release(&volume().key(), task(1)).await;
    keeper.remove(&volume()).await.expect("removed");
    assert_eq!(left(folder.path()), "");
}

/// A program that mounts a tmpfs where it is told, as a FUSE program would, and stays.
fn helper(folder: &Path, script: &str) -> (Vec<Action>, BTreeMap<String, PathBuf>) {
    let path = folder.join("helper.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
    let target = Word { text: String::new(), value: Some(Value::Target) };
    let action = Action::Helper {
        program: "stub".to_owned(),
        args: vec![target],
        env: vec![("SHOWN".to_owned(), Word { text: "yes".to_owned(), value: None })],
        stdin: None,
    };
    (vec![action], BTreeMap::from([("stub".to_owned(), path)]))
}

#[tokio::test]
async fn a_helper_serves_its_mount_and_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let volumes = folder.path().join("volumes");
    let script = "env > $1.env; echo $$ > $1.pid; mount -t tmpfs none $1; exec sleep 1000";
    let (mount, helpers) = helper(folder.path(), script);
    let first = keeper(&volumes, mount.clone(), helpers.clone());
    let seen = directory(first.hold(volume(), task(1)).await.expect("mounted"));
    let env = std::fs::read_to_string(seen.with_extension("env")).expect("its environment");
    let known = ["PATH=", "SHOWN=yes", "SWARMW_VOLUME=", "PWD=", "OLDPWD=", "_=", "SHLVL="];
    assert!(env.lines().all(|l| known.iter().any(|k| l.starts_with(k))), "{env}");
    std::fs::write(seen.join("kept"), "data").expect("a file");
    drop(first);

    // It outlives the daemon.
    let second = keeper(&volumes, mount.clone(), helpers.clone());
    second.adopt(&volume(), task(1));
    second.settle().await;
    let again = directory(second.hold(volume(), task(2)).await.expect("mounted"));
    assert_eq!(std::fs::read_to_string(again.join("kept")).expect("kept"), "data");

    // One that died is started anew.
    let pid = || {
        let pid = std::fs::read_to_string(seen.with_extension("pid")).expect("its id");
        pid.trim().to_owned()
    };
    Command::new("kill").args(["-9", &pid()]).status().expect("killed");
    let why = second.fallen(&[volume().key()]).await;
    assert_eq!(why, "volume data: its helper has ended");
    let anew = directory(second.hold(volume(), task(3)).await.expect("mounted anew"));
    assert!(!anew.join("kept").exists(), "a new tmpfs");
    for number in 1..=3 {
        second.release(&volume().key(), task(number)).await;
    }
    assert_eq!(left(folder.path()), "");
    // Whoever has that id now, it is not the helper.
    let environment = std::fs::read(format!("/proc/{}/environ", pid())).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&environment).contains("SWARMW_VOLUME"));
    second.remove(&volume()).await.expect("removed");
}

#[tokio::test]
async fn a_helper_that_fails_is_told_with_its_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let volumes = folder.path().join("volumes");
    let (mount, helpers) = helper(folder.path(), "echo no such host >&2; exit 3");
    let keeper = keeper(&volumes, mount, helpers);
    let failed = keeper.hold(volume(), task(1)).await.expect_err("it fails");
    assert!(failed.contains("(exit status: 3): no such host"), "{failed}");
    assert_eq!(left(folder.path()), "");
    keeper.remove(&volume()).await.expect("removed");
}

#[tokio::test]
async fn a_link_in_place_of_a_file_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let outside = folder.path().join("outside");
    std::fs::write(&outside, "x").expect("a file");
    let volumes = folder.path().join("volumes");
    let keeper = image_keeper(&volumes);
    keeper.create(volume()).await.expect("made");
    let place = std::fs::read_dir(&volumes).expect("a folder").next().expect("a volume");
    let image = place.expect("a volume").path().join("files/image");
    std::fs::remove_file(&image).expect("gone");
    symlink(&outside, &image).expect("a link");

    let failed = keeper.hold(volume(), task(1)).await.expect_err("a link");
    assert!(failed.contains("loop-device image"), "{failed}");
    keeper.remove(&volume()).await.expect("removed");
    assert_eq!(std::fs::read_to_string(&outside).expect("there"), "x");
    assert_eq!(left(folder.path()), "");
}
