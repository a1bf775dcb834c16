//! Volumes as tasks name them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use swarmw_model::{Assignment, Mount, MountKind, VolumeId, VolumeSecret, VolumeSpec};

use crate::executor::TaskError;
use crate::template::Template;

/// The driver of a volume that names none.
pub(crate) const LOCAL: &str = "local";
/// Bytes of a key in its folder's name.
const KEY_BYTES: usize = 16;

/// A volume that a task wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) driver: String,
    pub(crate) name: String,
    /// `volume-opt`, as typed.
    pub(crate) options: BTreeMap<String, String>,
    /// For a volume that is made.
    pub(crate) labels: BTreeMap<String, String>,
    /// Of a volume of the cluster.
    pub(crate) id: Option<VolumeId>,
    /// What its driver's plans may have put in.
    pub(crate) secrets: Vec<VolumeSecret>,
}

/// A volume on this node: the name of its folder, which no operator's text gets into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(String);

/// What tasks see of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    /// A directory of the node.
    Directory(PathBuf),
    /// A volume of the node's engine.
    Engine {
        /// The engine's driver.
        driver: String,
        /// Its name in the engine.
        name: String,
        /// For the engine's driver.
        options: BTreeMap<String, String>,
    },
}

// === impl Wanted ===

impl Wanted {
    /// The volume of a mount; `None` for other mounts, and for volumes without a name,
    /// which go with their task.
    pub(crate) fn of(
        mount: &Mount,
        task: &Assignment,
        hostname: &str,
    ) -> Result<Option<Self>, TaskError> {
        if mount.kind != MountKind::Volume || mount.source.is_empty() {
            return Ok(None);
        }
        let template = Template::of(task, hostname);
        let expand = |map: &BTreeMap<String, String>| {
            map.iter()
                .map(|(key, value)| Ok((key.clone(), template.expand(value)?)))
                .collect::<Result<BTreeMap<_, _>, TaskError>>()
        };
        let options = mount.volume_options.as_ref();
        let driver = options.and_then(|o| o.driver_config.as_ref());
        let name = template.expand(&mount.source)?;
        Ok(Some(Self {
            driver: match driver.map(|d| d.name.as_str()) {
                None | Some("") => LOCAL.to_owned(),
                Some(driver) => driver.to_owned(),
            },
            name,
            options: expand(&driver.map(|d| d.options.clone()).unwrap_or_default())?,
            labels: expand(&options.map(|o| o.labels.clone()).unwrap_or_default())?,
            id: None,
            secrets: Vec::new(),
        }))
    }

    /// A volume that an operator asks for.
    pub(crate) fn named(spec: &VolumeSpec, id: Option<VolumeId>) -> Self {
        Self {
            driver: spec.driver.name.clone(),
            name: spec.name.clone(),
            options: spec.driver.options.clone(),
            labels: spec.labels.clone(),
            id,
            secrets: spec.secrets.clone(),
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key::of(&self.driver, &self.name)
    }
}

// === impl Key ===

impl Key {
    pub(crate) fn of(driver: &str, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(driver);
        hash.update([0]);
        hash.update(name);
        Self(hash.finalize().iter().take(KEY_BYTES).map(|b| format!("{b:02x}")).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volumes_folder_is_named_by_driver_and_name_together() {
        let keys = [Key::of("a", "bc"), Key::of("ab", "c"), Key::of("a", "bd")];
        assert!(keys[0] != keys[1] && keys[0] != keys[2]);
        assert_eq!(keys[0], Key::of("a", "bc"));
        assert!(keys[0].as_str().bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
