//! What can go wrong.

use std::path::PathBuf;

/// Why Raft could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RaftError {
    /// The files.
    #[error("{path}: {message}")]
    Storage {
        /// File or folder.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// There is a log already.
    #[error("this manager has a log already")]
    Founded,
    /// A change of members was not carried out.
    #[error("members could not be changed: {0}")]
    Members(String),
    /// Raft has stopped.
    #[error("raft has stopped: {0}")]
    Stopped(String),
}

/// Why a proposal was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another manager leads; nothing was done.
    #[error("this manager does not lead")]
    NotLeader {
        /// Who does, if that is known: its Raft id and address.
        leader: Option<(u64, String)>,
    },
    /// The leadership was lost while the entry was on its way: it may have been
    /// accepted or not. A retry with the same request id is safe.
    #[error("the leadership was lost before the write was acknowledged")]
    Lost,
    /// Raft has stopped.
    #[error("raft has stopped")]
    Closed,
}

/// What openraft's storage traits want, made from anything.
pub(crate) fn io(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(error.to_string())
}
