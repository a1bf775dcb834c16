//! The node's tasks on disk: one file each, whole or not there. They are what a
//! restarted daemon adopts its running tasks by.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swarmw_model::{Assignment, Ingress, PublishedPort, TaskId, TaskStatus};
use swarmw_proto::wire;

use crate::net::Known;

/// The tasks of a node.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// What is remembered of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) assignment: Assignment,
    pub(crate) status: TaskStatus,
}

// === impl Store ===

impl Store {
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder.join("tasks"))?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All tasks. A file that cannot be read is left out with a word in the log:
    /// the leader will say what should be.
    pub(crate) fn load(&self) -> std::io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.folder.join("tasks"))? {
            let path = entry?.path();
            if path.extension().is_some() {
                continue;
            }
            match wire::decode(&std::fs::read(&path)?) {
                Ok(kept) => all.push(kept),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a task cannot be read");
                }
            }
        }
        Ok(all)
    }

    pub(crate) fn put(&self, kept: &Kept) -> std::io::Result<()> {
        let path = self.path(kept.assignment.id);
        write_whole(&path, &wire::encode(kept))
    }

    pub(crate) fn remove(&self, task: TaskId) -> std::io::Result<()> {
        match std::fs::remove_file(self.path(task)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// The published ports last heard of: they are served without managers too.
    pub(crate) fn put_ports(&self, ports: &[PublishedPort]) -> std::io::Result<()> {
        write_whole(&self.folder.join("ports"), &wire::encode(ports))
    }

    pub(crate) fn ports(&self) -> Vec<PublishedPort> {
        let bytes = std::fs::read(self.folder.join("ports")).unwrap_or_default();
        wire::decode(&bytes).unwrap_or_default()
    }

    /// What the node's kernel needs beside the ports.
    pub(crate) fn put_ingress(&self, ingress: Option<&Ingress>) -> std::io::Result<()> {
        write_whole(&self.folder.join("ingress"), &wire::encode(&ingress))
    }

    pub(crate) fn ingress(&self) -> Option<Ingress> {
        let bytes = std::fs::read(self.folder.join("ingress")).unwrap_or_default();
        wire::decode(&bytes).unwrap_or_default()
    }

    /// What was last heard of networks: they go on without managers too.
    pub(crate) fn put_networks(&self, known: &Known) -> std::io::Result<()> {
        let path = self.folder.join("networks");
        let temporary = path.with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&wire::encode(known))?;
        // A crash of the machine leaves this one or the one before, whole.
        file.sync_data()?;
        std::fs::rename(&temporary, &path)
    }

    pub(crate) fn networks(&self) -> Known {
        let path = self.folder.join("networks");
        let known = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Known::default(),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => wire::decode(&bytes).map_err(|error| error.to_string()),
        };
        known.unwrap_or_else(|error| {
            tracing::warn!(
                path = %path.display(), error,
                "what was heard of networks cannot be read: the leader will tell it again"
            );
            Known::default()
        })
    }

    fn path(&self, task: TaskId) -> PathBuf {
        self.folder.join("tasks").join(task.to_string())
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_needs_for_published_ports_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path().to_owned()).expect("opens");
        assert_eq!(store.ingress(), None);
        let ingress = Ingress { vni: 4096, data_path_port: 4789, own: None, leaving: Vec::new() };
        store.put_ingress(Some(&ingress)).expect("written");
        assert_eq!(store.ingress(), Some(ingress));
        store.put_ingress(None).expect("written");
        assert_eq!(store.ingress(), None);
    }

    #[test]
    fn what_was_heard_of_networks_is_read_again_and_a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path().to_owned()).expect("opens");
        assert_eq!(store.networks(), Known::default());
        let known = Known { port: 4000, ..Known::default() };
        store.put_networks(&known).expect("written");
        assert_eq!(store.networks(), known);
        std::fs::write(folder.path().join("networks"), "half").expect("damaged");
        assert_eq!(store.networks(), Known::default());
    }
}
