//! File systems on a volume's target.

use std::ffi::CString;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags};

use super::blocking;

/// The kernel's table of mounts.
const TABLE: &str = "/proc/self/mountinfo";
/// A target that something uses is tried so often…
const BUSY_TRIES: u32 = 20;
/// …after this time each.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Options that the kernel has flags for; all others are the file system's own.
const FLAGS: [(&str, MountFlags); 8] = [
    ("ro", MountFlags::RDONLY),
    ("noexec", MountFlags::NOEXEC),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
    ("strictatime", MountFlags::STRICTATIME),
    ("sync", MountFlags::SYNCHRONOUS),
    ("dirsync", MountFlags::DIRSYNC),
];
/// Options that say what holds anyway.
const VOID: [&str; 6] = ["rw", "defaults", "exec", "atime", "nosuid", "nodev"];

/// What becomes of a target that something uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// It stays mounted, and the undoing is tried again later.
    Waits,
    /// It goes as soon as nothing uses it.
    Goes,
}

/// Makes the directory that is mounted on.
pub(super) fn make_target(target: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(target) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Mounts, always without set-user-id programs and devices.
pub(super) async fn mount(
    fs_type: String,
    source: String,
    options: Vec<String>,
    target: PathBuf,
) -> Result<(), String> {
    if is_mounted(&target) {
        return Ok(());
    }
    let (flags, data) = sorted(&options)?;
    blocking(move || {
        let data = CString::new(data).map_err(|e| e.to_string())?;
        rustix::mount::mount(source.as_str(), &target, fs_type.as_str(), flags, data.as_c_str())
            .map_err(|e| format!("{source}: {}", io::Error::from(e)))
    })
    .await
}

/// Flags of the kernel, and the rest as the file system's own options.
fn sorted(options: &[String]) -> Result<(MountFlags, String), String> {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mut data: Vec<&str> = Vec::new();
    for option in options {
        // A value put in when the step runs may have one that the text had not.
        if option.contains(',') {
            return Err(format!("mount option {option:?} has a comma in it"));
        }
        match FLAGS.iter().find(|(name, _)| name == option) {
            Some((_, flag)) => flags |= *flag,
            None if VOID.contains(&option.as_str()) => {}
            None => data.push(option),
        }
    }
    Ok((flags, data.join(",")))
}

/// Unmounts what is on the target, and takes the target away: whoever starts a task
/// with it after all finds nothing rather than an empty directory.
pub(super) async fn unmount(target: PathBuf, busy: Busy) -> Result<(), String> {
    for attempt in 1.. {
        if !is_mounted(&target) {
            break;
        }
        let path = target.clone();
        let gone = blocking(move || Ok(rustix::mount::unmount(&path, UnmountFlags::NOFOLLOW)));
        match gone.await? {
            // Something may be mounted below it still.
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => break,
            Err(rustix::io::Errno::BUSY) if attempt < BUSY_TRIES => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(_) if busy == Busy::Goes => detach(&target).await?,
            Err(e) => return Err(format!("{}: {}", target.display(), io::Error::from(e))),
        }
    }
    match std::fs::remove_dir(&target) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(format!("{}: {e}", target.display())),
        _ => Ok(()),
    }
}

async fn detach(target: &Path) -> Result<(), String> {
    let path = target.to_owned();
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    blocking(move || {
        rustix::mount::unmount(&path, flags)
            .map_err(|e| format!("{}: {}", path.display(), io::Error::from(e)))
    })
    .await
}

/// Whether something is mounted on the path. The kernel's table answers, not the file
/// system, which may be one that answers no more.
pub(super) fn is_mounted(target: &Path) -> bool {
    let table = std::fs::read(TABLE).unwrap_or_default();
    let target = escaped(target);
    table.split(|b| *b == b'\n').any(|line| {
        // The fifth field is where it is mounted.
        line.split(|b| *b == b' ').nth(4) == Some(&target)
    })
}

/// A path as the table writes it.
fn escaped(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                text.extend(format!("\\{byte:03o}").into_bytes());
            }
            byte => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_the_file_systems_own() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let (flags, data) = sorted(&words(&["ro", "vers=4.2", "nosuid", "hard"])).expect("sorted");
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY);
        assert_eq!(data, "vers=4.2,hard");
        let refused = sorted(&words(&["key=/a,suid"])).expect_err("two in one");
        assert!(refused.contains("comma"), "{refused}");
    }

    #[test]
    fn the_table_is_read_as_the_kernel_writes_it() {
        assert_eq!(escaped(Path::new("/a b#c\\d")), b"/a\\040b\\043c\\134d");
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")));
    }
}
