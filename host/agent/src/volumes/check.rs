//! Which steps of a plan are allowed. Pure: nothing that this lets through gets out of
//! the volume's directory, runs a program that was not granted and allowed, or mounts
//! what was not granted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use swarmw_model::GrantRequest;
use swarmw_plugin_host::volumes::{self as wit, Step};

use super::action::{Action, Value, Word};
use super::wanted::{LOCAL, Wanted};

/// File systems that hold data and nothing of the host: an overlay, a `proc` or a bind
/// would show the node's own files, whatever their source says.
const MOUNTABLE: [&str; 17] = [
    "9p", "btrfs", "ceph", "cifs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660",
    "nfs", "nfs4", "squashfs", "tmpfs", "vfat", "xfs",
];
/// File systems that are made on a blank device.
const FORMATS: [&str; 5] = ["btrfs", "ext2", "ext3", "ext4", "xfs"];
/// What a device that a plan attached is called in a grant.
const LOOP: &str = "loop";
/// Mount options that no plugin gets: they would undo `nosuid,nodev`, or show another
/// part of the host.
const FORBIDDEN_OPTIONS: [&str; 14] = [
    "suid", "dev", "remount", "bind", "rbind", "move", "loop", "shared", "rshared", "slave",
    "rslave", "private", "user", "users",
];
/// The longest relative path.
const PATH_MAX: usize = 1024;
/// The longest part of a path.
const NAME_MAX: usize = 255;
/// The longest word of a step.
const WORD_MAX: usize = 4096;
/// Arguments, options or variables of one step.
const WORDS_MAX: usize = 100;
/// The largest image file.
const IMAGE_MAX: u64 = 16 << 40;
/// Permissions and the sticky bit; a directory has no set-user-id bit of a plugin's.
const MODE_MAX: u32 = 0o1777;

/// Which plan the steps are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Create,
    Mount,
    Remove,
    /// To so many bytes.
    Expand(u64),
}

/// What the node and the operator allow.
#[derive(Clone, Debug)]
pub(crate) struct Powers<'a> {
    /// What the operator granted to the plugin.
    pub(crate) granted: &'a [GrantRequest],
    /// Programs that the node's admin allows, and where they are.
    pub(crate) helpers: &'a BTreeMap<String, PathBuf>,
    /// Whether the node has an engine.
    pub(crate) engine: bool,
}

/// A step that is not allowed; the text says which, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {number} of the driver's plan ({step}) {why}")]
pub(crate) struct Denied {
    number: usize,
    step: String,
    why: String,
}

/// What the steps so far have made.
#[derive(Default)]
struct SoFar {
    device: bool,
    mounted: bool,
    subpath: bool,
    engine_volume: bool,
}

/// Where a word stands: a secret is not put where others of the machine read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// What is mounted, which the table of mounts shows.
    Source,
    /// An option of a mount.
    Option,
    /// An argument of a program, which the list of processes shows.
    Argument,
    /// A variable of a program.
    Variable,
    /// A program's standard input.
    Input,
}

/// What the words of a plan are held against.
#[derive(Clone, Copy)]
struct Held<'a> {
    volume: &'a Wanted,
    powers: &'a Powers<'a>,
}

/// The steps as they may be done.
pub(crate) fn check(
    steps: Vec<Step>,
    phase: Phase,
    volume: &Wanted,
    powers: &Powers<'_>,
) -> Result<Vec<Action>, Denied> {
    let mut so_far = SoFar::default();
    let mut actions = Vec::with_capacity(steps.len());
    for (index, step) in steps.into_iter().enumerate() {
        let name = name(&step);
        let action = one(step, phase, volume, powers, &mut so_far).map_err(|why| Denied {
            number: index + 1,
            step: name.clone(),
            why,
        })?;
        actions.push(action);
    }
    Ok(actions)
}

