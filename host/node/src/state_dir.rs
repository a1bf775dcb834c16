//! The daemon's folder: one daemon at a time, files that are whole or not there.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use swarmw_agent::LeftOnEngine;
use swarmw_model::{ClusterId, NodeId};

/// The extension of a file that is not whole yet.
pub(crate) const UNFINISHED: &str = "new";

/// What the machine's engine may have still of nodes that left their clusters.
const LEFT: &str = "left-on-engine.json";

/// A state folder that this process holds.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// What a node must remember of its cluster to come back to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where it listens for other nodes.
    pub listen: String,
    /// Where other nodes reach it.
    pub advertise: String,
    /// Managers last heard of, as `host:port`.
    pub managers: Vec<String>,
    /// Its seat among the managers, if it has one.
    pub raft_id: Option<u64>,
    /// Where the VXLAN of its overlay networks ends; `None`: at the host of `advertise`.
    #[serde(default)]
    pub data_path: Option<IpAddr>,
}

// === impl StateDir ===

impl StateDir {
    /// Takes a folder, which is made when it is missing.
    ///
    /// # Errors
    /// Another daemon holds it: the message names its process.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("cannot make the state folder {}", path.display()))?;
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot protect the state folder {}", path.display()))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .with_context(|| format!("cannot open {}", file.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).unwrap_or_default();
            bail!(
                "the state folder {} is in use by the daemon with pid {}; \
                 stop it, or give this one another --state-dir",
                path.display(),
                holder.trim()
            );
        }
        lock.set_len(0).and_then(|()| lock.rewind()).context("cannot write the lock file")?;
        writeln!(lock, "{}", std::process::id()).context("cannot write the lock file")?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A path inside the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What is remembered of a cluster, if this node is in one.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn membership(&self) -> Result<Option<Membership>> {
        let path = self.join("node.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is damaged", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Whether the node was in a cluster when its daemon last ran. One whose membership is
    /// damaged was: it takes no part before its file is mended, and is nobody's new node.
    pub fn has_membership(&self) -> bool {
        !matches!(self.membership(), Ok(None))
    }

    /// Remembers a cluster.
    ///
    /// # Errors
    /// The disk.
    pub fn remember(&self, membership: &Membership) -> Result<()> {
        write_whole(&self.join("node.json"), &serde_json::to_vec_pretty(membership)?)
    }

    /// Forgets the cluster: everything but the lock.
    ///
    /// # Errors
    /// The disk.
    pub fn forget(&self) -> Result<()> {
        // The membership goes first: what is left after a crash is then no cluster.
        self.remove(&["node.json"])?;
        self.clear()?;
        self.remove(&["compiled", "keys"])
    }

    /// Removes what a crash while a cluster was founded, joined or left may have kept
    /// of it. Only for a node that is in none.
    ///
    /// # Errors
    /// The disk.
    pub fn clear(&self) -> Result<()> {
        self.remove(&["certificates", "raft", "keys/raft", "blobs", "agent"])
    }

    /// What nodes that this one was may have left on its engine.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn left(&self) -> Result<Vec<LeftOnEngine>> {
        let path = self.join(LEFT);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged: remove it", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Remembers what a node may have left there, whatever cluster comes next.
    ///
    /// # Errors
    /// The disk.
    pub fn leave(&self, left: LeftOnEngine) -> Result<()> {
        let mut all = self.left()?;
        all.push(left);
        write_whole(&self.join(LEFT), &serde_json::to_vec_pretty(&all)?)
    }

    /// All of it is gone.
    ///
    /// # Errors
    /// The disk.
    pub fn nothing_is_left(&self) -> Result<()> {
        self.remove(&[LEFT])
    }

    fn remove(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let path = self.join(name);
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match gone {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A key of this node, made the first time.
    ///
    /// # Errors
    /// The disk, or a file of another length.
    pub fn key(&self, name: &str) -> Result<[u8; 32]> {
        let folder = self.join("keys");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        if !path.exists() {
            let mut key = [0u8; 32];
            File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut key))
                .context("cannot read /dev/urandom")?;
            write_whole(&path, &key)?;
        }
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        bytes
            .try_into()
            .ok()
            .with_context(|| format!("{} is damaged: want 32 bytes", path.display()))
    }
}

/// Writes a file so that after a crash it is the old or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(UNFINISHED);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use swarmw_model::NetworkId;

    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_holds_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = StateDir::open(folder.path()).expect("free");
        let refused = StateDir::open(folder.path()).expect_err("held").to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        StateDir::open(folder.path()).expect("free again");
    }

    #[test]
    fn what_is_left_on_an_engine_is_remembered_over_clusters_until_it_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = StateDir::open(folder.path()).expect("free");
        assert!(dir.left().expect("read").is_empty());
        let left = |node| LeftOnEngine {
            node: NodeId::from_bits(node),
            networks: vec![NetworkId::from_bits(node)],
        };
        dir.leave(left(1)).expect("written");
        dir.forget().expect("forgotten");
        dir.leave(left(2)).expect("written");
        dir.clear().expect("cleared");
        assert_eq!(dir.left().expect("read"), [left(1), left(2)]);
        dir.nothing_is_left().expect("removed");
        assert!(dir.left().expect("read").is_empty());
        dir.nothing_is_left().expect("nothing to remove");
    }

    #[test]
    fn a_node_whose_membership_is_damaged_is_no_new_node() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = StateDir::open(folder.path()).expect("free");
        assert!(!dir.has_membership());
        std::fs::write(dir.join("node.json"), "{").expect("written");
        assert!(dir.has_membership());
        dir.membership().expect_err("damaged");
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = StateDir::open(folder.path()).expect("free");
        let key = dir.key("raft").expect("a key");
        assert_eq!(dir.key("raft").expect("the key"), key);
        assert_ne!(dir.key("cache").expect("another"), key);
    }
}
