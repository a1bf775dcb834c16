//! The Compose files of a command line, and what they are read in.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use swarmw_compose::{Input, Loaded, PROJECT_NAME, Request, load as load_files};

use crate::failure::Failure;

/// The variable with the profiles that are wanted, as Docker's other client has it.
const PROFILES_VARIABLE: &str = "COMPOSE_PROFILES";
/// Standard input in place of a file.
const STANDARD_INPUT: &str = "-";

/// Which files, and what of them.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct FileFlags {
    /// Path to a Compose file, or "-" to read from stdin
    #[arg(short, long, value_name = "strings", value_delimiter = ',')]
    pub(super) compose_file: Vec<String>,
    /// Profiles whose services are wanted as well, "*" for all
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    profile: Vec<String>,
}

/// Reads the files as one, for a stack of this name if it is known.
pub(super) fn load(
    flags: &FileFlags,
    stack: Option<&str>,
    interpolate: bool,
) -> Result<Loaded, Failure> {
    let first = flags
        .compose_file
        .first()
        .ok_or_else(|| Failure::new("Specify a Compose file (with --compose-file)"))?;
    let mut files = Vec::new();
    for name in &flags.compose_file {
        files.push(Input { name: name.clone(), text: text_of(name)? });
    }
    let mut environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    environment.extend(stack.map(|stack| (PROJECT_NAME.to_owned(), stack.to_owned())));
    let mut profiles = flags.profile.clone();
    let named = environment.get(PROFILES_VARIABLE).map(String::as_str).unwrap_or_default();
    profiles.extend(named.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
    load_files(&Request {
        files,
        folder: folder_of(first)?,
        environment,
        profiles,
        interpolate,
        read: &|path| std::fs::read(path),
    })
    .map_err(|troubles| Failure::new(troubles.to_string()))
}

fn text_of(name: &str) -> Result<String, Failure> {
    let bytes = match name {
        STANDARD_INPUT => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            bytes
        }
        name => {
            let path = Path::new(name);
            std::fs::read(path).map_err(|error| Failure::opening(path, &error))?
        }
    };
    String::from_utf8(bytes).map_err(|_| Failure::new(format!("{name}: not UTF-8 text")))
}

/// The folder of the first file; the working directory for standard input.
fn folder_of(name: &str) -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("no working directory: {error}")))?;
    Ok(match name {
        STANDARD_INPUT => here,
        name => match here.join(name).parent() {
            Some(folder) => folder.to_owned(),
            None => here,
        },
    })
}