fn one(
    step: Step,
    phase: Phase,
    volume: &Wanted,
    powers: &Powers<'_>,
    so_far: &mut SoFar,
) -> Result<Action, String> {
    match step {
        Step::Directory(made) if made.mode <= MODE_MAX => {
            Ok(Action::Directory { path: path(made.path)?, mode: made.mode })
        }
        Step::Directory(made) => Err(format!("has mode {:o}; at most {MODE_MAX:o}", made.mode)),
        Step::ImageFile(image) if (1..=IMAGE_MAX).contains(&image.size) => {
            Ok(Action::ImageFile { path: path(image.path)?, size: image.size })
        }
        Step::ImageFile(image) => {
            Err(format!("has {} bytes; 1 to {IMAGE_MAX} are possible", image.size))
        }
        Step::LoopDevice(image) => {
            so_far.device = true;
            Ok(Action::LoopDevice { path: path(image)? })
        }
        Step::FormatIfBlank(fs_type) => {
            device_is_there(so_far)?;
            if !FORMATS.contains(&fs_type.as_str()) {
                return Err(format!("wants another file system than {}", FORMATS.join(", ")));
            }
            granted(powers, GrantRequest::Mount(fs_type.clone(), LOOP.to_owned()))?;
            Ok(Action::Format { fs_type })
        }
        Step::GrowFileSystem => device_is_there(so_far).map(|()| Action::Grow),
        Step::Mount(mount) => mounted(mount, Held { volume, powers }, so_far),
        Step::Helper(helper) => helped(helper, Held { volume, powers }, so_far),
        Step::Subpath(_) if so_far.subpath => Err("is the second of its kind".to_owned()),
        Step::Subpath(inner) => {
            so_far.subpath = true;
            Ok(Action::Subpath { path: path(inner)? })
        }
        Step::RemoveTree(_) | Step::RemoveEngineVolume(_) if phase != Phase::Remove => {
            Err("belongs to the removal of a volume only".to_owned())
        }
        Step::RemoveTree(tree) => Ok(Action::RemoveTree { path: path(tree)? }),
        Step::EngineVolume(made) => {
            so_far.engine_volume = true;
            engine_volume(made, volume, powers)
        }
        Step::RemoveEngineVolume(name) => {
            engine_volume_name(&name, volume, powers)?;
            Ok(Action::RemoveEngineVolume { name })
        }
    }
}

fn mounted(mount: wit::MountStep, held: Held<'_>, so_far: &mut SoFar) -> Result<Action, String> {
    if !MOUNTABLE.contains(&mount.fs_type.as_str()) {
        return Err(format!("wants a file system that volumes cannot have: {}", mount.fs_type));
    }
    only_mount(so_far)?;
    let source = held.word(mount.source, Stands::Source, so_far)?;
    let named = match (&source.value, source.text.as_str()) {
        (Some(Value::Device), "") => LOOP.to_owned(),
        (None, text) if !text.is_empty() => {
            if text.split(['/', ':']).any(|part| part == "..") {
                return Err("has a source with .. in it".to_owned());
            }
            text.to_owned()
        }
        _ => return Err("has a source that is neither a text nor the device".to_owned()),
    };
    granted(held.powers, GrantRequest::Mount(mount.fs_type.clone(), named))?;
    let options = held.words(mount.options, Stands::Option, so_far)?;
    for option in &options {
        if option.text.contains(',') {
            return Err(format!("has two mount options in one: {option}"));
        }
        let name = option.text.split('=').next().unwrap_or_default();
        if FORBIDDEN_OPTIONS.contains(&name) {
            return Err(format!("has mount option {name}, which no plugin gets"));
        }
    }
    Ok(Action::Mount { fs_type: mount.fs_type, source, options })
}

fn helped(helper: wit::HelperStep, held: Held<'_>, so_far: &mut SoFar) -> Result<Action, String> {
    only_mount(so_far)?;
    let program = helper.program;
    granted(held.powers, GrantRequest::Helper(program.clone()))?;
    if !held.powers.helpers.contains_key(&program) {
        return Err(format!(
            "is not allowed on this node: its daemon would need \
             --volume-helper {program}=/path/to/{program}"
        ));
    }
    let mut env = Vec::new();
    let mut names = BTreeSet::new();
    for (name, value) in helper.env {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let reserved = name == "PATH" || name.starts_with("LD_") || name.starts_with("SWARMW_");
        if name.is_empty() || !name.chars().all(plain) || reserved || !names.insert(name.clone()) {
            return Err(format!("sets the variable {name:?}, which no plugin sets"));
        }
        env.push((name, held.word(value, Stands::Variable, so_far)?));
    }
    if env.len() > WORDS_MAX {
        return Err(format!("sets {} variables; at most {WORDS_MAX}", env.len()));
    }
    let args = held.words(helper.args, Stands::Argument, so_far)?;
    let stdin = helper.stdin.map(|arg| held.word(arg, Stands::Input, so_far)).transpose()?;
    Ok(Action::Helper { program, args, env, stdin })
}

/// What the engine makes is what the operator typed: a plugin that could choose the
/// options would choose a bind of the host's root.
fn engine_volume(
    made: wit::EngineStep,
    volume: &Wanted,
    powers: &Powers<'_>,
) -> Result<Action, String> {
    engine_volume_name(&made.name, volume, powers)?;
    if made.driver != LOCAL {
        return Err(format!("wants the engine's driver {:?}; plugins have local", made.driver));
    }
    let typed = |(name, value): &(String, String)| volume.options.get(name) == Some(value);
    if let Some((name, _)) = made.options.iter().find(|option| !typed(option)) {
        return Err(format!("has option {name}, which is not as the operator typed it"));
    }
    let options = made.options.into_iter().collect();
    Ok(Action::EngineVolume { driver: made.driver, name: made.name, options })
}

