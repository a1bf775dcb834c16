//! TLS towards a daemon on TCP: both sides show a certificate, as with Docker's
//! `--tlsverify`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::failure::Failure;

/// The variable that names a folder with `ca.pem`, `cert.pem` and `key.pem`.
pub const CERTIFICATES_VARIABLE: &str = "SWARMW_CERT_PATH";

/// The files of a client, for `tcp://` with TLS.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsFlags {
    /// Trust only daemons of this certificate authority, and use TLS
    #[arg(long, value_name = "FILE", requires_all = ["tlscert", "tlskey"])]
    tlscacert: Option<PathBuf>,
    /// Certificate to show to the daemon
    #[arg(long, value_name = "FILE", requires_all = ["tlscacert", "tlskey"])]
    tlscert: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires_all = ["tlscacert", "tlscert"])]
    tlskey: Option<PathBuf>,
}

// === impl TlsFlags ===

impl TlsFlags {
    /// The settings, where TLS is asked for: by flags, or by `folder`.
    pub(crate) fn config(
        &self,
        folder: Option<PathBuf>,
    ) -> Result<Option<Arc<ClientConfig>>, Failure> {
        let files = self.files(folder);
        files.map(|[ca, certificate, key]| config(&ca, &certificate, &key)).transpose()
    }

    /// The authority, the certificate and its key, where TLS is asked for.
    pub(crate) fn files(&self, folder: Option<PathBuf>) -> Option<[PathBuf; 3]> {
        match (&self.tlscacert, &self.tlscert, &self.tlskey) {
            (Some(ca), Some(certificate), Some(key)) => {
                Some([ca.clone(), certificate.clone(), key.clone()])
            }
            _ => {
                folder.map(|folder| ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name)))
            }
        }
    }
}

fn config(ca: &Path, certificate: &Path, key: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let unusable = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(format!("{}: {why}", path.display()))
    };
    let certificates = |path: &Path| -> Result<Vec<_>, Failure> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| unusable(path, &error))
    };
    let mut roots = RootCertStore::empty();
    for root in certificates(ca)? {
        roots.add(root).map_err(|error| unusable(ca, &error))?;
    }
    let own = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots))
        .and_then(|builder| builder.with_client_auth_cert(own, key))
        .map_err(|error| unusable(certificate, &error))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_and_folder_there_is_no_tls() {
        assert!(TlsFlags::default().config(None).expect("nothing to read").is_none());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let why = TlsFlags::default().config(Some("/no/such".into())).expect_err("no files");
        assert!(why.to_string().contains("/no/such/ca.pem"), "{why}");
    }
}
