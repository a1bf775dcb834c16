//! Why an engine did not do what was asked.

use std::path::Path;

use bollard::errors::Error;

use crate::executor::TaskError;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answers: it may be back soon.
    Away(String),
    /// The engine's own refusal.
    Refused {
        /// HTTP status; 0 where the refusal came within a stream.
        status: u16,
        /// The engine's words.
        message: String,
    },
}

/// HTTP status of things that are not there.
const NOT_FOUND: u16 = 404;
/// HTTP status of what is not allowed, as of networks that have containers.
const FORBIDDEN: u16 = 403;
/// HTTP status of names that are taken.
const CONFLICT: u16 = 409;

// === impl Failure ===

impl Failure {
    /// Sorts an error of the client.
    pub(super) fn of(socket: &Path, error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, message: message.trim().to_owned() }
            }
            Error::DockerStreamError { error } => Self::Refused { status: 0, message: error },
            Error::RequestTimeoutError => Self::away(socket, "it takes too long to answer"),
            Error::SocketNotFoundError(_) => Self::away(socket, "there is no such socket"),
            Error::HyperLegacyError { err } => Self::away(socket, &innermost(&err)),
            Error::HyperResponseError { err } => Self::away(socket, &innermost(&err)),
            Error::IOError { err } => Self::away(socket, &innermost(&err)),
            other => Self::Refused { status: 0, message: other.to_string() },
        }
    }

    /// In Docker's words, with the reason.
    pub(super) fn away(socket: &Path, why: &str) -> Self {
        Self::Away(format!(
            "Cannot connect to the Docker daemon at unix://{}. \
             Is the docker daemon running? ({why})",
            socket.display()
        ))
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: NOT_FOUND, .. })
    }

    /// A network that containers have.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(self, Self::Refused { status: FORBIDDEN | CONFLICT, .. })
    }

    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: CONFLICT, .. })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(why) => f.write_str(why),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

/// The cause at the bottom says the most: the client's own layers say "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_engines_words_and_silence_in_dockers() {
        let socket = Path::new("/run/x.sock");
        let refused = Failure::of(
            socket,
            Error::DockerResponseServerError {
                status_code: 404,
                message: "No such container: web.1\n".to_owned(),
            },
        );
        assert!(refused.is_not_found() && !refused.is_conflict());
        assert_eq!(refused.to_string(), "No such container: web.1");

        for silent in [
            Error::RequestTimeoutError,
            Error::SocketNotFoundError("/run/x.sock".to_owned()),
            Error::from(std::io::Error::other("broken")),
        ] {
            let shown = Failure::of(socket, silent).to_string();
            let words = "Cannot connect to the Docker daemon at unix:///run/x.sock. \
                         Is the docker daemon running? (";
            assert!(shown.starts_with(words), "{shown}");
        }
    }
}
