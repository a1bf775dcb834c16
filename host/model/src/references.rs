//! The secrets and configs that a task names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ConfigId, ContainerSpec, DataId, Refusal, RefusalKind, SecretId};

/// Where secrets are whose target is relative.
pub const SECRETS_FOLDER: &str = "/run/secrets";

/// A secret that a task gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecretReference {
    /// The file that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileTarget>,
    /// Its id, as the client wrote it.
    #[serde(rename = "SecretID")]
    pub secret_id: String,
    /// Its name.
    pub secret_name: String,
}

/// A config that a task gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigReference {
    /// The file that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileTarget>,
    /// It is for the engine, not for the task: a Windows credential spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Value>,
    /// Its id, as the client wrote it.
    #[serde(rename = "ConfigID")]
    pub config_id: String,
    /// Its name.
    pub config_name: String,
}

/// A file in a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FileTarget {
    /// Its path; a relative one is below `/run/secrets` for secrets, `/` for configs.
    pub name: String,
    /// Its owner, by number.
    #[serde(rename = "UID")]
    pub uid: String,
    /// Its group, by number.
    #[serde(rename = "GID")]
    pub gid: String,
    /// Its permissions.
    pub mode: u32,
}

/// What references to secrets and to configs have in common.
pub trait DataReference {
    /// What it refers to.
    type Id: DataId + std::str::FromStr;

    /// The folder of relative targets.
    const FOLDER: &'static str;

    /// The id as it was written.
    fn id_text(&self) -> &str;

    /// The name.
    fn name(&self) -> &str;

    /// The file that it becomes.
    fn file(&self) -> Option<&FileTarget>;

    /// All of a container's.
    fn of(container: &ContainerSpec) -> &[Self]
    where
        Self: Sized;

    /// The same, to be changed.
    fn of_mut(container: &mut ContainerSpec) -> &mut [Self]
    where
        Self: Sized;

    /// Has it refer to something else, for the same file.
    fn point_to(&mut self, id: Self::Id, name: String);

    /// The id; `None` where the text is none.
    fn id(&self) -> Option<Self::Id> {
        self.id_text().parse().ok()
    }

    /// The absolute path in the task; `None` where it becomes no file.
    fn path(&self) -> Option<String> {
        let name = &self.file()?.name;
        match name.strip_prefix('/') {
            Some(_) => Some(name.clone()),
            None => Some(format!("{}/{name}", Self::FOLDER.trim_end_matches('/'))),
        }
    }
}

impl DataReference for SecretReference {
    type Id = SecretId;
    const FOLDER: &'static str = SECRETS_FOLDER;

    fn id_text(&self) -> &str {
        &self.secret_id
    }

    fn name(&self) -> &str {
        &self.secret_name
    }

    fn file(&self) -> Option<&FileTarget> {
        self.file.as_ref()
    }

    fn of(container: &ContainerSpec) -> &[Self] {
        &container.secrets
    }

    fn of_mut(container: &mut ContainerSpec) -> &mut [Self] {
        &mut container.secrets
    }

    fn point_to(&mut self, id: SecretId, name: String) {
        self.secret_id = id.to_string();
        self.secret_name = name;
    }
}

impl DataReference for ConfigReference {
    type Id = ConfigId;
    const FOLDER: &'static str = "/";

    fn id_text(&self) -> &str {
        &self.config_id
    }

    fn name(&self) -> &str {
        &self.config_name
    }

    fn file(&self) -> Option<&FileTarget> {
        self.file.as_ref()
    }

    fn of(container: &ContainerSpec) -> &[Self] {
        &container.configs
    }

    fn of_mut(container: &mut ContainerSpec) -> &mut [Self] {
        &mut container.configs
    }

    fn point_to(&mut self, id: ConfigId, name: String) {
        self.config_id = id.to_string();
        self.config_name = name;
    }
}

/// What can be told of a container's references without the cluster, in Swarm's words.
pub(crate) fn check(container: &ContainerSpec) -> Result<(), Refusal> {
    if container.configs.iter().any(|config| config.runtime.is_some()) {
        return Err(Refusal::plain(
            RefusalKind::Unimplemented,
            "configs for the engine (Runtime, credential specs) are not supported by this version \
             of swarmw",
        ));
    }
    if container.configs.iter().any(|config| config.file.is_none()) {
        return Err(Refusal::invalid("invalid Config: either File or Runtime should be set"));
    }
    check_all(&container.secrets)?;
    check_all(&container.configs)
}

