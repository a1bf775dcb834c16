//! Content-addressed bytes: components of plugins and images of Wasm tasks.
//!
//! A blob enters by its bytes, is held by a majority of managers, and only then
//! may a Raft entry name it. Names are digests, so a blob never changes, and a
//! manager that lacks one asks the others for it.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use swarmw_model::Blob;

/// The largest blob: a Wasm image of a task. Plugins have a lower cap of their own.
pub const BLOB_MAX: u64 = 256 << 20;

/// How the name of a blob ends that is being written.
const PART: &str = "part";
/// Tells writers of the same blob apart.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Blobs in a folder, one file per digest.
#[derive(Clone, Debug)]
pub struct BlobStore {
    folder: PathBuf,
    /// Digests that somebody asked for or brought since the last sweep.
    touched: Arc<Mutex<BTreeSet<String>>>,
}

/// Why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The text is not a digest.
    #[error("not a digest: {0:?}; want sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// The bytes are not what the digest says.
    #[error("the bytes have digest {found}, not {wanted}")]
    Mismatch {
        /// What was asked for.
        wanted: String,
        /// What came.
        found: String,
    },
    /// Larger than [`BLOB_MAX`].
    #[error("{size} bytes are more than a blob may have ({BLOB_MAX})")]
    TooLarge {
        /// Bytes so far.
        size: u64,
    },
    /// No such blob here.
    #[error("blob {0} is not on this manager")]
    Missing(String),
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The digest of some bytes, as blobs are named.
pub fn digest_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(7 + 64);
    text.push_str("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

// === impl BlobStore ===

impl BlobStore {
    /// The blobs of a folder, which is made when it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let folder = folder.into().join("sha256");
        std::fs::create_dir_all(&folder).map_err(|source| io(&folder, source))?;
        for entry in std::fs::read_dir(&folder).map_err(|source| io(&folder, source))?.flatten() {
            // A crash came while it was written; nobody can name it.
            if entry.path().extension().is_some_and(|e| e == PART) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder, touched: Arc::default() })
    }

    /// Stores bytes under their digest; storing them again does nothing.
    ///
    /// # Errors
    /// Too many bytes, or a full disk.
    pub fn put(&self, bytes: &[u8]) -> Result<Blob, BlobError> {
        let size = bytes.len() as u64;
        if size > BLOB_MAX {
            return Err(BlobError::TooLarge { size });
        }
        let digest = digest_of(bytes);
        let path = self.path(&digest)?;
        if !self.touch(&digest, &path) {
            // The same bytes may be on their way twice.
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            let temporary = path.with_extension(format!("{turn}.{PART}"));
            write_through(&temporary, bytes)
                .and_then(|()| std::fs::rename(&temporary, &path))
                .and_then(|()| std::fs::File::open(&self.folder)?.sync_all())
                .map_err(|source| {
                    let _ = std::fs::remove_file(&temporary);
                    io(&path, source)
                })?;
            self.touched().insert(digest.clone());
        }
        Ok(Blob { digest, size })
    }

    /// Notes that a blob is wanted; whether it is here. From now on a sweep that was
    /// begun before leaves it alone.
    fn touch(&self, digest: &str, path: &Path) -> bool {
        let mut touched = self.touched();
        let here = path.is_file();
        if here {
            touched.insert(digest.to_owned());
        }
        here
    }

    /// The blobs that are here, and those of them that were touched since the last
    /// call.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn look(&self) -> Result<(BTreeSet<String>, BTreeSet<String>), BlobError> {
        let touched = std::mem::take(&mut *self.touched());
        let mut here = BTreeSet::new();
        for entry in std::fs::read_dir(&self.folder).map_err(|e| io(&self.folder, e))? {
            let name = entry.map_err(|e| io(&self.folder, e))?.file_name();
            let digest = format!("sha256:{}", name.to_string_lossy());
            // Parts have other names.
            if self.path(&digest).is_ok() {
                here.insert(digest);
            }
        }
        Ok((here, touched))
    }

    /// Removes a blob, unless it was touched since the last look; whether it did.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn remove_untouched(&self, digest: &str) -> Result<bool, BlobError> {
        let path = self.path(digest)?;
        let touched = self.touched();
        if touched.contains(digest) {
            return Ok(false);
        }
        std::fs::remove_file(&path).map(|()| true).map_err(|source| io(&path, source))
    }

    fn touched(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores bytes that must have this digest.
    ///
    /// # Errors
    /// They have another one, or the disk is full.
    pub fn put_as(&self, digest: &str, bytes: &[u8]) -> Result<Blob, BlobError> {
        let found = digest_of(bytes);
        if found != digest {
            return Err(BlobError::Mismatch { wanted: digest.to_owned(), found });
        }
        self.put(bytes)
    }

    /// Reads a blob and checks that the disk has not changed it.
    ///
    /// # Errors
    /// It is not here, or is damaged: then it is removed, so that it is fetched anew.
    pub fn get(&self, digest: &str) -> Result<Bytes, BlobError> {
        let path = self.path(digest)?;
        let mut bytes = Vec::new();
        match std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(BlobError::Missing(digest.to_owned()));
            }
            Err(source) => return Err(io(&path, source)),
        }
        let found = digest_of(&bytes);
        if found != digest {
            std::fs::remove_file(&path).map_err(|source| io(&path, source))?;
            return Err(BlobError::Mismatch { wanted: digest.to_owned(), found });
        }
        Ok(bytes.into())
    }

    /// Whether a blob is here. Who asks is about to have it named.
    pub fn has(&self, digest: &str) -> bool {
        self.path(digest).is_ok_and(|path| self.touch(digest, &path))
    }

    fn path(&self, digest: &str) -> Result<PathBuf, BlobError> {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let right = hex.len() == 64
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !right {
            return Err(BlobError::Digest(digest.to_owned()));
        }
        Ok(self.folder.join(hex))
    }
}

