//! Hands and a driver that only pretend, and die when they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use swarmw_model::TaskId;
use swarmw_plugin_host::volumes::Measure;

use crate::volumes::action::{Action, Undo, Value, Word};
use crate::volumes::check::Phase;
use crate::volumes::hands::{Hands, SoFar};
use crate::volumes::keeper::Keeper;
use crate::volumes::planner::{NoPlan, Planner};
use crate::volumes::record::Place;
use crate::volumes::wanted::{Seen, Wanted};

/// A machine that outlives the daemon.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    /// What is there: `made image`, `loop image`, `ext4`, `mounted`.
    there: BTreeSet<String>,
    log: Vec<String>,
    /// How many more things are done until the daemon dies, before or after doing it.
    dies: Option<(usize, bool)>,
    /// The step that fails, or never ends.
    fails: Option<&'static str>,
    hangs: Option<&'static str>,
    /// How often the driver asks to be asked again.
    retries: usize,
}

pub(super) fn volume() -> Wanted {
    Wanted {
        driver: "ext4".to_owned(),
        name: "data".to_owned(),
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        id: None,
        secrets: Vec::new(),
    }
}

pub(super) fn task(number: u128) -> TaskId {
    TaskId::from_bits(number)
}

/// The driver's plans: an image file, as the example has it.
pub(super) fn plan(phase: Phase) -> Vec<Action> {
    let path = || "image".to_owned();
    match phase {
        Phase::Create => vec![
            Action::Directory { path: "meta".to_owned(), mode: 0o700 },
            Action::ImageFile { path: path(), size: 8 << 20 },
            Action::LoopDevice { path: path() },
            Action::Format { fs_type: "ext4".to_owned() },
        ],
        Phase::Mount => vec![
            Action::LoopDevice { path: path() },
            Action::Mount {
                fs_type: "ext4".to_owned(),
                source: Word { text: String::new(), value: Some(Value::Device) },
                options: Vec::new(),
            },
        ],
        Phase::Expand(size) => vec![
            Action::ImageFile { path: path(), size },
            Action::LoopDevice { path: path() },
            Action::Grow,
        ],
        Phase::Remove => vec![
            Action::RemoveTree { path: path() },
            Action::RemoveTree { path: "meta".to_owned() },
        ],
    }
}

// === impl World ===

impl World {
    /// A daemon's keeper on this machine.
    pub(super) fn keeper(&self, folder: &Path) -> Arc<Keeper> {
        let hands = Arc::new(self.clone());
        Keeper::open(folder, hands.clone(), hands).expect("a folder")
    }

    /// The daemon dies when it has done so many more things.
    pub(super) fn dies_at(&self, count: usize, after: bool) {
        self.inside().dies = Some((count, after));
    }

    /// Nobody dies any more; whether somebody has.
    pub(super) fn has_died(&self) -> bool {
        self.inside().dies.take().is_none()
    }

    pub(super) fn fails(&self, step: Option<&'static str>) {
        self.inside().fails = step;
    }

    pub(super) fn hangs(&self, step: &'static str) {
        self.inside().hangs = Some(step);
    }

    pub(super) fn asks_again(&self, times: usize) {
        self.inside().retries = times;
    }

    pub(super) fn there(&self) -> Vec<String> {
        self.inside().there.iter().cloned().collect()
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.inside().log)
    }

    /// The machine starts again: files stay, mounts and devices do not.
    pub(super) fn power_cut(&self) {
        self.inside().there.retain(|thing| thing != "mounted" && !thing.starts_with("loop"));
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, unless the daemon dies of it.
    fn act(&self, what: String, act: impl FnOnce(&mut BTreeSet<String>)) {
        let mut inside = self.inside();
        inside.log.push(what);
        match inside.dies {
            Some((0, false)) => {
                inside.dies = None;
                drop(inside);
                panic!("killed before");
            }
            Some((0, true)) => {
                inside.dies = None;
                act(&mut inside.there);
                drop(inside);
                panic!("killed after");
            }
            Some((count, after)) => inside.dies = Some((count - 1, after)),
            None => {}
        }
        act(&mut inside.there);
    }
}

