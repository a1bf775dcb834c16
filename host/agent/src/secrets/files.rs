//! Which files a task gets of its secrets and configs. Pure but for the vault.

use swarmw_model::template::{self, DataField, InvalidTemplate};
use swarmw_model::{
    Assignment, ConfigReference, ContainerSpec, Data, DataId, DataReference, Payload,
    SecretReference,
};

use super::Vault;
use crate::executor::TaskError;
use crate::template::Template;

/// Of a mode, what a file has: no set-user-id bits.
const PERMISSIONS: u32 = 0o777;

/// A file in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskFile {
    /// Its absolute path, without `.`, `..` and doubled slashes.
    pub(super) path: String,
    pub(super) data: Payload,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// All files of a task.
pub(super) fn files(
    task: &Assignment,
    template: &Template<'_>,
    vault: &Vault,
) -> Result<Vec<TaskFile>, TaskError> {
    let Some(container) = &task.spec.container_spec else { return Ok(Vec::new()) };
    let given = Given { container, template, vault };
    let secrets = container
        .secrets
        .iter()
        .map(|reference| given.file(reference, reference.id().and_then(|id| vault.secret(id))));
    let configs = container
        .configs
        .iter()
        .map(|reference| given.file(reference, reference.id().and_then(|id| vault.config(id))));
    secrets.chain(configs).collect()
}

/// What one task was given.
struct Given<'a> {
    container: &'a ContainerSpec,
    template: &'a Template<'a>,
    vault: &'a Vault,
}

// === impl Given ===

impl Given<'_> {
    fn file<R: DataReference>(
        &self,
        reference: &R,
        data: Option<Data<R::Id>>,
    ) -> Result<TaskFile, TaskError> {
        let (kind, name) = (<R::Id as DataId>::KIND, reference.name());
        let failed = |why: &str| TaskError(format!("{kind} {name}: {why}"));
        let data = data.ok_or_else(|| failed("this node was not given it"))?;
        let path = reference.path().ok_or_else(|| failed("it has no target"))?;
        let path = plain(&path).ok_or_else(|| failed("its target is no file"))?;
        let file = reference.file().cloned().unwrap_or_default();
        let number = |text: &str| match text {
            "" => Ok(0),
            text => text.parse().map_err(|_| failed("its owner is no number")),
        };
        let data = match data.spec.is_template() {
            false => data.spec.data,
            true => self.expanded(&data.spec.data).map_err(|why| failed(&why))?,
        };
        Ok(TaskFile {
            path,
            data,
            uid: number(&file.uid)?,
            gid: number(&file.gid)?,
            mode: file.mode & PERMISSIONS,
        })
    }

    /// Its errors name fields and targets, no data.
    fn expanded(&self, data: &Payload) -> Result<Payload, String> {
        let text = std::str::from_utf8(data.bytes()).map_err(|_| "it is not UTF-8")?;
        let expanded = template::expand_data(text, |field| match field {
            DataField::Secret(target) => {
                let found = by_target(SecretReference::of(self.container), target);
                let data = found.and_then(|id| self.vault.secret(id));
                inserted("secret", target, data.map(|data| data.spec.data))
            }
            DataField::Config(target) => {
                let found = by_target(ConfigReference::of(self.container), target);
                let data = found.and_then(|id| self.vault.config(id));
                inserted("config", target, data.map(|data| data.spec.data))
            }
            DataField::Env(name) => Ok(self.variable(name)),
            DataField::OfTask(field) => Ok(self.template.value(field)),
        });
        Ok(expanded.map_err(|error| error.to_string())?.into_bytes().into())
    }

    /// Of the task's environment as it will be; nothing for one that it has not.
    fn variable(&self, name: &str) -> String {
        let variables = self.container.env.iter().filter_map(|entry| entry.split_once('='));
        let found = variables.rev().find(|(key, _)| *key == name);
        found.and_then(|(_, value)| self.template.expand(value).ok()).unwrap_or_default()
    }
}

fn by_target<R: DataReference>(references: &[R], target: &str) -> Option<R::Id> {
    let is_it = |reference: &&R| reference.file().is_some_and(|file| file.name == target);
    references.iter().find(is_it)?.id()
}

/// As it is: what it holds is not expanded again.
fn inserted(kind: &str, target: &str, data: Option<Payload>) -> Result<String, InvalidTemplate> {
    let missing = |why: &str| InvalidTemplate::Missing(format!("{kind} target {target} {why}"));
    let data = data.ok_or_else(|| missing("not found"))?;
    String::from_utf8(data.bytes().to_vec()).map_err(|_| missing("is not UTF-8"))
}

/// A path without what leads elsewhere; `None` where nothing is left.
fn plain(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty() && !path.ends_with('/')).then(|| format!("/{}", parts.join("/")))
}

// === impl TaskFile ===

impl TaskFile {
    /// The folder that it is in.
    pub(super) fn parent(&self) -> &str {
        match self.path.rsplit_once('/') {
            None | Some(("", _)) => "/",
            Some((parent, _)) => parent,
        }
    }

    /// Its name in there.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&*self.path, |(_, name)| name)
    }
}