fn engine_volume_name(name: &str, volume: &Wanted, powers: &Powers<'_>) -> Result<(), String> {
    if !powers.engine {
        return Err("needs a Docker engine, and this node has none".to_owned());
    }
    if name != volume.name {
        return Err(format!("names another volume than {}", volume.name));
    }
    Ok(())
}

fn granted(powers: &Powers<'_>, power: GrantRequest) -> Result<(), String> {
    if powers.granted.iter().any(|granted| granted.covers(&power)) {
        return Ok(());
    }
    Err(format!("is not granted: the plugin would need {power}"))
}

fn device_is_there(so_far: &SoFar) -> Result<(), String> {
    if so_far.device { Ok(()) } else { Err("comes before any loop-device".to_owned()) }
}

fn only_mount(so_far: &mut SoFar) -> Result<(), String> {
    if so_far.mounted {
        return Err("mounts a second time on the one target".to_owned());
    }
    so_far.mounted = true;
    Ok(())
}

// === impl Held ===

impl Held<'_> {
    fn words(
        self,
        args: Vec<wit::Arg>,
        stands: Stands,
        so_far: &SoFar,
    ) -> Result<Vec<Word>, String> {
        if args.len() > WORDS_MAX {
            return Err(format!("has {} words; at most {WORDS_MAX}", args.len()));
        }
        args.into_iter().map(|arg| self.word(arg, stands, so_far)).collect()
    }

    fn word(self, arg: wit::Arg, stands: Stands, so_far: &SoFar) -> Result<Word, String> {
        let text = arg.text;
        if text.len() > WORD_MAX || text.contains(char::is_control) {
            return Err(format!("has a word that is longer than {WORD_MAX} or not one line"));
        }
        let value = match arg.value {
            None => None,
            Some(wit::Value::Secret(key)) => {
                if matches!(stands, Stands::Source | Stands::Argument) {
                    return Err(format!(
                        "puts the secret {} where others of the machine see it: secret-file, a \
                         variable and the standard input are for that",
                        shown(&key)
                    ));
                }
                self.secret(&key)?;
                Some(Value::Secret(key))
            }
            Some(wit::Value::SecretFile(key)) => {
                self.secret(&key)?;
                Some(Value::SecretFile(key))
            }
            Some(wit::Value::Path(inner)) => Some(Value::Path(path(inner)?)),
            Some(wit::Value::Device) => {
                device_is_there(so_far)?;
                Some(Value::Device)
            }
            Some(wit::Value::Target) => Some(Value::Target),
        };
        Ok(Word { text, value })
    }

    /// The volume must have it under this key, and the plugin the power to use it.
    fn secret(self, key: &str) -> Result<(), String> {
        let found = self.volume.secrets.iter().find(|secret| secret.key == key);
        let Some(secret) = found else {
            let key = shown(key);
            return Err(format!(
                "wants the secret {key}, which the volume does not grant: it would be made with \
                 --secret {key}=NAME"
            ));
        };
        granted(self.powers, GrantRequest::Secret(secret.name.clone()))
    }
}

/// A relative path that names something below the volume's directory.
fn path(path: String) -> Result<String, String> {
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= NAME_MAX;
    let good =
        path.len() <= PATH_MAX && path.split('/').all(part) && !path.contains(char::is_control);
    if good { Ok(path) } else { Err(format!("has a path that leads out of the volume: {path:?}")) }
}

/// A step's name for messages; what else it says may be hostile.
fn name(step: &Step) -> String {
    let what = match step {
        Step::Directory(_) => "directory",
        Step::ImageFile(_) => "image-file",
        Step::LoopDevice(_) => "loop-device",
        Step::FormatIfBlank(fs) => return plain("format-if-blank", fs),
        Step::GrowFileSystem => "grow-file-system",
        Step::Mount(mount) => return plain("mount", &mount.fs_type),
        Step::Helper(helper) => return plain("helper", &helper.program),
        Step::Subpath(_) => "subpath",
        Step::RemoveTree(_) => "remove-tree",
        Step::EngineVolume(_) => "engine-volume",
        Step::RemoveEngineVolume(_) => "remove-engine-volume",
    };
    what.to_owned()
}

fn plain(what: &str, word: &str) -> String {
    format!("{what} {}", shown(word))
}

/// Of a word of a plugin's, enough to know it again.
fn shown(word: &str) -> String {
    const SHOWN: usize = 40;
    word.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests;
