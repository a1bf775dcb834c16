//! What touches the machine: does a step, and undoes it.

mod beneath;
mod helper;
mod loops;
mod mounts;
mod programs;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use swarmw_model::Payload;

use super::action::{Action, Undo, Value, Word};
use super::record::Place;
use super::wanted::Seen;
use crate::secrets::Memory;

/// Permissions of a file that holds a secret.
const SECRET_FILE_MODE: u32 = 0o600;

/// Who makes volumes on a node's engine.
pub(crate) trait EngineVolumes: Send + Sync + 'static {
    /// Whether there is one of this name.
    fn exists<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, String>>;

    /// Makes one, unless it is there.
    fn make<'a>(
        &'a self,
        name: &'a str,
        driver: &'a str,
        options: &'a BTreeMap<String, String>,
        labels: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Deletes one, if it is there.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Where its data are on this machine.
    fn directory<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<PathBuf, String>>;
}

/// What the steps of a plan have come to so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct SoFar {
    /// The last loop device.
    pub(crate) device: Option<PathBuf>,
    /// Something is mounted on the target.
    pub(crate) mounted: bool,
    /// What tasks see, below that or the volume's directory.
    pub(crate) subpath: Option<String>,
    /// What tasks see instead.
    pub(crate) engine: Option<Seen>,
    /// What is on the device is half a file system of ours.
    pub(crate) half_formatted: bool,
    /// For a volume that is made.
    pub(crate) labels: BTreeMap<String, String>,
    /// The volume's secrets, by the keys that plans have for them.
    pub(crate) secrets: BTreeMap<String, Payload>,
    /// Files in memory that hold some of them.
    pub(crate) secret_files: BTreeMap<String, String>,
}

/// Does steps and undoes them.
pub(crate) trait Hands: Send + Sync + 'static {
    /// What will undo a step, told before it is done.
    fn foresee<'a>(
        &'a self,
        place: &'a Place,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Vec<Undo>, String>>;

    /// Does a step. It may have been done, wholly or in part, before.
    fn perform<'a>(
        &'a self,
        place: &'a Place,
        action: &'a Action,
        so_far: &'a mut SoFar,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Undoes a step that was done, done in part, or not at all.
    fn undo<'a>(&'a self, place: &'a Place, undo: &'a Undo) -> BoxFuture<'a, Result<(), String>>;

    /// Whether what it would undo is there and works.
    fn stands(&self, place: &Place, undo: &Undo) -> bool;

    /// Ends programs that an earlier daemon began and did not see the end of.
    fn end_strays<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, ()>;

    /// What tasks see after a mount plan.
    fn seen(&self, place: &Place, so_far: &SoFar) -> Result<Seen, String>;

    /// Deletes all that is left of a volume.
    fn erase(&self, place: &Place) -> Result<(), String>;
}

/// The hands of this machine.
pub(crate) struct Machine {
    /// Programs that the node's admin allows, and where they are.
    pub(crate) helpers: BTreeMap<String, PathBuf>,
    pub(crate) engine: Option<Arc<dyn EngineVolumes>>,
    /// For secrets that are files.
    pub(crate) memory: Arc<Memory>,
}

// === impl Machine ===

impl Machine {
    fn engine(&self) -> Result<&Arc<dyn EngineVolumes>, String> {
        self.engine.as_ref().ok_or_else(|| "this node has no Docker engine".to_owned())
    }