fn check_all<R: DataReference>(references: &[R]) -> Result<(), Refusal> {
    let kind = <R::Id as DataId>::KIND;
    let rpc = |message: String| Refusal::rpc(RefusalKind::InvalidArgument, message);
    let mut targets = BTreeMap::new();
    for reference in references {
        let name = reference.name();
        if reference.id_text().is_empty() || name.is_empty() {
            return Err(rpc(format!("malformed {kind} reference")));
        }
        let Some(file) = reference.file() else {
            return Err(rpc(format!("malformed {kind} reference, no target provided")));
        };
        if file.name.is_empty() || file.name.contains('\0') {
            return Err(rpc(format!(
                "malformed file {kind} reference, invalid target file name provided"
            )));
        }
        if let Some(other) = targets.insert(&file.name, name) {
            return Err(rpc(format!(
                "{kind} references '{other}' and '{name}' have a conflicting target: '{}'",
                file.name
            )));
        }
        for (what, number) in [("UID", &file.uid), ("GID", &file.gid)] {
            if !number.is_empty() && number.parse::<u32>().is_err() {
                return Err(rpc(format!(
                    "malformed file {kind} reference, {what} {number:?} of {name} is no number"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(spec: Value) -> String {
        let spec: ContainerSpec = serde_json::from_value(spec).expect("a spec");
        let said = check(&spec).err().map(|refusal| refusal.to_string()).unwrap_or_default();
        said.trim_start_matches("rpc error: code = InvalidArgument desc = ").to_owned()
    }

    #[test]
    fn references_are_checked_in_swarms_words() {
        let secret = |name: &str, target: &str| {
            json!({"SecretID": "x", "SecretName": name,
                "File": {"Name": target, "UID": "0", "GID": "0", "Mode": 0o444}})
        };
        let config = |name: &str, target: &str| json!({"ConfigID": "x", "ConfigName": name, "File": {"Name": target}});
        for (spec, want) in [
            (json!({"Secrets": [secret("a", "a"), secret("b", "b")]}), ""),
            (json!({"Secrets": [secret("a", "/t")], "Configs": [config("a", "/t")]}), ""),
            (json!({"Secrets": [secret("", "a")]}), "malformed secret reference"),
            (
                json!({"Configs": [{"ConfigName": "a", "File": {"Name": "a"}}]}),
                "malformed config reference",
            ),
            (
                json!({"Configs": [{"ConfigID": "x", "ConfigName": "a"}]}),
                "invalid Config: either File or Runtime should be set",
            ),
            (
                json!({"Secrets": [{"SecretID": "x", "SecretName": "a"}]}),
                "malformed secret reference, no target provided",
            ),
            (
                json!({"Configs": [config("a", "")]}),
                "malformed file config reference, invalid target file name provided",
            ),
            (
                json!({"Secrets": [secret("a", "t"), secret("b", "t")]}),
                "secret references 'a' and 'b' have a conflicting target: 't'",
            ),
            (
                json!({"Secrets": [{"SecretID": "x", "SecretName": "a",
                    "File": {"Name": "a", "UID": "root"}}]}),
                "malformed file secret reference, UID \"root\" of a is no number",
            ),
            (
                json!({"Configs": [{"ConfigID": "x", "ConfigName": "a", "Runtime": {}}]}),
                "configs for the engine (Runtime, credential specs) are not supported by this \
                 version of swarmw",
            ),
        ] {
            assert_eq!(refused(spec.clone()), want, "{spec}");
        }
    }

    #[test]
    fn relative_targets_are_where_docker_has_them() {
        let file = |name: &str| Some(FileTarget { name: name.into(), ..FileTarget::default() });
        for (name, of_secret, of_config) in [
            ("a", "/run/secrets/a", "/a"),
            ("d/a", "/run/secrets/d/a", "/d/a"),
            ("/etc/a", "/etc/a", "/etc/a"),
        ] {
            let secret = SecretReference { file: file(name), ..SecretReference::default() };
            let config = ConfigReference { file: file(name), ..ConfigReference::default() };
            assert_eq!(secret.path().as_deref(), Some(of_secret));
            assert_eq!(config.path().as_deref(), Some(of_config));
        }
    }
}
