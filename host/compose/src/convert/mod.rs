//! What a project becomes in the cluster's API: networks, secrets, configs and services
//! of a stack, under the stack's name and with its labels. What refers to another object
//! does so by name; whoever deploys finds the ids.

mod access;
mod data;
mod mounts;
mod networks;
mod order;
mod service;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value as Json;
use swarmw_model::{DataSpec, ServiceSpec};

use crate::project::{Dependency, Project};
use crate::trouble::{Position, Trouble, Troubles};
use crate::unsupported::NO_MODELS;

/// On everything that belongs to a stack: its name.
pub const NAMESPACE_LABEL: &str = "com.docker.stack.namespace";
/// On services: the image as the file has it.
pub const IMAGE_LABEL: &str = "com.docker.stack.image";
/// On services whose file names a platform: that one.
pub const PLATFORM_LABEL: &str = "swarmw.platform";
/// On services, before the name of one that they depend on: what must be true of it.
const DEPENDENCY_LABEL: &str = "swarmw.depends_on.";

/// The network of services that name none.
const DEFAULT_NETWORK: &str = "default";

/// A stack as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stack {
    /// Its name.
    pub namespace: String,
    /// Networks of its own that its services use, by name.
    pub networks: Vec<NetworkRequest>,
    /// Networks that must be there already.
    pub external_networks: Vec<String>,
    /// Secrets of its own.
    pub secrets: Vec<DataSpec>,
    /// Configs of its own.
    pub configs: Vec<DataSpec>,
    /// Its services; each stands behind those that it depends on.
    pub services: Vec<StackService>,
}

/// A network to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkRequest {
    /// Its name in the cluster.
    pub name: String,
    /// What `POST /networks/create` takes.
    pub body: Json,
}

/// A service of a stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackService {
    /// Its name in the file.
    pub key: String,
    /// What is wanted. Networks, secrets and configs stand in it by their names.
    pub spec: ServiceSpec,
    /// What must be true of other services of the stack before it starts, by their names
    /// in the file.
    pub depends_on: BTreeMap<String, Dependency>,
}

/// With this key Docker's client makes a volume of the cluster.
const CLUSTER_SPEC: &str = "x-cluster-spec";

/// The label that says what a service waits for.
pub fn dependency_label(name: &str) -> String {
    format!("{DEPENDENCY_LABEL}{name}")
}

// === impl Stack ===

impl Stack {
    /// Takes a project as the stack `namespace`; `read` gives the files of secrets, configs
    /// and profiles of system calls.
    pub fn new(
        project: &Project,
        namespace: &str,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Troubles> {
        let mut stack = Self { namespace: namespace.to_owned(), ..Self::default() };
        let mut troubles = Vec::new();
        networks::of(project, &mut stack);
        for (objects, specs, word) in [
            (&project.secrets, &mut stack.secrets, "secret"),
            (&project.configs, &mut stack.configs, "config"),
        ] {
            for (key, object) in objects.iter().filter(|(_, object)| !object.external) {
                match data::spec(word, key, object, namespace, read) {
                    Ok(spec) => specs.push(spec),
                    Err(trouble) => troubles.push(trouble),
                }
            }
        }
        for (key, volume) in &project.volumes {
            if volume.extras.contains_key(CLUSTER_SPEC) {
                troubles.push(Trouble::at(&volume.at, format!(
                    "volume {key}: {CLUSTER_SPEC} is not supported by this version of swarmw: make \
                     the volume with `swarmw volume create --scope`, and say external: true here"
                )));
            }
        }
        for (key, at) in &project.models {
            troubles.push(Trouble::at(at, format!("model {key}: {NO_MODELS}")));
        }
        let names = order::ordered(project).unwrap_or_else(|trouble| {
            troubles.push(trouble);
            Vec::new()
        });
        for name in names {
            let Some(service) = project.services.get(name) else { continue };
            match service::spec(project, service, namespace, read) {
                Ok(converted) => stack.services.push(converted),
                Err(Refused { at, message }) => troubles.push(Trouble::at(
                    at.as_ref().unwrap_or(&service.at),
                    format!("service {name}: {message}"),
                )),
            }
        }
        if troubles.is_empty() { Ok(stack) } else { Err(Troubles(troubles)) }
    }
}

// === impl StackService ===

impl StackService {
    /// Once the ids of its configs are in the spec: names the one with the credentials of
    /// a Windows container by its id too.
    pub fn settle_credentials(&mut self) {
        let task = std::sync::Arc::make_mut(&mut self.spec.task_template);
        let Some(container) = &mut task.container_spec else { return };
        let id_of = |name: &str| {
            let found = container.configs.iter().find(|config| config.config_name == name);
            found.map(|config| config.config_id.clone())
        };
        let Some(privileges) = &container.privileges else { return };
        let Some(id) = privileges["CredentialSpec"]["Config"].as_str().and_then(id_of) else {
            return;
        };
        let mut privileges = privileges.clone();
        privileges["CredentialSpec"]["Config"] = id.into();
        container.privileges = Some(privileges);
    }
}

/// Why something cannot be had in a cluster.
struct Refused {
    /// Where, if it is not the whole service.
    at: Option<Position>,
    message: String,
}

// === impl Refused ===

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self { at: None, message }
    }
}

impl From<&str> for Refused {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// A name in the cluster: what the file gives it, or its key below the stack's name.
fn scoped(namespace: &str, key: &str, name: &str) -> String {
    match name {
        "" => format!("{namespace}_{key}"),
        name => name.to_owned(),
    }
}

fn with_namespace(namespace: &str, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = labels.clone();
    labels.insert(NAMESPACE_LABEL.to_owned(), namespace.to_owned());
    labels
}
