//! Compiled components on disk, authenticated.
//!
//! Loading compiled code is running it, so a file counts only with a MAC by the
//! node's own key over its name and content. The folder is the daemon's alone.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use blake3::Hash;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Why a compiled component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read the compiled component {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was not made by this node, or has changed since.
    #[error("the compiled component {} is not this node's own: it is made anew", path.display())]
    Forged {
        /// The file.
        path: PathBuf,
    },
    /// Another version of the engine made it.
    #[error("the compiled component {} does not load: {reason}", path.display())]
    Incompatible {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Makes the cache's folder, for its owner alone.
pub fn create_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts a compiled component and its MAC in place.
pub fn store(key: &[u8; 32], path: &Path, code: &[u8]) -> io::Result<()> {
    // The MAC goes first: code without one would be made again and again.
    replace(&mac_path(path), tag(key, path, code).as_bytes())?;
    replace(path, code)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether the file is there and authentic.
pub fn verify(key: &[u8; 32], path: &Path) -> Result<(), LoadError> {
    let read = |path: &Path| {
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let mut bytes = Vec::new();
        options
            .open(path)
            .and_then(|mut file| io::Read::read_to_end(&mut file, &mut bytes))
            .map(|_| bytes)
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })
    };
    let code = read(path)?;
    let mac = read(&mac_path(path))?;
    // Hashes compare in constant time.
    let authentic = Hash::from_slice(&mac).is_ok_and(|mac| mac == tag(key, path, &code));
    if authentic { Ok(()) } else { Err(LoadError::Forged { path: path.to_owned() }) }
}

/// Maps a compiled component, after its MAC was checked.
pub fn load(engine: &Engine, key: &[u8; 32], path: &Path) -> Result<Component, LoadError> {
    verify(key, path)?;
    // SAFETY: the bytes are those that this node's own engine wrote, which the MAC
    // by a key that never leaves the node has just shown; the folder is writable
    // by the daemon's user alone, who replaces files and never writes into one, so
    // the mapping does not change under us.
    let component = unsafe { Component::deserialize_file(engine, path) };
    component.map_err(|error| LoadError::Incompatible {
        path: path.to_owned(),
        reason: format!("{error:#}"),
    })
}

fn mac_path(path: &Path) -> PathBuf {
    path.with_extension("mac")
}

/// A keyed hash; BLAKE3 is several times as fast as SHA-256 where the processor knows
/// neither, and each load waits for it.
fn tag(key: &[u8; 32], path: &Path, code: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    if let Some(name) = path.file_name() {
        hasher.update(name.as_encoded_bytes());
    }
    hasher.update(&[0]);
    hasher.update(code);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_node_wrote_under_this_name_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.cwasm");
        let key = [7; 32];
        store(&key, &path, b"code").expect("stored");
        assert!(verify(&key, &path).is_ok());
        assert!(matches!(verify(&[8; 32], &path), Err(LoadError::Forged { .. })));

        let other = folder.path().join("b.cwasm");
        fs::copy(&path, &other).expect("copied");
        fs::copy(mac_path(&path), mac_path(&other)).expect("copied");
        assert!(matches!(verify(&key, &other), Err(LoadError::Forged { .. })));

        fs::write(&path, b"c0de").expect("written");
        assert!(matches!(verify(&key, &path), Err(LoadError::Forged { .. })));
    }
}