impl Hands for World {
    fn foresee<'a>(
        &'a self,
        _: &'a Place,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Vec<Undo>, String>> {
        let there = self.inside().there.clone();
        let undo = match action {
            Action::Directory { path, .. } | Action::ImageFile { path, .. } => {
                let missing = !there.contains(&format!("made {path}"));
                missing.then(|| Undo::RemoveMade(path.clone()))
            }
            Action::LoopDevice { path } => Some(Undo::Detach(path.clone())),
            Action::Mount { .. } => Some(Undo::Unmount),
            _ => None,
        };
        async move { Ok(undo.into_iter().collect()) }.boxed()
    }

    fn perform<'a>(
        &'a self,
        _: &'a Place,
        action: &'a Action,
        so_far: &'a mut SoFar,
    ) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let name = action.to_string();
            let (fails, hangs) = {
                let inside = self.inside();
                (inside.fails, inside.hangs)
            };
            if fails.is_some_and(|step| name.starts_with(step)) {
                return Err("the disk is full".to_owned());
            }
            if hangs.is_some_and(|step| name.starts_with(step)) {
                std::future::pending::<()>().await;
            }
            self.act(name, |there| match action {
                Action::Directory { path, .. } | Action::ImageFile { path, .. } => {
                    there.insert(format!("made {path}"));
                }
                Action::LoopDevice { path } => {
                    assert!(there.contains(&format!("made {path}")), "no image");
                    there.insert(format!("loop {path}"));
                }
                Action::Format { .. } => {
                    there.insert("ext4".to_owned());
                }
                Action::Mount { .. } => {
                    assert!(there.contains("ext4") && there.contains("loop image"));
                    there.insert("mounted".to_owned());
                }
                Action::RemoveTree { path } => {
                    assert!(!there.contains("mounted") && !there.contains("loop image"));
                    there.remove(&format!("made {path}"));
                    if path == "image" {
                        there.remove("ext4");
                    }
                }
                Action::Grow => {
                    assert!(there.contains("loop image") && !there.contains("mounted"));
                }
                other => panic!("{other}"),
            });
            so_far.mounted |= matches!(action, Action::Mount { .. });
            Ok(())
        }
        .boxed()
    }

    fn undo<'a>(&'a self, _: &'a Place, undo: &'a Undo) -> BoxFuture<'a, Result<(), String>> {
        async move {
            self.act(format!("undo {undo:?}"), |there| match undo {
                Undo::RemoveMade(path) => {
                    there.remove(&format!("made {path}"));
                    if path == "image" {
                        there.remove("ext4");
                    }
                }
                Undo::Detach(path) => {
                    assert!(!there.contains("mounted"), "detached under a mount");
                    there.remove(&format!("loop {path}"));
                }
                Undo::Unmount => {
                    there.remove("mounted");
                }
                other => panic!("{other:?}"),
            });
            Ok(())
        }
        .boxed()
    }

    fn stands(&self, _: &Place, undo: &Undo) -> bool {
        !matches!(undo, Undo::Unmount) || self.inside().there.contains("mounted")
    }

    fn end_strays<'a>(&'a self, _: &'a Place) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }

    fn seen(&self, place: &Place, so_far: &SoFar) -> Result<Seen, String> {
        assert!(so_far.mounted);
        Ok(Seen::Directory(place.target()))
    }

    fn erase(&self, place: &Place) -> Result<(), String> {
        self.act("erase".to_owned(), |_| {});
        place.erase().map_err(|e| e.to_string())
    }
}

impl Planner for World {
    fn plan<'a>(
        &'a self,
        phase: Phase,
        _: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Action>, NoPlan>> {
        let mut inside = self.inside();
        let planned = if inside.retries > 0 {
            inside.retries -= 1;
            Err(NoPlan::Retry(Duration::from_secs(5), "not yet".to_owned()))
        } else {
            Ok(plan(phase))
        };
        async move { planned }.boxed()
    }

    fn measure<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, Result<Measure, NoPlan>> {
        async move { Ok(Measure::Tree) }.boxed()
    }
}
