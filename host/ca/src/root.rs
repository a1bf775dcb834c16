//! The cluster's root, and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair as RcgenKey, KeyUsagePurpose,
};
use swarmw_model::{ClusterId, Duration, Time};
use time::OffsetDateTime;

use crate::error::doing;
use crate::identity::unit;
use crate::{CaError, Identity, SERVER_NAME};

/// Life of a root certificate.
const ROOT_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// A leaf is valid this long before it was signed: clocks differ.
const BACKDATE: Duration = Duration::from_secs(3600);

/// The cluster's certificate authority: ECDSA P-256.
#[derive(Debug)]
pub struct RootCa {
    /// The root certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS#8.
    pub key_pem: String,
}

/// A new key, and a request to have it signed.
#[derive(Debug)]
pub struct KeyPair {
    /// The private key, PKCS#8.
    pub key_pem: String,
    /// The request; only the public key in it is honoured.
    pub csr_pem: String,
}

// === impl RootCa ===

impl RootCa {
    /// A new root of a new cluster.
    ///
    /// # Errors
    /// The key could not be made.
    pub fn generate(cluster: ClusterId, now: Time) -> Result<Self, CaError> {
        let key = RcgenKey::generate().map_err(doing("cannot make the root key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "swarm-ca");
        params.distinguished_name.push(DnType::OrganizationName, cluster.to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = at(now - BACKDATE);
        params.not_after = at(now + ROOT_LIFE);
        let root = params.self_signed(&key).map_err(doing("cannot sign the root"))?;
        Ok(Self { certificate_pem: root.pem(), key_pem: key.serialize_pem() })
    }

    /// A root as it was kept.
    ///
    /// # Errors
    /// The texts hold no certificate or key.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let key = RcgenKey::from_pem(key_pem).map_err(doing("cannot read the root key"))?;
        Issuer::from_ca_cert_pem(certificate_pem, key)
            .map_err(doing("cannot read the root certificate"))?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), key_pem: key_pem.to_owned() })
    }

    /// Signs the public key of a request for an identity. Nothing else of the
    /// request is looked at.
    ///
    /// # Errors
    /// The text is no request, or its own signature is wrong.
    pub fn sign(
        &self,
        csr_pem: &str,
        identity: &Identity,
        life: Duration,
        now: Time,
    ) -> Result<String, CaError> {
        let key = RcgenKey::from_pem(&self.key_pem).map_err(doing("cannot read the root key"))?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, key)
            .map_err(doing("cannot read the root certificate"))?;
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(doing("cannot read the certificate request"))?;
        let node = identity.node.to_string();
        let names = vec![SERVER_NAME.to_owned(), unit(identity.role).to_owned(), node.clone()];
        let mut params =
            CertificateParams::new(names).map_err(doing("cannot name the certificate"))?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, node);
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit(identity.role));
        params.distinguished_name.push(DnType::OrganizationName, identity.cluster.to_string());
        params.not_before = at(now - BACKDATE);
        params.not_after = at(now + life);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        request.params = params;
        let leaf = request.signed_by(&issuer).map_err(doing("cannot sign the certificate"))?;
        Ok(leaf.pem())
    }
}

// === impl KeyPair ===

impl KeyPair {
    /// A new key and its request.
    ///
    /// # Errors
    /// The key could not be made.
    pub fn generate() -> Result<Self, CaError> {
        let key = RcgenKey::generate().map_err(doing("cannot make a key"))?;
        let request = CertificateParams::default()
            .serialize_request(&key)
            .and_then(|request| request.pem())
            .map_err(doing("cannot make a certificate request"))?;
        Ok(Self { key_pem: key.serialize_pem(), csr_pem: request })
    }
}

fn at(time: Time) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.as_nanos()))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
