//! A node's certificate, key and root: on disk and in memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::PublicKeyData;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use swarmw_model::{Duration, Time};
use swarmw_seal::Seal;
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

/// The private key, in PEM or sealed.
const KEY: &str = "node.key";
/// A key whose certificate is about to be written.
const NEXT_KEY: &str = "next-node.key";
/// How PEM begins, and no sealed key does but by a chance of one in 2^88.
const PEM: &[u8] = b"-----BEGIN ";

// === impl Credentials ===

impl Credentials {
    /// Writes the three files. Each is the old or the new one after a crash, and
    /// the certificate never lacks its key: the new key waits beside the old one
    /// until the new certificate is there. With a seal the private key is sealed.
    ///
    /// # Errors
    /// The disk.
    pub fn save(&self, folder: &Path, seal: Option<&Seal>) -> Result<(), CaError> {
        std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
        let key = match seal {
            Some(seal) => seal.seal(KEY.as_bytes(), self.key_pem.as_bytes()),
            None => self.key_pem.clone().into_bytes(),
        };
        write_whole(&folder.join("ca.crt"), self.root_pem.as_bytes())?;
        write_whole(&folder.join(NEXT_KEY), &key)?;
        write_whole(&folder.join("node.crt"), self.chain_pem.as_bytes())?;
        let key = folder.join(KEY);
        std::fs::rename(folder.join(NEXT_KEY), &key).map_err(|source| io(&key, source))
    }

    /// Reads the three files; `seal` opens the private key where it is sealed.
    ///
    /// # Errors
    /// One is missing, or they do not belong together.
    pub fn load(folder: &Path, seal: &Seal) -> Result<Self, CaError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| io(&path, source))
        };
        let damaged = |name: &str, e: &dyn std::fmt::Display| CaError::Damaged {
            path: folder.join(name),
            why: e.to_string(),
        };
        let read_key = |name: &str| {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(|source| io(&path, source))?;
            let bytes = match bytes.starts_with(PEM) {
                true => bytes,
                false => seal.open(KEY.as_bytes(), &bytes).map_err(|e| damaged(name, &e))?,
            };
            String::from_utf8(bytes).map_err(|_| damaged(name, &"it is no text"))
        };
        let (root_pem, chain_pem) = (read("ca.crt")?, read("node.crt")?);
        let key_pem = match read_key(NEXT_KEY) {
            // A crash came between the new certificate and its key.
            Ok(next) if fits(&chain_pem, &next) => next,
            _ => read_key(KEY)?,
        };
        let identity = leaf(&chain_pem)
            .and_then(|leaf| Identity::of_certificate(&leaf))
            .map_err(|e| damaged("node.crt", &e))?;
        chain(&root_pem).map_err(|e| damaged("ca.crt", &e))?;
        key(&key_pem).map_err(|e| damaged(KEY, &e))?;
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

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CaError> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
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

#[cfg(test)]
mod tests {
    use swarmw_model::{ClusterId, NodeId, NodeRole};

    use super::*;
    use crate::{KeyPair, RootCa};

    fn credentials() -> Credentials {
        let (cluster, now) = (ClusterId::from_bits(1), Time::from_nanos(1 << 60));
        let identity = Identity { node: NodeId::from_bits(2), cluster, role: NodeRole::Manager };
        let root = RootCa::generate(cluster, now).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let life = Duration::from_secs(3_600);
        let chain_pem = root.sign(&key.csr_pem, &identity, life, now).expect("signed");
        Credentials { identity, chain_pem, key_pem: key.key_pem, root_pem: root.certificate_pem }
    }

    #[test]
    fn a_sealed_key_is_in_no_file_and_opens_by_its_seal_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (saved, seal) = (credentials(), Seal::new([7; 32]));
        let secret = saved.key_pem.lines().nth(1).expect("base64").to_owned();
        let is_there = || {
            let files = std::fs::read_dir(folder.path()).expect("a folder").flatten();
            files
                .map(|file| std::fs::read(file.path()).expect("a file"))
                .any(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()))
        };
        saved.save(folder.path(), None).expect("written");
        assert!(is_there(), "or this test shows nothing");
        // One that a crash left: its certificate was never written.
        std::fs::write(folder.path().join(NEXT_KEY), &saved.key_pem).expect("written");
        saved.save(folder.path(), Some(&seal)).expect("written");
        assert!(!is_there());
        let again = Credentials::load(folder.path(), &seal).expect("its seal");
        assert_eq!(
            (again.key_pem, again.identity),
            (saved.key_pem.clone(), saved.identity.clone())
        );
        let error = Credentials::load(folder.path(), &Seal::new([8; 32])).expect_err("another");
        assert!(error.to_string().contains("node.key is damaged"), "{error}");
        saved.save(folder.path(), None).expect("written");
        assert!(is_there());
    }

    #[test]
    fn a_crash_between_a_certificate_and_its_sealed_key_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new, seal) = (credentials(), credentials(), Seal::new([7; 32]));
        old.save(folder.path(), Some(&seal)).expect("written");
        let next = seal.seal(KEY.as_bytes(), new.key_pem.as_bytes());
        std::fs::write(folder.path().join(NEXT_KEY), next).expect("written");
        let loaded = || Credentials::load(folder.path(), &seal).expect("a pair").key_pem;
        assert_eq!(loaded(), old.key_pem);
        std::fs::write(folder.path().join("node.crt"), &new.chain_pem).expect("written");
        assert_eq!(loaded(), new.key_pem);
    }
}
