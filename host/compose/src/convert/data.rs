//! Secrets and configs.

use std::io;
use std::path::Path;

use serde_json::{Value as Json, json};
use swarmw_model::{ConfigReference, DataSpec, Driver, FileTarget, SecretReference};

use super::{Refused, scoped, with_namespace};
use crate::load::opening;
use crate::project::{Content, CredentialSpec, FileObject, FileReference, Project, Service};
use crate::trouble::Trouble;

/// Docker's permissions where a file says nothing.
const MODE: u32 = 0o444;

/// One to be made.
pub(super) fn spec(
    word: &str,
    key: &str,
    object: &FileObject,
    namespace: &str,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<DataSpec, Trouble> {
    let data = match &object.content {
        Some(Content::File(path)) => {
            read(path).map_err(|error| Trouble::at(&object.at, opening(path, &error)))?
        }
        Some(Content::Environment(_, value)) => value.clone().into_bytes(),
        Some(Content::Inline(text)) => text.clone().into_bytes(),
        None if !object.driver.is_empty() => Vec::new(),
        None => {
            return Err(Trouble::at(
                &object.at,
                format!("{word} {key}: nothing says what is in it: give it a file"),
            ));
        }
    };
    let named = |name: &str| Driver { name: name.to_owned(), ..Driver::default() };
    let driver = Driver { options: object.driver_opts.clone(), ..named(&object.driver) };
    Ok(DataSpec {
        name: scoped(namespace, key, &object.name),
        labels: with_namespace(namespace, &object.labels),
        data: data.into(),
        driver: (!driver.name.is_empty()).then_some(driver),
        templating: (!object.template_driver.is_empty()).then(|| named(&object.template_driver)),
    })
}

pub(super) fn secrets(
    project: &Project,
    service: &Service,
    namespace: &str,
) -> Result<Vec<SecretReference>, Refused> {
    let mut all = Vec::new();
    for reference in &service.secrets {
        let object = project.secrets.get(&reference.source).ok_or_else(|| Refused {
            at: Some(reference.at.clone()),
            message: format!("undefined secret {:?}", reference.source),
        })?;
        all.push(SecretReference {
            file: Some(target(reference)),
            secret_id: String::new(),
            secret_name: scoped(namespace, &reference.source, &object.name),
        });
    }
    all.sort_by(|a, b| a.secret_name.cmp(&b.secret_name));
    Ok(all)
}

/// The configs of a service; one that holds its credentials is for the engine alone.
pub(super) fn configs(
    project: &Project,
    service: &Service,
    namespace: &str,
) -> Result<Vec<ConfigReference>, Refused> {
    let find =
        |key: &str| project.configs.get(key).ok_or_else(|| format!("undefined config {key:?}"));
    let mut all = Vec::new();
    for reference in &service.configs {
        let object = find(&reference.source)
            .map_err(|message| Refused { at: Some(reference.at.clone()), message })?;
        all.push(ConfigReference {
            file: Some(target(reference)),
            config_name: scoped(namespace, &reference.source, &object.name),
            ..ConfigReference::default()
        });
    }
    let key = &service.credential_spec.config;
    if !key.is_empty() {
        all.push(ConfigReference {
            runtime: Some(json!({})),
            config_name: scoped(namespace, key, &find(key)?.name),
            ..ConfigReference::default()
        });
    }
    all.sort_by(|a, b| a.config_name.cmp(&b.config_name));
    Ok(all)
}

fn target(reference: &FileReference) -> FileTarget {
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    FileTarget {
        name: or(&reference.target, &reference.source),
        uid: or(&reference.uid, "0"),
        gid: or(&reference.gid, "0"),
        mode: reference.mode.unwrap_or(MODE),
    }
}

/// Windows' credentials: of one place alone. A config stands by its name here. What files
/// cannot say is said as Docker's client says it: the same stack, deployed by the one client
/// and then by the other, keeps its tasks.
pub(super) fn privileges(
    project: &Project,
    spec: &CredentialSpec,
    namespace: &str,
) -> Result<Json, Refused> {
    let config = match spec.config.as_str() {
        "" => String::new(),
        key => scoped(namespace, key, project.configs.get(key).map_or("", |c| &c.name)),
    };
    let given: Vec<_> = [("Config", &config), ("File", &spec.file), ("Registry", &spec.registry)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect();
    match given.as_slice() {
        [] => Ok(json!({"NoNewPrivileges": false})),
        [(field, text)] => Ok(json!({"CredentialSpec": {*field: text}, "NoNewPrivileges": false})),
        [(a, _), (b, _)] => {
            Err(format!("invalid credential spec: cannot specify both {a:?} and {b:?}").into())
        }
        _ => Err(
            "invalid credential spec: cannot specify both \"Config\", \"File\", and \"Registry\""
                .into(),
        ),
    }
}
