//! Snapshots: the state and its place in the log, as one sealed file.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use swarmw_seal::Seal;

use crate::error::io;
use crate::types::{LogId, MembersRecord, Position, SnapshotMeta};

pub(crate) const NAME: &str = "snapshot";
const VERSION: u8 = 1;

/// A snapshot's place in the log, and who the members were there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    at: Option<Position>,
    members: MembersRecord,
}

/// The latest snapshot: in a file, or in memory for simulations.
#[derive(Clone)]
pub(crate) enum Shelf {
    Disk {
        folder: PathBuf,
        seal: Seal,
        /// One at a time, from sealing to the file's name: what is sealed anew stays so.
        writing: Arc<Mutex<()>>,
    },
    Memory(Arc<Mutex<Option<(Header, Bytes)>>>),
}

#[derive(Serialize, Deserialize)]
struct Content {
    header: Header,
    #[serde(with = "serde_bytes_vec")]
    state: Vec<u8>,
}

// === impl Header ===

impl From<&SnapshotMeta> for Header {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            at: meta.last_log_id.as_ref().map(Position::from),
            members: MembersRecord::from(&meta.last_membership),
        }
    }
}

impl From<Header> for SnapshotMeta {
    fn from(header: Header) -> Self {
        Self { last_log_id: header.at.map(LogId::from), last_membership: header.members.into() }
    }
}

// === impl Shelf ===

impl Shelf {
    /// Keeps a snapshot in place of the one before.
    pub(crate) fn put(&self, header: Header, state: &Bytes) -> std::io::Result<()> {
        match self {
            Self::Memory(kept) => {
                *kept.lock().map_err(io)? = Some((header, state.clone()));
                Ok(())
            }
            Self::Disk { folder, seal, writing } => {
                let mut plain = vec![VERSION];
                let content = Content { header, state: state.to_vec() };
                ciborium::into_writer(&content, &mut plain).map_err(io)?;
                let _turn = writing.lock().map_err(io)?;
                write(folder, &seal.seal(NAME.as_bytes(), &plain))
            }
        }
    }

    /// Seals the latest snapshot by the key that is present now.
    pub(crate) fn reseal(&self) -> std::io::Result<()> {
        let Self::Disk { folder, seal, writing } = self else { return Ok(()) };
        let _turn = writing.lock().map_err(io)?;
        match read(folder)? {
            Some(sealed) => {
                let plain = seal.open(NAME.as_bytes(), &sealed).map_err(io)?;
                write(folder, &seal.seal(NAME.as_bytes(), &plain))
            }
            None => Ok(()),
        }
    }

    /// The latest snapshot, if there is one.
    pub(crate) fn get(&self) -> std::io::Result<Option<(Header, Bytes)>> {
        let (folder, seal) = match self {
            Self::Memory(kept) => return Ok(kept.lock().map_err(io)?.clone()),
            Self::Disk { folder, seal, .. } => (folder, seal),
        };
        let Some(sealed) = read(folder)? else { return Ok(None) };
        let plain = seal.open(NAME.as_bytes(), &sealed).map_err(io)?;
        match plain.split_first() {
            Some((&VERSION, body)) => {
                let content: Content = ciborium::from_reader(body).map_err(io)?;
                Ok(Some((content.header, content.state.into())))
            }
            _ => Err(io("written by a newer swarmw")),
        }
    }
}

fn write(folder: &Path, sealed: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join("snapshot.new");
    let mut file = File::create(&temporary)?;
    file.write_all(sealed)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

fn read(folder: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut sealed = Vec::new();
    match File::open(folder.join(NAME)).and_then(|mut file| file.read_to_end(&mut sealed)) {
        Ok(_) => Ok(Some(sealed)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Bytes as bytes: serde would write a list of numbers.
mod serde_bytes_vec {
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}
