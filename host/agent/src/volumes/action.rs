//! A driver's steps after they were checked, and what undoes them. They are what the
//! journal holds, so they need neither the driver nor its grants any more.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most steps: a system call or a short program.
const STEP_DEADLINE: Duration = Duration::from_secs(60);
/// Making or growing a file system.
const FORMAT_DEADLINE: Duration = Duration::from_secs(600);
/// Deleting all files of a volume.
const REMOVE_DEADLINE: Duration = Duration::from_secs(600);

/// One step that may be done. Paths are relative to the volume's directory and were
/// found to stay in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Makes a directory and what is missing above it.
    Directory { path: String, mode: u32 },
    /// Makes a sparse file, or grows it.
    ImageFile { path: String, size: u64 },
    /// Attaches an image file to a block device.
    LoopDevice { path: String },
    /// Makes a file system on the device unless there is something on it.
    Format { fs_type: String },
    /// Grows the device's file system to the device.
    Grow,
    /// Mounts a file system on the target.
    Mount { fs_type: String, source: Word, options: Vec<Word> },
    /// Runs a FUSE program until the target is unmounted.
    Helper { program: String, args: Vec<Word>, env: Vec<(String, Word)>, stdin: Option<Word> },
    /// Tasks see this path alone.
    Subpath { path: String },
    /// Deletes a path and all below.
    RemoveTree { path: String },
    /// Makes a volume of the engine, and tasks see it.
    EngineVolume { driver: String, name: String, options: BTreeMap<String, String> },
    /// Deletes a volume of the engine.
    RemoveEngineVolume { name: String },
}

/// A text, then a value that is known when the step runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) value: Option<Value>,
}

/// What stands behind a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// The absolute form of a path of the volume.
    Path(String),
    /// The last loop device.
    Device,
    /// The directory that is mounted on.
    Target,
    /// The bytes of the volume's secret of this key.
    Secret(String),
    /// The path of a file in memory that holds them.
    SecretFile(String),
}

/// What undoes a step; each does nothing when there is nothing to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Undo {
    /// Deletes what the plan itself made: it was not there before.
    RemoveMade(String),
    /// Detaches an image file from its device.
    Detach(String),
    /// Unmounts the target.
    Unmount,
    /// Unmounts the target and ends the helper.
    EndHelper,
    /// Deletes a volume of the engine that the plan itself made.
    RemoveMadeVolume(String),
    /// Forgets the files in memory that hold its secrets.
    ForgetSecrets,
}

// === impl Action ===

impl Action {
    /// The keys of the secrets that it wants as files.
    pub(crate) fn secret_files(&self) -> Vec<String> {
        let words: Vec<&Word> = match self {
            Self::Mount { source, options, .. } => std::iter::once(source).chain(options).collect(),
            Self::Helper { args, env, stdin, .. } => {
                args.iter().chain(env.iter().map(|(_, word)| word)).chain(stdin).collect()
            }
            _ => Vec::new(),
        };
        let key = |word: &Word| match &word.value {
            Some(Value::SecretFile(key)) => Some(key.clone()),
            _ => None,
        };
        let mut keys: Vec<_> = words.into_iter().filter_map(key).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// The longest that the step may take.
    pub(crate) fn deadline(&self) -> Duration {
        match self {
            Self::Format { .. } | Self::Grow => FORMAT_DEADLINE,
            Self::RemoveTree { .. } => REMOVE_DEADLINE,
            _ => STEP_DEADLINE,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, .. } => write!(f, "directory {path}"),
            Self::ImageFile { path, size } => write!(f, "image-file {path} of {size} bytes"),
            Self::LoopDevice { path } => write!(f, "loop-device {path}"),
            Self::Format { fs_type } => write!(f, "format-if-blank {fs_type}"),
            Self::Grow => f.write_str("grow-file-system"),
            Self::Mount { fs_type, source, .. } => write!(f, "mount {fs_type} {source}"),
            Self::Helper { program, .. } => write!(f, "helper {program}"),
            Self::Subpath { path } => write!(f, "subpath {path}"),
            Self::RemoveTree { path } => write!(f, "remove-tree {path}"),
            Self::EngineVolume { name, .. } => write!(f, "engine-volume {name}"),
            Self::RemoveEngineVolume { name } => write!(f, "remove-engine-volume {name}"),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.value {
            None => Ok(()),
            Some(Value::Path(path)) => write!(f, "{{path {path}}}"),
            Some(Value::Device) => f.write_str("{device}"),
            Some(Value::Target) => f.write_str("{target}"),
            Some(Value::Secret(key)) => write!(f, "{{secret {key}}}"),
            Some(Value::SecretFile(key)) => write!(f, "{{file of secret {key}}}"),
        }
    }
}

// === impl Undo ===

impl Undo {
    /// Whether it takes away what should last once the plan has succeeded: a failed
    /// plan alone undoes that.
    pub(crate) fn is_of_what_lasts(&self) -> bool {
        matches!(self, Self::RemoveMade(_) | Self::RemoveMadeVolume(_))
    }
}
