//! Network namespaces: a file that names one, and a thread that goes in.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::UnmountFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use crate::{Error, Result};

/// The `f_type` of a file that is a namespace (linux/magic.h).
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// Mounts on one file that are taken away; there should be one.
const MOUNTS_MAX: usize = 64;
/// Held while one is made.
static MAKING: Mutex<()> = Mutex::new(());

/// A network namespace, which is there as long as this value is.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    path: PathBuf,
    file: Arc<File>,
}

// === impl Namespace ===

impl Namespace {
    /// The one at a path, if there is one.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |source| Error::Namespace { path: path.to_owned(), act: "opened", source };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let kind = rustix::fs::fstatfs(&file).map_err(|error| failed(error.into()))?.f_type;
        // A file that a namespace was mounted on, before the machine was started again.
        let is_one = u64::try_from(kind).is_ok_and(|kind| kind == NSFS_MAGIC);
        Ok(is_one.then(|| Self { path: path.to_owned(), file: Arc::new(file) }))
    }

    /// A new one, kept by a mount at the path, unless there is one.
    pub(crate) async fn make(path: &Path) -> Result<Self> {
        let failed = |source| Error::Namespace { path: path.to_owned(), act: "made", source };
        let at = path.to_owned();
        let made = on_a_thread(move || {
            // Whoever asked may have given up, and asked again: there is to be one.
            let _turn = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
            if Self::open(&at).is_ok_and(|there| there.is_some()) {
                return Ok(());
            }
            place(&at)?;
            unshare(CloneFlags::CLONE_NEWNET)?;
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &at)?;
            Ok(())
        });
        made.await.and_then(|made| made).map_err(failed)?;
        let missing = || failed(io::Error::other("it was removed at once"));
        Self::open(path)?.ok_or_else(missing)
    }

    /// Whether its path still leads to it.
    pub(crate) fn is_named(&self) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(own), Ok(named)) => identity(own) == identity(named),
            _ => false,
        }
    }

    /// Its number, which no other has while it is there.
    pub(crate) fn number(&self) -> Option<u64> {
        self.file.metadata().ok().map(|metadata| metadata.ino())
    }

    /// Gives it its name back.
    pub(crate) fn name_again(&self) -> Result<()> {
        let failed =
            |source| Error::Namespace { path: self.path.clone(), act: "named again", source };
        unmount_all(&self.path);
        place(&self.path).map_err(failed)?;
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::mount::mount_bind(own, &self.path).map_err(|error| failed(error.into()))
    }

    /// Takes its name away: it goes when nobody is in it.
    pub(crate) fn remove(self) -> Result<()> {
        let failed = |source| Error::Namespace { path: self.path.clone(), act: "removed", source };
        unmount_all(&self.path);
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Does something in it, on a thread of its own; sockets and processes made there stay
    /// there.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let failed = |source| Error::Namespace { path: self.path.clone(), act: "entered", source };
        let file = Arc::clone(&self.file);
        let done = on_a_thread(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(act())
        });
        done.await.and_then(|done| done).map_err(failed)
    }

    /// For requests that name it; valid as long as this value is.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Until nothing is mounted there, or nothing is there.
fn unmount_all(path: &Path) {
    for _ in 0..MOUNTS_MAX {
        if rustix::mount::unmount(path, UnmountFlags::DETACH).is_err() {
            return;
        }
    }
}

/// An empty file to mount on.
fn place(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::options().create(true).append(true).open(path).map(|_| ())
}

/// A thread that enters a namespace is no use to others afterwards: each gets its own.
async fn on_a_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
        let _runtime = runtime.enter();
        // Nobody may be waiting any more.
        let _ = tell.send(act());
    })?;
    told.await.map_err(|_| io::Error::other("its thread ended early"))
}
