//! The journal of a volume: one file in its folder, whole or not there, on disk before
//! the step that it speaks of is done.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swarmw_model::{Time, VolumeId, VolumeSecret};
use swarmw_plugin_host::volumes;
use swarmw_proto::wire;

use super::action::{Action, Undo};
use super::wanted::{Key, Seen, Wanted};

/// What is known of a volume on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) driver: String,
    pub(crate) name: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Of a volume of the cluster.
    pub(crate) id: Option<VolumeId>,
    /// What its driver's plans may have put in: which, never what.
    #[serde(default)]
    pub(crate) secrets: Vec<VolumeSecret>,
    /// To how many bytes an operator has let it grow, whatever smaller size tasks name.
    #[serde(default)]
    pub(crate) grown: Option<u64>,
    /// Whether its create plan has been carried out.
    pub(crate) created: bool,
    /// A file system was begun and not finished: what is on the device is nothing.
    pub(crate) formatting: bool,
    pub(crate) stage: Stage,
    /// In the order of the steps; undone from the end.
    pub(crate) undo: Vec<Undo>,
    /// While it is mounted.
    pub(crate) seen: Option<Seen>,
}

/// What is being done to a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Nothing; it is not mounted.
    Idle,
    /// Its create plan is under way.
    Creating,
    /// Its mount plan is under way.
    Mounting,
    /// Its plan to grow is under way.
    Expanding,
    /// Tasks see it.
    Mounted,
    /// It is being unmounted, or could not be.
    Unmounting,
    /// It goes, and nothing brings it back: these steps, without the driver.
    Removing(Vec<Action>),
}

/// The option that says how many bytes a volume has.
pub(crate) const SIZE: &str = "size";

/// The bytes that options name.
pub(crate) fn size_of(options: &BTreeMap<String, String>) -> Option<u64> {
    options.get(SIZE).and_then(|text| volumes::size(text)).and_then(|size| size.try_into().ok())
}

/// The folder of one volume.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

// === impl Record ===

impl Record {
    pub(crate) fn new(wanted: &Wanted) -> Self {
        Self {
            driver: wanted.driver.clone(),
            name: wanted.name.clone(),
            options: wanted.options.clone(),
            labels: wanted.labels.clone(),
            id: wanted.id,
            secrets: wanted.secrets.clone(),
            grown: None,
            created: false,
            formatting: false,
            stage: Stage::Idle,
            undo: Vec::new(),
            seen: None,
        }
    }

    /// These options of the volume as it has grown since they were written.
    pub(crate) fn as_grown(&self, options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut options = options.clone();
        if let Some(grown) = self.grown
            && size_of(&options).is_none_or(|size| size < grown)
        {
            options.insert(SIZE.to_owned(), grown.to_string());
        }
        options
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            driver: self.driver.clone(),
            name: self.name.clone(),
            options: self.options.clone(),
            labels: self.labels.clone(),
            id: self.id,
            secrets: self.secrets.clone(),
        }
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn new(folder: &Path, key: &Key) -> Self {
        Self(folder.join(key.as_str()))
    }

    /// The place of a folder that is there.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The volume's own directory, which plans know.
    pub(crate) fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// What is mounted on; it is there only while something is.
    pub(crate) fn target(&self) -> PathBuf {
        self.0.join("mounted")
    }

    /// What a helper says.
    pub(crate) fn helper_log(&self) -> PathBuf {
        self.0.join("helper.log")
    }

    fn record(&self) -> PathBuf {
        self.0.join("record")
    }

    /// When the volume's directory was made, as its file system knows it.
    pub(crate) fn made_at(&self) -> Time {
        let made = std::fs::metadata(self.files()).and_then(|found| found.created());
        let since = made.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(Time::ZERO, |d| Time::from_nanos(i64::try_from(d.as_nanos()).unwrap_or(0)))
    }

    /// Makes the folder and the volume's directory.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.files())
    }

    pub(crate) fn read(&self) -> io::Result<Option<Record>> {
        match std::fs::read(self.record()) {
            Ok(bytes) => wire::decode(&bytes).map(Some).map_err(io::Error::other),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns when it is on disk.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let new = self.0.join("record.new");
        let mut file = OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&wire::encode(record))?;
        file.sync_all()?;
        std::fs::rename(new, self.record())?;
        File::open(&self.0)?.sync_all()
    }

    /// Forgets the volume and deletes all of its folder. The journal goes last: until
    /// then the rest is known to be a volume's.
    pub(crate) fn erase(&self) -> io::Result<()> {
        for path in [self.files(), self.helper_log()] {
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        }
        match std::fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}
