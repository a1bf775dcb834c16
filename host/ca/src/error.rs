//! What can go wrong with keys and certificates.

use std::path::PathBuf;

/// What went wrong with a key, a certificate or a file of them.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A key or certificate could not be made or read.
    #[error("{what}: {source}")]
    Certificate {
        /// What was being done.
        what: &'static str,
        /// What the library said.
        source: rcgen::Error,
    },
    /// A certificate that is not one of ours.
    #[error("not a node's certificate: {0}")]
    Identity(&'static str),
    /// TLS refuses the key or the certificate.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The PEM text holds nothing of the kind.
    #[error("no {0} in the PEM text")]
    Pem(&'static str),
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the credentials does not hold what it should.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        why: String,
    },
    /// The token is of another cluster.
    #[error("remote CA does not match fingerprint. Expected: {expected}")]
    Fingerprint {
        /// The digest in the token, in hexadecimal.
        expected: String,
    },
    /// The text is no token.
    #[error(transparent)]
    Token(#[from] crate::InvalidToken),
}

/// Names what was being done when the library refused.
pub(crate) fn doing(what: &'static str) -> impl Fn(rcgen::Error) -> CaError {
    move |source| CaError::Certificate { what, source }
}
