//! Where something stands in a file, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A Compose file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// As the user named it.
    pub name: String,
    /// What relative paths in it are relative to.
    pub folder: PathBuf,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub file: Arc<File>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default())]
pub struct Trouble {
    /// Where; absent where it is in no file.
    pub at: Option<Position>,
    /// What, mostly with the path of the key that it is about.
    pub message: String,
}

/// All that is wrong, in the order of the files; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Troubles(pub Vec<Trouble>);

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.name, self.line, self.column)
    }
}

// === impl Trouble ===

impl Trouble {
    /// One at a place.
    pub(crate) fn at(at: &Position, message: impl Into<String>) -> Self {
        Self { at: Some(at.clone()), message: message.into() }
    }

    /// One of no place.
    pub(crate) fn nowhere(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into() }
    }
}

// === impl Troubles ===

impl From<Trouble> for Troubles {
    fn from(trouble: Trouble) -> Self {
        Self(vec![trouble])
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Troubles {}
