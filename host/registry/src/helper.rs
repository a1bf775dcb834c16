//! Programs that have credentials for registries, in the protocol of Docker's credential
//! helpers: those that exist for clouds and password stores are asked as Docker's client does.
//!
//! Nothing that they say is kept: what they give may end within the hour.

mod ask;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use swarmw_model::ImageReference;

use crate::Credentials;
use crate::auth::{domain, server};

/// What the names of such programs begin with.
const PREFIX: &str = "docker-credential-";

/// A program and the registry that it has credentials for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialHelper {
    /// As references name it.
    registry: String,
    program: Program,
}

/// The programs of a node, one for each registry that has one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CredentialHelpers(Arc<BTreeMap<String, Helper>>);

/// Why a program gave no credentials. It is never told what it gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelperError {
    /// It did not start, or was not heard to its end.
    #[error("the credential helper {program} cannot be run: {why}")]
    NotRun {
        /// Its name or path.
        program: String,
        /// The system's words.
        why: String,
    },
    /// It knows of none.
    #[error("the credential helper {program} has no credentials for {server}")]
    Nothing {
        /// Its name or path.
        program: String,
        /// What it was asked for.
        server: String,
    },
    /// It ended with a failure.
    #[error("the credential helper {program} failed ({status}): {said}")]
    Failed {
        /// Its name or path.
        program: String,
        /// How it ended.
        status: String,
        /// Its words.
        said: String,
    },
    /// It was ended, as it took too long.
    #[error("the credential helper {program} gave no answer in {seconds} s")]
    Silent {
        /// Its name or path.
        program: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It was ended, as it did not stop talking.
    #[error("the credential helper {program} printed more than {max} bytes")]
    TooMuch {
        /// Its name or path.
        program: String,
        /// The bound.
        max: u64,
    },
    /// What it printed is no answer.
    #[error("the credential helper {program} did not print a JSON object with Username and Secret")]
    NoAnswer {
        /// Its name or path.
        program: String,
    },
}

/// How a program is found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    /// By its path.
    At(PathBuf),
    /// By its name, in the folders of the daemon's `PATH`.
    Named(String),
}

/// A registry's program, and who asks it at the moment.
#[derive(Debug)]
struct Helper {
    program: Program,
    server: String,
    under_way: Mutex<Option<WeakShared<Asking>>>,
}

type Asking = BoxFuture<'static, Result<Credentials, HelperError>>;

// === impl CredentialHelper ===

impl FromStr for CredentialHelper {
    type Err = String;

    /// Reads `REGISTRY=/PATH`, or `REGISTRY=NAME` for `docker-credential-NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (registry, program) = text.split_once('=').unwrap_or((text, ""));
        let program = match program {
            path if path.starts_with('/') => Program::At(path.into()),
            name if !name.is_empty() && !name.contains('/') => {
                let name = name.strip_prefix(PREFIX).unwrap_or(name);
                Program::Named(format!("{PREFIX}{name}"))
            }
            _ => {
                return Err(format!(
                    "want REGISTRY=/PATH, or REGISTRY=NAME for {PREFIX}NAME, got {text:?}"
                ));
            }
        };
        let registry = domain(registry);
        if ImageReference::parse(&format!("{registry}/x")).domain() != registry {
            return Err(format!(
                "want a registry as images name it, such as reg.example or reg.example:5000, or \
                 docker.io, got {registry:?}"
            ));
        }
        Ok(Self { registry: registry.to_owned(), program })
    }
}

// === impl CredentialHelpers ===

impl CredentialHelpers {
    /// Those of a node.
    ///
    /// # Errors
    /// A registry has two.
    pub fn new(helpers: impl IntoIterator<Item = CredentialHelper>) -> Result<Self, String> {
        let mut by_registry = BTreeMap::new();
        for CredentialHelper { registry, program } in helpers {
            let server = server(&registry).to_owned();
            let second = program.to_string();
            let helper = Helper { program, server, under_way: Mutex::default() };
            if let Some(first) = by_registry.insert(registry.clone(), helper) {
                return Err(format!(
                    "{registry} has two credential helpers, {} and {second}: name one",
                    first.program
                ));
            }
        }
        Ok(Self(Arc::new(by_registry)))
    }

    /// Asks the program of a registry, named as in references; `None` where it has none.
    ///
    /// One process per registry at a time: who asks while it runs gets what it says.
    ///
    /// # Errors
    /// It has no credentials, failed, or took longer than 20 s.
    pub async fn get(&self, registry: &str) -> Option<Result<Credentials, HelperError>> {
        let asking = self.0.get(domain(registry))?.ask();
        Some(asking.await)
    }

    /// Why programs could not be run if they were asked now.
    pub fn missing(&self) -> Vec<HelperError> {
        self.0.values().filter_map(|helper| helper.program.find().err()).collect()
    }
}

// === impl Helper ===

impl Helper {
    fn ask(&self) -> Shared<Asking> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = under_way.as_ref().and_then(WeakShared::upgrade);
        if let Some(asking) = joined.filter(|asking| asking.peek().is_none()) {
            return asking;
        }
        let asking = ask::ask(self.program.clone(), self.server.clone()).boxed().shared();
        *under_way = asking.downgrade();
        asking
    }
}

// === impl Program ===

impl Program {
    /// Where it is.
    fn find(&self) -> Result<PathBuf, HelperError> {
        self.find_on(&std::env::var_os("PATH").unwrap_or_default())
    }

    fn find_on(&self, path: &OsStr) -> Result<PathBuf, HelperError> {
        let (found, why) = match self {
            Self::At(file) => (Some(file.clone()).filter(|file| file.is_file()), "no such file"),
            Self::Named(name) => {
                let mut folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
                let found = folders
                    .find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()));
                (found, "it is not on the daemon's PATH")
            }
        };
        let program = self.to_string();
        found.ok_or_else(|| HelperError::NotRun { program, why: why.to_owned() })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(file) => file.display().fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}
