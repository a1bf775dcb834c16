//! Which files a task gets of its secrets and configs. Pure but for the vault.

use swarmw_model::template::{self, Cause, Given};
use swarmw_model::{
    Assignment, ConfigReference, ContainerSpec, Data, DataId, DataReference, Payload, SecretId,
    SecretReference,
};

use super::Vault;
use crate::executor::TaskError;
use crate::template::Template;

/// The word for a secret, whose template is kept as its data is.
const SECRET: &str = <SecretId as DataId>::KIND;
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
    template: &Template,
    vault: &Vault,
) -> Result<Vec<TaskFile>, TaskError> {
    let Some(container) = &task.spec.container_spec else { return Ok(Vec::new()) };
    let files = Files { container, template, vault };
    let secrets = container
        .secrets
        .iter()
        .map(|reference| files.file(reference, reference.id().and_then(|id| vault.secret(id))));
    let configs = container
        .configs
        .iter()
        .map(|reference| files.file(reference, reference.id().and_then(|id| vault.config(id))));
    secrets.chain(configs).collect()
}

/// What one task was given.
struct Files<'a> {
    container: &'a ContainerSpec,
    template: &'a Template,
    vault: &'a Vault,
}

// === impl Files ===

impl Files<'_> {
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
            true => self.expanded(kind, &data.spec.data).map_err(|why| failed(&why))?,
        };
        Ok(TaskFile {
            path,
            data,
            uid: number(&file.uid)?,
            gid: number(&file.gid)?,
            mode: file.mode & PERMISSIONS,
        })
    }

    /// Its errors name targets and, of a config, words of its template: no data.
    fn expanded(&self, kind: &str, data: &Payload) -> Result<Payload, String> {
        let text = std::str::from_utf8(data.bytes()).map_err(|_| "it is not UTF-8")?;
        let expanded = template::expand_data(text, self.template.context(), self);
        let expanded = expanded.map_err(|error| match error.cause() {
            Cause::Given if kind == SECRET => error.message().to_owned(),
            _ if kind == SECRET => "its template cannot be expanded".to_owned(),
            // The message would show what the template looked at, a secret perhaps.
            Cause::Value => format!("template: {}: it cannot take this value", error.place()),
            _ => error.to_string(),
        })?;
        Ok(expanded.into_bytes().into())
    }
}

impl Given for Files<'_> {
    fn secret(&self, target: &str) -> Result<String, String> {
        let found = by_target(SecretReference::of(self.container), target);
        let data = found.and_then(|id| self.vault.secret(id));
        inserted("secret", data.map(|data| data.spec.data))
    }

    fn config(&self, target: &str) -> Result<String, String> {
        let found = by_target(ConfigReference::of(self.container), target);
        let data = found.and_then(|id| self.vault.config(id));
        inserted("config", data.map(|data| data.spec.data))
    }

    /// Of the task's environment as it will be; nothing for one that it has not.
    fn env(&self, name: &str) -> Result<String, String> {
        let variables = self.container.env.iter().filter_map(|entry| entry.split_once('='));
        let found = variables.rev().find(|(key, _)| *key == name);
        Ok(found.and_then(|(_, value)| self.template.expand(value).ok()).unwrap_or_default())
    }
}

fn by_target<R: DataReference>(references: &[R], target: &str) -> Option<R::Id> {
    let is_it = |reference: &&R| reference.file().is_some_and(|file| file.name == target);
    references.iter().find(is_it)?.id()
}

/// As it is: what it holds is not expanded again. The template may have made the target
/// of another secret, so it is not named.
fn inserted(kind: &str, data: Option<Payload>) -> Result<String, String> {
    let missing = |why: &str| format!("{kind} target {why}");
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
