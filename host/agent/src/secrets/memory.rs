//! Folders in memory: a file system of its own for each where the daemon may mount,
//! else a folder in one that the machine has.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::getuid;
use sha2::{Digest, Sha256};

/// Linux' numbers of file systems in memory: tmpfs and ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
/// Memory comes in pieces of so many bytes.
const PAGE: u64 = 4096;
/// For the folders, beside the files.
const SLACK: u64 = 1 << 20;
/// Where machines have a file system in memory that everybody may write to.
const SHARED: &str = "/dev/shm";
/// Where a user's session has one.
const OWN_VARIABLE: &str = "XDG_RUNTIME_DIR";
/// Digits of the state folder's digest in the name of a folder beside other daemons'.
const NAME_BYTES: usize = 8;

/// Makes folders in memory, private to this daemon.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Below it file systems are mounted.
    mounted: PathBuf,
    /// Below it folders are made, where none may be mounted; `None` where this machine
    /// has no file system for that.
    shared: Option<PathBuf>,
}

/// A folder in memory.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

// === impl Memory ===

impl Memory {
    /// For a daemon that keeps its state in this folder.
    pub(crate) fn new(state_dir: &Path) -> Self {
        let own = std::env::var_os(OWN_VARIABLE).filter(|path| !path.is_empty());
        let places = own.map(PathBuf::from).into_iter().chain([PathBuf::from(SHARED)]);
        let digest = Sha256::digest(state_dir.as_os_str().as_encoded_bytes());
        let digest: String = digest.iter().take(NAME_BYTES).map(|b| format!("{b:02x}")).collect();
        let name = format!("swarmw-{}-{digest}", getuid().as_raw());
        let shared = places.into_iter().find(|place| is_in_memory(place));
        // An engine has another working directory.
        let state_dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
        Self { mounted: state_dir.join("secrets"), shared: shared.map(|place| place.join(name)) }
    }

    /// A new folder of this name, for files of these sizes. One that is there goes.
    pub(crate) fn open(&self, name: &str, sizes: &[u64]) -> Result<Folder, String> {
        self.close(name)?;
        let folder = self.mounted.join(name);
        make(&self.mounted).and_then(|()| make(&folder)).map_err(at(&folder))?;
        let pages: u64 = sizes.iter().map(|size| size.div_ceil(PAGE) * PAGE).sum();
        match mount(&folder, pages + SLACK) {
            Ok(()) => return Ok(Folder(folder)),
            Err(Errno::PERM | Errno::ACCESS) => {}
            Err(error) => return Err(format!("{}: {}", folder.display(), io::Error::from(error))),
        }
        fs::remove_dir(&folder).map_err(at(&folder))?;
        let Some(shared) = &self.shared else {
            return Err(format!(
                "this node may not mount a file system in memory, and has none in \
                 {OWN_VARIABLE} or {SHARED}: run its daemon as root"
            ));
        };
        let folder = shared.join(name);
        make(shared).and_then(|()| ours(shared)).map_err(at(shared))?;
        make(&folder).map_err(at(&folder))?;
        match is_in_memory(&folder) {
            true => Ok(Folder(folder)),
            false => Err(format!("{} is not in memory", folder.display())),
        }
    }

    /// A folder goes with all that is in it, if it is there. Who has a file of it open,
    /// or mounted, keeps that.
    pub(crate) fn close(&self, name: &str) -> Result<(), String> {
        let folder = self.mounted.join(name);
        loop {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            match rustix::mount::unmount(&folder, flags) {
                // There may be another one below.
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOENT | Errno::PERM) => break,
                Err(error) => {
                    return Err(format!("{}: {}", folder.display(), io::Error::from(error)));
                }
            }
        }
        gone(fs::remove_dir(&folder)).map_err(at(&folder))?;
        match &self.shared {
            Some(shared) if ours(shared).is_ok() => {
                let folder = shared.join(name);
                gone(fs::remove_dir_all(&folder)).map_err(at(&folder))?;
                // Others may be in use there.
                let _ = fs::remove_dir(shared);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The names of the folders there are.
    pub(crate) fn names(&self) -> Vec<String> {
        let folders = [Some(&self.mounted), self.shared.as_ref()].into_iter().flatten();
        let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

// === impl Folder ===

impl Folder {
    /// A folder in it, which its users may look into: the outermost lets nobody in.
    pub(crate) fn child(&self, name: &str) -> Result<Self, String> {
        let path = self.0.join(name);
        let made = DirBuilder::new().create(&path);
        made.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(at(&path))?;
        Ok(Self(path))
    }

    /// Its path.
    pub(crate) fn text(&self) -> Result<String, String> {
        let text = self.0.to_str().map(str::to_owned);
        text.ok_or_else(|| format!("{} is not UTF-8", self.0.display()))
    }

    /// Writes a file; its path. Without an owner it is this process'.
    pub(crate) fn write(
        &self,
        name: &str,
        data: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<String, String> {
        let path = self.0.join(name);
        let written = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(data)?;
            if let Some((uid, gid)) = owner {
                fchown(&file, Some(uid), Some(gid))?;
            }
            file.set_permissions(fs::Permissions::from_mode(mode))
        };
        written().map_err(at(&path))?;
        Self(path).text()
    }
}

fn mount(folder: &Path, size: u64) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let try_with = |more: &str| {
        let options = format!("mode=0700,size={size}{more}\0");
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes());
        rustix::mount::mount("swarmw", folder, "tmpfs", flags, options.unwrap_or_default())
    };
    // Kernels before 6.4 may write it to swap, as they may any memory.
    match try_with(",noswap") {
        Err(Errno::INVAL) => try_with(""),
        mounted => mounted,
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Others may write where it is: it may be theirs.
fn ours(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == getuid().as_raw() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other("it is there, and not a folder of this user's alone"))
}

fn is_in_memory(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| {
        u32::try_from(found.f_type).is_ok_and(|number| IN_MEMORY.contains(&number))
    })
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

fn at(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}
