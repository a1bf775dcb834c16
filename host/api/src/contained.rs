//! The API's socket as containers have it, which outlasts the daemon.
//!
//! To bind a socket's file is to bind its inode, which is dead when its daemon is: the next
//! daemon's socket is another file, and who bound the first one would be refused until it is
//! started again. So containers bind a *place*, on which each daemon mounts its own socket,
//! on top of the one before. The place is shared and they follow it (`rslave`), so what is
//! mounted there appears in them as well. A container that its engine starts before the
//! daemon runs binds the place as it is then, an empty file, and follows likewise.
//!
//! A socket's file must stay as long as something is mounted on it: the kernel takes mounts
//! off a file that is removed.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use tokio::net::UnixListener;

use swarmw_model::{EngineSocket, Given};

/// What containers bind by way of the links.
const PLACE: &str = "api.sock";
/// Links to the place, by the paths of the engine's socket.
const LINKS: &str = "for";
/// The sockets of the daemons since the machine was started.
const SOCKETS: &str = "sockets";
/// Sockets on top of each other. With the next daemon it begins again with one, and
/// containers that are older have to be started anew.
const LIVES_MAX: usize = 1_000;
/// Who may connect, where that cannot be asked of the engine's socket.
const MODE: u32 = 0o660;

/// A socket that containers have, and what they have to bind for it.
pub(crate) struct Contained {
    pub(crate) listener: UnixListener,
    /// Where it is on the node.
    pub(crate) place: PathBuf,
    /// What containers get.
    pub(crate) socket: EngineSocket,
}

/// Listens on a socket that containers get for the one of this engine.
pub(crate) fn open(folder: &Path, engine: &Path) -> io::Result<Contained> {
    let folder = std::path::absolute(folder)?;
    let (place, links, sockets) = (folder.join(PLACE), folder.join(LINKS), folder.join(SOCKETS));
    // Binds have colons between their parts.
    if text(&folder)?.contains(':') {
        return Err(io::Error::other(format!("there is a colon in {}", folder.display())));
    }
    make(&folder)?;
    make(&sockets)?;
    for path in EngineSocket::paths_of(text(engine)?) {
        link(&links.join(path.trim_start_matches('/')), &place)?;
    }
    let lives = mounts_at(&place)?;
    if lives == 0 || lives >= LIVES_MAX {
        clear(&place, &sockets, lives)?;
        begin(&place)?;
    }
    let path = fresh(&sockets);
    let listener = UnixListener::bind(&path)?;
    admit_as(&path, engine)?;
    let mounted = show(&path, &place)?;
    let given = Given::Api { links: text(&links)?.to_owned(), mounted };
    let socket = EngineSocket::new(text(engine)?, given);
    Ok(Contained { listener, place, socket })
}

/// Makes a folder that is the daemon's alone.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn text(path: &Path) -> io::Result<&str> {
    let why = || io::Error::other(format!("{} is not UTF-8", path.display()));
    path.to_str().ok_or_else(why)
}

fn link(link: &Path, place: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|leads| leads == place) {
        return Ok(());
    }
    if let Some(folder) = link.parent() {
        make(folder)?;
    }
    remove(link)?;
    symlink(place, link)
}

/// How many mounts there are at a path, one on top of the other.
fn mounts_at(path: &Path) -> io::Result<usize> {
    // Not the process': a thread may be elsewhere.
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let wanted = text(path)?;
    let at = |line: &str| line.split(' ').nth(4).map(unescaped);
    Ok(table.lines().filter(|line| at(line).as_deref() == Some(wanted)).count())
}

/// A path as the kernel writes it, with blanks and backslashes as octal numbers.
fn unescaped(path: &str) -> String {
    let blanks = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n")];
    let path = blanks.iter().fold(path.to_owned(), |path, (code, blank)| path.replace(code, blank));
    path.replace("\\134", "\\")
}

/// Removes what the daemons before left.
fn clear(place: &Path, sockets: &Path, lives: usize) -> io::Result<()> {
    if lives > 0 {
        tracing::warn!(
            lives,
            "containers that have the API's socket since long ago lose it now: start them again"
        );
    }
    for _ in 0..lives {
        unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    for entry in fs::read_dir(sockets)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// An empty file at the place. One that is there stays: containers may have bound it.
fn begin(place: &Path) -> io::Result<()> {
    let is_file = fs::symlink_metadata(place).is_ok_and(|meta| meta.is_file());
    if is_file {
        return Ok(());
    }
    // A daemon's that could not mount, or a folder that the engine made for want of a file.
    remove(place)?;
    File::create_new(place).map(drop)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir(path),
        _ => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A name that no socket has.
fn fresh(sockets: &Path) -> PathBuf {
    let mut names = (1..).map(|number: u32| sockets.join(number.to_string()));
    let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    // There are as many numbers as there can be files.
    names.find(free).unwrap_or_else(|| sockets.join("0"))
}

/// Lets those connect who may connect to the engine: containers are given its group.
fn admit_as(socket: &Path, engine: &Path) -> io::Result<()> {
    let (mode, owner) = match fs::metadata(engine) {
        Ok(engines) => (engines.mode() & 0o666, Some((engines.uid(), engines.gid()))),
        Err(_) => (MODE, None),
    };
    if let Some((user, group)) = owner
        && let Err(error) = std::os::unix::fs::chown(socket, Some(user), Some(group))
    {
        tracing::debug!(%error, "the API's socket in containers has not the engine's group");
    }
    fs::set_permissions(socket, fs::Permissions::from_mode(mode))
}

/// Puts a socket at the place; whether by mounting it there.
fn show(socket: &Path, place: &Path) -> io::Result<bool> {
    match mount_bind(socket, place) {
        Ok(()) => {
            mount_change(place, MountPropagationFlags::SHARED)?;
            Ok(true)
        }
        Err(Errno::PERM | Errno::ACCESS) => {
            tracing::info!(
                "without root this daemon's successor is not seen by containers that have the \
                 API's socket: they have to be started again after it"
            );
            fs::rename(socket, place)?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