    async fn do_perform(
        &self,
        place: &Place,
        action: &Action,
        so_far: &mut SoFar,
    ) -> Result<(), String> {
        let files = place.files();
        self.put_secrets(place, action, so_far)?;
        match action {
            Action::Directory { path, mode } => {
                beneath::make_directory(&files, path, *mode).map_err(at(path))
            }
            Action::ImageFile { path, size } => {
                beneath::make_image(&files, path, *size).map_err(at(path))
            }
            Action::LoopDevice { path } => {
                let image = beneath::file(&files, path).map_err(at(path))?;
                so_far.device = Some(loops::attach(&image, place).await?);
                Ok(())
            }
            Action::Format { fs_type } => {
                let device = device(so_far)?;
                let again = std::mem::take(&mut so_far.half_formatted);
                loops::format_if_blank(&device, fs_type, again, place).await
            }
            Action::Grow => loops::grow(&device(so_far)?, place).await,
            Action::Mount { fs_type, source, options } => {
                let source = render(source, place, so_far)?;
                let options = mount_options(options, place, so_far)?;
                let target = place.target();
                mounts::make_target(&target).map_err(|e| format!("{}: {e}", target.display()))?;
                mounts::mount(fs_type.clone(), source, options, target).await?;
                so_far.mounted = true;
                Ok(())
            }
            Action::Helper { program, args, env, stdin } => {
                let path = self
                    .helpers
                    .get(program)
                    .ok_or_else(|| format!("this node does not allow {program} any more"))?;
                let target = place.target();
                mounts::make_target(&target).map_err(|e| format!("{}: {e}", target.display()))?;
                let env = env
                    .iter()
                    .map(|(name, word)| Ok((name.clone(), render(word, place, so_far)?)))
                    .collect::<Result<Vec<_>, String>>()?;
                let call = helper::Call {
                    program: path.clone(),
                    args: renders(args, place, so_far)?,
                    env,
                    stdin: stdin.as_ref().map(|w| input(w, place, so_far)).transpose()?,
                };
                helper::start(call, place).await?;
                so_far.mounted = true;
                Ok(())
            }
            Action::Subpath { path } => {
                so_far.subpath = Some(path.clone());
                Ok(())
            }
            Action::RemoveTree { path } => {
                let path = path.clone();
                blocking(move || beneath::remove_tree(&files, &path).map_err(at(&path))).await
            }
            Action::EngineVolume { driver, name, options } => {
                self.engine()?.make(name, driver, options, &so_far.labels).await?;
                so_far.engine = Some(Seen::Engine {
                    driver: driver.clone(),
                    name: name.clone(),
                    options: options.clone(),
                });
                Ok(())
            }
            Action::RemoveEngineVolume { name } => self.engine()?.delete(name).await,
        }
    }

    async fn do_undo(&self, place: &Place, undo: &Undo) -> Result<(), String> {
        let files = place.files();
        match undo {
            Undo::RemoveMade(path) => {
                let path = path.clone();
                blocking(move || beneath::remove_tree(&files, &path).map_err(at(&path))).await
            }
            Undo::Detach(path) => loops::detach(&files.join(path), place).await,
            Undo::Unmount => mounts::unmount(place.target(), mounts::Busy::Waits).await,
            Undo::EndHelper => helper::end(place).await,
            Undo::RemoveMadeVolume(name) => self.engine()?.delete(name).await,
            Undo::ForgetSecrets => self.memory.close(&in_memory(place)),
        }
    }

    /// Puts the secrets that a step wants as files into memory.
    fn put_secrets(
        &self,
        place: &Place,
        action: &Action,
        so_far: &mut SoFar,
    ) -> Result<(), String> {
        let keys = action.secret_files();
        if keys.is_empty() {
            return Ok(());
        }
        let secrets = keys
            .into_iter()
            .map(|key| Ok((secret(&key, so_far)?.clone(), key)))
            .collect::<Result<Vec<_>, String>>()?;
        let sizes: Vec<_> = secrets.iter().map(|(data, _)| data.bytes().len() as u64).collect();
        let folder = self.memory.open(&in_memory(place), &sizes)?;
        for (data, key) in secrets {
            let path = folder.write(&key, data.bytes(), SECRET_FILE_MODE, None)?;
            so_far.secret_files.insert(key, path);
        }
        Ok(())
    }

    async fn do_foresee(&self, place: &Place, action: &Action) -> Result<Vec<Undo>, String> {
        let made = |path: &str| {
            let missing = beneath::first_missing(&place.files(), path).map_err(at(path))?;
            Ok(missing.map(Undo::RemoveMade).into_iter().collect())
        };
        // Who uses them ends before they go.
        let then = |undo| match action.secret_files().is_empty() {
            true => Ok(vec![undo]),
            false => Ok(vec![Undo::ForgetSecrets, undo]),
        };
        match action {
            Action::Directory { path, .. } | Action::ImageFile { path, .. } => made(path),
            Action::LoopDevice { path } => Ok(vec![Undo::Detach(path.clone())]),
            Action::Mount { .. } => then(Undo::Unmount),
            Action::Helper { .. } => then(Undo::EndHelper),
            Action::EngineVolume { name, .. } => match self.engine()?.exists(name).await? {
                true => Ok(Vec::new()),
                false => Ok(vec![Undo::RemoveMadeVolume(name.clone())]),
            },
            _ => Ok(Vec::new()),
        }
    }
}

