//! Secrets and configs on a node: kept in memory while its tasks need them, and shown
//! to tasks as files in memory. Nothing of them reaches a disk or a log.
//!
//! | start reading | for |
//! |---|---|
//! | [`Secrets`] | what a task's runner asks for: files, as mounts that an executor understands |
//! | `vault` | what the leader gave this node |
//! | `files` | which files a task gets, templates expanded; pure |
//! | `memory` | folders in memory |

mod files;
mod memory;
mod vault;

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{Assignment, Mount, MountKind, TaskId};
use tracing::warn;

use crate::executor::TaskError;
use crate::template::Template;
use files::{TaskFile, files};

pub(crate) use memory::Memory;
pub(crate) use vault::{Change, Vault};

/// The secrets and configs of a node, for its tasks.
pub(crate) struct Secrets {
    vault: Arc<Vault>,
    memory: Arc<Memory>,
    /// The node's name, for templates.
    hostname: String,
}

// === impl Secrets ===

impl Secrets {
    /// Takes what the leader gave from the vault, and shows it to tasks through memory.
    pub(crate) fn new(vault: Arc<Vault>, memory: Arc<Memory>, hostname: String) -> Self {
        Self { vault, memory, hostname }
    }

    /// What the leader gave this node.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The task with its secrets and configs as an executor understands them: files of
    /// the node, or folders of them for components, which have no others. What an
    /// earlier daemon had is asked for anew: waits until the leader has told it.
    pub(crate) async fn give(
        &self,
        task: &Assignment,
        in_folders: bool,
    ) -> Result<Assignment, TaskError> {
        let container = task.spec.container_spec.as_ref();
        if container.is_none_or(|c| c.secrets.is_empty() && c.configs.is_empty()) {
            return Ok(task.clone());
        }
        self.vault.whole().await;
        let files = files(task, &Template::of(task, &self.hostname), &self.vault)?;
        let mounts = self.write(task.id, &files, in_folders);
        let mounts = mounts.map_err(|why| {
            self.release(task.id);
            TaskError(format!("secrets and configs: {why}"))
        })?;
        let mut spec = (*task.spec).clone();
        spec.container_spec.get_or_insert_default().mounts.extend(mounts);
        Ok(Assignment { spec: Arc::new(spec), ..task.clone() })
    }

    fn write(
        &self,
        task: TaskId,
        files: &[TaskFile],
        in_folders: bool,
    ) -> Result<Vec<Mount>, String> {
        let size = files.iter().map(|file| file.data.bytes().len() as u64).collect::<Vec<_>>();
        let folder = self.memory.open(&task.to_string(), &size)?;
        let bind = |source: String, target: &str| Mount {
            kind: MountKind::Bind,
            source,
            target: target.to_owned(),
            read_only: true,
            ..Mount::default()
        };
        let mut mounts = Vec::new();
        // Those of one folder in the task are in one folder here.
        let parents: BTreeSet<&str> = files.iter().map(TaskFile::parent).collect();
        for (index, parent) in parents.into_iter().enumerate() {
            let inner = folder.child(&index.to_string())?;
            if in_folders {
                mounts.push(bind(inner.text()?, parent));
            }
            for file in files.iter().filter(|file| file.parent() == parent) {
                // Components have no users: whoever runs them reads their files.
                let owner = (!in_folders).then_some((file.uid, file.gid));
                let path = inner.write(file.name(), file.data.bytes(), file.mode, owner)?;
                if !in_folders {
                    mounts.push(bind(path, &file.path));
                }
            }
        }
        Ok(mounts)
    }

    /// The task has ended, or was not begun: its files go.
    pub(crate) fn release(&self, task: TaskId) {
        if let Err(why) = self.memory.close(&task.to_string()) {
            warn!(%task, %why, "a task's secrets and configs are in memory still");
        }
    }

    /// Files of tasks that are not among these go: an earlier daemon left them.
    pub(crate) fn sweep(&self, alive: &BTreeSet<TaskId>) {
        for name in self.memory.names() {
            if let Ok(task) = name.parse()
                && !alive.contains(&task)
            {
                self.release(task);
            }
        }
    }
}

#[cfg(test)]
mod tests;
