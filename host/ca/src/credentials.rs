//! A node's certificate, key and root: on disk and in memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::PublicKeyData;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use swarmw_model::{Duration, Time};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{CaError, Identity};

/// What a node proves itself by.
#[derive(Clone)]
pub struct Credentials {
    /// Who it is.
    pub identity: Identity,
    /// Its certificate.
    pub chain_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// The root it trusts.
    pub root_pem: String,
}

/// A certificate is renewed at a random point between these shares of its life.
const RENEW_FROM: f64 = 0.5;
const RENEW_TO: f64 = 0.8;

/// A key whose certificate is about to be written.
const NEXT_KEY: &str = "next-node.key";

// === impl Credentials ===

impl Credentials {
    /// Writes the three files. Each is the old or the new one after a crash, and
    /// the certificate never lacks its key: the new key waits beside the old one
    /// until the new certificate is there.
    ///
    /// # Errors
    /// The disk.
    pub fn save(&self, folder: &Path) -> Result<(), CaError> {
        std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
        write_whole(&folder.join("ca.crt"), &self.root_pem)?;
        write_whole(&folder.join(NEXT_KEY), &self.key_pem)?;
        write_whole(&folder.join("node.crt"), &self.chain_pem)?;
        let key = folder.join("node.key");
        std::fs::rename(folder.join(NEXT_KEY), &key).map_err(|source| io(&key, source))
    }

    /// Reads the three files.
    ///
    /// # Errors
    /// One is missing, or they do not belong together.
    pub fn load(folder: &Path) -> Result<Self, CaError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| io(&path, source))
        };
        let (root_pem, chain_pem) = (read("ca.crt")?, read("node.crt")?);
        let key_pem = match read(NEXT_KEY) {
            // A crash came between the new certificate and its key.
            Ok(next) if fits(&chain_pem, &next) => next,
            _ => read("node.key")?,
        };
        let damaged = |name: &str, e: CaError| CaError::Damaged {
            path: folder.join(name),
            why: e.to_string(),
        };
        let identity = leaf(&chain_pem)
            .and_then(|leaf| Identity::of_certificate(&leaf))
            .map_err(|e| damaged("node.crt", e))?;
        chain(&root_pem).map_err(|e| damaged("ca.crt", e))?;
        key(&key_pem).map_err(|e| damaged("node.key", e))?;
        Ok(Self { identity, chain_pem, key_pem, root_pem })
    }

    /// When the certificate should be renewed; `share` of 0 to 1 picks the point
    /// between half and four fifths of its life.
    pub fn renew_at(&self, share: f64) -> Time {
        let Some((from, to)) = leaf(&self.chain_pem).ok().and_then(|leaf| validity(&leaf)) else {
            return Time::ZERO;
        };
        let life = to.since(from).as_nanos() as f64;
        let point = RENEW_FROM + (RENEW_TO - RENEW_FROM) * share.clamp(0.0, 1.0);
        from + Duration::from_nanos((life * point) as i64)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

pub(crate) fn leaf(chain_pem: &str) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(chain_pem.as_bytes()).map_err(|_| CaError::Pem("certificate"))
}

pub(crate) fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CaError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or(CaError::Pem("certificate"))
}

pub(crate) fn key(pem: &str) -> Result<PrivateKeyDer<'static>, CaError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CaError::Pem("private key"))
}

/// Whether a certificate is for this key.
fn fits(chain_pem: &str, key_pem: &str) -> bool {
    let pair = || -> Option<bool> {
        let leaf = leaf(chain_pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&leaf).ok()?;
        let own = rcgen::KeyPair::from_pem(key_pem).ok()?;
        Some(certificate.public_key().raw == own.subject_public_key_info())
    };
    pair().unwrap_or(false)
}

fn validity(der: &[u8]) -> Option<(Time, Time)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let time = |seconds: i64| Time::from_nanos(0) + Duration::from_secs(seconds);
    let validity = certificate.validity();
    Some((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

fn write_whole(path: &Path, text: &str) -> Result<(), CaError> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> CaError {
    CaError::Io { path: path.to_owned(), source }
}