impl Hands for Machine {
    fn foresee<'a>(
        &'a self,
        place: &'a Place,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Vec<Undo>, String>> {
        self.do_foresee(place, action).boxed()
    }

    fn perform<'a>(
        &'a self,
        place: &'a Place,
        action: &'a Action,
        so_far: &'a mut SoFar,
    ) -> BoxFuture<'a, Result<(), String>> {
        self.do_perform(place, action, so_far).boxed()
    }

    fn undo<'a>(&'a self, place: &'a Place, undo: &'a Undo) -> BoxFuture<'a, Result<(), String>> {
        self.do_undo(place, undo).boxed()
    }

    fn stands(&self, place: &Place, undo: &Undo) -> bool {
        match undo {
            Undo::Unmount => mounts::is_mounted(&place.target()),
            Undo::EndHelper => mounts::is_mounted(&place.target()) && helper::lives(place),
            _ => true,
        }
    }

    fn end_strays<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, ()> {
        helper::end_processes(place).boxed()
    }

    fn seen(&self, place: &Place, so_far: &SoFar) -> Result<Seen, String> {
        if let Some(engine) = &so_far.engine {
            return Ok(engine.clone());
        }
        let base = if so_far.mounted { place.target() } else { place.files() };
        let seen = match &so_far.subpath {
            None => base,
            Some(path) => beneath::directory(&base, path).map_err(at(path))?,
        };
        Ok(Seen::Directory(seen))
    }

    fn erase(&self, place: &Place) -> Result<(), String> {
        if mounts::is_mounted(&place.target()) {
            return Err(format!("{} is mounted still", place.target().display()));
        }
        place.erase().map_err(|e| format!("{}: {e}", place.folder().display()))
    }
}

fn at(path: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{path}: {error}")
}

fn device(so_far: &SoFar) -> Result<PathBuf, String> {
    so_far.device.clone().ok_or_else(|| "no loop device was attached".to_owned())
}

fn renders(words: &[Word], place: &Place, so_far: &SoFar) -> Result<Vec<String>, String> {
    words.iter().map(|word| render(word, place, so_far)).collect()
}

fn render(word: &Word, place: &Place, so_far: &SoFar) -> Result<String, String> {
    let shown = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| format!("{} is not UTF-8", path.display()))
    };
    let value = match &word.value {
        None => String::new(),
        Some(Value::Path(path)) => {
            // What is there must be in the volume's directory, and no link out of it.
            let (root, _) = beneath::parent(&place.files(), path).map_err(at(path))?;
            drop(root);
            shown(&place.files().join(path))?
        }
        Some(Value::Device) => shown(&device(so_far)?)?,
        Some(Value::Target) => shown(&place.target())?,
        Some(Value::Secret(key)) => one_line(key, secret(key, so_far)?)?,
        Some(Value::SecretFile(key)) => {
            let path = so_far.secret_files.get(key).cloned();
            path.ok_or_else(|| format!("the secret {key} is in no file"))?
        }
    };
    Ok(format!("{}{value}", word.text))
}

/// Options of a mount: a secret with a comma in it would be two of them.
fn mount_options(words: &[Word], place: &Place, so_far: &SoFar) -> Result<Vec<String>, String> {
    let option = |word: &Word| {
        let option = render(word, place, so_far)?;
        match &word.value {
            Some(Value::Secret(key)) if option.contains(',') => Err(format!(
                "the secret {key} has a comma in it, which no option of a mount can have"
            )),
            _ => Ok(option),
        }
    };
    words.iter().map(option).collect()
}

/// What a program reads: a secret as it is, to the last byte.
fn input(word: &Word, place: &Place, so_far: &SoFar) -> Result<Vec<u8>, String> {
    match &word.value {
        Some(Value::Secret(key)) => {
            Ok([word.text.as_bytes(), secret(key, so_far)?.bytes()].concat())
        }
        _ => render(word, place, so_far).map(String::into_bytes),
    }
}

fn secret<'s>(key: &str, so_far: &'s SoFar) -> Result<&'s Payload, String> {
    so_far.secrets.get(key).ok_or_else(|| format!("this node was not given the secret {key}"))
}

/// A secret as one line, without the line end that an editor puts behind it.
fn one_line(key: &str, data: &Payload) -> Result<String, String> {
    let text = std::str::from_utf8(data.bytes()).ok();
    let line = text.map(|text| text.strip_suffix('\n').unwrap_or(text));
    let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
    let line = line.filter(|line| !line.contains(char::is_control));
    line.map(str::to_owned).ok_or_else(|| format!("the secret {key} is not one line of text"))
}

/// The volume's folder in memory.
fn in_memory(place: &Place) -> String {
    let name = place.folder().file_name().unwrap_or_default();
    format!("volume-{}", name.to_string_lossy())
}

/// Runs what may take long on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
}
