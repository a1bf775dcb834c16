//! How a command ends when it does not succeed.

use std::io;
use std::path::Path;

use crate::client::ClientError;

/// Exit code of a command that failed while it ran.
pub const FAILED: i32 = 1;
/// Exit code of a plan with changes, where it was asked to say so.
pub const WOULD_CHANGE: i32 = 2;
/// Exit code of a command line that could not be read, as Docker's.
pub const BAD_FLAGS: i32 = 125;

/// Why a command did not succeed; the text is for people, one line or several.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the command itself found wrong.
    #[error("{0}")]
    Told(String),
    /// What the daemon answered, or that it could not be asked.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// All went well, and there would be changes, which is told by the exit code alone.
    #[error("there would be changes")]
    WouldChange,
    /// Output that nobody takes any more.
    #[error("write error: {0}")]
    Output(#[from] io::Error),
}

// === impl Failure ===

impl Failure {
    /// A failure in the command's own words.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Told(message.into())
    }

    /// A file that cannot be read, said as Docker says it.
    pub(crate) fn opening(path: &Path, error: &io::Error) -> Self {
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        Self::Told(format!("open {}: {reason}", path.display()))
    }

    /// Whether the reader of our output has gone, which is not worth a word.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Several failures as one, a line each; `None` of none.
    pub(crate) fn join(failures: Vec<Self>) -> Option<Self> {
        if failures.is_empty() {
            return None;
        }
        let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
        Some(Self::Told(lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_reads_as_dockers() {
        let path = Path::new("/nope");
        let error = std::fs::read(path).expect_err("no such file");
        let said = Failure::opening(path, &error).to_string();
        assert_eq!(said, "open /nope: no such file or directory");
    }
}
