//! Volumes that the cluster knows by name: the same data from every node, wherever
//! their driver keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{Driver, Mount, MountKind, NodeId, SecretId, TaskId, Time, Version, VolumeId};

/// The shortest name of a volume, as Docker has it.
const NAME_MIN: usize = 2;
/// The longest name of a volume.
const NAME_MAX: usize = 255;
/// The longest key of a secret.
const KEY_MAX: usize = 64;
/// The driver of a mount that names none.
const LOCAL: &str = "local";

/// A volume of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClusterVolume {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: VolumeId,
    /// Index of the last write.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What the operator said.
    pub spec: VolumeSpec,
    /// It is about to go: no task takes it any more.
    #[serde(default)]
    pub removing: bool,
    /// Who may write, where one alone may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<VolumeClaim>,
    /// Claims so far: the next one's epoch is one more.
    #[serde(default)]
    pub claims: u64,
}

/// What an operator says of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeSpec {
    /// Unique in the cluster.
    pub name: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// The driver and its options.
    pub driver: Driver,
    /// How many tasks may use it.
    pub sharing: Sharing,
    /// Labels of the nodes that reach it: all of one of these; empty for all nodes.
    #[serde(deserialize_with = "null_as_default")]
    pub reachable: Vec<BTreeMap<String, String>>,
    /// The secrets that its driver's plans may have put in, each under a key of its own.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<VolumeSecret>,
}

/// A secret that a volume's driver may use, by its key, and never sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeSecret {
    /// What plans call it.
    pub key: String,
    /// The secret's name.
    #[serde(rename = "Secret")]
    pub name: String,
    /// The secret; found by its name when the volume is made.
    #[serde(rename = "ID", skip_serializing_if = "is_default")]
    pub id: SecretId,
}

/// How many tasks may use a volume, in Docker's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// One.
    None,
    /// Any number, and none writes.
    ReadOnly,
    /// Any number, and one writes.
    OneWriter,
    /// Any number.
    #[default]
    All,
}

/// One task's right to write to a volume. It ends with the task, or with its node's
/// lease: a node that has not heard of its leader for so long has stopped the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeClaim {
    /// The task.
    #[serde(rename = "TaskID")]
    pub task: TaskId,
    /// Its node.
    #[serde(rename = "NodeID")]
    pub node: NodeId,
    /// Counts the volume's claims: a later one outranks it.
    pub epoch: u64,
}

/// Where the data of a volume are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeScope {
    /// On the node where it was made.
    Local,
    /// The same from every node.
    Cluster,
}

/// A volume as one node keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeVolume {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What tasks see, while they do.
    pub mountpoint: String,
    /// When it was made here.
    pub created_at: Time,
    /// Tasks that use it.
    pub users: Vec<TaskId>,
}

// === impl ClusterVolume ===

impl ClusterVolume {
    /// A volume that nobody has dated yet.
    pub fn new(id: VolumeId, spec: VolumeSpec) -> Self {
        Self {
            id,
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec,
            removing: false,
            claim: None,
            claims: 0,
        }
    }
}

// === impl VolumeSpec ===

impl VolumeSpec {
    /// Whether a mount whose source is `source` by now is of this volume.
    pub fn is_mounted_by(&self, mount: &Mount, source: &str) -> bool {
        let driver = mount.volume_options.as_ref().and_then(|o| o.driver_config.as_ref());
        let driver = driver.map_or("", |driver| driver.name.as_str());
        mount.kind == MountKind::Volume
            && source == self.name
            && (matches!(driver, "" | LOCAL) || driver == self.driver.name)
    }

    /// Whether a task needs the claim for this mount of the volume.
    pub fn wants_claim(&self, mount: &Mount) -> bool {
        match self.sharing {
            Sharing::None => true,
            Sharing::OneWriter => !mount.read_only,
            Sharing::ReadOnly | Sharing::All => false,
        }
    }

    /// Whether a node with these labels reaches it.
    pub fn is_reached_from(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.reachable.is_empty() || self.reachable.iter().any(|all| all.iter().all(has))
    }
}

/// Docker's rule for names of volumes, in its words.
///
/// # Errors
/// What is wrong with it.
pub fn check_volume_name(name: &str) -> Result<(), String> {
    if name.len() < NAME_MIN {
        return Err(format!(
            "volume name is too short, names should be at least two alphanumeric characters: \
             {name:?}"
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fits) {
        return Err(format!(
            "{name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path"
        ));
    }
    if name.len() > NAME_MAX {
        return Err(format!("a volume's name has at most {NAME_MAX} bytes: {name:?}"));
    }
    Ok(())
}

/// What a driver may call a secret: a name that a file may have, too.
///
/// # Errors
/// What is wrong with it.
pub fn check_secret_key(key: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts = key.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && key.len() <= KEY_MAX && key.chars().all(fits) {
        return Ok(());
    }
    Err(format!(
        "invalid key {key:?} of a volume's secret: want at most {KEY_MAX} of [a-zA-Z0-9_.-], the \
         first a letter or digit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_elsewhere_are_refused_in_dockers_words() {
        for name in ["data", "a.b", "A1", "9_-"] {
            assert_eq!(check_volume_name(name), Ok(()), "{name}");
        }
        for name in ["..", ".a", "../../etc", "/etc", "a/b", "a b", "é1", "a\0b"] {
            let refused = check_volume_name(name).expect_err(name);
            assert!(refused.contains("includes invalid characters for a local volume name"));
        }
        for name in ["", ".", "x"] {
            let refused = check_volume_name(name).expect_err(name);
            assert!(refused.starts_with("volume name is too short"), "{refused}");
        }
        check_volume_name(&"a".repeat(300)).expect_err("too long");
    }

    #[test]
    fn who_needs_the_claim() {
        let mount = |read_only| Mount { read_only, ..Mount::default() };
        for (sharing, writes, reads) in [
            (Sharing::None, true, true),
            (Sharing::OneWriter, true, false),
            (Sharing::ReadOnly, false, false),
            (Sharing::All, false, false),
        ] {
            let spec = VolumeSpec { sharing, ..VolumeSpec::default() };
            assert_eq!(spec.wants_claim(&mount(false)), writes, "{sharing:?}");
            assert_eq!(spec.wants_claim(&mount(true)), reads, "{sharing:?}");
        }
    }

    #[test]
    fn a_node_reaches_it_by_all_labels_of_one_alternative() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let reachable = vec![map(&[("zone", "a"), ("rack", "1")]), map(&[("zone", "b")])];
        let spec = VolumeSpec { reachable, ..VolumeSpec::default() };
        for (labels, reached) in [
            (map(&[("zone", "a"), ("rack", "1"), ("x", "y")]), true),
            (map(&[("zone", "a")]), false),
            (map(&[("zone", "b"), ("rack", "9")]), true),
            (map(&[]), false),
        ] {
            assert_eq!(spec.is_reached_from(&labels), reached, "{labels:?}");
        }
        assert!(VolumeSpec::default().is_reached_from(&map(&[])));
    }
}