fn write_through(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn io(path: &Path, source: std::io::Error) -> BlobError {
    BlobError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_comes_back_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BlobStore::open(folder.path()).expect("a store");
        let blob = store.put(b"component").expect("room");
        assert_eq!(store.put(b"component").expect("room"), blob);
        assert_eq!(store.get(&blob.digest).expect("there"), "component");

        std::fs::write(store.path(&blob.digest).expect("a digest"), b"changed").expect("a write");
        assert!(matches!(store.get(&blob.digest), Err(BlobError::Mismatch { .. })));
        assert!(matches!(store.get(&blob.digest), Err(BlobError::Missing(_))));
    }

    #[test]
    fn what_a_crash_left_half_written_goes_and_blobs_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BlobStore::open(folder.path()).expect("a store");
        let blob = store.put(b"component").expect("room");
        let half = store.path(&digest_of(b"half")).expect("a digest").with_extension("17.part");
        std::fs::write(&half, b"ha").expect("a write");

        let store = BlobStore::open(folder.path()).expect("a store");
        assert!(!half.exists() && store.has(&blob.digest));
    }

    #[test]
    fn the_same_bytes_may_come_many_times_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BlobStore::open(folder.path()).expect("a store");
        let bytes = vec![7; 1 << 20];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| store.put(&bytes).expect("room"));
            }
        });
        assert_eq!(store.get(&digest_of(&bytes)).expect("there"), bytes);
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BlobStore::open(folder.path()).expect("a store");
        for name in ["", "sha256:", "sha256:../../etc/passwd", "md5:00", &"a".repeat(71)] {
            assert!(matches!(store.get(name), Err(BlobError::Digest(_))), "{name}");
            assert!(!store.has(name));
        }
    }

    #[test]
    fn bytes_must_have_the_digest_they_come_under() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BlobStore::open(folder.path()).expect("a store");
        let digest = digest_of(b"this");
        assert!(matches!(store.put_as(&digest, b"that"), Err(BlobError::Mismatch { .. })));
        assert!(store.put_as(&digest, b"this").is_ok());
    }
}
