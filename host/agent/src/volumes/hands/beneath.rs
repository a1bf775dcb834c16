//! Paths inside a volume's directory. Each part is opened from the one above it and
//! none may be a link, so nothing that a task or a plugin put there leads out.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat};

const FOLDER: OFlags =
    OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder that holds the path's last part, opened, and that part.
pub(super) fn parent<'a>(root: &Path, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
    let mut folder = openat(CWD, root, FOLDER, Mode::empty())?;
    let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
    for part in above.split('/').filter(|part| !part.is_empty()) {
        folder = openat(&folder, part, FOLDER, Mode::empty())?;
    }
    Ok((folder, last))
}

/// The topmost part of a path that is not there.
pub(super) fn first_missing(root: &Path, path: &str) -> io::Result<Option<String>> {
    let mut folder = openat(CWD, root, FOLDER, Mode::empty())?;
    let mut walked = String::new();
    let parts: Vec<&str> = path.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            walked.push('/');
        }
        walked.push_str(part);
        match statat(&folder, *part, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(Some(walked)),
            Err(error) => return Err(error.into()),
            Ok(_) if index + 1 == parts.len() => return Ok(None),
            Ok(_) => folder = openat(&folder, *part, FOLDER, Mode::empty())?,
        }
    }
    Ok(None)
}

/// Makes a directory and what is missing above it; one that is there stays as it is.
pub(super) fn make_directory(root: &Path, path: &str, mode: u32) -> io::Result<()> {
    let mut folder = openat(CWD, root, FOLDER, Mode::empty())?;
    for part in path.split('/') {
        let made = mkdirat(&folder, part, Mode::from_raw_mode(0o700));
        folder = openat(&folder, part, FOLDER, Mode::empty())?;
        match made {
            // Through the handle, so that no umask takes bits away.
            Ok(()) => std::fs::set_permissions(
                handle(&folder),
                std::os::unix::fs::PermissionsExt::from_mode(mode),
            )?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes a sparse file of so many bytes, or grows one that is smaller.
pub(super) fn make_image(root: &Path, path: &str, size: u64) -> io::Result<()> {
    let (folder, name) = parent(root, path)?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(&folder, name, flags, Mode::from_raw_mode(0o600))?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is there, and no file"));
    }
    if found.len() < size {
        file.set_len(size)?;
    }
    file.sync_all()
}

/// An ordinary file, by a path that was found to lead to it.
pub(super) fn file(root: &Path, path: &str) -> io::Result<PathBuf> {
    found(root, path, FileType::RegularFile)
}

/// A directory, by a path that was found to lead to it.
pub(super) fn directory(root: &Path, path: &str) -> io::Result<PathBuf> {
    found(root, path, FileType::Directory)
}

fn found(root: &Path, path: &str, kind: FileType) -> io::Result<PathBuf> {
    let (folder, name) = parent(root, path)?;
    let there = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(there.st_mode) != kind {
        return Err(io::Error::other(format!("it is no {kind:?}")));
    }
    Ok(root.join(path))
}

/// Deletes a path and all below; a link in it is deleted, not followed.
pub(super) fn remove_tree(root: &Path, path: &str) -> io::Result<()> {
    let gone = || -> io::Result<()> {
        let (folder, name) = parent(root, path)?;
        let there = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            return std::fs::remove_dir_all(handle(&folder).join(name));
        }
        Ok(unlinkat(&folder, name, AtFlags::empty())?)
    };
    match gone() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        gone => gone,
    }
}

/// A path that leads to an open folder itself, whatever its name means by now.
fn handle(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, outside) = (folder.path().join("files"), folder.path().join("outside"));
        std::fs::create_dir(&root).expect("a folder");
        std::fs::create_dir(&outside).expect("a folder");
        std::fs::write(outside.join("kept"), "x").expect("a file");
        symlink(&outside, root.join("link")).expect("a link");
        symlink(outside.join("kept"), root.join("file")).expect("a link");
        symlink("/", root.join("root")).expect("a link");

        assert!(make_directory(&root, "link/made", 0o700).is_err());
        assert!(make_directory(&root, "link", 0o700).is_err());
        assert!(make_image(&root, "link/made", 1).is_err());
        assert!(make_image(&root, "file", 1 << 20).is_err());
        assert!(super::file(&root, "file").is_err());
        assert!(super::file(&root, "link/kept").is_err());
        assert!(directory(&root, "link").is_err());
        assert!(directory(&root, "root/etc").is_err());
        assert!(remove_tree(&root, "link/kept").is_err());
        assert!(first_missing(&root, "link/made").is_err());
        remove_tree(&root, "link").expect("the link itself goes");
        remove_tree(&root, "file").expect("the link itself goes");
        assert_eq!(std::fs::read_to_string(outside.join("kept")).expect("kept"), "x");
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 1);
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        assert_eq!(first_missing(root, "a/b").expect("a look"), Some("a".into()));
        make_directory(root, "a", 0o755).expect("made");
        assert_eq!(first_missing(root, "a/b").expect("a look"), Some("a/b".into()));
        make_directory(root, "a/b", 0o1777).expect("made");
        assert_eq!(first_missing(root, "a/b").expect("a look"), None);
        let mode = |path: &str| {
            std::fs::metadata(root.join(path)).expect(path).permissions().mode() & 0o7777
        };
        assert_eq!((mode("a"), mode("a/b")), (0o755, 0o1777));

        make_image(root, "image", 4096).expect("made");
        std::fs::write(root.join("image"), vec![7; 8192]).expect("a larger one");
        make_image(root, "image", 4096).expect("there");
        assert_eq!(std::fs::read(root.join("image")).expect("read"), vec![7; 8192]);
        make_image(root, "image", 1 << 20).expect("grown");
        assert_eq!(std::fs::metadata(root.join("image")).expect("a file").len(), 1 << 20);

        remove_tree(root, "a").expect("gone");
        remove_tree(root, "a").expect("gone before");
        remove_tree(root, "nowhere/x").expect("never there");
    }
}
